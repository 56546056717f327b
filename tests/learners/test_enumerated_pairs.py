"""All pairs of activation patterns of two neurons of two inputs."""

import itertools

import numpy as np
import pytest

import fastmom as fm
from fastmom.patterns.enumeration_pairs import best_pair, expected_pairs


def explained_by(F, y):
    """Square of the part of y in the span of F (n, k)."""
    return float(np.sum((F @ np.linalg.lstsq(F, y, rcond=None)[0]) ** 2))


def every_face(X):
    """Directions of two inputs: for each ray and each cell the columns of its linear model, and the cell's rays."""
    sides = np.column_stack([-X[:, 1], X[:, 0]])
    angles = np.sort(np.concatenate([np.arctan2(s * sides[:, 1], s * sides[:, 0]) for s in (1, -1)]))
    angles = angles[np.diff(angles, prepend=-4.0) > 1e-9]  # rows that change sides together make one ray
    rays = np.column_stack([np.cos(angles), np.sin(angles)])
    faces = [(np.maximum(X @ r, 0.0)[:, None], None) for r in rays]
    for r, following in zip(rays, np.roll(rays, -1, axis=0), strict=True):
        faces.append(((X @ (r + following) > 0)[:, None] * X, np.array([r, following])))
    return faces


def brute_force(X, y):
    """Best square over all pairs of faces: the linear model of both, if its optimum lies in them."""
    best = 0.0
    for pair in itertools.combinations_with_replacement(every_face(X), 2):
        F = np.hstack([columns for columns, _ in pair])
        if np.linalg.matrix_rank(F, tol=1e-9) < F.shape[1]:
            continue  # an optimum of fewer dimensions is found on another face
        parts = np.split(np.linalg.lstsq(F, y, rcond=None)[0], [pair[0][0].shape[1]])
        inside = [
            rays is None or abs(np.sign(np.linalg.solve(rays.T, part)).sum()) == 2
            for part, (_, rays) in zip(parts, pair, strict=True)
        ]
        if all(inside):
            best = max(best, explained_by(F, y))
    return best


