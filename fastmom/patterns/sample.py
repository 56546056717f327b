"""A sample of rows in the coordinates that SNAP works in: scaled inputs beside a basis of the label space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

Array = npt.NDArray[np.float64]

INPUT_RANK = 1e-10  # relative singular value below which an input direction counts as absent
WELL_CONDITIONED = 1e-5  # relative singular value above which the Gram of the inputs is accurate
HUGE = 30.0  # times the typical size of a row
ROUND_OFF = 1e-14  # of a label column, with a margin
LABEL_RANK = 1e-11  # relative singular value below which a label direction counts as round-off


@dataclass(frozen=True)
class Sample:
    """Rows with scaled inputs and an orthonormal basis of the label space span([Y, known functions]).

    Attributes
    ----------
    X, Y : ndarray (n, d), (n, m)
        The rows themselves, possibly balanced; with a hidden bias the last input is one (times `ones`).
    ones : ndarray (n,)
        The constant function on these rows: one, or what balancing left of it.
    inputs : ndarray (n, e)
        Inputs in working coordinates, see `coordinates`; e is the numerical rank of X.
    back : ndarray (d, e)
        A direction in working coordinates, as weights: ``X @ back @ u = inputs @ u``.
    forward : ndarray (e, d)
        Weights as a direction in working coordinates.
    basis : ndarray (n, r)
        Orthonormal basis of the label space, its first `n_known` columns spanning the known functions.
    n_known : int
        How many functions are known to be in the label space (the constant, linear functions).
    """

    X: Array
    Y: Array
    ones: Array
    inputs: Array
    back: Array
    forward: Array
    basis: Array
    n_known: int

    @property
    def rank(self) -> int:
        """Dimension of the label space beyond the known functions: the number of neurons it can hold."""
        return self.basis.shape[1] - self.n_known


def coordinates(X: Array) -> tuple[Array, Array, Array]:
    """Inputs (n, e) in working coordinates, and the maps back (d, e) and forward (e, d).

    Columns are divided by their largest entry, so that units do not matter, and otherwise left alone: a rarely used
    input stays small. Where a neuron's active rows do not span all directions, the least-norm weights in these
    coordinates are the ones that leave the other rows inactive; on images, whitened or equal-variance coordinates
    lose most starts. Only inputs so nearly collinear that their Gram would lose small directions are whitened.
    """
    scale = np.abs(X).max(axis=0)
    scale[scale == 0] = 1.0
    inputs = X / scale
    values = np.linalg.eigvalsh(inputs.T @ inputs)
    if values[0] > WELL_CONDITIONED**2 * values[-1]:
        return inputs, np.diag(1.0 / scale), np.diag(scale)
    _, s, vt = scipy.linalg.svd(inputs, full_matrices=False, check_finite=False)
    e = int(np.count_nonzero(s > INPUT_RANK * s[0])) if s[0] > 0 else 0
    whitening = np.ones(e) if e and s[e - 1] > WELL_CONDITIONED * s[0] else s[:e] / np.sqrt(len(X))
    back = vt[:e].T / whitening
    return inputs @ back, back / scale[:, None], (vt[:e] * whitening[:, None]) * scale


def balance(X: Array, Y: Array) -> tuple[Array, Array, Array]:
    """Scale huge rows down: X, Y and what becomes of the constant one (n,).

    The network is homogeneous in (x, 1, y), so a row may be scaled; one huge row would otherwise drown the others.
    Rows of ordinary size stay as they are: on images, changing their weights loses starts.
    """
    column = np.quantile(np.abs(X), 0.9, axis=0)
    column = np.where(column > 0, column, np.abs(X).max(axis=0))
    size = np.linalg.norm(X / np.where(column > 0, column, 1.0), axis=1)
    typical = float(np.median(size))
    ones = 1.0 / np.maximum(1.0, size / (HUGE * typical)) if typical > 0 else np.ones(len(X))
    return X * ones[:, None], Y * ones[:, None], ones


def label_space(Y: Array, known: Array, max_rank: int | None = None) -> tuple[Array, int]:
    """Orthonormal basis of span([known, Y]), known functions first, and their number.

    Outputs are equilibrated, so that one large output does not hide the others, unless `max_rank` asks for
    the leading subspace of noisy labels, which must keep the noise of all outputs equal. What is left of an output
    beyond the known functions counts only above the round-off of the whole.
    """
    n_known = 0
    head = np.empty((Y.shape[0], 0))
    if known.shape[1]:
        u, s, _ = scipy.linalg.svd(known / np.linalg.norm(known, axis=0), full_matrices=False)
        n_known = int(np.count_nonzero(s > LABEL_RANK * s[0]))
        head = u[:, :n_known]
    whole = np.linalg.norm(Y, axis=0)
    Y = Y - head @ (head.T @ Y)
    Y = Y - head @ (head.T @ Y)
    size = np.linalg.norm(Y, axis=0)
    present = size > ROUND_OFF * whole
    blurred = float(np.max(whole[present] / size[present], initial=1.0))
    if max_rank is None:
        Y = np.where(present, Y, 0.0) / np.where(present, size, 1.0)
    u, s, _ = scipy.linalg.svd(Y, full_matrices=False, check_finite=False)
    unit = 1.0 if max_rank is None else float(np.linalg.norm(size))
    r = int(np.count_nonzero(s > max(LABEL_RANK, ROUND_OFF * blurred) * unit))
    if max_rank is not None:
        r = min(r, max_rank)
    return np.hstack([head, u[:, :r]]), n_known


def draw_sample(X: Array, Y: Array, known: Array, max_rank: int | None = None, ones: Array | None = None) -> Sample:
    """Scale the inputs and span the label space of the given rows; `known` (n, p) and `ones` (n,) as in `Sample`."""
    inputs, back, forward = coordinates(X)
    basis, n_known = label_space(Y, known, max_rank)
    ones = np.ones(len(X)) if ones is None else ones
    return Sample(X, Y, ones, inputs, back, forward, basis, n_known)


def input_rank(X: Array) -> int:
    """Numerical rank of the inputs, columns equilibrated."""
    return coordinates(X)[0].shape[1]
