"""Small tensors of the samples are those of the explicit Hermite tensors, and symmetric matrices are vectors."""

import itertools
import math

import numpy as np
import pytest

from fastmom.activations import relu
from fastmom.moments.tensors import face_splitting_gram, hermite_coefficients, small_tensor, smat, svec


def hermite_tensors(x, order):
    """S_0(x), .., S_order(x) by S_{l+1} = x (x) S_l - sum over p of I at axes 0 and p times S_{l-1}."""
    tensors = [np.array(1.0), x]
    for degree in range(1, order):
        following = np.multiply.outer(x, tensors[-1])
        for p in range(1, degree + 1):
            following -= np.moveaxis(np.multiply.outer(np.eye(len(x)), tensors[-2]), 1, p)
        tensors.append(following)
    return tensors[: order + 1]


def explicit_tensor(X, w, V, order):
    """mean_i w_i S_l(x_i)(V, .., V) of the whole tensor (d, .., d)."""
    tensor = np.mean([wi * hermite_tensors(x, order)[order] for x, wi in zip(X, w, strict=True)], axis=0)
    for axis in range(order):
        tensor = np.moveaxis(np.tensordot(tensor, V, (axis, 0)), -1, axis)
    return tensor


def samples(n, d, r, dtype=np.float64):
    rng = np.random.default_rng([n, d, r])
    return (rng.standard_normal(shape).astype(dtype) for shape in ((n, d), (n,), (d, r)))


def close(found, truth, tolerance=1e-12):
    np.testing.assert_allclose(found, truth, rtol=0, atol=tolerance * max(np.abs(truth).max(), 1e-300))


def orthonormal(V):
    return np.linalg.qr(V)[0]


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize(("n", "d", "r"), [(1, 1, 1), (1, 4, 3), (300, 3, 1), (257, 4, 4), (60, 3, 7)])
def test_a_small_tensor_is_the_explicit_one_on_any_directions(n, d, r, order):
    X, w, V = samples(n, d, r)
    close(small_tensor(X, w, V, order), explicit_tensor(X, w, V, order))


@pytest.mark.parametrize("order", [2, 3, 4])
def test_a_small_tensor_is_symmetric_to_the_last_bit(order):
    tensor = small_tensor(*samples(500, 6, 5), order)
    for axes in itertools.permutations(range(order)):
        np.testing.assert_array_equal(tensor.transpose(axes), tensor)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_each_column_of_weights_has_its_tensor(order):
    X, _, V = samples(400, 5, 3)
    W = np.random.default_rng(1).standard_normal((400, 4))
    tensors = small_tensor(X, W, V, order)
    assert tensors.shape == (4, *(3,) * order)
    for tensor, w in zip(tensors, W.T, strict=True):
        np.testing.assert_array_equal(small_tensor(X, w, V, order), tensor)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_directions_act_on_every_axis(order):
    X, w, V = samples(400, 6, 4)
    M = np.random.default_rng(1).standard_normal((4, 2))
    tensor = small_tensor(X, w, V, order)
    for axis in range(order):
        tensor = np.moveaxis(np.tensordot(tensor, M, (axis, 0)), -1, axis)
    close(small_tensor(X, w, V @ M, order), tensor)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_small_tensors_of_parts_average_to_that_of_the_whole(order):
    X, w, V = samples(5000, 8, 3)
    parts = [slice(0, 1), slice(1, 1300), slice(1300, 5000)]
    total = sum(len(w[part]) * small_tensor(X[part], w[part], V, order) for part in parts)
    close(small_tensor(X, w, V, order), total / 5000)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_float32_rows_lose_no_more_than_their_precision(order):
    X, w, V = samples(3000, 20, 6, np.float32)
    close(small_tensor(X, w, V, order), small_tensor(X.astype(float), w, V, order), 1e-4)


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda X: np.repeat(X, 2, axis=0)[::2], lambda X: X.tolist()])
def test_the_layout_of_the_inputs_does_not_matter(layout):
    X, w, V = samples(300, 5, 3)
    np.testing.assert_array_equal(small_tensor(layout(X), layout(w), layout(V), 4), small_tensor(X, w, V, 4))


