"""Contractions straight from samples are those of the explicit Hermite tensors."""

import math

import numpy as np
import pytest

import fastmom as fm
from fastmom.activations import resolve
from fastmom.kernels.contractions import many_contractions
from fastmom.kernels.few_contractions import few_contractions
from fastmom.moments.contraction import weighted_covariance


def hermite_tensor(x, order):
    """S_l(x): He_(l+1) = x (x) He_l - sum_p I_(0p) (x) He_(l-1), the p-th index of He_(l-1) moved in."""
    d = len(x)
    tensors = [np.array(1.0), np.asarray(x)]
    for level in range(1, order):
        above = np.multiply.outer(x, tensors[level])
        for p in range(1, level + 1):
            term = np.multiply.outer(np.eye(d), tensors[level - 1])  # indices 0, p, then the others in order
            above = above - np.moveaxis(term, 1, p)
        tensors.append(above)
    return tensors[order]


def moment(X, w, order):
    return sum(weight * hermite_tensor(x, order) for x, weight in zip(X, w, strict=True)) / len(X)


def contracted(T, u, times):
    for _ in range(times):
        T = T @ u
    return T


@pytest.mark.parametrize("order", range(1, 11))
def test_contractions_are_those_of_the_explicit_tensor(order):
    rng = np.random.default_rng(order)
    d = 3 if order < 7 else 2
    X, w, U = rng.standard_normal((9, d)), rng.standard_normal(9), 1.3 * rng.standard_normal((d, 5))
    T = moment(X, w, order)
    expected = np.column_stack([contracted(T, u, order - 1) for u in U.T])
    scale = np.abs(expected).max()
    np.testing.assert_allclose(fm.contract(X, w, U, order), expected, atol=1e-10 * scale)
    np.testing.assert_allclose(fm.contract(X, w, U[:, 0], order), expected[:, 0], atol=1e-10 * scale)
    normalized = fm.contract(X, w, U, order, normalized=True)
    np.testing.assert_allclose(normalized, expected / math.sqrt(math.factorial(order)), atol=1e-10 * scale)
    if order >= 2:
        matrix = contracted(T, U[:, 0], order - 2)
        found = fm.contract_matrix(X, w, U[:, 0], order)
        np.testing.assert_allclose(found, matrix, atol=1e-10 * np.abs(matrix).max())
        np.testing.assert_allclose(found @ U[:, 0], expected[:, 0], atol=1e-9 * scale)


SHAPES = [(1, 1), (2, 5), (3, 1), (7, 3), (65, 4), (1000, 17), (513, 100), (70, 300)]


def plain(X, w, u, order):
    """The same by the recurrence h_(j+1) = t h_j - j |u|^2 h_(j-1), in NumPy."""
    t, h = X @ u, [np.ones(len(X)), X @ u]
    for j in range(1, order):
        h.append(t * h[j] - j * (u @ u) * h[j - 1])
    lower = (order - 1) * np.mean(w * h[order - 2]) * u if order > 1 else 0.0
    return X.T @ (w * h[order - 1]) / len(X) - lower


@pytest.mark.parametrize("order", [1, 2, 3, 4, 7, 10])
@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_one_vector_and_many_agree_with_the_recurrence(n, d, order):
    rng = np.random.default_rng(n + d)
    X, w, U = rng.standard_normal((n, d)), rng.standard_normal(n), rng.standard_normal((d, 70)) / np.sqrt(d)
    expected = np.column_stack([plain(X, w, u, order) for u in U.T])
    for r in (1, 2, 3, 4, 16, 70):
        np.testing.assert_allclose(
            fm.contract(X, w, U[:, :r], order), expected[:, :r], atol=1e-12 * np.abs(expected[:, :r]).max()
        )
    single = fm.contract(X.astype(np.float32), w, U, order)
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("order", range(1, 7))
def test_moments_of_a_network_are_its_coefficients(order):
    rng = np.random.default_rng(order)
    teacher = fm.random_teacher(4, 3, 1, rng=0)
    X = rng.standard_normal((400_000, 4))
    w = teacher.predict(X)[:, 0]
    u = rng.standard_normal(4)
    u /= np.linalg.norm(u)
    c = resolve("relu").coefficient(order)
    expected = c * sum(a * (v @ u) ** (order - 1) * v for a, v in zip(teacher.A[0], teacher.W, strict=True))
    noise = math.sqrt(math.factorial(order - 1) * order * np.mean(w**2) / len(X))
    assert np.abs(fm.contract(X, w, u, order) - expected).max() < 5 * noise


