"""Accumulated moments are those of all rows at once, to the bit the same in any order and grouping."""

import copy
import pickle
from dataclasses import astuple
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastmom.moments import exact_sum
from fastmom.moments.accumulator import MomentAccumulator
from fastmom.moments.tensors import small_tensor

V = np.random.default_rng(5).standard_normal((4, 3))


def rows(n=60, seed=0):
    """Inputs (n, 4) and labels (n, 2) of very different sizes, so that orders of addition show."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4)) * 10.0 ** rng.integers(-3, 4, (n, 1))
    return X, rng.standard_normal((n, 2)) * 10.0 ** rng.integers(-8, 9, (n, 1))


def accumulator():
    return MomentAccumulator(4, 2, directions=V)


def assert_same_bits(one, other):
    for mine, theirs in zip(astuple(one), astuple(other), strict=True):
        assert np.asarray(mine).tobytes() == np.asarray(theirs).tobytes()


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_order_grouping_and_merge_tree_do_not_change_a_bit(data):
    X, Y = rows()
    cuts = sorted(data.draw(st.sets(st.integers(1, 59), max_size=12)))
    pieces = list(zip(np.split(X, cuts), np.split(Y, cuts), strict=True))
    expected = accumulator()
    for piece in pieces:
        expected.update(*piece)
    nodes = [accumulator() for _ in range(data.draw(st.integers(1, 5)))]
    for piece in data.draw(st.permutations(pieces)):
        data.draw(st.sampled_from(nodes)).update(*piece)
    while len(nodes) > 1:
        one, other = data.draw(st.permutations(nodes))[:2]
        nodes.remove(other)
        one.merge(pickle.loads(pickle.dumps(other)) if data.draw(st.booleans()) else other)
    assert_same_bits(nodes[0].result(), expected.result())
    assert nodes[0].n_rows == 60


def test_plain_addition_would_not_do():
    pieces = [piece for seed in range(30) for piece in [rows(7, seed)]]
    sums = [Y.T @ X for X, Y in pieces]
    assert sum(sums).tobytes() != sum(reversed(sums)).tobytes()


def test_the_moments_are_those_of_all_rows():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((500, 4)), rng.standard_normal((500, 2))
    found = accumulator().update(X[:123], Y[:123]).update(X[123:], Y[123:]).result()
    assert found.n_rows == 500
    truth = {
        "mean_x": X.mean(axis=0),
        "mean_y": Y.mean(axis=0),
        "xx": X.T @ X / 500,
        "yy": Y.T @ Y / 500,
        "T1": Y.T @ X / 500,
        "T2": np.einsum("no,na,nb->oab", Y, X, X) / 500 - Y.mean(axis=0)[:, None, None] * np.eye(4),
        "T3": small_tensor(X, Y, V, 3),
        "T4": small_tensor(X, Y, V, 4),
    }
    for name, value in truth.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-11, atol=1e-12)


def test_the_moments_of_a_quadratic_are_its_coefficients():
    X = np.random.default_rng(0).standard_normal((200_000, 3))
    Q = np.array([[1.0, 0.5, 0.0], [0.5, -1.0, 0.0], [0.0, 0.0, 0.0]])
    y = 1 + X[:, 2] + np.einsum("na,ab,nb->n", X, Q, X)
    found = MomentAccumulator(3).update(X, y).result()
    np.testing.assert_allclose(found.mean_y, [1.0], atol=0.05)
    np.testing.assert_allclose(found.T1, [[0.0, 0.0, 1.0]], atol=0.05)
    np.testing.assert_allclose(found.T2, [2 * Q], atol=0.1)


@pytest.mark.parametrize(
    ("directions", "order", "held"), [(None, None, []), (V, None, [3, 4]), (V, 3, [3]), (V, 2, [])]
)
def test_orders_beyond_two_need_directions_and_are_kept_as_asked(directions, order, held):
    found = MomentAccumulator(4, 2, directions=directions, order=order).update(*rows()).result()
    assert [order for order, T in ((3, found.T3), (4, found.T4)) if T is not None] == held


def test_merging_leaves_the_other_as_it_was_and_copies_live_apart():
    one, other = accumulator().update(*rows(seed=1)), accumulator().update(*rows(seed=2))
    before, apart = other.result(), copy.copy(one)
    one.merge(other)
    assert_same_bits(other.result(), before)
    assert (one.n_rows, apart.n_rows, other.n_rows) == (120, 60, 60)
    assert_same_bits(apart.merge(other).result(), one.result())


def test_merging_with_the_empty_one_or_with_itself():
    one = accumulator().update(*rows())
    assert_same_bits(accumulator().merge(one).result(), one.result())
    assert_same_bits(copy.copy(one).merge(accumulator()).result(), one.result())
    twice = copy.copy(one).merge(one)
    assert twice.n_rows == 120
    np.testing.assert_allclose(twice.result().T2, one.result().T2, rtol=1e-15)


def test_an_accumulator_is_small_to_ship():
    one = MomentAccumulator(50)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        one.update(rng.standard_normal((30, 50)), rng.standard_normal(30))
    numbers = 2 * 51 * 52 // 2 + 1
    assert len(pickle.dumps(one)) < 5 * 8 * numbers


def test_without_rows_there_is_no_result():
    with pytest.raises(ValueError, match=r"^accumulator: has no rows; call update\(X, Y\) first"):
        accumulator().merge(accumulator()).result()


@pytest.mark.parametrize(
    ("X", "Y", "message"),
    [
        (np.where(np.arange(240).reshape(60, 4) == 9, np.nan, rows()[0]), rows()[1], r"X\[2, 1\] is nan"),
        (rows()[0], np.where(np.arange(120).reshape(60, 2) == 9, np.inf, rows()[1]), r"Y\[4, 1\] is inf"),
        (1e100 * rows()[0], 1e140 * rows()[1], "X, Y: sums of their products overflow"),
        (rows()[0][:, :3], rows()[1], r"X, Y: have 3 and 2 columns; this accumulator takes \(4, 2\)"),
        (rows()[0], rows()[1][:, 0], "X, Y: have 4 and 1 columns"),
        (rows()[0], rows()[1][:50], "Y: has 50 rows, the inputs 60"),
    ],
)
def test_bad_rows_are_refused_and_leave_no_trace(X, Y, message):
    one = accumulator().update(*rows())
    before = one.result()
    with pytest.raises(ValueError, match="^" + message):
        one.update(X, Y)
    assert_same_bits(one.result(), before)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (MomentAccumulator(3, 2), "n_inputs 3, this one 4"),
        (MomentAccumulator(4, 1, directions=V), "n_outputs 1, this one 2"),
        (MomentAccumulator(4, 2, directions=V, order=3), "order 3, this one 4"),
        (MomentAccumulator(4, 2, directions=np.nextafter(V, 9)), "other directions"),
        (MomentAccumulator(4, 2, directions=V[:, :2]), "other directions"),
    ],
)
def test_only_accumulators_set_up_alike_merge(other, message):
    one = accumulator().update(*rows())
    before = one.result()
    with pytest.raises(ValueError, match="^other: has " + message):
        one.merge(other)
    assert_same_bits(one.result(), before)


def test_only_accumulators_merge():
    with pytest.raises(TypeError, match=r"^other: expected a MomentAccumulator, got dict"):
        accumulator().merge({})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_inputs": 0}, ValueError, "n_inputs: expected at least 1"),
        ({"n_inputs": 4, "n_outputs": 1.0}, TypeError, "n_outputs: expected an integer"),
        ({"n_inputs": 4, "order": 3}, ValueError, "order: got 3, expected at most 2 without directions"),
        ({"n_inputs": 4, "directions": V, "order": 5}, ValueError, "order: got 5, expected at most 4"),
        (
            {"n_inputs": 3, "directions": V},
            ValueError,
            r"directions: expected 3 rows, one an input, got shape \(4, 3\)",
        ),
        ({"n_inputs": 1, "directions": [[np.nan]]}, ValueError, r"directions\[0, 0\] is nan"),
    ],
)
def test_bad_set_ups_are_refused_by_name(arguments, error, message):
    with pytest.raises(error, match="^" + message):
        MomentAccumulator(**arguments)


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=30), st.randoms())
def test_an_exact_sum_is_the_rounded_sum_of_fractions(terms, random):
    exact = sum(map(Fraction, terms))
    shuffled = random.sample(terms, len(terms))
    expansion = ()
    for term in shuffled:
        expansion = exact_sum.add(expansion, np.array([term]))
    assert sum((Fraction(float(part[0])) for part in expansion), Fraction()) == exact
    assert exact_sum.rounded(expansion)[0] == float(exact)


def test_entries_of_a_sum_do_not_mix_and_few_components_suffice():
    rng = np.random.default_rng(0)
    terms = rng.standard_normal((2000, 3, 2)) * 10.0 ** rng.integers(-9, 10, (2000, 3, 2))
    expansion = ()
    for term in terms:
        expansion = exact_sum.add(expansion, term)
    exact = [[float(sum(map(Fraction, terms[:, i, j]))) for j in range(2)] for i in range(3)]
    np.testing.assert_array_equal(exact_sum.rounded(expansion), exact)
    assert len(expansion) <= 4


def test_the_sum_of_nothing_has_no_shape():
    with pytest.raises(ValueError, match=r"^expansion: has no terms"):
        exact_sum.rounded(())
