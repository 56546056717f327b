"""Contractions with one vector or a few are their definition, at every width of a row and number of rows."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.kernels import _simd
from fastmom.kernels.contractions import hermite_steps
from fastmom.kernels.few_contractions import few_contractions, few_rows

TOLERANCE = {"float64": 1e-12, "float32": 1e-4}
WIDTHS = [*range(1, 37), 63, 64, 100, 301]


def definition(X, w, V, order):
    """Sums of w g_(l-1)(x.v) x and of w g_(l-2)(x.v), g the orthonormal Hermite polynomials."""
    X, w, V = (np.asarray(array, dtype=np.float64) for array in (X, w, V))
    below, value, T = np.zeros((len(X), len(V))), np.ones((len(X), len(V))), X @ V.T
    for a, b in hermite_steps(order - 1, np.float64):
        below, value = value, a * T * value - b * below
    return np.concatenate([((w[:, None] * value).T @ X).ravel(), w @ below])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("order", [1, 2, 3, 4, 7])
def test_sums_are_the_definition_and_nothing_around_the_rows_is_read(dtype, order):
    rng = np.random.default_rng(order)
    for d in WIDTHS:
        for n in (1, 3, 4, 13, 70):
            around = np.full((n + 2) * d + 64, np.nan, dtype=dtype)  # whatever is read beyond the rows shows
            X = around[d : d + n * d].reshape(n, d)
            X[:] = rng.standard_normal((n, d))
            w = rng.standard_normal((n, 1)).astype(dtype)
            V = rng.standard_normal((2, d))
            V = (V / np.linalg.norm(V, axis=1, keepdims=True)).astype(dtype)
            size = 32
            scratch = np.full((1, size, 3 + 3 * d), np.nan, dtype=dtype)
            sums = np.zeros((-(-n // size), 2 * (d + 1)))
            few_contractions.serial(X, w, V, hermite_steps(order - 1, X.dtype.type), scratch, np.empty(n), sums)
            expected = definition(X, w[:, 0], V, order)
            error = np.abs(sums.sum(axis=0) - expected).max()
            assert error <= TOLERANCE[dtype] * max(1.0, np.abs(expected).max()), (d, n)


@pytest.mark.parametrize("d", [1, 3, 4, 7, 8, 10, 33, 100])
def test_threads_do_not_change_a_bit(d, monkeypatch):
    rng = np.random.default_rng(0)
    X, w, u = rng.standard_normal((30_000, d)), rng.standard_normal(30_000), rng.standard_normal(d)
    threaded = fm.contract(X, w, u, 4)
    monkeypatch.setattr(few_contractions, "parallel", few_contractions.serial)
    monkeypatch.setattr(few_contractions, "lanes", lambda elements: 1)
    assert fm.contract(X, w, u, 4).tobytes() == threaded.tobytes()


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_fewer_rows_than_a_group(n):
    rng = np.random.default_rng(n)
    X, w, u = rng.standard_normal((n, 100)), rng.standard_normal(n), rng.standard_normal(100)
    np.testing.assert_allclose(fm.contract(X, w, u, 1), w @ X / n, atol=1e-13)


def test_long_rows_in_blocks():
    """Several blocks, the last one shorter."""
    rng = np.random.default_rng(0)
    d = 1001
    n = few_rows(d, 8) + 131
    X, w, u = rng.standard_normal((n, d)), rng.standard_normal(n), rng.standard_normal(d)
    t = X @ u
    expected = X.T @ (w * (t**2 - u @ u)) / n - 2 * np.mean(w * t) * u
    np.testing.assert_allclose(fm.contract(X, w, u, 3), expected, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_is_interpreted_defines_what_is_compiled(dtype):
    """The operations on strips, compiled, against their definitions in NumPy."""
    lanes = _simd.BYTES // np.dtype(dtype).itemsize
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((4, lanes)).astype(dtype)
    weights = rng.standard_normal(8).astype(dtype)
    out = np.zeros((6, lanes), dtype=dtype)
    all_operations(rows, weights, out)
    a, b, c, d = rows
    four = np.tile(weights[2:6], lanes // 4)
    expected = [a * b + c, (a - b) * c, np.tile(rows.sum(axis=1), lanes // 4), four, a + four[2], np.full(lanes, d[0])]
    np.testing.assert_allclose(out, np.stack(expected), rtol=1e-6 if dtype == "float32" else 1e-14)


def all_operations(rows, weights, out):
    """Every operation once, compiled."""
    import numba

    load, store = _simd.load, _simd.store
    multiply_add, subtract, multiply, add = _simd.multiply_add, _simd.subtract, _simd.multiply, _simd.add
    row_sums, load_four, entry, splat = _simd.row_sums, _simd.load_four, _simd.entry, _simd.splat

    @numba.njit
    def compiled(rows, weights, out):
        a, b, c, d = load(rows, 0, 0), load(rows, 1, 0), load(rows, 2, 0), load(rows, 3, 0)
        four = load_four(weights, 2)
        store(out, 0, 0, multiply_add(a, b, c))
        store(out, 1, 0, multiply(subtract(a, b), c))
        store(out, 2, 0, row_sums(a, b, c, d))
        store(out, 3, 0, four)
        store(out, 4, 0, add(a, entry(four, 2)))
        store(out, 5, 0, splat(rows[3, 0]))

    compiled(rows, weights, out)