def test_inputs_of_any_real_type_are_read():
    X, w, V = (np.rint(3 * array).astype(int) for array in samples(100, 4, 2))
    close(small_tensor(X, w, V, 3), explicit_tensor(X.astype(float), w, V, 3))
    close(face_splitting_gram(X > 0), face_splitting_gram((X > 0).astype(float)))
    close(hermite_coefficients(X, w, np.eye(4, dtype=bool), 3)[1], hermite_coefficients(X, w, np.eye(4), 3)[1])


def teacher_samples(n):
    """Rows, labels of a relu network of three unit neurons in five dimensions, its W and a."""
    rng = np.random.default_rng(4)
    W = rng.standard_normal((3, 5))
    W /= np.linalg.norm(W, axis=1, keepdims=True)
    a = np.array([1.0, -0.7, 1.3])
    X = rng.standard_normal((n, 5))
    return X, np.maximum(X @ W.T, 0) @ a, W, a


@pytest.mark.parametrize("order", [2, 3, 4])
def test_small_tensors_of_a_network_are_sums_of_powers_of_its_neurons(order):
    # T_l = c_l sum_j a_j w_j^(x l); the spread of 16 parts gives the standard error of every entry.
    X, y, W, a = teacher_samples(320_000)
    V = np.random.default_rng(5).standard_normal((5, 4))
    tensors = np.array([small_tensor(X[i::16], y[i::16], V, order) for i in range(16)])
    axes = "abcd"[:order]
    powers = np.einsum("j," + ",".join("j" + axis for axis in axes) + "->" + axes, a, *[W @ V] * order)
    error = np.abs(tensors.mean(axis=0) - relu().coefficient(order) * powers)
    assert np.all(error <= 4.5 * tensors.std(axis=0, ddof=1) / 4)


def test_hermite_coefficients_of_a_network_are_products_of_its_neurons_directions():
    # For a unit neuron u in the span of V, c_a = c_l / sqrt(a!) u^a: order by order, T_l = c_l u^(x l).
    X, _, W, _ = teacher_samples(160_000)
    V = orthonormal(np.column_stack([W[0], W[1]]))
    u = V.T @ W[0]
    parts = [hermite_coefficients(X[i::16], np.maximum(X[i::16] @ W[0], 0), V, 6) for i in range(16)]
    exponents, coefficients = parts[0][0], np.array([c for _, c in parts])
    c = np.array([relu().coefficient(degree) for degree in exponents.sum(axis=1)])
    factorials = np.array([math.prod(map(math.factorial, row)) for row in exponents.tolist()])
    truth = c * np.prod(u**exponents, axis=1) / np.sqrt(factorials)
    assert np.all(np.abs(coefficients.mean(axis=0) - truth) <= 4.5 * coefficients.std(axis=0, ddof=1) / 4)


@pytest.mark.parametrize("r", [1, 2, 5])
def test_hermite_coefficients_are_the_entries_of_small_tensors(r):
    X, w, V = samples(700, 6, r)
    V = orthonormal(V)
    exponents, coefficients = hermite_coefficients(X, w, V, 4)
    for order in (2, 3, 4):
        tensor, of_order = small_tensor(X, w, V, order), exponents.sum(axis=1) == order
        for row, coefficient in zip(exponents[of_order], coefficients[of_order], strict=True):
            entry = tensor[tuple(np.repeat(np.arange(r), row))]
            assert coefficient * math.sqrt(math.prod(map(math.factorial, row.tolist()))) == pytest.approx(
                entry, abs=1e-12 * np.abs(tensor).max()
            )
        energy = np.sum(tensor**2) / math.factorial(order)
        assert np.sum(coefficients[of_order] ** 2) == pytest.approx(energy, rel=1e-12)


