"""The subspace that labels depend on, by second moments weighted with labels and with their squares."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.moments.label_subspace import label_subspace, weighted_moments


def sine(teacher, directions):
    """Largest angle of a hidden weight from the span of the directions, as its sine."""
    rest = teacher.W - teacher.W @ directions.T @ directions
    return float(np.linalg.norm(rest, axis=1).max())


def problem(n=20_000, d=10, k=3, **kind):
    teacher = fm.random_teacher(d, k, rng=0, **kind)
    X, Y = fm.make_samples(teacher, n, rng=1)
    return teacher, X, Y[:, 0] - X @ np.linalg.lstsq(X, Y[:, 0], rcond=None)[0]


def test_weighted_moments_are_means_of_weighted_squares():
    rng = np.random.default_rng(0)
    X, root, w = rng.standard_normal((5000, 4)), rng.standard_normal((4, 3)), rng.standard_normal((2, 5000))
    Z = X @ root
    np.testing.assert_allclose(weighted_moments(X, root, w), np.einsum("pn,na,nb->pab", w, Z, Z) / 5000, atol=1e-12)


@pytest.mark.parametrize(("k", "kind"), [(3, {}), (4, {"kind": "balanced"})])
def test_the_subspace_holds_every_neuron_even_where_the_second_moment_vanishes(k, kind):
    teacher, X, r = problem(k=k, **kind)
    directions = label_subspace(X, np.eye(10), r, 6, np.random.default_rng(0))
    np.testing.assert_allclose(directions @ directions.T, np.eye(len(directions)), atol=1e-10)
    assert len(directions) <= 6 and sine(teacher, directions) < 0.25


def test_without_signal_hardly_anything_stands_out():
    rng = np.random.default_rng(0)
    sizes = [len(label_subspace(rng.standard_normal((5000, 10)), np.eye(10), rng.standard_normal(5000), 6, rng))]
    assert max(sizes) <= 2
