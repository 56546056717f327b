"""A Hermite moment acts on whitened vectors as its explicit tensor does, without the tensor being formed."""

import numpy as np
import pytest

from fastmom.moments.decomposition import orthogonal_power_iteration
from fastmom.moments.hermite import hermite_residual
from fastmom.moments.tensor_action import action_of
from fastmom.moments.tensors import small_tensor
from fastmom.moments.whitened_action import whitened_action
from fastmom.moments.whitening import whiten


def samples(n, d, k, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), rng.standard_normal(n), rng.standard_normal((d, k))


@pytest.mark.parametrize("order", [3, 4])
@pytest.mark.parametrize(("n", "d", "k"), [(1, 1, 1), (50, 4, 2), (333, 3, 3), (2000, 6, 5)])
def test_it_acts_as_the_explicit_tensor_whatever_the_metric_and_the_vectors(n, d, k, order):
    X, w, Wh = samples(n, d, k)
    act = whitened_action(X @ Wh, w, Wh.T @ Wh, order)
    V = 2 * np.random.default_rng(1).standard_normal((7, k))
    truth = action_of(small_tensor(X, w, Wh, order))(V)
    np.testing.assert_allclose(act(V), truth, rtol=1e-9, atol=1e-10 * np.abs(truth).max())


def test_the_whitened_vectors_of_a_network_come_from_its_samples():
    d, k = 12, 6
    rng = np.random.default_rng(0)
    B = np.linalg.qr(rng.standard_normal((d, k))).Q.T
    X = rng.standard_normal((30_000, d))
    residual, fit = hermite_residual(X, np.maximum(X @ B.T, 0) @ rng.uniform(1, 3, k))
    space = whiten(2 * fit.quadratic[0], k)
    act = whitened_action(X @ space.whiten, residual, space.whiten.T @ space.whiten)
    found = orthogonal_power_iteration(act, k=k, rng=1)
    explicit = orthogonal_power_iteration(small_tensor(X, residual, space.whiten, 4), rng=1)
    np.testing.assert_allclose(found.vectors, explicit.vectors, atol=1e-8)
    assert found.converged and found.agreement == 1
    rows = found.vectors @ space.unwhiten.T
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert np.abs(rows @ B.T).max(axis=0).min() > 0.99
    assert (found.weights < 0).all()  # the fourth Hermite coefficient of relu is negative


def test_what_does_not_fit_is_refused():
    X, w, _ = samples(10, 3, 3)
    with pytest.raises(ValueError, match=r"^metric: expected shape \(3, 3\) as Z has 3 columns, got \(2, 2\)"):
        whitened_action(X, w, np.eye(2))
    with pytest.raises(ValueError, match=r"^order: expected 3 or 4, got 5"):
        whitened_action(X, w, np.eye(3), 5)
    with pytest.raises(ValueError, match=r"^w: has 9 rows, the inputs 10"):
        whitened_action(X, w[:9], np.eye(3))
    X[4, 1] = np.nan
    with pytest.raises(ValueError, match=r"^Z\[4, 1\] is nan"):
        whitened_action(X, w, np.eye(3))