@pytest.mark.parametrize(("r", "order"), [(1, 10), (2, 3), (4, 5), (3, 0)])
def test_exponents_come_by_degree_with_early_directions_first(r, order):
    X, w, V = samples(20, 4, r)
    exponents, coefficients = hermite_coefficients(X, w, orthonormal(V), order)
    rows = (row for row in itertools.product(range(order, -1, -1), repeat=r) if sum(row) <= order)
    assert exponents.tolist() == [list(row) for row in sorted(rows, key=sum)]
    assert len(coefficients) == math.comb(r + order, order)
    assert coefficients[0] == pytest.approx(w.mean(), rel=1e-12)


def test_hermite_coefficients_of_high_degree_keep_their_scale():
    # E[g_a(z) g_b(z)] = 1 if a = b, else 0: the coefficients of one product are a unit vector, up to sampling error.
    X = np.random.default_rng(0).standard_normal((400_000, 3))
    one, two = X[:, 0], X[:, 1]
    w = (one**3 - 3 * one) * (two**2 - 1) / np.sqrt(12)
    exponents, coefficients = hermite_coefficients(X, w, np.eye(3), 5)
    largest = np.argmax(np.abs(coefficients))
    assert exponents[largest].tolist() == [3, 2, 0]
    assert coefficients[largest] == pytest.approx(1, abs=0.1)


def test_hermite_coefficients_of_float32_rows_lose_no_more_than_their_precision():
    X, w, V = samples(3000, 9, 3, np.float32)
    V = orthonormal(V)
    (_, found), (_, truth) = (hermite_coefficients(rows, w, V, 6) for rows in (X, X.astype(float)))
    close(found, truth, 1e-4)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "p", "q"), [(1, 1, 1), (300, 5, 5), (257, 2, 7), (40, 9, 1)])
def test_the_gram_of_row_wise_kronecker_products_is_its_definition(n, p, q, weighted):
    Z, w, _ = samples(n, p, q)
    X = np.random.default_rng(9).standard_normal((n, q))
    products = np.array([np.kron(z, x) for z, x in zip(Z, X, strict=True)])
    truth = (products.T * (w if weighted else 1)) @ products / n
    close(face_splitting_gram(Z, X, w if weighted else None), truth)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "p"), [(1, 1), (1, 6), (300, 5), (257, 14)])
def test_the_gram_of_pairs_is_that_of_vectorised_outer_products(n, p, weighted):
    Z, w, _ = samples(n, p, 1)
    pairs = svec(Z[:, :, None] * Z[:, None, :])
    truth = (pairs.T * (w if weighted else 1)) @ pairs / n
    gram = face_splitting_gram(Z, w=w if weighted else None)
    close(gram, truth)
    np.testing.assert_array_equal(gram, gram.T)


def test_grams_of_float32_rows_lose_no_more_than_their_precision():
    Z, w, _ = samples(3000, 5, 1, np.float32)
    close(face_splitting_gram(Z, Z[:, :2], w), face_splitting_gram(Z.astype(float), Z[:, :2], w), 1e-4)
    close(face_splitting_gram(Z), face_splitting_gram(Z.astype(float)), 1e-4)