@pytest.mark.parametrize("n", [4, 6, 8])
def test_the_best_of_all_pairs_of_patterns(n):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X, y = rng.standard_normal((n, 2)), rng.standard_normal(n)
        if seed % 3 == 1:
            X[:, 1] = 1.0  # a hidden bias: all rows on one side
        if seed % 3 == 2:
            X[n // 2 :] = -2.0 * X[: n - n // 2]  # opposite rows change sides together
        walk = best_pair(X, y)
        assert walk.explained == pytest.approx(brute_force(X, y), rel=1e-9)
        F = np.maximum(X @ walk.W.T, 0.0)
        assert explained_by(F, y) == pytest.approx(walk.explained, rel=1e-12) and walk.visits == 2 * n * n


def test_repeated_rows_and_rows_of_zeros():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X, y = rng.integers(-2, 3, (8, 2)).astype(float), rng.standard_normal(8)
        best = best_pair(X, y).explained
        distinct = X[X.any(axis=1)]
        assert best == pytest.approx(brute_force(distinct, y[X.any(axis=1)]), rel=1e-9)
        F = np.maximum(X @ rng.standard_normal((2, 400)), 0.0)
        assert best >= max(explained_by(F[:, [i, 399 - i]], y) for i in range(200)) - 1e-12


def test_two_neurons_of_exact_labels():
    undetermined = 0
    for seed in range(20):
        teacher = fm.random_teacher(2, 2, 1, rng=seed)
        X, Y = fm.make_samples(teacher, 200, rng=seed)
        result = fm.learn_rectified(X, Y, 2, variant="enumerate", rng=0)
        assert result.success and result.certificate.certified and result.certificate.residual < 1e-12, seed
        undetermined += bool(result.certificate.unidentified)
        assert result.certificate.unidentified or fm.compare(result, teacher).max_error < 1e-11, seed
    assert undetermined <= 2  # two neurons with no row between them, where they are active on the same rows


def test_two_kinks_of_one_input():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        W, A, bias = rng.choice([-1.0, 1.0], (2, 1)), rng.standard_normal((1, 2)), rng.uniform(-1, 1, 2)
        teacher = fm.TwoLayerNetwork(W, A, hidden_bias=bias)
        X, Y = fm.make_samples(teacher, 200, rng=seed)
        result = fm.learn_rectified(X, Y, 2, variant="enumerate", bias="hidden", rng=0)
        assert result.certificate.certified and not result.certificate.unidentified, seed
        assert fm.compare(result, teacher).max_error < 1e-11, seed


def test_no_start_does_better_than_the_global_optimum():
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X, Y = rng.standard_normal((60, 2)), rng.standard_normal((60, 1))  # nothing but local optima
        result = fm.learn_rectified(X, Y, 2, variant="enumerate", rng=0)
        assert result.success and result.status == "global_optimum" and not result.certificate
        assert "two relu neurons: no other pair of patterns of the 7,200 visited" in result.message
        F = np.maximum(X @ rng.standard_normal((2, 150)), 0.0)
        best = max(explained_by(F[:, [i, j]], Y[:, 0]) for i, j in itertools.combinations(range(150), 2))
        explained = result.diagnostics["explained"]
        assert best <= explained * (1 + 1e-12) and best > 0.8 * explained


def test_outputs_that_are_one_function():
    teacher = fm.random_teacher(2, 2, 1, rng=0)
    X, y = fm.make_samples(teacher, 100, rng=0)
    result = fm.learn_rectified(X, y @ [[1.0, -2.0, 0.5]], 2, variant="enumerate", rng=0)
    assert result.success and result.certificate.residual < 1e-12
    assert result.n_hidden == 2 and np.allclose(result.predict(X), y @ [[1.0, -2.0, 0.5]], rtol=0, atol=1e-12)


def test_one_neuron_is_enough_where_there_is_one():
    X, Y = fm.make_samples(fm.random_teacher(2, 1, 1, rng=0), 60, rng=0)
    result = fm.learn_rectified(X, Y, 2, variant="enumerate", rng=0)
    assert result.certificate.certified and result.n_hidden == 1 and "n_hidden=2 was asked" in result.message


def test_inputs_of_one_dimension_have_two_neurons():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(30), rng.standard_normal(30)
    F = np.maximum(np.outer(x, [1.0, -1.0]), 0.0)
    for X in (x[:, None], np.outer(x, [1.0, 3.0])):
        walk = best_pair(X, y)
        assert walk.explained == pytest.approx(explained_by(F, y), rel=1e-12) and len(walk.W) == 2


def test_units_do_not_matter():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((80, 2)), rng.standard_normal(80)
    plain, scaled = best_pair(X, y), best_pair(X * [1e6, 1e-6], 1e-3 * y)
    assert scaled.explained == pytest.approx(1e-6 * plain.explained, rel=1e-9)


def test_tiny_rows_limit_the_claim():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((40, 2)), rng.standard_normal((40, 1))
    assert "round-off" not in fm.learn_rectified(X, Y, 2, variant="enumerate", rng=0).message
    X[:5] *= 1e-5
    assert "round-off may hide" in fm.learn_rectified(X, Y, 2, variant="enumerate", rng=0).message


def test_an_idle_neuron_has_a_direction():
    X = np.random.default_rng(0).standard_normal((5, 2))
    for w in X:
        y = np.maximum(X @ w, 0.0)
        walk = best_pair(X, y)
        assert np.allclose(np.linalg.norm(walk.W, axis=1), 1.0) and walk.explained == pytest.approx(y @ y, rel=1e-12)


@pytest.mark.parametrize(("shape", "n"), [((3, 2, 1), 200), ((2, 2, 1), 40_000)])
def test_what_is_out_of_reach_is_refused_with_its_cost(shape, n):
    X, Y = fm.make_samples(fm.random_teacher(*shape, rng=0), n, rng=0)
    result = fm.learn_rectified(X, Y, 2, variant="enumerate")
    assert not result.success and result.status == "too_large" and "hours of a core" in result.message
    assert f"{expected_pairs(n, shape[0]):.1g} pairs of activation patterns" in result.message


THREADS = """
import numpy as np
from fastmom.patterns.enumeration_pairs import best_pair
rng = np.random.default_rng(0)
print(best_pair(rng.standard_normal((400, 2)), rng.standard_normal(400)).W.tobytes().hex())
"""


def test_threads_change_nothing(run_python):
    runs = [run_python("-c", THREADS, env={"NUMBA_NUM_THREADS": threads}) for threads in ("1", "2")]
    assert runs[0].returncode == 0, runs[0].stderr
    assert runs[0].stdout and runs[0].stdout == runs[1].stdout
