"""Every odd input is decided: accepted as it is, or refused by name with a cure."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from fastmom.runtime.validation import (
    as_choice,
    as_count,
    as_labels,
    as_matrix,
    as_number,
    as_rng,
    require_finite,
)

BASE = np.arange(12.0).reshape(4, 3)


class NeedsDetach:
    """What a tensor that requires grad does."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad")


class Frame:
    """What a data frame does."""

    def __array__(self, dtype=None, copy=None):
        return BASE.astype(object)


def read_only():
    array = BASE.copy()
    array.setflags(write=False)
    return array


def unaligned():
    raw = np.zeros(BASE.nbytes + 1, dtype=np.uint8)[1:]
    array = raw.view(np.float64).reshape(BASE.shape)
    array[:] = BASE
    return array


KEPT = {
    "float64": BASE,
    "F-order": np.asfortranarray(BASE),
    "strided": np.repeat(BASE, 2, axis=0)[::2],
    "reversed": BASE[::-1],
    "broadcast": np.broadcast_to(BASE[:1], (4, 3)),
    "read-only": read_only(),
    "unaligned": unaligned(),
    "big-endian": BASE.astype(">f8"),
    "float16": BASE.astype(np.float16),
    "float32": BASE.astype(np.float32),
    "int8": BASE.astype(np.int8),
    "uint64": BASE.astype(np.uint64),
    "bool": BASE > 3,
}


@pytest.mark.parametrize("name", KEPT)
def test_real_arrays_of_any_layout_pass_untouched(name):
    before = KEPT[name].tobytes()
    assert as_matrix(KEPT[name]) is KEPT[name]
    require_finite(KEPT[name], "X")
    assert KEPT[name].tobytes() == before


def test_memory_maps_pass_untouched(tmp_path):
    np.save(tmp_path / "x.npy", BASE)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert as_matrix(mapped) is mapped


@pytest.mark.parametrize(
    "value",
    [BASE.tolist(), BASE.astype(object), Frame(), np.ma.masked_array(BASE), np.asmatrix(BASE), tuple(BASE)],
    ids=["lists", "object", "frame", "unmasked", "matrix", "tuple"],
)
def test_what_numpy_can_read_is_read(value):
    found = as_matrix(value)
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, BASE)


MASKED = np.ma.masked_array(BASE, mask=BASE > 10)

REFUSED = {
    "1-D": (BASE[0], ValueError, "reshape(-1, 1)"),
    "3-D": (BASE[None], ValueError, "3-D"),
    "0-D": (3.0, ValueError, "0-D"),
    "no rows": (BASE[:0], ValueError, "no rows"),
    "no columns": (BASE[:, :0], ValueError, "no columns"),
    "empty list": ([], ValueError, "1-D"),
    "ragged": ([[1.0], [1.0, 2.0]], ValueError, "cannot be read"),
    "masked": (MASKED, ValueError, "masked"),
    "complex": (BASE * 1j, TypeError, "complex"),
    "complex objects": ((BASE * 1j).astype(object), TypeError, "not numbers"),
    "strings": ([["a", "b"]], TypeError, "real numbers"),
    "bytes": (np.array([[b"a"]]), TypeError, "real numbers"),
    "objects": (np.array([[None, {}]]), TypeError, "not numbers"),
    "huge integers": ([[10**400]], TypeError, "not numbers"),
    "None": (None, TypeError, "got NoneType"),
    "dictionary": ({"a": 1}, TypeError, "got dict"),
    "dates": (np.zeros((2, 2), "datetime64[s]"), TypeError, "real numbers"),
    "records": (np.zeros((2, 2), [("a", "f8")]), TypeError, "real numbers"),
    "sparse": (scipy.sparse.csr_matrix(BASE), TypeError, ".toarray()"),
    "sparse array": (scipy.sparse.coo_array(BASE), TypeError, ".toarray()"),
    "needs grad": (NeedsDetach(), TypeError, "requires grad"),
    "generator": ((row for row in BASE), TypeError, "got generator"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_everything_else_is_refused_by_name(case):
    value, kind, words = REFUSED[case]
    with pytest.raises(kind) as caught:
        as_matrix(value, "inputs")
    assert str(caught.value).startswith("inputs: ") and words in str(caught.value)


def test_one_dimensional_labels_are_one_output_and_share_memory():
    y = np.arange(4.0)
    Y = as_labels(y, 4)
    assert Y.shape == (4, 1) and np.shares_memory(Y, y)
    assert as_labels(BASE, 4) is BASE


def test_labels_of_another_length_name_both_lengths():
    with pytest.raises(ValueError, match=r"^Y: .*4.*5"):
        as_labels(BASE, 5)
    with pytest.raises(ValueError, match="no columns"):
        as_labels(BASE[:, :0], 4)
    with pytest.raises(ValueError, match="0-D"):
        as_labels(1.0, 1)


@given(
    st.sampled_from([np.nan, np.inf, -np.inf, 1e151, -1e200]),
    st.integers(0, 2999),
    st.integers(0, 99),
    st.booleans(),
)
def test_the_first_bad_entry_in_row_order_is_named(value, row, column, fortran):
    array = np.zeros((3000, 100), order="F" if fortran else "C")
    array[row, column] = value
    array[row + 1 :, 0] = np.nan
    with pytest.raises(ValueError) as caught:
        require_finite(array, "X", first_row=10)
    assert str(caught.value).startswith(f"X[{row + 10}, {column}] is {value:g}; ")
    assert ("rescale X" in str(caught.value)) == bool(np.isfinite(value))


def test_the_largest_magnitudes_that_square_pass():
    require_finite(np.array([[1e150, -1e150, 5e-324]]), "X")
    require_finite(np.array([65504.0], dtype=np.float16), "y")
    require_finite(np.full((1, 1), np.finfo(np.float32).max, dtype=np.float32), "X")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ">f8", np.longdouble])