@pytest.mark.parametrize("shape", [(), (3,), (2, 5)])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_symmetric_matrices_are_vectors_with_the_same_inner_products(k, shape):
    rng = np.random.default_rng(k)
    S, T = (M + np.swapaxes(M, -1, -2) for M in rng.standard_normal((2, *shape, k, k)))
    assert svec(S).shape == (*shape, k * (k + 1) // 2)
    np.testing.assert_allclose(np.sum(svec(S) * svec(T), -1), np.sum(S * T, (-2, -1)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(smat(svec(S)), S, rtol=1e-15)


def test_coordinates_run_row_by_row_through_the_upper_triangle():
    z = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(svec(np.outer(z, z)) / np.sqrt([1, 2, 2, 1, 2, 1]), [1, 2, 3, 4, 6, 9])


@pytest.mark.parametrize("S", [1.0, [1.0, 2.0], np.zeros((2, 3))])
def test_only_square_matrices_have_coordinates(S):
    with pytest.raises(ValueError, match=r"^S: expected square matrices"):
        svec(S)


@pytest.mark.parametrize("v", [1.0, [], [1.0, 2.0], np.zeros((6, 4))])
def test_only_triangular_numbers_of_coordinates_make_a_matrix(v):
    with pytest.raises(ValueError, match=r"^v: expected k \(k \+ 1\) / 2 coordinates"):
        smat(v)


X, w, V = (array.copy() for array in samples(50, 4, 2))
BAD_X, BAD_W = np.where(np.arange(200).reshape(50, 4) == 30, np.nan, X), np.where(np.arange(50) == 7, np.inf, w)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: small_tensor(BAD_X, w, V, 3), r"^X\[7, 2\] is nan"),
        (lambda: small_tensor(X, BAD_W, V, 2), r"^w\[7\] is inf"),
        (lambda: small_tensor(X, np.column_stack([w, BAD_W]), V, 4), r"^w\[7, 1\] is inf"),
        (lambda: small_tensor(X, w, np.full((4, 2), np.nan), 2), r"^V\[0, 0\] is nan"),
        (lambda: small_tensor(1e120 * X, w, V, 4), r"^X or w or V: the products overflow"),
        (lambda: small_tensor(np.float32(1e15) * np.float32(X), w, V, 3), r"^X or w or V: the products overflow"),
        (lambda: small_tensor(X, w, V, 5), r"^order: expected 2, 3 or 4, got 5"),
        (lambda: small_tensor(X, w, V, 1), r"^order: expected at least 2"),
        (lambda: small_tensor(X, w[1:], V, 2), r"^w: has 49 rows, the inputs 50"),
        (lambda: small_tensor(X, w, V.T, 2), r"^V: has 2 rows, X 4 columns"),
        (lambda: small_tensor(X, w, V[:, 0], 2), r"^V: expected 2-D"),
        (lambda: hermite_coefficients(BAD_X, w, np.eye(4), 3), r"^X\[7, 2\] is nan"),
        (lambda: hermite_coefficients(X, BAD_W, np.eye(4), 3), r"^w\[7\] is inf"),
        (lambda: hermite_coefficients(X, w, V, 3), r"^V: V\^T V is off the identity"),
        (lambda: hermite_coefficients(X, w, np.full((4, 2), np.inf), 3), r"^V\[0, 0\] is inf"),
        (lambda: hermite_coefficients(X, w, np.eye(4), 11), r"^order: expected at most 10, got 11"),
        (lambda: hermite_coefficients(X, w, np.eye(4), -1), r"^order: expected at least 0"),
        (lambda: hermite_coefficients(X, np.column_stack([w, w]), np.eye(4), 2), r"^w: expected one weight a row"),
        (lambda: hermite_coefficients(np.eye(50), w, np.eye(50), 10), r"^V: 50 directions have \d+ coefficients"),
        (lambda: face_splitting_gram(BAD_X), r"^Z\[7, 2\] is nan"),
        (lambda: face_splitting_gram(X, BAD_X), r"^X\[7, 2\] is nan"),
        (lambda: face_splitting_gram(X, X, BAD_W), r"^w\[7\] is inf"),
        (lambda: face_splitting_gram(X, X[1:]), r"^X: has 49 rows"),
        (lambda: face_splitting_gram(X, w=np.column_stack([w, w])), r"^w: expected one weight a row"),
        (lambda: face_splitting_gram(1e100 * X), r"^Z or w: the products overflow"),
    ],
)
def test_what_cannot_be_summed_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("order", [2.0, True, "3"])
def test_the_order_is_a_whole_number(order):
    with pytest.raises(TypeError, match=r"^order: expected an integer"):
        small_tensor(X, w, V, order)
