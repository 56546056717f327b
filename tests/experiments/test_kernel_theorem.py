"""The guarantee on data: no network of the class is below the dual value, and the minimiser is near the network."""

import json

import numpy as np
import pytest

from fastmom.experiments.kernel_theorem import in_ball, theorem_on_data


@pytest.mark.parametrize("activation", ["erf", "smoothed_hinge"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_no_network_is_below_the_dual_value_of_its_ball(activation, depth):
    for seed in range(3):
        found = theorem_on_data(depth, 250, activation=activation, rng=seed)
        assert found["dual"] <= found["primal"] * (1 + 1e-12) <= found["network_loss"]
        assert found["primal"] - found["dual"] <= 1e-12
        assert found["norm"] == pytest.approx(found["radius"], rel=1e-9)  # the ball binds
        assert found["network_norm"] <= found["radius"]
        assert found["excess"] <= 1.7e-3


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_minimiser_approaches_the_network(depth):
    assert theorem_on_data(depth, 1000, rng=0)["excess"] <= 7e-4


def test_a_ball_that_is_too_small_shows():
    """The dual value is above the network's loss when the network is not in the ball: the test can fail."""
    found = theorem_on_data(1, 250, c=9.0, L=0.2, noise=1e-3, rng=0)
    assert found["dual"] <= found["network_loss"]
    small = theorem_on_data(1, 250, noise=1e-3, rng=0)
    assert small["network_norm"] > 0.2
    assert json.dumps(found)


def test_rows_are_uniform_in_the_ball():
    X = in_ball(4000, 3, np.random.default_rng(0))
    radii = np.linalg.norm(X, axis=1)
    assert radii.max() <= 1 and abs(np.mean(radii**3) - 0.5) < 0.02
