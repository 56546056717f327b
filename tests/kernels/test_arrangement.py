"""The walk through all activation patterns of one neuron, and trials of null vectors."""

import numpy as np
import pytest

from fastmom.kernels import arrangement
from fastmom.kernels.arrangement_reference import best_explained, vanishing


def walk(X, y, lanes=1, form=None):
    n, d = X.shape
    rows = np.zeros((n, 3))
    rows[:, :d] = X
    circles = np.arange(n) if d == 3 else np.array([-1])
    work = np.empty((lanes, 4, n)), np.empty((lanes, n), dtype=np.uint8), np.empty((lanes, 3, 3))
    best = np.zeros((len(circles), 5))
    (form or arrangement.walk_circles)(rows, y, circles, *work, best)
    return best


@pytest.mark.parametrize(("n", "d"), [(7, 2), (6, 3)])
def test_the_walk_finds_the_best_of_all_patterns(n, d):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
        assert walk(X, y)[:, 0].max() == pytest.approx(best_explained(X, y), rel=1e-10)


def test_the_direction_explains_what_is_said():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 3)), rng.standard_normal(60)
    best = walk(X, y)
    for value, *v, _ in best:
        f = np.maximum(X @ v, 0.0)
        assert (f @ y) ** 2 / (f @ f) == pytest.approx(value, rel=1e-9)


def test_every_circle_visits_both_sides_of_every_arc():
    X = np.random.default_rng(0).standard_normal((30, 3))
    assert np.all(walk(X, X[:, 0])[:, 4] == 2 * 2 * 29)


def test_duplicates_and_coplanar_rows():
    rng = np.random.default_rng(1)
    X = rng.integers(-1, 2, (40, 3)).astype(float)
    X = X[X.any(axis=1)]
    y = rng.standard_normal(len(X))
    best = walk(X, y)[:, 0].max()
    V = rng.standard_normal((20000, 3))
    F = np.maximum(X @ V.T, 0.0)
    sampled = (y @ F) ** 2 / np.maximum((F * F).sum(axis=0), 1e-300)
    assert sampled.max() <= best * (1 + 1e-9) and sampled.max() > 0.9 * best


def test_lanes_change_nothing():
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((50, 3)), rng.standard_normal(50)
    assert np.array_equal(walk(X, y), walk(X, y, 3, arrangement.walk_circles.parallel))


def trials(Z, count, lanes=1, form=None):
    norms = np.linalg.norm(Z, axis=1)
    r = Z.shape[1]
    vectors, hits = np.zeros((count, r)), np.empty(count, dtype=np.bool_)
    work = np.empty((lanes, r - 1, r)), np.empty((lanes, 2 * r), dtype=np.int64)
    (form or arrangement.null_vector_trials)(vectors, hits, Z, norms, np.uint64(17), *work)
    return vectors, hits


def test_hits_are_neurons():
    rng = np.random.default_rng(3)
    F = np.maximum(rng.standard_normal((200, 6)) @ rng.standard_normal((6, 5)), 0.0)
    Z = np.linalg.qr(F)[0]
    vectors, hits = trials(Z, 2000)
    functions = F / np.linalg.norm(F, axis=0)
    for a in vectors[hits]:
        assert np.count_nonzero(vanishing(Z, a, arrangement.ZERO)) >= 4 + arrangement.ZEROS  # beyond the subset
    found = np.abs(Z @ (vectors[hits] / np.linalg.norm(vectors[hits], axis=1)[:, None]).T).T @ functions
    assert np.all(np.count_nonzero(found > 1 - 1e-12, axis=0) > 10)  # every neuron
    assert not any(np.count_nonzero(vanishing(Z, a, arrangement.ZERO)) > 60 for a in vectors[~hits])


def test_trials_are_numbered():
    F = np.maximum(np.random.default_rng(4).standard_normal((100, 4)) @ np.eye(4), 0.0)
    Z = np.linalg.qr(F)[0]
    vectors, hits = trials(Z, 500)
    for other in (trials(Z, 500, 3, arrangement.null_vector_trials.parallel), trials(Z, 300)):
        count = len(other[1])
        assert np.array_equal(hits[:count], other[1])
        assert np.array_equal(vectors[:count][other[1]], other[0][other[1]])
