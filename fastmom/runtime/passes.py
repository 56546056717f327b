"""A pass: the only place that knows how rows are visited.

Every statistic is a sum over rows: a kernel fills one partial sum for each fixed block of rows, and the partial
sums are added in block order. Blocks depend on the number of columns alone, so the bits do not depend on threads,
on how many blocks one call takes, or on where the rows come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fastmom.runtime import progress

Array = npt.NDArray[np.float64]

_BLOCK_BYTES = 1 << 18  # a block of X stays in a core's L2 beside its temporaries
_CALL_FLOPS = 2e9  # a call lasts about 0.2 s at most, so Ctrl-C and progress work
_CALL_BYTES = 1 << 26  # of rows, which may be a converted copy
_PARTIAL_BYTES = 1 << 22


class Pass(Protocol):
    """A compiled pass: fills `sums` (n_blocks, width) from the rows, see `fastmom.kernels.forward`."""

    def __call__(self, *arguments: Any) -> None:
        """Run on (X, Y, *parameters, scratch, row_values, sums)."""

    def lanes(self, elements: int) -> int:
        """Lanes of scratch that a call on this many elements can use."""


class Rows:
    """Rows of inputs and labels, from arrays or memory maps of any layout and real dtype.

    What a row source must offer: `n_rows`, `n_inputs`, `n_outputs`, `chunks` (in order, at multiples of the
    asked size) and `take`. Rows arrive as C-contiguous arrays of one dtype; only the chunk at hand is ever converted.
    Chunks are read-only whatever the arrays are: the caller's data cannot change, and kernels compile for one type.

    Parameters
    ----------
    X : ndarray (n, d)
        Inputs.
    Y : ndarray (n, m)
        Labels.
    ones : bool
        Append a column of ones to the inputs (the hidden bias becomes a weight).
    dtype : data-type
        What rows become: float64, or float32 for kernels that take it (their sums are float64 all the same).
    """

    def __init__(self, X: npt.NDArray[Any], Y: npt.NDArray[Any], ones: bool = False, dtype: type = np.float64) -> None:
        self._X, self._Y, self._ones = X, Y, ones
        self.dtype = dtype
        self.n_rows = X.shape[0]
        self.n_inputs = X.shape[1] + ones
        self.n_outputs = Y.shape[1]

    def chunks(self, size: int) -> Iterator[tuple[int, Array, Array]]:
        """Yield (first row, X, Y) for consecutive chunks of `size` rows, the last one shorter."""
        for first in range(0, self.n_rows, size):
            rows = slice(first, min(self.n_rows, first + size))
            X, Y = self._inputs(rows), self._labels(rows)
            X.flags.writeable = Y.flags.writeable = False
            yield first, X, Y

    def label_chunks(self, size: int) -> Iterator[Array]:
        """Yield Y alone, chunk by chunk."""
        for first in range(0, self.n_rows, size):
            yield self._labels(slice(first, min(self.n_rows, first + size)))

    def take(self, indices: npt.NDArray[np.int64]) -> tuple[Array, Array]:
        """Rows at the given positions, as copies."""
        return self._inputs(indices), self._labels(indices)

    def _labels(self, rows: slice | npt.NDArray[np.int64]) -> Array:
        return np.ascontiguousarray(self._Y[rows], dtype=self.dtype)

    def _inputs(self, rows: slice | npt.NDArray[np.int64]) -> Array:
        part = self._X[rows]
        if not self._ones:
            return np.ascontiguousarray(part, dtype=self.dtype)
        out = np.empty((part.shape[0], self.n_inputs), dtype=self.dtype)
        out[:, :-1] = part
        out[:, -1] = 1.0
        return out


class Selection(Rows):
    """Some rows of others, copied only chunk by chunk.

    Parameters
    ----------
    rows : Rows
        Where they come from.
    indices : ndarray of int
        Which, in order.
    """

    def __init__(self, rows: Rows, indices: npt.NDArray[np.int64]) -> None:
        self._source, self._indices = rows, indices
        self.dtype = rows.dtype
        self.n_rows = len(indices)
        self.n_inputs, self.n_outputs = rows.n_inputs, rows.n_outputs

    def _labels(self, rows: slice | npt.NDArray[np.int64]) -> Array:
        return self._source._labels(self._indices[rows])

    def _inputs(self, rows: slice | npt.NDArray[np.int64]) -> Array:
        return self._source._inputs(self._indices[rows])


def block_rows(n_columns: int, width: int = 0) -> int:
    """Rows in a block: a power of two from 64 to 4096, about 256 KB of float64.

    A pass of great `width` takes more of them, up to 4096, so that adding partial sums costs little beside the rows;
    its kernel cuts a block into tiles.
    """
    fitting = max(_BLOCK_BYTES // 8, 8 * width) // n_columns
    return 1 << (max(64, min(4096, fitting)).bit_length() - 1)


def sum_over_rows(
    rows: Rows,
    kernel: Pass,
    parameters: tuple[Array, ...],
    *,
    width: int,
    scratch_width: int,
    row_flops: float,
    stage: str,
    size: int | None = None,
    visit: Callable[[int, Array], None] | None = None,
) -> Array:
    """Sum a kernel over all rows.

    Parameters
    ----------
    rows : Rows
        Where the rows come from.
    kernel : Pass
        Compiled pass.
    parameters : tuple of ndarray
        Its arguments between the rows and the scratch.
    width, scratch_width : int
        Length of the sum; scratch columns a block row needs.
    row_flops : float
        Work a row costs, to bound the time of one call.
    stage : str
        What the progress line calls this pass.
    size : int, optional
        Rows of a block; `block_rows` of the inputs unless given. Must not depend on threads or on the source.
    visit : callable, optional
        Called with (first row, row values) after each call.

    Returns
    -------
    ndarray (width,)
        The partial sums of all blocks, added in block order.
    """
    size = size or block_rows(rows.n_inputs)
    row_bytes = 8 * (rows.n_inputs + rows.n_outputs + 1)
    by_time = _CALL_FLOPS / (max(1.0, row_flops) * size)  # a network without neurons costs nothing
    by_memory = min(_CALL_BYTES / (row_bytes * size), _PARTIAL_BYTES / (8 * width))
    blocks = max(1, int(min(by_time, by_memory)))
    total = np.zeros(width)
    scratch: Array | None = None
    for first, X, Y in rows.chunks(blocks * size):
        if scratch is None:
            scratch = np.empty((kernel.lanes(X.size), min(size, len(X)), scratch_width), dtype=rows.dtype)
        n_blocks = -(-len(X) // scratch.shape[1])
        values = np.empty(len(X))
        partial = np.zeros((n_blocks, width))
        kernel(X, Y, *parameters, scratch, values, partial)
        with np.errstate(invalid="ignore", over="ignore"):  # who asked tells what to do about a sum that is not finite
            for b in range(n_blocks):
                total += partial[b]
        if visit is not None:
            visit(first, values)
        progress.report(stage, first + len(X), rows.n_rows)
    return total
