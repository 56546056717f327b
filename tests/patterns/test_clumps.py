"""Clumps of neurons: monopole and dipole, and when noise hides the members."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.patterns.clumps import clumps, collapsed, resolution, unresolved
from fastmom.patterns.kinks import KinkNetwork, active_sides, function_distance, kinks_of


def test_a_clump_is_its_monopole_and_dipole_away_from_the_wedge():
    kinks = kinks_of(fm.random_teacher(8, 3, kind="clump", angle=0.02, rng=0))
    (clump,) = clumps(kinks, 0.1)
    assert clump.members.tolist() == [0, 1, 2] and abs(clump.dipole @ clump.direction) < 1e-15
    X = np.random.default_rng(1).standard_normal((20_000, 8))
    t = X @ clump.direction
    outside = np.abs(t) > 0.2
    values = clump.coefficient * np.abs(t) + np.sign(t) * (X @ clump.dipole) + X @ kinks.linear
    assert outside.mean() > 0.8
    assert np.abs(values - kinks.predict(X)[:, 0])[outside].max() < 1e-13


def test_neighbours_chain_into_one_clump_whatever_their_signs():
    turn = np.array([0.0, 0.1, 0.2, 1.5])
    B = np.column_stack([np.cos(turn), np.sin(turn)]) * np.array([1.0, -2.0, 1.0, 1.0])[:, None]
    kinks = KinkNetwork(np.zeros(2), B, np.array([1.0, 1.0, -1.0, 1.0]))
    assert [c.members.tolist() for c in clumps(kinks, 0.15)] == [[0, 1, 2]]
    assert clumps(kinks, 0.05) == []


def test_collapsing_neurons_of_one_sign_costs_the_angle_to_the_power_of_three_halves():
    errors = []
    for angle in (0.1, 0.01):
        kinks = kinks_of(fm.random_teacher(10, 2, kind="same", angle=angle, rng=3))
        merged = collapsed(kinks, 2 * angle)
        assert merged.n_kinks == 1 and np.array_equal(merged.linear, kinks.linear)
        errors.append(function_distance(merged, kinks))
    assert errors[0] / errors[1] == pytest.approx(10**1.5, rel=0.05)


def test_more_rows_and_less_noise_tell_a_pair_apart():
    teacher = fm.random_teacher(20, 3, kind="same", angle=0.1, rng=0)
    kinks = kinks_of(teacher)
    assert [c.members.tolist() for c in unresolved(kinks, 0.1, 2000)] == [[0, 1]]
    assert unresolved(kinks, 0.1, 10**8) == [] and unresolved(kinks, 0.0, 10) == []
    sides = active_sides(kinks)
    free, tied = (resolution(kinks, 0.1, 10_000, s)[0, 1] for s in (None, sides))
    assert tied > free  # a linear part that is known is information
    assert resolution(kinks, 0.2, 40_000, sides) == pytest.approx(resolution(kinks, 0.1, 10_000, sides))


def test_the_resolution_is_that_of_repeated_experiments():
    # least squares for the true patterns: linear in the unknowns, so the spread of its estimates is the standard error
    teacher = fm.random_teacher(4, 2, kind="opposite", angle=0.6, rng=1)
    kinks, rng = kinks_of(teacher), np.random.default_rng(0)
    noise, n = 0.05, 1000
    units = kinks.B / np.linalg.norm(kinks.B, axis=1, keepdims=True)
    side = np.sign(units[0] @ units[1])
    truth, errors = units[0] - side * units[1], []
    for _ in range(200):
        X = rng.standard_normal((n, 4))
        gates = np.sign(X @ kinks.B.T)
        design = np.hstack([X, gates[:, :1] * X, gates[:, 1:] * X])
        y = kinks.predict(X)[:, 0] + noise * rng.standard_normal(n)
        b = np.linalg.solve(design.T @ design, design.T @ y)[4:].reshape(2, 4) * kinks.signs[:, None]
        found = b / np.linalg.norm(b, axis=1, keepdims=True)
        errors.append(np.linalg.norm(found[0] - side * found[1] - truth))
    expected = np.linalg.norm(truth) / np.sqrt(np.mean(np.square(errors)))
    assert resolution(kinks, noise, n)[0, 1] == pytest.approx(expected, rel=0.1)
