"""The least-squares machinery against explicit Jacobians."""

from itertools import pairwise

import numpy as np
import pytest

import fastmom as fm
from fastmom.activations import resolve
from fastmom.patterns.activation_gram import activation_gram, group_by_pattern
from fastmom.patterns.gauss_newton import descend, evaluate
from fastmom.patterns.model import ModelClass
from fastmom.patterns.normal_system import ByProducts, Factored, normal_matrix
from fastmom.runtime.passes import Rows


def problem(n=300, d=7, k=4, m=3, slope=0.0, output_bias=True, seed=0):
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((n, d)), rng.standard_normal((n, m))
    kind = ModelClass(resolve(f"leaky_relu({slope})" if slope else "relu"), False, output_bias, None)
    return Rows(X, Y), kind, rng.standard_normal((k, d))


def jacobian(rows, point):
    """Derivatives of all residuals with respect to hidden weights and to output weights, as dense matrices."""
    X, _ = rows.take(np.arange(rows.n_rows))
    model = point.model
    T = X @ model.W.T
    gates = np.where(T > 0, 1.0, model.kind.slope)
    n, m = len(X), rows.n_outputs
    outer = model.outer[: len(model.W)]
    hidden = np.einsum("il,ni,na->nlia", outer, gates, X).reshape(n * m, -1)
    F = T * gates
    if model.kind.output_bias:
        F = np.column_stack([F, np.ones(n)])
    return hidden, np.kron(F, np.eye(m))


@pytest.mark.parametrize("slope", [0.0, 0.3])
@pytest.mark.parametrize("output_bias", [True, False])
@pytest.mark.parametrize("k", [1, 4, 14])
class TestNormalSystem:
    def test_normal_matrix_is_the_jacobians_with_output_weights_projected_out(self, slope, output_bias, k):
        rows, kind, W = problem(k=k, slope=slope, output_bias=output_bias)
        point = evaluate(rows, kind, W)
        hidden, outer = jacobian(rows, point)
        hidden -= outer @ np.linalg.lstsq(outer, hidden, rcond=None)[0]
        expected = hidden.T @ hidden
        np.testing.assert_allclose(normal_matrix(rows, point.model), expected, atol=1e-10 * np.abs(expected).max())

    def test_factored_and_product_forms_solve_the_same_system(self, slope, output_bias, k):
        rows, kind, W = problem(k=k, slope=slope, output_bias=output_bias)
        model = evaluate(rows, kind, W).model
        right = np.random.default_rng(1).standard_normal(W.shape)
        right -= np.einsum("ia,ia->i", right, model.W)[:, None] * model.W  # as every gradient
        exact = Factored(rows, model).solve(right, 0.0)
        close = ByProducts(rows, model, tolerance=1e-10).solve(right, 0.0)
        assert np.linalg.norm(close - exact) < 1e-6 * np.linalg.norm(exact)

    def test_gradient_is_that_of_the_loss(self, slope, output_bias, k):
        rows, kind, W = problem(k=k, slope=slope, output_bias=output_bias)
        W /= np.linalg.norm(W, axis=1, keepdims=True)
        point = evaluate(rows, kind, W)
        rng = np.random.default_rng(2)
        for _ in range(3):
            direction = rng.standard_normal(W.shape)
            direction -= np.einsum("ia,ia->i", direction, W)[:, None] * W
            step = 1e-7
            change = evaluate(rows, kind, W + step * direction).loss - evaluate(rows, kind, W - step * direction).loss
            assert change / (4 * step) == pytest.approx(np.sum(point.gradient * direction), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(("n", "k"), [(500, 3), (500, 13), (40, 10), (1, 2)])
def test_both_forms_of_the_activation_gram_are_the_sum_over_common_rows(n, k):
    rng = np.random.default_rng(n)
    X = rng.standard_normal((n, 5))
    gates = (rng.random((k, n)) < 0.5).astype(np.uint8)
    blocks = activation_gram(X, gates)
    for block, i, j in zip(blocks, *np.triu_indices(k), strict=True):
        common = X[(gates[i] & gates[j]).astype(bool)]
        np.testing.assert_allclose(block, common.T @ common, atol=1e-10)


def test_rows_of_a_group_share_their_pattern():
    rng = np.random.default_rng(0)
    gates = (rng.random((6, 200)) < 0.4).astype(np.uint8)
    order, starts = group_by_pattern(gates)
    assert np.array_equal(np.sort(order), np.arange(200)) and starts[-1] == 200
    groups = [gates[:, order[a:b]] for a, b in pairwise(starts)]
    assert all((group == group[:, :1]).all() for group in groups)
    assert len({tuple(group[:, 0]) for group in groups}) == len(groups) == len(np.unique(gates, axis=1).T)


def test_without_noise_descent_ends_at_round_off():
    teacher = fm.random_teacher(10, 4, 3, rng=0)
    X, Y = fm.make_samples(teacher, 400, rng=1)
    kind = ModelClass(resolve("relu"), False, False, None)
    start = teacher.W + 0.1 * np.random.default_rng(2).standard_normal(teacher.W.shape)
    point = descend(Rows(X, Y), kind, start).point
    assert point.loss < 1e-26 * np.sum(Y**2)


def test_a_sample_of_rows_gives_the_metric_without_changing_the_optimum():
    teacher = fm.random_teacher(10, 4, 5, rng=0)
    X, Y = fm.make_samples(teacher, 20_000, noise=0.2, rng=1)
    kind = ModelClass(resolve("relu"), False, False, None)
    whole = descend(Rows(X, Y), kind, teacher.W).point
    sampled = descend(Rows(X, Y), kind, teacher.W, metric=Rows(X[:2000], Y[:2000])).point
    variance = whole.loss / Y.size
    assert abs(whole.loss - sampled.loss) < 1.0 * variance
