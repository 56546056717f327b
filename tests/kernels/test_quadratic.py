"""The pass of quadratic functions is what its definition in plain NumPy says, block by block."""

import numpy as np
import pytest

from fastmom.kernels import quadratic, quadratic_reference

# (rows, inputs, functions, rows of a block): one of each, odd sizes, one strip of columns, two and three
SHAPES = [
    (1, 1, 1, 64),
    (1, 5, 2, 1),
    (7, 3, 1, 2),
    (64, 2, 3, 64),
    (333, 7, 2, 150),
    (300, 17, 1, 128),
    (150, 39, 2, 64),
    (150, 40, 1, 64),
    (290, 60, 2, 140),
    (140, 110, 1, 131),
]


def problem(n, d, q, labelled=True, seed=0):
    """X, Y, symmetric forms."""
    rng = np.random.default_rng(seed)
    forms = rng.standard_normal((q, d + 1, d + 1))
    return rng.standard_normal((n, d)), rng.standard_normal((n, q * labelled)), forms + forms.transpose(0, 2, 1)


def run(X, Y, functions, size, lanes=1, form="serial", valued=True, summed=True):
    """Row values and the partial sums of each block; scratch and results start as garbage."""
    X.flags.writeable = Y.flags.writeable = False  # as passes hand rows over
    (n, d), q = X.shape, len(functions)
    scratch_width, width = quadratic.quadratic_widths(d, q, min(size, n))
    scratch = np.full((lanes, min(size, n), scratch_width), np.nan)
    sums = np.full((-(-n // size), width * summed), np.nan)
    values = np.full(n * q if valued else n * q + 1, np.nan)
    getattr(quadratic.quadratic_pass, form)(X, Y, functions, scratch, values, sums)
    return values, sums


def close(found, truth):
    np.testing.assert_allclose(found, truth, rtol=1e-12, atol=1e-12 * np.abs(truth).max())


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize(("n", "d", "q", "size"), SHAPES)
def test_values_and_the_sums_of_every_block_are_the_definition_on_its_rows(n, d, q, size, labelled):
    X, Y, forms = problem(n, d, q, labelled)
    values, sums = run(X, Y, quadratic.packed(forms), size, lanes=2)
    close(values.reshape(n, q), quadratic_reference.quadratic_pass(X, Y, forms)[0])
    for b, found in enumerate(sums):
        rows = slice(b * size, (b + 1) * size)
        close(quadratic.unpacked(found, d), quadratic_reference.quadratic_pass(X[rows], Y[rows], forms)[1])


@pytest.mark.parametrize(("n", "d", "q", "size"), SHAPES)
def test_without_forms_the_sums_are_the_moments_of_the_labels(n, d, q, size):
    X, Y, forms = problem(n, d, q)
    _, sums = run(X, Y, quadratic.packed(forms)[:, :0], size)
    close(quadratic.unpacked(sums.sum(axis=0), d), quadratic_reference.quadratic_pass(X, Y, 0 * forms)[1])


@pytest.mark.parametrize("d", [1, 7, 39, 60, 110])
def test_sums_are_exactly_symmetric_and_forms_count_by_their_symmetric_part(d):
    X, Y, forms = problem(100, d, 2)
    skew = np.random.default_rng(1).standard_normal(forms.shape)
    np.testing.assert_allclose(
        quadratic.packed(forms + skew - skew.transpose(0, 2, 1)), quadratic.packed(forms), atol=1e-14
    )
    sums = quadratic.unpacked(run(X, Y, quadratic.packed(forms), 64)[1].sum(axis=0), d)
    np.testing.assert_array_equal(sums, sums.transpose(0, 2, 1))


def test_values_and_sums_are_left_out_where_there_is_no_room_for_them():
    X, Y, forms = problem(100, 3, 2)
    functions = quadratic.packed(forms)
    values, sums = run(X, Y, functions, 64)
    np.testing.assert_array_equal(run(X, Y, functions, 64, summed=False)[0], values)
    nothing, same = run(X, Y, functions, 64, valued=False)
    assert np.isnan(nothing).all()
    np.testing.assert_array_equal(same, sums)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["X", "Y"])
def test_a_bad_value_shows_in_the_sums_of_its_block(where, bad):
    X, Y, forms = problem(100, 3, 2)
    (X if where == "X" else Y)[70, 1] = bad
    values, sums = run(X, Y, quadratic.packed(forms), 64)
    assert np.isfinite(sums[0]).all() and not np.isfinite(sums[1]).all()
    assert not np.isfinite(values[140:142]).all() and np.isfinite(np.delete(values, [140, 141])).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_threads_and_the_serial_twin_give_the_same_bits_whatever_the_lanes(shape):
    *dimensions, size = shape
    X, Y, forms = problem(*dimensions)
    values, sums = run(X, Y, quadratic.packed(forms), size)
    for form in ("serial", "parallel"):
        for lanes in (1, 2, 3):
            again, same = run(X, Y, quadratic.packed(forms), size, lanes, form)
            np.testing.assert_array_equal(same, sums)
            np.testing.assert_array_equal(again, values)
