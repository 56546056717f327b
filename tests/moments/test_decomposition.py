"""Symmetric tensors come apart into the vectors they were made of, and noise costs each method what theory says."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from fastmom.moments.decomposition import (
    deflated_power_iteration,
    jade,
    jennrich,
    orthogonal_power_iteration,
    project_positive,
)
from fastmom.moments.tensor_action import action_of, unfolding
from fastmom.moments.tensors import svec

SEEDS = range(20)
METHODS = {
    "all at once": lambda T, seed: orthogonal_power_iteration(T, rng=seed),
    "deflation": lambda T, seed: deflated_power_iteration(T, len(T), seed),
    "jade": lambda T, seed: jade(T),
    "jennrich": jennrich,
}


def tensor_of(V, w, order):
    """sum_i w_i v_i (x) .. (x) v_i."""
    T = w
    for axis in range(order):
        T = T[..., None] * V.reshape(len(V), *[1] * axis, -1)
    return T.sum(axis=0)


def symmetric_noise(shape, seed):
    """Average over permutations of a Gaussian tensor, so scaled that entries of distinct indices have variance one."""
    E = np.random.default_rng(seed).standard_normal(shape)
    axes = list(itertools.permutations(range(len(shape))))
    return sum(E.transpose(a) for a in axes) / np.sqrt(len(axes))


def draw(seed, k, orthonormal=True):
    rng = np.random.default_rng(100 + seed)
    V = rng.standard_normal((k, k))
    V = np.linalg.qr(V).Q if orthonormal else V / np.linalg.norm(V, axis=1, keepdims=True)
    return V, rng.uniform(1, 3, k) * rng.choice([-1.0, 1.0], k)


def matched(found, V):
    """Vectors and weights in the order of the rows of V, and on their side."""
    cosines = found.vectors @ V.T
    i, j = linear_sum_assignment(-np.abs(cosines))
    order = i[np.argsort(j)]
    side = np.where(cosines[order, np.sort(j)] < 0, -1.0, 1.0)
    return side[:, None] * found.vectors[order], found.weights[order], side


def error(found, V):
    return np.linalg.norm(matched(found, V)[0] - V) / np.sqrt(len(V))


# ---- exact tensors


@pytest.mark.parametrize("k", [1, 2, 5, 10])
@pytest.mark.parametrize(
    ("method", "order"), [(m, order) for m in METHODS for order in (3, 4) if (m, order) != ("jade", 3)]
)
def test_orthonormal_vectors_come_back_with_their_weights(method, order, k):
    for seed in SEEDS:
        V, w = draw(seed, k)
        found = METHODS[method](tensor_of(V, w, order), seed)
        vectors, weights, side = matched(found, V)
        np.testing.assert_allclose(vectors, V, atol=1e-10)
        np.testing.assert_allclose(weights * side**order, w, rtol=1e-9)
        assert found.residual < 1e-9 and found.converged


@pytest.mark.parametrize("order", [3, 4])
def test_jennrich_needs_no_orthogonality(order):
    for seed in SEEDS:
        V, w = draw(seed, 6, orthonormal=False)
        found = jennrich(tensor_of(V, w, order), seed)
        vectors, weights, side = matched(found, V)
        np.testing.assert_allclose(vectors, V, atol=1e-8)
        np.testing.assert_allclose(weights * side**order, w, rtol=1e-6)
        assert found.residual < 1e-7


@pytest.mark.parametrize("order", [3, 4])
def test_equal_weights_are_no_obstacle(order):
    V, _ = draw(0, 8)
    T = tensor_of(V, np.full(8, 2.0), order)
    for seed in SEEDS:
        assert error(orthogonal_power_iteration(T, rng=seed), V) < 1e-10
    assert order == 3 or error(jade(T), V) < 1e-10


def test_weights_of_order_three_are_made_positive():
    V, w = draw(0, 7)
    found = orthogonal_power_iteration(tensor_of(V, w, 3), rng=0)
    assert (found.weights > 0).all() and (w < 0).any()


def test_a_contraction_serves_as_well_as_its_tensor():
    V, w = draw(0, 6)
    for order in (3, 4):
        T = tensor_of(V, w, order) + 0.02 * symmetric_noise((6,) * order, 1)
        known = orthogonal_power_iteration(T, rng=3)
        found = orthogonal_power_iteration(action_of(T), k=6, rng=3)
        np.testing.assert_array_equal(found.vectors, known.vectors)
        np.testing.assert_array_equal(found.weights, known.weights)
        assert 0 < found.residual < known.residual  # only the part along its vectors is seen


@pytest.mark.parametrize("order", [3, 4])
def test_fewer_vectors_than_the_side_come_one_by_one(order):
    V, w = draw(1, 7)
    T = tensor_of(V[:3], w[:3], order)
    found = deflated_power_iteration(T, 3, 0)
    assert found.vectors.shape == (3, 7) and found.residual < 1e-9
    assert error(found, V[:3]) < 1e-10


# ---- noise


def errors_under_noise(k, order, noise):
    out = {method: [] for method in METHODS if (method, order) != ("jade", 3)}
    for seed in SEEDS:
        V, w = draw(seed, k)
        T = tensor_of(V, w, order) + noise * symmetric_noise((k,) * order, seed)
        for method in out:
            out[method].append(error(METHODS[method](T, seed), V))
    return {method: np.median(values) for method, values in out.items()}


def test_under_noise_all_at_once_is_as_good_as_jade_deflation_worse_and_jennrich_useless():
    found = errors_under_noise(k=8, order=4, noise=0.01)
    assert found["all at once"] < 0.03
    assert 0.8 < found["all at once"] / found["jade"] < 1.25
    assert found["deflation"] > 1.2 * found["all at once"]
    assert found["jennrich"] > 5 * found["all at once"]


def test_the_order_of_methods_is_the_same_at_order_three():
    found = errors_under_noise(k=8, order=3, noise=0.02)
    assert found["all at once"] < 0.03
    assert found["deflation"] > 1.2 * found["all at once"]
    assert found["jennrich"] > 5 * found["all at once"]


def test_vectors_found_together_are_orthonormal_whatever_the_noise():
    for seed in SEEDS:
        T = symmetric_noise((5,) * 4, seed)
        for found in (orthogonal_power_iteration(T, rng=seed), jade(T)):
            np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(5), atol=1e-12)


def test_starts_agree_where_there_is_something_to_find_and_not_in_noise():
    V, w = draw(0, 10)
    signal = orthogonal_power_iteration(tensor_of(V, w, 4) + 0.05 * symmetric_noise((10,) * 4, 0), rng=0, starts=10)
    noise = orthogonal_power_iteration(symmetric_noise((10,) * 4, 0), rng=0, starts=10)
    assert signal.agreement == 1.0 and signal.residual < 0.8
    assert noise.agreement < 0.5 and noise.residual > 0.9


def test_too_few_iterations_are_called_so():
    V, w = draw(0, 10)
    found = orthogonal_power_iteration(tensor_of(V, w, 4), rng=0, max_iterations=2)
    assert not found.converged and found.iterations == 2


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bits(method):
    V, w = draw(0, 6)
    T = tensor_of(V, w, 4) + 0.01 * symmetric_noise((6,) * 4, 0)
    np.testing.assert_array_equal(METHODS[method](T, 5).vectors, METHODS[method](T, 5).vectors)


def test_a_tensor_of_zeros_has_no_weights():
    for method in METHODS.values():
        found = method(np.zeros((3,) * 4), 0)
        assert not found.weights.any() and np.isfinite(found.vectors).all()


# ---- the positive part


def test_the_positive_part_of_a_positive_sum_is_itself():
    V, w = draw(0, 6)
    T = tensor_of(V[:4], np.abs(w[:4]), 4)
    np.testing.assert_allclose(project_positive(T, 4), T, atol=1e-12)
    np.testing.assert_allclose(project_positive(-T, 4), 0, atol=1e-12)


def test_no_other_positive_unfolding_of_the_rank_is_nearer():
    T = symmetric_noise((5,) * 4, 0)
    projected = unfolding(project_positive(T, 3))
    values, matrices = np.linalg.eigh(projected)
    assert np.sum(values > 1e-10) == 3 and values.min() > -1e-12
    nearest = np.linalg.norm(unfolding(T) - projected)
    factors = matrices[:, -3:] * np.sqrt(values[-3:])
    for seed in SEEDS:
        moved = factors + 1e-2 * np.random.default_rng(seed).standard_normal(factors.shape)
        assert np.linalg.norm(unfolding(T) - moved @ moved.T) > nearest


def test_the_positive_part_is_nearer_to_the_truth():
    for seed in SEEDS:
        V, w = draw(seed, 6)
        truth = tensor_of(V, np.abs(w), 4)
        T = truth + 0.05 * symmetric_noise(truth.shape, seed)
        assert np.linalg.norm(project_positive(T, 6) - truth) < 0.8 * np.linalg.norm(T - truth)


# ---- how a tensor acts


@pytest.mark.parametrize("order", [3, 4])
def test_the_action_is_the_contraction_of_all_indices_but_one(order):
    T = symmetric_noise((5,) * order, 0)
    V = np.random.default_rng(1).standard_normal((7, 5))
    found = action_of(T)(V)
    for v, row in zip(V, found, strict=True):
        truth = T
        for _ in range(order - 1):
            truth = truth @ v
        np.testing.assert_allclose(row, truth, rtol=1e-12, atol=1e-12)


def test_the_unfolding_acts_on_symmetric_matrices():
    T = symmetric_noise((4,) * 4, 0)
    A, B = np.random.default_rng(1).standard_normal((2, 4, 4))
    A, B = A + A.T, B + B.T
    np.testing.assert_allclose(svec(A) @ unfolding(T) @ svec(B), np.einsum("abcd,ab,cd", T, A, B), rtol=1e-12)


# ---- what is refused


@pytest.mark.parametrize("function", METHODS.values(), ids=METHODS)
def test_what_is_no_symmetric_tensor_is_refused(function):
    with pytest.raises(ValueError, match=r"^T: expected a tensor .*, got shape \(3, 3\)"):
        function(np.eye(3), 0)
    with pytest.raises(ValueError, match=r"^T: expected a tensor .*, got shape \(2, 2, 2, 3\)"):
        function(np.zeros((2, 2, 2, 3)), 0)
    with pytest.raises(ValueError, match=r"^T\[0, \d\] is nan"):
        function(np.full((2,) * 4, np.nan), 0)
    with pytest.raises(ValueError, match=r"^T: not symmetric"):
        function(np.random.default_rng(0).standard_normal((3,) * 4), 0)
    with pytest.raises(TypeError, match=r"^T: "):
        function(np.full((2,) * 4, "x"), 0)


def test_jade_and_the_positive_part_are_of_order_four():
    for function in (jade, lambda T: project_positive(T, 2)):
        with pytest.raises(ValueError, match=r"^T: expected a tensor \(k, k, k, k\), got shape \(2, 2, 2\)"):
            function(np.zeros((2, 2, 2)))


def test_a_contraction_must_come_with_its_dimension_and_keep_to_it():
    with pytest.raises(ValueError, match=r"^k: pass the dimension"):
        orthogonal_power_iteration(lambda V: V)
    with pytest.raises(ValueError, match=r"^T: the callable returned shape \(4,\)"):
        orthogonal_power_iteration(lambda V: V[:, 0], k=4, starts=1)
    with pytest.raises(ValueError, match=r"^T\(I, v, \.\., v\)\[0, 0\] is nan"):
        orthogonal_power_iteration(lambda V: V * np.nan, k=4)


def test_no_more_orthogonal_vectors_than_the_side():
    with pytest.raises(ValueError, match=r"^k: 4 orthogonal vectors asked of a tensor of side 3"):
        deflated_power_iteration(np.zeros((3,) * 3), 4)
