"""Standard Gaussian inputs and one label of unit size, from the rows as given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.activations import Activation
from fastmom.moments.whitening import symmetric_roots
from fastmom.runtime.passes import Rows
from fastmom.runtime.validation import as_matrix, require_finite

Array = npt.NDArray[np.float64]

LARGE = 1.6  # times the deviation of a covariance that sampling gives


@dataclass(frozen=True)
class Standardised:
    """Rows in the coordinates of the theory, x = inputs * R of covariance one.

    Attributes
    ----------
    X : ndarray (n, d)
        Inputs, float64.
    y : ndarray (n,)
        One label, of unit size.
    root : ndarray (d, d)
        R: a weight w of x is R w of the inputs.
    covariance : str
        Where R comes from: "identity", "estimated" or "given".
    contraction : ndarray (m,)
        y is this combination of the labels.
    """

    X: Array
    y: Array
    root: Array
    covariance: str
    contraction: Array

    def concerns(self) -> list[str]:
        """Assumptions on the inputs that the rows do not meet, for the message of a failure."""
        n, d = self.X.shape
        mean = self.X.mean(axis=0)
        found = []
        if n * float(mean @ mean) > d + 6 * np.sqrt(2 * d) + 10:
            found.append(f"the inputs' mean is {np.linalg.norm(mean):.2g} standard deviations off zero")
        radius = np.einsum("ij,ij->i", self.X, self.X)
        excess = float(np.mean(radius**2)) / (d * (d + 2)) - 1
        if abs(excess) > 10 * np.sqrt(8.0 / (d * n)) + 0.02:
            found.append(f"the inputs are not Gaussian (fourth moment off by {excess:+.0%})")
        return found


def read_covariance(covariance: Any, d: int) -> str | Array:
    """The option `covariance`: "auto", "identity", "estimate", or a matrix.

    Raises
    ------
    ValueError, TypeError
        For anything else.
    """
    if isinstance(covariance, str):
        if covariance in ("auto", "identity", "estimate"):
            return covariance
        raise ValueError(
            f"covariance: expected 'auto', 'identity', 'estimate' or a ({d}, {d}) matrix, got {covariance!r}"
        )
    matrix = np.asarray(as_matrix(covariance, "covariance"), dtype=np.float64)
    require_finite(matrix, "covariance")
    if matrix.shape != (d, d):
        raise ValueError(f"covariance: expected shape {(d, d)} as X has {d} columns, got {matrix.shape}")
    try:
        symmetric_roots(matrix / (np.abs(matrix).max() or 1.0), floor=1e-12)
    except ValueError as error:  # which speaks of a matrix C
        raise ValueError(f"covariance: {str(error).removeprefix('C: ')}") from None
    return matrix


def standardise(rows: Rows, f: Activation, covariance: str | Array) -> Standardised:
    """Whiten the inputs where they need it, and contract the labels to one of positive output weights."""
    _, X, Y = next(rows.chunks(rows.n_rows))  # no copy of float64 rows, unlike `take`
    n, d = X.shape
    spread = np.abs(X).max(axis=0)
    unit = np.where(spread > 0, spread, 1.0)
    if isinstance(covariance, np.ndarray):
        root, source = _root(covariance / np.outer(unit, unit), unit), "given"
    else:
        second = (X / unit).T @ (X / unit) / n
        with np.errstate(over="ignore", invalid="ignore"):
            deviation = np.linalg.norm(second * np.outer(unit, unit) - np.eye(d), 2) if np.all(unit < 1e9) else np.inf
        plain = deviation < LARGE * (2 * np.sqrt(d / n) + d / n)
        if covariance == "identity" or (covariance == "auto" and plain):
            root, source = np.eye(d), "identity"
        else:
            root, source = _root(second, unit), "estimated"
    x = X if source == "identity" else np.ascontiguousarray((X / unit) @ (unit[:, None] * root))
    y, contraction = _contracted(x, Y, f)
    return Standardised(x, y, root, source, contraction)


def _root(scaled: Array, unit: Array) -> Array:
    """R of the covariance unit_i scaled_ij unit_j; directions without variance get none."""
    own = np.sqrt(np.maximum(np.diag(scaled), 1e-300))
    inverse = symmetric_roots(scaled / np.outer(own, own), floor=1e-10).inverse_root
    return np.asarray(inverse / (own * unit)[:, None])


def _contracted(x: Array, Y: Array, f: Activation) -> tuple[Array, Array]:
    """One label: outputs of unit size added, each turned so that its second moment (odd f: its third) is positive."""
    largest = np.abs(Y).max(axis=0)
    scaled = Y / np.where(largest > 0, largest, 1.0)
    rms = np.sqrt(np.mean(scaled**2, axis=0))
    size = np.where(rms > 0, rms, 1.0) * np.where(largest > 0, largest, 1.0)
    centred = scaled - scaled.mean(axis=0)
    if 2 in f.moment_orders:
        radius = np.einsum("ij,ij->i", x, x)
        side = np.sign((radius - radius.mean()) @ centred) * np.sign(f.coefficient(2))
    else:
        side = np.ones(Y.shape[1])  # odd neurons have a weight of either sign
    contraction = np.where(side < 0, -1.0, 1.0) / size
    y = (Y / size) @ (contraction * size)
    rms_y = float(np.sqrt(np.mean(y**2))) or 1.0
    return np.ascontiguousarray(y / rms_y), contraction / rms_y
