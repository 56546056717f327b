"""The sums that small symmetric tensors consist of, and whole tensors from them.

Pairs (i, j), i <= j, are numbered row by row, as in `fastmom.kernels.tensor`.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.kernels.tensor import small_tensor_pass, small_tensor_widths
from fastmom.runtime.passes import Pass, Rows, block_rows, sum_over_rows
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import require_finite

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


def pair_scales(k: int) -> Array:
    """What svec multiplies the pairs by (k (k + 1) / 2,)."""
    i, j = np.triu_indices(k)
    return np.where(i == j, 1.0, np.sqrt(2.0))


def pair_numbers(k: int) -> Indices:
    """Number of every pair in any order (k, k)."""
    numbers = np.empty((k, k), dtype=np.intp)
    i, j = np.triu_indices(k)
    numbers[i, j] = numbers[j, i] = np.arange(len(i))
    return numbers


def ordered_indices(k: int, order: int) -> Indices:
    """All i_1 <= .. <= i_order below k, one a column (order, C(k + order - 1, order))."""
    indices = itertools.combinations_with_replacement(range(k), order)
    return np.fromiter(itertools.chain.from_iterable(indices), dtype=np.intp).reshape(-1, order).T


def hermite_tensors(moments: Array, G: Array, order: int) -> Array:
    """Whole tensors (q, k, .., k) from the means of the sums of `small_tensor_pass` (q, width), G = V^T V (k, k)."""
    k = len(G)
    numbers = pair_numbers(k)
    M0, M1, M2, top = np.split(moments, [1, 1 + k, 1 + k + numbers[-1, -1] + 1], axis=1)
    a = ordered_indices(k, order)
    if order == 2:
        entries = top[:, a[0] * k + a[1]] - M0 * G[a[0], a[1]]
    elif order == 3:
        entries = top[:, (a[1] * (a[1] + 1) // 2 + a[0]) * k + a[2]]
        for i, j, p in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
            entries -= M1[:, a[i]] * G[a[j], a[p]]
    else:
        entries = top[:, numbers[a[0], a[1]] * M2.shape[1] + numbers[a[2], a[3]]]
        for i, j, p, q in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)):
            left, right = G[a[i], a[j]], G[a[p], a[q]]
            entries -= M2[:, numbers[a[i], a[j]]] * right + M2[:, numbers[a[p], a[q]]] * left - M0 * (left * right)
    tensors = np.empty((len(moments), *(k,) * order))
    for axes in itertools.permutations(range(order)):
        tensors[(slice(None), *(a[axis] for axis in axes))] = entries
    return tensors


def pair_gram(square: Array, k: int) -> Array:
    """Gram of svec(z z^T) from the products (i, j) x (p, q), i <= j <= p <= q, of `small_tensor_pass`."""
    numbers = pair_numbers(k)
    a = ordered_indices(k, 4)
    entries = square[numbers[a[0], a[1]], numbers[a[2], a[3]]]
    gram = np.empty_like(square)
    for i, j, p, q in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)):
        row, column = numbers[a[i], a[j]], numbers[a[p], a[q]]
        gram[row, column] = gram[column, row] = entries
    return gram * np.outer(pair_scales(k), pair_scales(k))


def hermite_products(r: int, order: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The tree of `hermite_pass`, and the exponents (C(r + order, order), r) of its sums in their order."""
    nodes: list[tuple[int, int, int, int, int]] = []
    held: list[tuple[int, int, int]] = []  # node, coordinate, power
    start = 0

    def visit(coordinate: int, degree: int, path: tuple[tuple[int, int], ...]) -> None:
        nonlocal start
        factor = path[-1][0] * (order + 1) + path[-1][1] if path else 0
        held.extend((len(nodes), j, a) for j, a in path)
        nodes.append((len(path), len(path) - 1, factor, start, order - degree + 1))
        start += order - degree + 1
        for j in range(coordinate, r - 1):
            for a in range(1, order - degree + 1):
                visit(j + 1, degree + a, (*path, (j, a)))

    visit(0, 0, ())
    tree = np.array(nodes, dtype=np.int64)
    powers = np.zeros((len(tree), r), dtype=np.int64)
    node, j, a = np.array(held, dtype=np.int64).reshape(-1, 3).T
    powers[node, j] = a
    exponents = np.repeat(powers, tree[:, 4], axis=0)
    exponents[:, -1] = np.arange(start) - np.repeat(tree[:, 3], tree[:, 4])
    return tree, exponents


def precision(*arrays: npt.NDArray[Any]) -> type:
    """What rows become: float32 where all of them are."""
    return np.float32 if all(array.dtype == np.float32 for array in arrays) else np.float64


def gram(inputs: npt.NDArray[Any], directions: npt.NDArray[Any]) -> Array:
    """V^T V in float64, of the directions as the rows met them."""
    met = directions.astype(precision(inputs)).astype(np.float64)
    return np.asarray(met.T @ met)


def small_tensor_moments(
    inputs: npt.NDArray[Any], weights: npt.NDArray[Any], directions: npt.NDArray[Any], order: int
) -> Array:
    """Means of what `small_tensor_pass` sums, a row for each column of the weights."""
    rows = Rows(inputs, weights, dtype=precision(inputs))
    parameters: tuple[Any, ...] = (np.ascontiguousarray(directions, dtype=rows.dtype), np.array([order]))
    widths = small_tensor_widths(order, directions.shape[1], rows.n_outputs)
    return mean_over_rows(rows, small_tensor_pass, parameters, widths, "small tensor").reshape(rows.n_outputs, -1)


def mean_over_rows(rows: Rows, kernel: Pass, parameters: tuple[Any, ...], widths: tuple[int, int], stage: str) -> Array:
    """Sum a kernel over all rows and divide by their number; `widths` are those of its scratch and its sum."""
    scratch_width, width = widths
    with single_blas_thread(), np.errstate(over="ignore", invalid="ignore"):  # `require_finite_result` tells
        sums = sum_over_rows(
            rows,
            kernel,
            parameters,
            width=width,
            scratch_width=scratch_width,
            row_flops=2.0 * (width + scratch_width * (1 + rows.n_inputs / 4)),
            stage=stage,
            size=block_rows(rows.n_inputs, width),
        )
    return sums / rows.n_rows


def require_finite_result(result: Array, **arrays: npt.NDArray[Any]) -> None:
    """Refuse a result that is not finite, naming the entry it comes from: NaN and infinities pass through sums."""
    if np.isfinite(result).all():
        return
    for name, array in arrays.items():
        require_finite(array[:, 0] if name == "w" and array.shape[1] == 1 else array, name)
    raise ValueError(f"{' or '.join(arrays)}: the products overflow; rescale, or pass float64 rows")
