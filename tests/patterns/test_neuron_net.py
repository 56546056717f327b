"""Nets of directions: their size is bounded, and the best choice is the best of all."""

import itertools
import math

import numpy as np
import pytest

import fastmom as fm
from fastmom.patterns.kinks import function_distance, kinks_of
from fastmom.patterns.neuron_net import (
    MAX_CHOICES,
    MAX_DIRECTIONS,
    best_choice,
    net_size,
    refined,
    regress,
    spacing,
    unit_net,
)


@pytest.mark.parametrize("k", range(1, 9))
def test_the_net_is_as_large_as_its_choices_allow(k):
    size = net_size(k)
    assert math.comb(size, k) <= MAX_CHOICES
    assert size == MAX_DIRECTIONS or math.comb(size + 1, k) > MAX_CHOICES


@pytest.mark.parametrize("r", [1, 2, 3, 4])
def test_nets_are_unit_and_their_spacing_is_measured(r):
    rng = np.random.default_rng(0)
    net = unit_net(r, 200, rng)
    assert np.allclose(np.linalg.norm(net, axis=1), 1)
    gap = spacing(net, np.random.default_rng(1))
    if r == 1:
        assert gap < 1e-7
    if r == 2:
        assert gap == pytest.approx(math.pi / 400, rel=0.05)  # half of the step
    finer = spacing(unit_net(r, 800, rng), np.random.default_rng(1))
    assert finer <= gap


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("with_given", [False, True])
def test_the_choice_is_that_of_least_squares(k, with_given):
    rng = np.random.default_rng(k)
    Z, e = rng.standard_normal((300, 3)), rng.standard_normal(300)
    net = unit_net(3, 9, rng)
    given = np.abs(rng.standard_normal((300, 2))) if with_given else None
    losses = {}
    for choice in itertools.combinations(range(9), k):
        values = np.abs(Z @ net[list(choice)].T)
        values = values if given is None else np.hstack([given, values])
        losses[choice] = np.linalg.norm(e - values @ np.linalg.lstsq(values, e, rcond=None)[0])
    assert tuple(best_choice(Z, e, net, k, given)) == min(losses, key=losses.get)


def test_finer_nets_come_closer():
    teacher = fm.random_teacher(3, 2, rng=0)
    kinks = kinks_of(teacher)
    Z = np.random.default_rng(1).standard_normal((2000, 3))
    e = kinks.predict(Z)[:, 0] - Z @ kinks.linear
    start = kinks.B + 0.3 * np.random.default_rng(2).standard_normal((2, 3)) * np.linalg.norm(kinks.B, axis=1)[:, None]
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    errors = [
        function_distance(
            regress(Z, kinks.predict(Z)[:, 0], refined(Z, e, start, radii, np.random.default_rng(3))), kinks
        )
        for radii in ((), (0.3, 0.2), (0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005))
    ]
    assert errors[0] > 2 * errors[1] > 3 * errors[2]


def test_regression_on_the_true_directions_is_exact():
    teacher = fm.random_teacher(6, 3, rng=4)
    X, y = fm.make_samples(teacher, 200, rng=5)
    assert function_distance(regress(X, y[:, 0], teacher.W), kinks_of(teacher)) < 1e-10