def test_nan_is_found_in_every_floating_dtype(dtype):
    y = np.array([0.0, 1.0, np.nan], dtype=dtype)
    with pytest.raises(ValueError, match=r"^y\[2\] is nan"):
        require_finite(y, "y")


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_scan_makes_no_copy(order):
    array = np.zeros((20_000, 100), order=order)
    tracemalloc.start()
    require_finite(array, "X")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000


def test_counts():
    assert as_count(3, "k") == as_count(np.int8(3), "k") == as_count(np.array(3), "k") == 3
    assert type(as_count(np.int64(3), "k")) is int
    assert as_count(0, "k", minimum=0) == 0
    with pytest.raises(ValueError, match="k: expected at least 1, got -2"):
        as_count(-2, "k")


@pytest.mark.parametrize("value", [True, np.True_, 3.0, "3", None, [3]])
def test_what_is_no_count_is_refused(value):
    with pytest.raises(TypeError, match=r"^k: expected an integer"):
        as_count(value, "k")


def test_numbers():
    assert as_number(np.float32(0.5), "noise", 0.0, 1.0) == 0.5
    assert as_number(1, "noise", 0.0, 1.0) == 1.0
    for bad in (-0.1, 1.1, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"^noise: "):
            as_number(bad, "noise", 0.0, 1.0)
    for bad in (True, "1", None, 1j):
        with pytest.raises(TypeError, match=r"^noise: "):
            as_number(bad, "noise", 0.0, 1.0)
    with pytest.raises(ValueError, match="finite"):
        as_number(np.inf, "noise")


def test_choices_name_the_nearest():
    assert as_choice("snap", "variant", ("snap", "moments")) == "snap"
    with pytest.raises(ValueError, match="'momnets' is not one of 'snap', 'moments'; did you mean 'moments'"):
        as_choice("momnets", "variant", ("snap", "moments"))
    for bad in ("zzz", 3, None, ["snap"]):
        with pytest.raises(ValueError, match=r"is not one of 'snap', 'moments'$"):
            as_choice(bad, "variant", ("snap", "moments"))


def test_any_run_can_be_repeated_from_its_seed():
    for given_rng in (None, 7, np.int64(7), np.uint8(7)):
        generator, seed = as_rng(given_rng)
        assert type(seed) is int
        assert generator.random(5).tolist() == as_rng(seed)[0].random(5).tolist()
    assert as_rng(None)[1] != as_rng(None)[1]


def test_a_generator_is_used_as_it_is():
    generator = np.random.default_rng(0)
    assert as_rng(generator) == (generator, None)


@pytest.mark.parametrize("bad", [True, 1.0, "0", np.random.RandomState(0), [1]])
def test_other_sources_of_randomness_are_refused(bad):
    with pytest.raises(TypeError, match=r"^rng: "):
        as_rng(bad)
    with pytest.raises(ValueError, match=r"^rng: "):
        as_rng(-1)


def test_the_global_stream_is_left_alone():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    as_rng(None)[0].random()
    as_rng(3)[0].random()
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
