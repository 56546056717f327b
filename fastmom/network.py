"""The object that is recovered: a network with one hidden layer."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastmom.activations import Activation, resolve
from fastmom.runtime.files import read_npz, write_npz
from fastmom.runtime.validation import as_matrix, as_real_array, require_finite

Array = npt.NDArray[np.float64]

_KIND, _VERSION = "network", 1
_FIELDS = ("W", "A", "hidden_bias", "output_bias", "linear")
_BLOCK_BYTES = 1 << 22
_SAME = 1e-12  # neurons closer than this, in unit gauge, are one
_CONSTANT = 1e-150  # weights this small beside the bias: the neuron is constant
_ROUNDING = 8 * np.finfo(np.float64).eps  # what is left of output weights that cancel
_TIE = 10  # decimals in which two neurons must differ for the order to depend on it


class TwoLayerNetwork:
    """A network with one hidden layer, ``Y = f(X W^T + hidden_bias) A^T + output_bias + X linear^T``.

    Parameters
    ----------
    W : array_like (k, d)
        Hidden weights, one row for each neuron; k = 0 leaves the linear part.
    A : array_like (m, k) or (k,)
        Output weights, one column for each neuron; 1-D means one output.
    hidden_bias : array_like (k,), optional
    output_bias : array_like (m,), optional
    linear : array_like (m, d), optional
        Linear part. Absent parts stay None: they tell the class of the model.
    activation : str or Activation
        See `fastmom.activations.resolve`.

    Attributes
    ----------
    W, A, hidden_bias, output_bias, linear : ndarray or None
        Copies of the above, float64 and read-only.
    activation : Activation

    Raises
    ------
    ValueError
        For shapes that do not fit and entries that are not finite.

    Examples
    --------
    >>> import fastmom as fm
    >>> network = fm.TwoLayerNetwork([[1.0, -1.0]], [2.0])
    >>> network
    TwoLayerNetwork(2 -> 1 -> 1, relu)
    >>> network.predict([[3.0, 1.0], [1.0, 3.0]])
    array([[4.],
           [0.]])
    """

    __slots__ = ("A", "W", "activation", "hidden_bias", "linear", "output_bias")

    def __init__(
        self,
        W: npt.ArrayLike,
        A: npt.ArrayLike,
        hidden_bias: npt.ArrayLike | None = None,
        output_bias: npt.ArrayLike | None = None,
        linear: npt.ArrayLike | None = None,
        activation: str | Activation = "relu",
    ) -> None:
        self.W = _weights(W, "W", (None, None))
        k, d = self.W.shape
        self.A = _weights(np.atleast_2d(as_real_array(A, "A")), "A", (None, k))
        m = self.A.shape[0]
        if d == 0 or m == 0:
            raise ValueError(f"{'A' if d else 'W'}: expected inputs and outputs, got d = {d} and m = {m}")
        self.hidden_bias = None if hidden_bias is None else _weights(hidden_bias, "hidden_bias", (k,))
        self.output_bias = None if output_bias is None else _weights(output_bias, "output_bias", (m,))
        self.linear = None if linear is None else _weights(linear, "linear", (m, d))
        self.activation = resolve(activation)

    @property
    def n_inputs(self) -> int:
        """Number of inputs d."""
        return int(self.W.shape[1])

    @property
    def n_hidden(self) -> int:
        """Number of neurons k."""
        return len(self.W)

    @property
    def n_outputs(self) -> int:
        """Number of outputs m."""
        return len(self.A)

    def predict(self, X: npt.ArrayLike) -> Array:
        """Return the outputs (n, m) for X (n, d) of any real dtype, computed in float64.

        The rows are taken in blocks, so that memory beyond the result stays small.

        Raises
        ------
        ValueError, TypeError
            If X is not a matrix of finite real numbers with d columns.
        """
        rows = as_matrix(X)
        if rows.shape[1] != self.n_inputs:
            raise ValueError(f"X: expected {self.n_inputs} columns, one for each input, got {rows.shape[1]}")
        out = np.empty((rows.shape[0], self.n_outputs))
        step = max(64, _BLOCK_BYTES // (8 * (self.n_inputs + self.n_hidden)))
        for start in range(0, rows.shape[0], step):
            block = rows[start : start + step]
            require_finite(block, "X", start)
            out[start : start + step] = self._outputs(np.ascontiguousarray(block, dtype=np.float64))
        return out

    def _outputs(self, X: Array) -> Array:
        hidden = X @ self.W.T
        if self.hidden_bias is not None:
            hidden += self.hidden_bias
        outputs: Array = self.activation(hidden) @ self.A.T
        if self.output_bias is not None:
            outputs += self.output_bias
        if self.linear is not None:
            outputs += X @ self.linear.T
        return outputs

    def canonical(self) -> TwoLayerNetwork:
        """Return the equivalent network in standard form.

        Rows of W have norm 1 (their scale moves to A), neurons with the same weights up to scale are one, and
        neurons without effect are gone (those with zero weights join the output bias). The order is by
        decreasing norm of the output weights, then by weights.
        """
        unit, d = unit_form(self), self.n_inputs
        size = _row_norms(unit.A)
        keys = np.column_stack([-size / (size.max(initial=0.0) or 1.0), unit.V])
        order = np.lexsort(np.round(keys, _TIE).T[::-1])
        V, A = unit.V[order], unit.A[order]
        bias = None if self.hidden_bias is None else V[:, d]
        return TwoLayerNetwork(V[:, :d], A.T, bias, unit.output_bias, self.linear, self.activation)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to one `.npz` file, whole or not at all; `load` reads it back bit for bit."""
        arrays = {name: getattr(self, name) for name in _FIELDS if getattr(self, name) is not None}
        write_npz(path, arrays, {"kind": _KIND, "version": _VERSION, "activation": str(self.activation)})

    def __eq__(self, other: object) -> bool:
        """Whether all fields are the same, bit for bit."""
        if not isinstance(other, TwoLayerNetwork):
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        """Hash of the fields' bits."""
        return hash(self._content())

    def _content(self) -> tuple[Any, ...]:
        arrays = (getattr(self, name) for name in _FIELDS)
        return (self.activation, *((a.shape, a.tobytes()) if a is not None else None for a in arrays))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle through the constructor, so that copies are read-only too."""
        return TwoLayerNetwork, (*(getattr(self, name) for name in _FIELDS), self.activation)

    def __repr__(self) -> str:
        """Return the shape and the class of the model."""
        parts = [f"{self.n_inputs} -> {self.n_hidden} -> {self.n_outputs}", str(self.activation)]
        biases = [name for name in ("hidden", "output") if getattr(self, f"{name}_bias") is not None]
        if biases:
            parts.append(f"{' and '.join(biases)} bias")
        if self.linear is not None:
            parts.append("linear part")
        return f"TwoLayerNetwork({', '.join(parts)})"


def load(path: str | os.PathLike[str]) -> TwoLayerNetwork:
    """Read a network that `TwoLayerNetwork.save` wrote.

    Parameters
    ----------
    path : path

    Returns
    -------
    TwoLayerNetwork
        Equal to the saved one, bit for bit.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, from a newer version, or holds no network.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastmom as fm
    >>> network = fm.TwoLayerNetwork([[1.0, -1.0]], [2.0])
    >>> path = os.path.join(tempfile.mkdtemp(), "network.npz")
    >>> network.save(path)
    >>> fm.load(path) == network
    True
    """
    header, arrays = read_npz(path, kind=_KIND, version=_VERSION)
    try:
        return TwoLayerNetwork(**arrays, activation=header["activation"])
    except (ValueError, TypeError, LookupError) as error:
        raise ValueError(f"{os.fsdecode(path)}: holds no valid network ({error}); save it again") from error


class UnitForm(NamedTuple):
    """The neurons of a network in unit gauge, equal ones merged and those without effect removed.

    Attributes
    ----------
    V : ndarray (r, d + 1)
        ``(w, b) / ||w||`` of each neuron; b = 0 without hidden bias.
    A : ndarray (r, m)
        Output weights in that gauge.
    output_bias : ndarray (m,) or None
        With the neurons whose weights are zero.
    members : list of ndarray
        Indices of each neuron in the network as given.
    """

    V: Array
    A: Array
    output_bias: Array | None
    members: list[npt.NDArray[np.intp]]


def unit_form(network: TwoLayerNetwork) -> UnitForm:
    """Bring the neurons to ``||w|| = 1``, merge equal ones, drop those without effect.

    Neurons are equal when their weights, and their hidden biases relative to max(1, |b|), agree to 1e-12. Where the
    activation lets no scale move between the layers, the weights keep theirs.
    """
    degree = network.activation.degree
    bias = np.zeros(network.n_hidden) if network.hidden_bias is None else network.hidden_bias
    norm = _row_norms(network.W)
    constant = norm <= _CONSTANT * np.abs(bias)
    output_bias = network.output_bias
    shift = network.A[:, constant] @ network.activation(bias[constant])
    if shift.any():
        output_bias = shift if output_bias is None else output_bias + shift
    live = np.flatnonzero(~constant)
    scale = norm[live, np.newaxis] if degree is not None else np.ones((len(live), 1))
    V = np.column_stack([network.W, bias])[live] / scale
    A = network.A.T[live] * scale ** (degree or 1.0)
    kept = [g for g in _equal_rows(V) if np.abs(A[g].sum(axis=0)).max() > _ROUNDING * np.abs(A[g]).sum()]
    return UnitForm(
        V[[group[0] for group in kept]],
        np.array([A[group].sum(axis=0) for group in kept]).reshape(-1, network.n_outputs),
        output_bias,
        [live[group] for group in kept],
    )


def _row_norms(rows: Array) -> Array:
    """Euclidean norms without underflow: a neuron with weights of 1e-200 is still a neuron."""
    largest = np.abs(rows).max(axis=1, initial=0.0, keepdims=True)
    norms: Array = largest[:, 0] * np.linalg.norm(rows / np.where(largest > 0, largest, 1.0), axis=1)
    return norms


def _equal_rows(V: Array) -> list[npt.NDArray[np.intp]]:
    """Group the rows (w, b) that agree with the first of their group; only near projections are compared."""
    d = V.shape[1] - 1
    projection = V[:, :d] @ np.cos(np.arange(d)) / d  # equal rows differ here by no more than in any entry
    order = np.argsort(projection, kind="stable")
    low = np.searchsorted(projection[order], projection - 2 * _SAME)
    high = np.searchsorted(projection[order], projection + 2 * _SAME)
    free = np.ones(len(V), dtype=bool)
    groups = []
    for i in range(len(V)):
        if free[i]:
            near = np.sort(order[low[i] : high[i]])
            near = near[free[near]]
            close = np.abs(V[near] - V[i]) <= _SAME * np.maximum(1.0, np.abs(V[i]))
            groups.append(near[close.all(axis=1)])
            free[groups[-1]] = False
    return groups


def _weights(value: npt.ArrayLike, name: str, shape: tuple[int | None, ...]) -> Array:
    given = as_real_array(value, name)
    if given.ndim != len(shape) or any(s not in (None, n) for s, n in zip(shape, given.shape, strict=True)):
        wanted = ", ".join("any" if s is None else str(s) for s in shape)
        raise ValueError(f"{name}: expected shape ({wanted}), got {given.shape}")
    array = np.array(given, dtype=np.float64, order="C")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: has entries that are NaN or infinite; weights must be finite")
    array.setflags(write=False)
    return array
