"""Passes of a network over rows are what their definitions in plain NumPy say, block by block."""

import numpy as np
import pytest

from fastmom.kernels import forward, reference

# (rows, inputs, neurons, outputs, rows of a block): one of each, odd sizes, rows not a multiple of the block
SHAPES = [
    (1, 1, 1, 1, 64),
    (1, 5, 3, 2, 1),
    (7, 3, 1, 4, 2),
    (64, 2, 5, 1, 64),
    (65, 4, 1, 3, 64),
    (127, 1, 2, 2, 64),
    (333, 7, 6, 5, 128),
    (1000, 17, 9, 3, 64),
    (400, 3, 33, 2, 100),
]
# scratch columns a row needs, and columns of the sums
WIDTHS = {
    "residual_pass": lambda d, k, m: (2 * k + m, m + k),
    "gradient_pass": lambda d, k, m: (2 * k + m, 1 + k * d),
    "label_moments_pass": lambda d, k, m: (3 * k + 1, (k + 1) * (k + 1 + m)),
}


def problem(n, d, k, m, slope=0.0, seed=0):
    """X, Y, hidden, outer, slopes."""
    shapes = (n, d), (n, m), (d, k), (k + 1, m)
    drawn = (np.random.default_rng(seed + i).standard_normal(shape) for i, shape in enumerate(shapes))
    return *drawn, np.full(k, slope)


def run(name, X, Y, hidden, outer, slopes, size=64, lanes=1, form="serial"):
    """Row values and the partial sums of each block; scratch and results start as garbage."""
    X.flags.writeable = Y.flags.writeable = False  # as passes hand rows over
    (d, k), m = hidden.shape, Y.shape[1]
    scratch_width, width = WIDTHS[name](d, k, m)
    scratch = np.full((lanes, min(size, len(X)), scratch_width), np.nan)
    sums = np.full((-(-len(X) // size), width), np.nan)
    values = np.full(len(X), np.nan)
    getattr(getattr(forward, name), form)(X, Y, hidden, outer, slopes, scratch, values, sums)
    return values, sums


def truth(name, *arguments):
    """The reference's sums alone."""
    result = getattr(reference, name)(*arguments)
    return result[0] if name == "residual_pass" else result


def close(found, truth):
    np.testing.assert_allclose(found, truth, rtol=1e-12, atol=1e-12 * np.abs(truth).max(initial=0.0))


@pytest.mark.parametrize("slope", [0.0, 0.1, -0.5, 1.0])
@pytest.mark.parametrize(("n", "d", "k", "m", "size"), SHAPES)
@pytest.mark.parametrize("name", WIDTHS)
def test_the_sums_of_every_block_are_the_definition_on_its_rows(name, n, d, k, m, size, slope):
    X, Y, *network = problem(n, d, k, m, slope)
    _, sums = run(name, X, Y, *network, size=size, lanes=2)
    for b, found in enumerate(sums):
        rows = slice(b * size, (b + 1) * size)
        close(found, truth(name, X[rows], Y[rows], *network))
    close(sums.sum(axis=0), truth(name, X, Y, *network))


@pytest.mark.parametrize(("n", "d", "k", "m", "size"), SHAPES)
def test_the_residual_of_every_row_is_the_definition(n, d, k, m, size):
    arguments = problem(n, d, k, m, 0.1)
    values, _ = run("residual_pass", *arguments, size=size)
    close(values, reference.residual_pass(*arguments)[1])


@pytest.mark.parametrize("name", WIDTHS)
def test_each_neuron_has_its_own_slope(name):
    X, Y, hidden, outer, _ = problem(200, 4, 3, 2)
    slopes = np.array([0.0, 1.0, -0.7])
    close(run(name, X, Y, hidden, outer, slopes)[1].sum(axis=0), truth(name, X, Y, hidden, outer, slopes))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("name", WIDTHS)
def test_neurons_that_are_always_or_never_active(name, sign):
    X, Y, hidden, outer, slopes = problem(150, 4, 3, 2)
    arguments = np.abs(X), Y, sign * np.abs(hidden), outer, slopes
    close(run(name, *arguments)[1].sum(axis=0), truth(name, *arguments))


@pytest.mark.parametrize("name", WIDTHS)
def test_a_network_without_neurons_is_its_output_bias(name):
    arguments = problem(150, 4, 0, 2)
    close(run(name, *arguments)[1].sum(axis=0), truth(name, *arguments))


def test_a_row_on_the_boundary_is_not_active():
    X, Y = np.array([[0.0], [-0.0], [1e-300]]), np.zeros((3, 1))
    _, sums = run("residual_pass", X, Y, np.ones((1, 1)), np.zeros((2, 1)), np.zeros(1))
    assert sums.sum(axis=0)[1] == 1


def test_labels_of_the_network_leave_no_residual():
    X, _, hidden, outer, slopes = problem(500, 6, 4, 3)
    _, _, Y = reference.network(X, hidden, outer, slopes)
    values, sums = run("residual_pass", X, Y, hidden, outer, slopes)
    assert values.max() < 1e-28 * np.sum(Y**2) and sums[:, :3].sum() < 1e-28 * np.sum(Y**2)


def test_the_gradient_is_the_slope_of_half_the_loss():
    X, Y, hidden, outer, slopes = problem(300, 3, 2, 2, 0.1)
    gradient = run("gradient_pass", X, Y, hidden, outer, slopes)[1].sum(axis=0)[1:].reshape(2, 3)
    step = 1e-6 * np.random.default_rng(9).standard_normal((3, 2))
    up, down = (np.sum(reference.residual_pass(X, Y, hidden + s, outer, slopes)[0][:2]) for s in (step, -step))
    np.testing.assert_allclose((up - down) / 4, np.sum(gradient.T * step), rtol=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", WIDTHS)
def test_a_bad_value_shows_in_the_sums(name, bad):
    X, Y, *network = problem(100, 3, 2, 2)
    Y = np.where(np.arange(200).reshape(100, 2) == 141, bad, Y)
    values, sums = run(name, X, Y, *network)
    assert np.isfinite(sums[0]).all() and not np.isfinite(sums[1]).all()
    if name == "residual_pass":
        assert not np.isfinite(values[70]) and np.isfinite(np.delete(values, 70)).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", WIDTHS)
def test_threads_and_the_serial_twin_give_the_same_bits_whatever_the_lanes(name, shape):
    *dimensions, size = shape
    arguments = problem(*dimensions, 0.1)
    values, sums = run(name, *arguments, size=size)
    for form in ("serial", "parallel"):
        for lanes in (1, 2, 3):
            again, same = run(name, *arguments, size=size, lanes=lanes, form=form)
            np.testing.assert_array_equal(same, sums)
            if name == "residual_pass":
                np.testing.assert_array_equal(again, values)
