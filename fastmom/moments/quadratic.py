"""Passes of quadratic functions over rows: their moments, and what they leave of the labels.

A function of degree two is one symmetric form in the row with a one appended, f(x) = z^T F z, z = [x, 1], and its
moments are one matrix sum e z z^T: constant, linear and quadratic parts side by side, and an affine change of
variables z' = T z is F = T^T F' T and T M T^T.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastmom.kernels.quadratic import packed, quadratic_pass, quadratic_widths, strips, unpacked
from fastmom.runtime import progress
from fastmom.runtime.passes import Rows, block_rows, sum_over_rows

Array = npt.NDArray[np.float64]

_BLOCKS = 16  # blocks of rows a call takes when it writes values of rows


def moments(rows: Rows, forms: Array | None = None) -> Array:
    """Sums over rows of e z z^T, e the labels minus the functions.

    Parameters
    ----------
    rows : Rows
        Inputs and labels; labels (n, 0) count as zero.
    forms : ndarray (q, d + 1, d + 1), optional
        Functions, one an output; zero unless given.

    Returns
    -------
    ndarray (q, d + 1, d + 1)
        Sums of ``[[e x x^T, e x], [e x^T, e]]``, exactly symmetric. NaN and infinities in the rows show.
    """
    d = rows.n_inputs
    _, s = strips(d)
    functions = np.zeros((rows.n_outputs, 0, s, s)) if forms is None else packed(forms)
    q = len(functions)
    size = _block_size(rows)
    scratch_width, width = quadratic_widths(d, q, size)
    sums = sum_over_rows(
        rows,
        quadratic_pass,
        (functions,),
        width=width,
        scratch_width=scratch_width,
        row_flops=(2.0 if forms is None else 4.0) * q * d * d,
        stage="quadratic moments",
        size=size,
    )
    return np.asarray(unpacked(sums, d))


def residuals(rows: Rows, forms: Array) -> Array:
    """Labels minus the functions, (n, q)."""
    functions = packed(forms)
    q = len(functions)
    size = _block_size(rows)
    width, _ = quadratic_widths(rows.n_inputs, q, size)
    scratch = np.empty((quadratic_pass.lanes(min(rows.n_rows, _BLOCKS * size) * rows.n_inputs), size, width))
    out = np.empty(rows.n_rows * q)
    for first, X, Y in rows.chunks(_BLOCKS * size):
        last = first + len(X)
        quadratic_pass(X, Y, functions, scratch, out[first * q : last * q], np.empty((-(-len(X) // size), 0)))
        progress.report("quadratic residual", last, rows.n_rows)
    return out.reshape(rows.n_rows, q)


def _block_size(rows: Rows) -> int:
    """Rows of a block: so many that adding up partial sums costs little beside them."""
    return min(max(512, block_rows(rows.n_inputs)), rows.n_rows)
