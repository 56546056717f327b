"""Gated Grams and SNAP ascents are what their definitions in plain NumPy say."""

import numpy as np
import pytest

from fastmom.kernels import pattern, reference

# (rows, inputs, label space): odd sizes, one row, one input, rows on both sides of a gather, several panels
SHAPES = [
    (1, 1, 1),
    (1, 4, 2),
    (2, 3, 1),
    (7, 1, 3),
    (127, 5, 4),
    (128, 2, 2),
    (129, 7, 3),
    (255, 3, 5),
    (256, 24, 1),
    (400, 25, 6),
    (700, 53, 9),
]


def stacked(n, d, r, seed=0):
    """Gaussian inputs beside an orthonormal label basis (random columns where there are too few rows)."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, r))
    return np.ascontiguousarray(np.hstack([rng.standard_normal((n, d)), np.linalg.qr(Z)[0] if n >= r else Z]))


def directions(b, d, seed=1):
    V = np.random.default_rng(seed).standard_normal((b, d))
    return V / np.linalg.norm(V, axis=1, keepdims=True)


def gated_grams(XZ, V, form="serial"):
    (n, width), (b, d) = XZ.shape, V.shape
    scratch, gates = pattern.ascent_scratch(b, n, d, width - d)
    scratch[:], gates[:] = np.nan, 9
    out = np.full((b, d, width), np.nan)
    getattr(pattern.gated_grams, form)(XZ, V, gates, scratch, out)
    return out


def ascend(XZ, V, n_known=0, slope=0.0, form="serial", fill=np.nan):
    """rho^2, steps and final directions; the scratch starts with garbage."""
    (n, width), (b, d) = XZ.shape, V.shape
    total = np.ascontiguousarray(XZ[:, :d].T @ XZ)
    scratch, gates = pattern.ascent_scratch(b, n, d, width - d)
    scratch[:], gates[:] = fill, 9
    V, outcome = V.copy(), np.full((b, 2), np.nan)
    getattr(pattern.snap_ascents, form)(XZ, n_known, slope, total, V, outcome, gates, scratch)
    return outcome[:, 0], outcome[:, 1], V


def planted(n=400, d=6, known=2, slope=0.0, seed=0, others=3):
    """Rows whose label space holds known functions, one neuron w, and noise: the top correlation stands apart."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    w = directions(1, d, seed + 7)[0]
    t = X @ w
    functions = [np.ones(n), np.abs(X[:, 0])][:known]
    neuron = np.where(t > 0, t, slope * t)
    Z, _ = np.linalg.qr(np.column_stack([*functions, neuron, rng.standard_normal((n, others))]))
    return np.ascontiguousarray(np.hstack([X, Z])), w


def close(found, truth, rtol=1e-12):
    np.testing.assert_allclose(found, truth, rtol=rtol, atol=rtol * np.abs(truth).max(initial=0.0))


@pytest.mark.parametrize(("n", "d", "r"), SHAPES)
def test_a_gated_gram_sums_over_the_active_rows(n, d, r):
    XZ, V = stacked(n, d, r), directions(5, d)
    for found, v in zip(gated_grams(XZ, V), V, strict=True):
        close(found, reference.gated_gram(XZ, v))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gates_that_are_all_on_or_all_off(sign):
    XZ = np.abs(stacked(300, 4, 3))
    v = sign * np.ones((1, 4))
    close(gated_grams(XZ, v)[0], XZ[:, :4].T @ XZ if sign > 0 else np.zeros((4, 7)))


def test_a_row_on_the_boundary_is_not_active():
    XZ = np.array([[0.0, 1.0, 1.0], [-0.0, 2.0, 1.0], [1e-300, 3.0, 1.0]])
    close(gated_grams(XZ, np.array([[1.0, 0.0]]))[0], reference.gated_gram(XZ[2:], np.array([1.0, 0.0])))


@pytest.mark.parametrize("slope", [0.0, 0.1, -0.5])
@pytest.mark.parametrize("known", [0, 1, 2])
@pytest.mark.parametrize("others", [0, 3])
@pytest.mark.parametrize(("n", "d"), [(401, 1), (127, 3), (400, 6), (513, 24), (700, 49)])
def test_an_ascent_is_its_definition(n, d, others, known, slope):
    XZ, w = planted(n, d, known, slope, others=others)
    V = w + 0.3 / np.sqrt(d) * np.random.default_rng(3).standard_normal((4, d))
    rho2, steps, found = ascend(XZ, V, known, slope)
    for i, v in enumerate(V):
        truth, count, end = reference.snap_ascent(XZ, known, slope, v)
        assert steps[i] == count
        close(rho2[i], truth)
        close(found[i], end, rtol=1e-11)  # the factorisation's condition