def test_contractions_are_homogeneous_and_a_zero_vector_gives_zero():
    rng = np.random.default_rng(0)
    X, w, u = rng.standard_normal((50, 4)), rng.standard_normal(50), rng.standard_normal(4)
    for order in (2, 3, 5):
        np.testing.assert_allclose(fm.contract(X, w, -2 * u, order), (-2) ** (order - 1) * fm.contract(X, w, u, order))
        assert np.all(fm.contract(X, w, 0 * u, order) == 0)
    np.testing.assert_allclose(fm.contract(X, w, 0 * u, 1), X.T @ w / 50)


@pytest.mark.parametrize("form", ["fortran", "strided", "int", "memmap", "big-endian"])
def test_rows_of_any_kind(form, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.integers(-3, 4, (200, 6)).astype(float)
    w, u = rng.standard_normal(200), rng.standard_normal(6)
    if form == "memmap":
        X.tofile(tmp_path / "X")
    given = {
        "fortran": lambda: np.asfortranarray(X),
        "strided": lambda: np.repeat(X, 2, axis=0)[::2],
        "int": lambda: X.astype(np.int8),
        "memmap": lambda: np.memmap(tmp_path / "X", dtype=float, mode="r", shape=X.shape),
        "big-endian": lambda: X.astype(">f8"),
    }[form]()
    assert fm.contract(given, w, u, 3).tobytes() == fm.contract(X, w, u, 3).tobytes()
    assert fm.contract_matrix(given, w, u, 3).tobytes() == fm.contract_matrix(X, w, u, 3).tobytes()


@pytest.mark.parametrize("r", [1, 20])
def test_threads_do_not_change_a_bit(r, monkeypatch):
    rng = np.random.default_rng(0)
    X, w, U = rng.standard_normal((30_000, 20)), rng.standard_normal(30_000), rng.standard_normal((20, r))
    threaded = fm.contract(X, w, U, 4)
    for kernel in (few_contractions, many_contractions):
        monkeypatch.setattr(kernel, "parallel", kernel.serial)
        monkeypatch.setattr(kernel, "lanes", lambda elements: 1)
    assert fm.contract(X, w, U, 4).tobytes() == threaded.tobytes()


def test_several_weightings_in_one_pass():
    rng = np.random.default_rng(0)
    X, w, u = rng.standard_normal((300, 5)), rng.standard_normal((300, 3)), rng.standard_normal(5)
    for order in (2, 3, 4, 6):
        each = np.stack([fm.contract_matrix(X, w[:, q], u, order) for q in range(3)])
        np.testing.assert_allclose(fm.contract_matrix(X, w, u, order), each, atol=1e-12)
    np.testing.assert_allclose(
        weighted_covariance(X, w), np.einsum("nq,na,nb->qab", w, X, X) / 300, atol=1e-13, rtol=1e-12
    )


def test_the_result_goes_where_it_is_asked_to():
    rng = np.random.default_rng(0)
    X, w, U = rng.standard_normal((30, 4)), rng.standard_normal(30), rng.standard_normal((4, 2))
    out = np.empty((4, 2))
    assert fm.contract(X, w, U, 3, out=out) is out
    np.testing.assert_array_equal(out, fm.contract(X, w, U, 3))
    for wrong in (np.empty((2, 4)), np.empty((4, 2), dtype=np.float32), [[0.0] * 2] * 4):
        with pytest.raises(ValueError, match="out"):
            fm.contract(X, w, U, 3, out=wrong)


X, W, U = np.ones((5, 3)), np.ones(5), np.ones(3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((X, np.ones(4), U, 2), "w.*4 weights for 5 rows"),
        ((X, np.ones((5, 2)), U, 2), "w.*shape"),
        ((X, W, np.ones(4), 2), "U.*3"),
        ((X, W, U, 0), "order"),
        ((X, W, U, 11), "order.*1 to 10"),
        ((X, W, U, 2.5), "order"),
        ((np.where(np.eye(5, 3) > 0, np.nan, X), W, U, 2), r"X\[0, 0\]"),
        ((X, np.array([1, 1, np.inf, 1, 1]), U, 3), r"w\[2\]"),
        ((X, W, np.array([1, np.nan, 1]), 2), "U"),
    ],
)
def test_mistakes_are_named(arguments, words):
    with pytest.raises((ValueError, TypeError), match=words):
        fm.contract(*arguments)


def test_a_matrix_of_higher_order_needs_a_vector():
    with pytest.raises(ValueError, match="u: order 3"):
        fm.contract_matrix(X, W, order=3)
