"""Moments of rows that arrive in pieces, on one machine or on many: mergeable, and the same bits in any order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.kernels.tensor import small_tensor_pass, small_tensor_widths
from fastmom.moments import exact_sum
from fastmom.moments.quadratic import moments
from fastmom.moments.tensor_sums import gram, hermite_tensors, mean_over_rows
from fastmom.runtime.passes import Rows
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_count, as_labels, as_matrix, require_finite

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Means over rows. The tensors are moments ``T_l = E[y S_l(x)]`` if x is standard Gaussian.

    S_l are its Hermite tensors, S_1(x) = x, S_2(x) = x x^T - I, normalised by
    ``exp(<x, a> - |a|^2 / 2) = sum_l S_l(x)(a, .., a) / l!``.

    Attributes
    ----------
    n_rows : int
    mean_x, mean_y : ndarray (d,), (m,)
    xx, yy : ndarray (d, d), (m, m)
        Means of x x^T and y y^T, not centred.
    T1 : ndarray (m, d)
        Mean of y x^T.
    T2 : ndarray (m, d, d)
        Mean of y_o x x^T, minus the mean of y_o times the identity.
    T3, T4 : ndarray (m, r, r, r), (m, r, r, r, r) or None
        ``T_3(V, V, V)`` and ``T_4(V, V, V, V)`` in the accumulator's directions V, where its order includes them.
    """

    n_rows: int
    mean_x: Array
    mean_y: Array
    xx: Array
    yy: Array
    T1: Array
    T2: Array
    T3: Array | None
    T4: Array | None


