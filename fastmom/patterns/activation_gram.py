"""The activation Gram of a chunk of rows, by the cheaper of the two forms of `fastmom.kernels.gram`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastmom.kernels import gram

Array = npt.NDArray[np.float64]
Gates = npt.NDArray[np.uint8]

_MAX_PATTERN_BITS = 12
_MAX_PATTERN_BYTES = 1 << 26
_ROWS_A_PATTERN = 4  # below, the Grams of single patterns are too thin to pay


def activation_gram(X: Array, gates: Gates) -> Array:
    """Grams (k (k + 1) / 2, d, d) of x x^T over the rows on which both neurons of a pair are active.

    Parameters
    ----------
    X : ndarray (n, d)
        Rows, C-contiguous.
    gates : ndarray (k, n) of uint8
        One where the neuron is active.

    Returns
    -------
    ndarray
        Pairs in the order of ``numpy.triu_indices(k)``.
    """
    k, n = gates.shape
    if k <= _MAX_PATTERN_BITS:
        order, starts = group_by_pattern(gates)
        n_patterns = len(starts) - 1
        if n_patterns * _ROWS_A_PATTERN <= n and n_patterns * X.shape[1] ** 2 * 8 <= _MAX_PATTERN_BYTES:
            return _by_pattern(X, gates, order, starts)
    return _by_pair(X, gates)


def group_by_pattern(gates: Gates) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows in the order of their activation pattern, and where each pattern starts and the last ends."""
    codes = np.zeros(gates.shape[1], dtype=np.uint16)
    for j, gate in enumerate(gates):
        codes |= gate.astype(np.uint16) << np.uint16(j)
    counts = np.bincount(codes)
    starts = np.concatenate([[0], np.cumsum(counts[counts > 0])])
    return np.argsort(codes, kind="stable"), starts  # a radix sort for 16-bit codes


def _by_pattern(X: Array, gates: Gates, order: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]) -> Array:
    d, n_patterns = X.shape[1], len(starts) - 1
    grams = np.empty((n_patterns, d, d))
    gram.pattern_grams(X, order, starts, gram.gram_scratch(gram.pattern_grams.lanes(X.size), d), grams)
    patterns = gates[:, order[starts[:-1]]].astype(np.float64)
    a, b = np.triu_indices(len(gates))
    return np.asarray((patterns[a] * patterns[b]) @ grams.reshape(n_patterns, d * d)).reshape(-1, d, d)


def _by_pair(X: Array, gates: Gates) -> Array:
    n, d = X.shape
    pairs = np.column_stack(np.triu_indices(len(gates)))
    lanes = gram.pair_grams.lanes(X.size)
    out = np.empty((len(pairs), d, d))
    rows = np.empty((lanes, n), dtype=np.int64)
    gram.pair_grams(X, np.ascontiguousarray(gates), pairs, rows, gram.gram_scratch(lanes, d), out)
    return out
