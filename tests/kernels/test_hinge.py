"""Coordinate ascent does what its definition in plain NumPy does, one output or several, with threads or without."""

import numpy as np
import pytest

from fastmom.kernels import hinge, hinge_reference


def problem(n, q=1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4))
    return np.exp(-0.5 * ((X[:, None] - X) ** 2).sum(axis=2)), np.sign(rng.standard_normal((q, n)))


def ascend(K, Y, P, C, least, most, form="serial"):
    P, G, steps = P.copy(), (P * Y) @ K, np.full(len(Y), np.nan)
    scratch = np.full((len(Y), 3, len(K)), np.nan)
    getattr(hinge.ascent, form)(K, Y, P, G, np.array([C, least, most]), scratch, steps)
    return P, G, steps


@pytest.mark.parametrize("start", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("n", "C", "most"), [(1, 1.0, 5), (2, 0.3, 1), (37, 0.2, 30), (37, 5.0, 200), (64, 50.0, 100)])
def test_the_steps_are_those_of_the_definition(n, C, most, start):
    K, Y = problem(n)
    P, G, steps = ascend(K, Y, np.full((1, n), start), C, 1e-9, most)
    expected, count = hinge_reference.ascent(K, Y[0], np.full(n, start), C, 1e-9, most)
    np.testing.assert_allclose(P[0], expected, atol=1e-12)
    np.testing.assert_allclose(G, (P * Y) @ K, atol=1e-12)
    assert steps[0] == count


@pytest.mark.parametrize("form", ["serial", "parallel"])
def test_outputs_ascend_independently(form):
    K, Y = problem(50, q=3)
    P, G, steps = ascend(K, Y, np.zeros((3, 50)), 2.0, 1e-10, 500, form)
    for c in range(3):
        alone = ascend(K, Y[c : c + 1], np.zeros((1, 50)), 2.0, 1e-10, 500)
        assert (P[c] == alone[0][0]).all() and (G[c] == alone[1][0]).all() and steps[c] == alone[2][0]


def test_it_ends_at_the_optimum_of_the_box():
    K, Y = problem(40)
    P, G, steps = ascend(K, Y, np.zeros((1, 40)), 3.0, 1e-18, 100_000)
    assert steps[0] < 100_000
    slope = (1 - 3.0 * Y * G)[0]
    p = P[0]
    assert abs(slope[(p > 0) & (p < 1)]).max() < 1e-7
    assert (slope[p == 0] < 1e-7).all() and (slope[p == 1] > -1e-7).all()


def test_a_row_without_a_norm_stays_at_the_bound():
    """A zero row of K has margin 0 for ever: its coordinate is bounded."""
    K, Y = np.diag([0.0, 1.0]), np.ones((1, 2))
    P, _, _ = ascend(K, Y, np.zeros((1, 2)), 1.0, 0.0, 10)
    np.testing.assert_array_equal(P, [[1.0, 1.0]])
