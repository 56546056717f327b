"""Equations that nothing checks: rows that fit whatever is wrong, because they alone determine some weights.

At fixed activation patterns labels are linear in the weights, and the leverage of an equation (its diagonal entry of
the projection onto the range of the Jacobian) is the share of it that is used up in determining weights. Two neurons
that are active together but for d rows, say, have the difference of their weights determined by these rows alone:
whatever the labels there, some weights reproduce them, so reproducing them is no evidence. Our own form.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import scipy.linalg
from scipy.sparse.csgraph import connected_components

from fastmom.patterns.model import Model
from fastmom.runtime import progress
from fastmom.runtime.passes import Rows

Array = npt.NDArray[np.float64]

MAX_UNKNOWNS = 2500  # weights whose normal matrix is formed
_USED_UP = 0.5  # leverage from which an equation is one of few
_TOGETHER = 0.02  # entry of the projection that makes two equations parts of one system
_INVOLVED = 1e-2  # share of a change of weights from which a neuron is part of it
_FAINT = 1e-3  # of a change that no equation notices, beside one that few do
_RIDGES = 1e-12, 1e-10, 1e-8  # relative to the normal matrix, for directions that no row sees
_CHUNK = 1 << 21  # entries of the Jacobian formed at once


def unchecked(rows: Rows, model: Model, spare: float) -> tuple[dict[int, int], Array]:
    """Neurons of whose weights systems of hardly more equations than unknowns determine a part.

    Parameters
    ----------
    rows : Rows
        n of them; they count by direction, whatever their size.
    model : Model
        Network that reproduces their labels.
    spare : float
        Equations beyond its unknowns that a system needs for each of them.

    Returns
    -------
    found : dict
        Equations of such systems, by neuron; empty beyond `MAX_UNKNOWNS` weights.
    change : ndarray (p,)
        A random change of all weights that few of these equations notice, mostly one that none does, if there is any.
    """
    u, d = model.hidden.shape
    width = n_weights(rows, model)
    if width > MAX_UNKNOWNS:
        return {}, np.zeros(width)
    normal = np.zeros((width, width))
    for _, J in _jacobian(rows, model, width):
        normal += J.T @ J
    unit = np.sqrt(np.diag(normal))
    unit[unit == 0] = 1.0
    factor = _cholesky(normal / np.outer(unit, unit))
    kept = []
    for _, J in _jacobian(rows, model, width):
        Z = scipy.linalg.solve_triangular(factor, (J / unit).T, lower=True, overwrite_b=True, check_finite=False)
        kept.append(Z[:, np.einsum("ij,ij->j", Z, Z) > _USED_UP])
    few = np.hstack(kept)
    rng = np.random.default_rng(0)
    found: dict[int, int] = {}
    noticed = _FAINT * rng.standard_normal(width)
    projection = few.T @ few
    groups = connected_components(np.abs(projection) > _TOGETHER, directed=False)[1]
    for group in range(groups.max(initial=-1) + 1):
        system = np.flatnonzero(groups == group)
        if len(system) >= (1 + spare) * float(np.diag(projection)[system].sum()):
            continue
        noticed += few[:, system] @ rng.standard_normal(len(system))
        moves = scipy.linalg.solve_triangular(factor, few[:, system], lower=True, trans="T", check_finite=False)
        shares = np.sum(moves[: u * d].reshape(u, -1) ** 2, axis=1)
        for i in np.flatnonzero(shares[: model.n_neurons] > _INVOLVED * shares.sum()):
            found[int(i)] = found.get(int(i), 0) + len(system)
    return found, scipy.linalg.solve_triangular(factor, noticed, lower=True, trans="T", check_finite=False) / unit


def notice(rows: Rows, model: Model, change: Array) -> Array:
    """How much the labels of every row (n,) change with the weights, relative to the row's norm."""
    out = np.empty(rows.n_rows)
    m = rows.n_outputs
    for first, J in _jacobian(rows, model, len(change)):
        values = np.abs(J @ change).reshape(-1, m).max(axis=1)
        out[first : first + len(values)] = values
    return out


def n_weights(rows: Rows, model: Model) -> int:
    """Columns of the Jacobian."""
    u, d = model.hidden.shape
    return u * d + (u * rows.n_outputs if rows.n_outputs > 1 else 0) + rows.n_outputs * model.kind.output_bias


def _jacobian(rows: Rows, model: Model, width: int) -> Iterator[tuple[int, Array]]:
    """Derivatives of all labels by hidden and output weights, rows divided by their norms: first row, (labels, width).

    The output weights of one output scale the hidden weights, and add nothing.
    """
    m, u = rows.n_outputs, len(model.hidden)
    for first, X, _ in rows.chunks(max(64, _CHUNK // (width * m))):
        n = len(X)
        size = np.linalg.norm(X, axis=1, keepdims=True)
        unit = X / np.where(size > 0, size, 1.0)
        gates = np.where(X @ model.hidden.T > 0, 1.0, model.slopes)
        slopes = (gates[:, None, :] * model.outer[:u].T).reshape(n * m, u, 1)
        parts = [(slopes * np.repeat(unit, m, axis=0)[:, None, :]).reshape(n * m, -1)]
        if m > 1:
            values = gates * (unit @ model.hidden.T)
            parts.append(np.einsum("iu,op->ioup", values, np.eye(m)).reshape(n * m, -1))
        if model.kind.output_bias:
            parts.append(np.einsum("i,op->iop", 1 / np.where(size > 0, size, 1.0)[:, 0], np.eye(m)).reshape(n * m, -1))
        progress.report("certificate", first + n, rows.n_rows)
        yield first, np.hstack(parts) if len(parts) > 1 else parts[0]


def _cholesky(matrix: Array) -> Array:
    """Lower factor of a semidefinite matrix of unit diagonal, raised a little."""
    for ridge in _RIDGES:
        factor, failed = scipy.linalg.lapack.dpotrf(matrix + ridge * np.eye(len(matrix)), lower=1)
        if not failed:
            return np.asarray(factor)
    return np.eye(len(matrix))