class MomentAccumulator:
    """Sums of moments that grow by pieces of rows and merge: what processes and machines send each other.

    The sums of a piece are computed as everywhere, and added to those of other pieces without any round-off; the one
    rounding is in `result`. So the same pieces give the same bits in whatever order they arrive and however
    accumulators are merged, on any number of threads. Instances can be pickled and copied; they hold about three
    numbers for each of the moments.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Columns d of X and m of Y.
    directions : array_like (d, r), optional
        V, for moments of order three and four; about r^4 / 24 numbers an output. They need not be orthonormal.
    order : int, optional
        Highest order kept: 2, or with directions 3 or 4; 4 with directions and 2 without unless given.

    Raises
    ------
    ValueError
        For numbers out of range, directions of another number of rows or not finite, a high order without directions.
    TypeError
        For what is no number.

    Examples
    --------
    >>> import numpy as np
    >>> import fastmom as fm
    >>> from fastmom.moments.accumulator import MomentAccumulator
    >>> X, Y = fm.make_samples(fm.random_teacher(5, 3, rng=0), 1000, rng=1)
    >>> one, other = MomentAccumulator(5).update(X[:400], Y[:400]), MomentAccumulator(5).update(X[400:], Y[400:])
    >>> one.merge(other).result().T2.shape
    (1, 5, 5)
    """

    def __init__(
        self, n_inputs: int, n_outputs: int = 1, *, directions: npt.ArrayLike | None = None, order: int | None = None
    ) -> None:
        self.n_inputs, self.n_outputs = as_count(n_inputs, "n_inputs"), as_count(n_outputs, "n_outputs")
        self.directions = None if directions is None else _as_directions(directions, self.n_inputs)
        self.order = as_count((2 if directions is None else 4) if order is None else order, "order", 2)
        if self.order > (2 if directions is None else 4):
            limit = "4" if directions is not None else "2 without directions; pass directions for more"
            raise ValueError(f"order: got {self.order}, expected at most {limit}")
        self._n_rows = 0
        self._sums: exact_sum.Expansion = ()

    def __repr__(self) -> str:
        """Set-up and number of rows."""
        r = 0 if self.directions is None else self.directions.shape[1]
        shape = f"n_inputs={self.n_inputs}, n_outputs={self.n_outputs}, {r} directions, order={self.order}"
        return f"<MomentAccumulator: {shape}, {self._n_rows} rows>"

    @property
    def n_rows(self) -> int:
        """Rows taken in so far."""
        return self._n_rows

    def update(self, X: npt.ArrayLike, Y: npt.ArrayLike) -> MomentAccumulator:
        """Take in rows.

        Parameters
        ----------
        X, Y : array_like (n, d), (n, m) or (n,)
            Inputs and labels.

        Returns
        -------
        MomentAccumulator
            This one.

        Raises
        ------
        ValueError
            For rows of another shape, and for NaN, infinities or overflow, naming the entry; nothing is taken in.
        TypeError
            For entries that are not real numbers.
        """
        inputs = as_matrix(X)
        labels = as_labels(Y, len(inputs))
        found, wanted = (inputs.shape[1], labels.shape[1]), (self.n_inputs, self.n_outputs)
        if found != wanted:
            raise ValueError(f"X, Y: have {found[0]} and {found[1]} columns; this accumulator takes {wanted}")
        with single_blas_thread():
            sums = self._sums_over(inputs, labels)
        if not np.isfinite(sums).all():
            require_finite(inputs, "X")
            require_finite(labels, "Y")
            raise ValueError("X, Y: sums of their products overflow; rescale them")
        self._take(len(inputs), (sums,))
        return self

    def merge(self, other: MomentAccumulator) -> MomentAccumulator:
        """Take in the rows of another accumulator, which stays as it is.

        Returns
        -------
        MomentAccumulator
            This one.

        Raises
        ------
        TypeError
            For anything but an accumulator.
        ValueError
            For one of another shape, order, or directions that differ in any bit.
        """
        if not isinstance(other, MomentAccumulator):
            raise TypeError(f"other: expected a MomentAccumulator, got {type(other).__name__}")
        for name in ("n_inputs", "n_outputs", "order", "directions"):
            ours, theirs = getattr(self, name), getattr(other, name)
            if not np.array_equal(ours, theirs):
                found = "other directions" if name == "directions" else f"{name} {theirs}, this one {ours}"
                raise ValueError(f"other: has {found}; merge accumulators that were set up alike")
        self._take(other._n_rows, other._sums)
        return self

    def result(self) -> Moments:
        """The moments of all rows so far.

        Returns
        -------
        Moments

        Raises
        ------
        ValueError
            Before the first row.
        """
        if self._n_rows == 0:
            raise ValueError("accumulator: has no rows; call update(X, Y) first")
        means = exact_sum.rounded(self._sums) / self._n_rows
        d, m = self.n_inputs, self.n_outputs
        size = (d + 1) * (d + 2) // 2
        inputs, labels, products, rest = np.split(means, np.cumsum([size, m * size, m * (m + 1) // 2]))
        xx, yxx = _symmetric(inputs, d + 1), _symmetric(labels.reshape(m, size), d + 1)
        mean_y = yxx[:, d, d]
        tensors = self._tensors(rest.reshape(m, -1))
        return Moments(
            self._n_rows,
            xx[d, :d],
            mean_y,
            xx[:d, :d],
            _symmetric(products, m),
            yxx[:, d, :d],
            yxx[:, :d, :d] - np.multiply.outer(mean_y, np.eye(d)),
            tensors.get(3),
            tensors.get(4),
        )

    def _take(self, n: int, sums: exact_sum.Expansion) -> None:
        total = self._sums
        for component in sums:
            total = exact_sum.add(total, component)
        if total and not np.isfinite(total[0]).all():
            raise ValueError("X, Y: sums over all rows overflow; rescale them")
        self._sums, self._n_rows = total, self._n_rows + n

    def _sums_over(self, inputs: Array, labels: Array) -> Array:
        """Sums of z z^T, of y z z^T, z = [x, 1], of y y^T, upper triangles, and of what high orders consist of."""
        rows, ones = Rows(inputs, labels), np.broadcast_to(1.0, (len(inputs), 1))
        parts = [moments(Rows(inputs, ones)), moments(rows), moments(Rows(labels, ones))[:, :-1, :-1]]
        triangles = [part[:, *np.triu_indices(part.shape[1])].ravel() for part in parts]
        high = [self._tensor_sums(rows, order) for order in range(3, self.order + 1)]
        return np.concatenate([*triangles, np.hstack([np.empty((self.n_outputs, 0)), *high]).ravel()])

    def _tensor_sums(self, rows: Rows, order: int) -> Array:
        assert self.directions is not None
        widths = small_tensor_widths(order, self.directions.shape[1], rows.n_outputs)
        means = mean_over_rows(rows, small_tensor_pass, (self.directions, np.array([order])), widths, "small tensor")
        return means.reshape(rows.n_outputs, -1) * rows.n_rows

    def _tensors(self, means: Array) -> dict[int, Array]:
        """T_3 and T_4 by order, from the means of their sums side by side (m, widths)."""
        if self.directions is None or self.order < 3:
            return {}
        r, G = self.directions.shape[1], gram(self.directions, self.directions)
        ends = np.cumsum([small_tensor_widths(order, r, 1)[1] for order in range(3, self.order + 1)])
        parts = np.split(means, ends[:-1], axis=1)
        return {order: hermite_tensors(part, G, order) for order, part in enumerate(parts, 3)}


def _as_directions(directions: npt.ArrayLike, n_inputs: int) -> Array:
    array = as_matrix(directions, "directions")
    if len(array) != n_inputs:
        raise ValueError(f"directions: expected {n_inputs} rows, one an input, got shape {array.shape}")
    require_finite(array, "directions")
    copy = np.array(array, dtype=np.float64, order="C")
    copy.flags.writeable = False
    return copy


def _symmetric(triangles: Array, size: int) -> Array:
    """Symmetric matrices (.., size, size) from their upper triangles, row by row."""
    square = np.empty((*triangles.shape[:-1], size, size))
    i, j = np.triu_indices(size)
    square[..., i, j] = square[..., j, i] = triangles
    return square