@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_with_one_free_function_any_start_follows_the_definition_step_by_step(slope):
    XZ = stacked(333, 5, 3)
    V = directions(20, 5)
    rho2, steps, found = ascend(XZ, V, 2, slope)
    assert steps.max() > 3
    for i, v in enumerate(V):
        truth, count, end = reference.snap_ascent(XZ, 2, slope, v)
        assert steps[i] == count
        close(rho2[i], truth, rtol=1e-11)
        close(found[i], end, rtol=1e-10)


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_an_ascent_that_finds_a_neuron_ends_in_it_with_correlation_one(slope):
    XZ, w = planted(slope=slope)
    rho2, _, found = ascend(XZ, w + 0.1 * directions(3, 6), 2, slope)
    close(rho2, np.ones(3), rtol=1e-10)
    close(found, np.tile(w, (3, 1)), rtol=1e-10)


def test_known_functions_do_not_correlate():
    X = np.random.default_rng(0).standard_normal((300, 4))
    w = directions(1, 4)[0]
    neuron = np.maximum(X @ w, 0)
    noise = np.random.default_rng(1).standard_normal(300)
    Z, _ = np.linalg.qr(np.column_stack([neuron, noise]))
    XZ = np.ascontiguousarray(np.hstack([X, Z]))
    close(ascend(XZ, w[None], 0)[0], [1.0], rtol=1e-10)
    assert ascend(XZ, w[None], 1)[0] < 0.2


@pytest.mark.parametrize("fill", [np.nan, 1.0, -3.0, 1e300])
def test_a_start_that_no_row_sees_stays_where_it_is(fill):
    XZ = np.abs(stacked(50, 3, 2))
    v = -np.ones((1, 3)) / np.sqrt(3)
    rho2, steps, found = ascend(XZ, v, fill=fill)
    assert (rho2[0], steps[0]) == (0.0, 1.0)
    np.testing.assert_array_equal(found, v)


def test_a_start_that_no_row_sees_still_correlates_through_the_slope():
    XZ, _ = planted(slope=0.3, others=0)
    XZ[:, :6] = np.abs(XZ[:, :6])
    v = -np.ones((1, 6)) / np.sqrt(6)
    close(ascend(XZ, v, 2, 0.3)[0], reference.snap_ascent(XZ, 2, 0.3, v[0])[0], rtol=1e-10)


def test_directions_that_the_active_rows_do_not_see_get_no_weight():
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.standard_normal((30, 30)))
    u = rotation[:5].sum(axis=0) / np.sqrt(5)
    active = rng.standard_normal((10, 5)) @ rotation[:5]
    active += np.outer(1 + np.abs(active @ u) - active @ u, u)
    inactive = rng.standard_normal((40, 30)) - 20 * u
    X = np.vstack([active, inactive])
    label = np.maximum(X @ u, 0)
    XZ = np.ascontiguousarray(np.column_stack([X, label / np.linalg.norm(label)]))
    rho2, _, found = ascend(XZ, u[None])
    close(rho2, [1.0], rtol=1e-9)
    assert np.linalg.norm(found[0] - u) < 0.05
    assert np.linalg.norm(reference.snap_step(XZ, 0, 0.0, u)[1] - u) < 0.05


@pytest.mark.parametrize(("n", "d", "r"), SHAPES)
def test_threads_and_the_serial_twin_give_the_same_bits(n, d, r):
    XZ, V = stacked(n, d, r), directions(5, d)
    np.testing.assert_array_equal(gated_grams(XZ, V, "parallel"), gated_grams(XZ, V, "serial"))
    for known in {0, r - 1}:
        threads, serial = (ascend(XZ, V, known, form=form) for form in ("parallel", "serial"))
        for one, other in zip(threads, serial, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_start_has_the_same_bits_alone_and_among_others():
    XZ, V = stacked(400, 9, 4), directions(6, 9)
    together = ascend(XZ, V)
    for i in range(6):
        for one, many in zip(ascend(XZ, V[i : i + 1]), together, strict=True):
            np.testing.assert_array_equal(one[0], many[i])
