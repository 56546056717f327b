"""Joint Grams, the normal matrix and lattice reduction are what their definitions in plain NumPy say."""

from itertools import pairwise

import numpy as np
import pytest

from fastmom.kernels import even_odd, lattice
from fastmom.kernels import even_odd_reference as reference

# (rows, inputs, neurons): one of each, odd sizes, rows on both sides of a group and of a flush, several strips
SHAPES = [(1, 1, 1), (3, 5, 2), (31, 3, 4), (32, 2, 1), (33, 7, 3), (1023, 4, 3), (1057, 6, 5), (2100, 24, 3)]
TOLERANCE = {np.float64: 1e-12, np.float32: 1e-4}


def problem(n, d, k, dtype=np.float64):
    rng = np.random.default_rng(n + d + k)
    X = rng.standard_normal((n, d)).astype(dtype)
    X.flags.writeable = False
    return X, rng.random((n, k)) < 0.5, np.column_stack(np.triu_indices(k))


def joint_grams(X, active, pairs, lanes=1, form="serial", start=0.0):
    d = X.shape[1]
    scratch = np.full_like(even_odd.joint_scratch(lanes, d, X.dtype), np.nan)
    out = np.full((len(pairs), d * (d + 1) // 2), start)
    getattr(even_odd.joint_grams, form)(X, even_odd.quads(active), pairs, even_odd.strips(d), scratch, out)
    return out


def close(found, truth, tolerance=1e-12):
    np.testing.assert_allclose(found, truth, rtol=tolerance, atol=tolerance * np.abs(truth).max(initial=0.0))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("lanes", [1, 2, 5])
@pytest.mark.parametrize(("n", "d", "k"), SHAPES)
def test_a_joint_gram_sums_over_the_rows_on_which_both_neurons_are_active(n, d, k, lanes, dtype):
    X, active, pairs = problem(n, d, k, dtype)
    for (i, j), found in zip(pairs, joint_grams(X, active, pairs, lanes), strict=True):
        close(found, reference.joint_gram(X.astype(np.float64), active, i, j), TOLERANCE[dtype])


def test_more_pairs_than_a_task_takes():
    X, active, pairs = problem(70, 2, 60)
    assert len(pairs) > even_odd.PAIRS
    for (i, j), found in zip(pairs, joint_grams(X, active, pairs, 3), strict=True):
        close(found, reference.joint_gram(X, active, i, j))


def test_joint_grams_are_added_to_what_is_there():
    X, active, pairs = problem(100, 3, 2)
    close(joint_grams(X, active, pairs, start=2.0), 2.0 + joint_grams(X, active, pairs))


def test_rows_may_come_in_pieces():
    X, active, pairs = problem(2100, 5, 3)
    cut = 2 * even_odd.FLUSH
    np.testing.assert_array_equal(
        joint_grams(X, active, pairs),
        joint_grams(X[:cut], active[:cut], pairs) + joint_grams(X[cut:], active[cut:], pairs),
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_value_shows_in_the_sums(bad):
    X, active, pairs = problem(100, 3, 2)
    X = np.where(np.arange(300).reshape(100, 3) == 150, bad, X)
    active[50] = True
    assert not np.isfinite(joint_grams(X, active, pairs)).all()


def test_strips_cover_the_packed_columns_in_order():
    for d in (1, 5, 22, 23, 60, 300):
        starts = even_odd.strips(d)
        columns = [sum(d - a for a in range(*strip)) for strip in pairwise(starts)]
        assert starts[0] == 0 and starts[-1] == d and sum(columns) == d * (d + 1) // 2
        assert max(columns) <= max(d, even_odd.STRIP)


def test_quads_hold_the_activity_of_four_rows():
    active = np.random.default_rng(0).random((50, 3)) < 0.5
    quad = even_odd.quads(active)
    bits = (quad[:, None, :] >> np.arange(4)[:, None] & 1).reshape(-1, 3)
    assert len(quad) % even_odd.QUADS == 0
    np.testing.assert_array_equal(bits[:50], active)
    assert not bits[50:].any()


def symmetric_blocks(k, d):
    """Blocks G_ij (k, k, d, d), each symmetric, G_ij = G_ji, and packed for the pairs i <= j."""
    rng = np.random.default_rng(k + d)
    G = rng.standard_normal((k, k, d, d))
    G = G + G.swapaxes(2, 3)
    G = G + G.swapaxes(0, 1)
    pairs = np.column_stack(np.triu_indices(k))
    return G, pairs, np.array([reference.pack(G[i, j]) for i, j in pairs])


@pytest.mark.parametrize("form", ["serial", "parallel"])
@pytest.mark.parametrize(("k", "d"), [(1, 1), (1, 5), (4, 1), (3, 6), (7, 4)])
def test_products_with_packed_grams(k, d, form):
    G, pairs, packed = symmetric_blocks(k, d)
    V = np.random.default_rng(1).standard_normal((k, d))
    out = np.full((k, k, d), np.nan)
    getattr(even_odd.joint_products, form)(packed, pairs, V, out)
    close(out, reference.joint_products(G, V))


@pytest.mark.parametrize("form", ["serial", "parallel"])
@pytest.mark.parametrize(("k", "d"), [(1, 1), (1, 5), (4, 1), (3, 6), (7, 4)])
def test_the_normal_matrix_is_its_definition_in_the_blocks_of_the_upper_triangle(k, d, form):
    G, pairs, packed = symmetric_blocks(k, d)
    rng = np.random.default_rng(2)
    L, A = rng.standard_normal((k * d, 3)), rng.standard_normal((k, 2))
    held, scale = np.vstack([rng.standard_normal((k, d)), np.zeros(d)]), rng.random((k, d))
    out = L @ L.T
    getattr(even_odd.normal_blocks, form)(packed, pairs, A @ A.T, held, scale, out)
    truth = reference.normal_matrix(G, L @ L.T, A @ A.T, held[:k], scale)
    close(np.triu(out), np.triu(truth))


@pytest.mark.parametrize(("n", "d", "k"), SHAPES)
def test_threads_and_the_serial_twin_give_the_same_bits_whatever_the_lanes(n, d, k):
    for dtype in TOLERANCE:
        X, active, pairs = problem(n, d, k, dtype)
        truth = joint_grams(X, active, pairs)
        for form in ("serial", "parallel"):
            for lanes in (1, 2, 3):
                np.testing.assert_array_equal(joint_grams(X, active, pairs, lanes, form), truth)


def reduced(basis, form="serial"):
    bases = np.array(basis, dtype=float)[None]
    scratch, swaps = np.full_like(lattice.lattice_scratch(bases), np.nan), np.zeros(1, dtype=np.int64)
    getattr(lattice.reduce_bases, form)(bases, scratch, swaps)
    return bases[0]


@pytest.mark.parametrize("form", ["serial", "parallel"])
@pytest.mark.parametrize("seed", range(5))
def test_reduction_gives_a_basis_of_the_same_lattice_that_is_reduced(seed, form):
    basis = np.random.default_rng(seed).integers(-50, 50, (8, 8))
    found = reduced(basis, form)
    change = found @ np.linalg.inv(basis)
    np.testing.assert_allclose(change, np.rint(change), atol=1e-8)
    assert abs(np.linalg.det(change)) == pytest.approx(1.0)
    R = np.linalg.qr(found.T)[1]
    mu = R / np.diag(R)[:, None]
    lengths = np.diag(R) ** 2
    assert np.abs(np.triu(mu, 1)).max() <= 0.5 + 1e-9
    assert np.all(lengths[1:] + np.diag(mu, 1) ** 2 * lengths[:-1] >= (lattice.DELTA - 1e-9) * lengths[:-1])


def test_one_vector_is_reduced():
    np.testing.assert_array_equal(reduced([[3.0, -4.0]]), [[3.0, -4.0]])
