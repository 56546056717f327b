"""Every odd input is decided, at every door: refused by name with a cure, or the answer of the plain array.

Never a silent NaN, never another exception, never a changed argument; warnings are errors.
"""

import json
import pathlib

import numpy as np
import pytest
import scipy.sparse

import fastmom as fm

TEACHER = fm.random_teacher(4, 3, 4, bias=True, rng=0)
X, Y = fm.make_samples(TEACHER, 120, rng=1)
WHOLE = np.random.default_rng(2).integers(-9, 10, (120, 4)).astype(np.float64)


class NeedsDetach:
    """What a tensor that requires grad does."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad")


class Frame:
    """What a data frame, or a tensor on the CPU, does."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return self.values.astype(object)


class Named(np.ndarray):
    """A subclass, such as arrays with units."""


def unaligned(array):
    copy = np.zeros(array.nbytes + 1, dtype=np.uint8)[1:].view(np.float64).reshape(array.shape)
    copy[:] = array
    return copy


def read_only(array):
    return np.frombuffer(array.tobytes()).reshape(array.shape)


def entry(value):
    """The inputs with one entry replaced."""
    return lambda array: np.where(np.arange(array.size).reshape(array.shape) == 7, value, array)


def masked(array):
    return np.ma.masked_array(array, mask=array > 1)


# Refused at every door that takes a matrix: what, of which kind.
REFUSED = {
    "NaN": (entry(np.nan), ValueError),
    "infinity": (entry(np.inf), ValueError),
    "minus infinity": (entry(-np.inf), ValueError),
    "float32 NaN": (lambda a: entry(np.nan)(a).astype(np.float32), ValueError),
    "NaN in F order": (lambda a: np.asfortranarray(entry(np.nan)(a)), ValueError),
    "None among numbers": (entry(None), ValueError),
    "1e200": (lambda a: 1e200 * a, ValueError),
    "one entry 1e200": (entry(1e200), ValueError),
    "0-D": (lambda a: 3.0, ValueError),
    "3-D": (lambda a: a[None], ValueError),
    "no rows": (lambda a: a[:0], ValueError),
    "no columns": (lambda a: a[:, :0], ValueError),
    "empty list": (lambda a: [], ValueError),
    "ragged lists": (lambda a: [[1.0, 2.0], [1.0]], ValueError),
    "masked": (masked, ValueError),
    "complex": (lambda a: a * 1j, TypeError),
    "complex objects": (lambda a: (a * 1j).astype(object), TypeError),
    "strings": (lambda a: [["1.0", "x"]] * len(a), TypeError),
    "numbers as strings": (lambda a: a.astype(str), TypeError),
    "bytes": (lambda a: a.astype("S"), TypeError),
    "text": (lambda a: "inputs.npy", TypeError),
    "a path": (lambda a: pathlib.Path("inputs.npy"), TypeError),
    "objects": (lambda a: np.full(a.shape, object()), TypeError),
    "None": (lambda a: None, TypeError),
    "a dictionary": (lambda a: {"inputs": a}, TypeError),
    "a set": (lambda a: {1.0, 2.0}, TypeError),
    "a function": (lambda a: np.sin, TypeError),
    "dates": (lambda a: a.astype("datetime64[s]"), TypeError),
    "durations": (lambda a: a.astype("timedelta64[s]"), TypeError),
    "records": (lambda a: np.zeros(a.shape, [("x", "f8")]), TypeError),
    "sparse matrix": (scipy.sparse.csr_matrix, TypeError),
    "sparse array": (scipy.sparse.coo_array, TypeError),
    "needs grad": (lambda a: NeedsDetach(), TypeError),
    "generator of rows": (lambda a: (row for row in a), TypeError),
    "exhausted generator": (lambda a: iter(()), TypeError),
    "huge integers": (lambda a: [[10**400] * a.shape[1]] * len(a), TypeError),
}
# The answer of the plain array. Whole numbers, so that every dtype holds them exactly.
SAME = {
    "lists": lambda a: a.tolist(),
    "tuples": lambda a: tuple(map(tuple, a)),
    "list of arrays": list,
    "F order": np.asfortranarray,
    "strided rows": lambda a: np.repeat(a, 2, axis=0)[::2],
    "strided columns": lambda a: np.repeat(a, 3, axis=1)[:, ::3],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "reversed columns": lambda a: a[:, ::-1].copy()[:, ::-1],
    "transposed": lambda a: a.T.copy().T,
    "broadcast": lambda a: np.broadcast_to(a, (2, *a.shape))[1],
    "read-only": read_only,
    "unaligned": unaligned,
    "subclass": lambda a: a.view(Named),
    "matrix": lambda a: a.view(np.matrix),
    "nothing masked": np.ma.masked_array,
    "frame": Frame,
    "objects": lambda a: a.astype(object),
    "mixed objects": lambda a: [[int(v) if i % 2 else float(v) for i, v in enumerate(row)] for row in a],
    "big-endian": lambda a: a.astype(">f8"),
    "float16": lambda a: a.astype(np.float16),
    "float32": lambda a: a.astype(np.float32),
    "long double": lambda a: a.astype(np.longdouble),
    "int8": lambda a: a.astype(np.int8),
    "int16 big-endian": lambda a: a.astype(">i2"),
    "int64": lambda a: a.astype(np.int64),
    "memory view": lambda a: memoryview(a.copy()),
}


def learnable(a):
    """Labels that the teacher gives to whole-number inputs."""
    return TEACHER.predict(a)


ONE_NEURON = np.maximum(WHOLE @ [1.0, -1.0, 0.5, 2.0], 0)
MATRIX_DOORS = {
    "learn": lambda a: fm.learn(a, learnable(WHOLE), bias=True, rng=0).network,
    "learn_rectified": lambda a: fm.learn_rectified(a, learnable(WHOLE), bias=True, rng=0).network,
    "noisy": lambda a: fm.learn_rectified(a, learnable(WHOLE), 3, bias=True, noise="gaussian", rng=0).network,
    "learn_landscape": lambda a: fm.learn_landscape(a, ONE_NEURON, 1, rng=0).network,
    "learn_narrow": lambda a: fm.learn_narrow(a, ONE_NEURON, 1, rng=0).network,
    "learn_l1_kernel": lambda a: fm.learn_l1_kernel(a, ONE_NEURON, radius=3.0, rescale=True, rng=0).predict(a),
    "predict": TEACHER.predict,
    "result.predict": lambda a: fm.FitResult(network=TEACHER, success=True, status="recovered").predict(a),
    "compare": lambda a: fm.compare(fm.random_teacher(4, 3, 4, rng=5), TEACHER, a).function_error,
}
# Whole-number labels: a linear map of whole-number inputs.
LINEAR = np.array([[1, 2, 0], [0, 1, -1], [-2, 0, 1], [1, 1, 1]], dtype=np.float64)
LABEL_DOORS = {
    "learn": lambda b: fm.learn(WHOLE, b, rng=0).network,
    "learn_rectified": lambda b: fm.learn_rectified(WHOLE, b, rng=0).network,
}
WEIGHT_DOORS = {
    "W": lambda a: fm.TwoLayerNetwork(a, np.ones((2, 120))),
    "A": lambda a: fm.TwoLayerNetwork(np.ones((4, 3)), a),
    "linear": lambda a: fm.TwoLayerNetwork(np.ones((2, 4)), np.ones((120, 2)), linear=a),
}


def bits(value):
    """Content of an argument that has a buffer."""
    if isinstance(value, Frame):
        value = value.values
    return value.tobytes() if isinstance(value, np.ndarray | memoryview) else None


def refusal(call, argument):
    """The error that a call raises; its argument must be the same afterwards."""
    before = bits(argument)
    with pytest.raises((ValueError, TypeError)) as caught:
        call(argument)
    assert bits(argument) == before
    return caught.value


def answer(call, argument):
    before = bits(argument)
    result = call(argument)
    assert bits(argument) == before
    return result


def numbers(result):
    """All numbers of a network, an array or a scalar."""
    if isinstance(result, fm.TwoLayerNetwork):
        parts = (result.W, result.A, result.hidden_bias, result.output_bias, result.linear)
        return np.concatenate([np.ravel(part) for part in parts if part is not None])
    return np.ravel(result)


def assert_same(found, plain):
    assert np.isfinite(numbers(found)).all()
    np.testing.assert_allclose(numbers(found), numbers(plain), rtol=1e-10, atol=1e-10)


# ---- matrices


@pytest.mark.parametrize(
    ("door", "case"),
    # comparing without X means standard Gaussian rows
    [(door, case) for door in MATRIX_DOORS for case in REFUSED if (door, case) != ("compare", "None")],
)
def test_bad_inputs_are_refused_by_name(door, case):
    make, kind = REFUSED[case]
    error = refusal(MATRIX_DOORS[door], make(X))
    assert type(error) is kind and str(error).startswith(("X:", "X["))


@pytest.mark.parametrize("case", SAME)
@pytest.mark.parametrize("door", MATRIX_DOORS)
def test_odd_inputs_give_the_answer_of_the_plain_array(door, case):
    assert_same(answer(MATRIX_DOORS[door], SAME[case](WHOLE)), MATRIX_DOORS[door](WHOLE))


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("door", LABEL_DOORS)
def test_bad_labels_are_refused_by_name(door, case):
    make, kind = REFUSED[case]
    error = refusal(LABEL_DOORS[door], make(Y))
    assert type(error) is kind and str(error).startswith(("Y:", "Y["))


@pytest.mark.parametrize("case", SAME)
@pytest.mark.parametrize("door", LABEL_DOORS)
def test_odd_labels_give_the_answer_of_the_plain_array(door, case):
    assert_same(answer(LABEL_DOORS[door], SAME[case](WHOLE @ LINEAR)), LABEL_DOORS[door](WHOLE @ LINEAR))


@pytest.mark.parametrize(
    ("door", "case"),
    [
        (door, case)
        for door in WEIGHT_DOORS
        for case in REFUSED
        # a network may have huge weights, no neurons, and no linear part
        if not ("1e200" in case or case.startswith("no ") or (door, case) == ("linear", "None"))
    ],
)
def test_bad_weights_are_refused_by_name(door, case):
    make, kind = REFUSED[case]
    error = refusal(WEIGHT_DOORS[door], make(X))
    assert type(error) is kind and str(error).startswith(f"{door}: ")


@pytest.mark.parametrize("case", SAME)
@pytest.mark.parametrize("door", ["W", "linear"])
def test_odd_weights_make_the_network_of_the_plain_array(door, case):
    assert answer(WEIGHT_DOORS[door], SAME[case](WHOLE)) == WEIGHT_DOORS[door](WHOLE)


def test_memory_maps_give_the_answer_of_the_plain_array(tmp_path):
    np.save(tmp_path / "x.npy", WHOLE)
    for mode in ("r", "c", "r+"):
        for door in MATRIX_DOORS.values():
            assert_same(answer(door, np.load(tmp_path / "x.npy", mmap_mode=mode)), door(WHOLE))


def test_booleans_and_bytes_count_as_numbers():
    gates = WHOLE > 0
    for dtype in (bool, np.uint8):
        assert_same(TEACHER.predict(gates.astype(dtype)), TEACHER.predict(gates.astype(float)))


def test_one_row_is_not_a_matrix_but_one_column_of_labels_is():
    for door in MATRIX_DOORS.values():
        assert "reshape" in str(refusal(door, WHOLE[0]))
    y = np.maximum(WHOLE @ [1.0, -1.0, 0.5, 2.0], 0)
    vector, column = (fm.learn(WHOLE, labels, rng=0) for labels in (y, y[:, None]))
    assert vector.network == column.network and vector.status == "recovered"


@pytest.mark.parametrize("n", [1, 119, 121, 1000])
def test_labels_of_another_length_are_refused(n):
    for learner in (fm.learn, fm.learn_rectified):
        error = refusal(lambda labels, learner=learner: learner(X, labels), np.ones((n, 4)))
        assert str(error).startswith("Y:") and "120" in str(error) and str(n) in str(error)


@pytest.mark.parametrize("columns", [1, 3, 5])
def test_inputs_of_another_width_are_refused(columns):
    for door in ("predict", "compare"):
        error = refusal(MATRIX_DOORS[door], np.ones((10, columns)))
        assert str(error).startswith("X:") and "4" in str(error) and str(columns) in str(error)


# ---- everything else that is asked for


def bad(*values, kind=(ValueError, TypeError)):
    return [(value, kind) for value in values]


COUNTS = [
    *bad(0, -1, -(10**30), kind=ValueError),
    *bad(2.5, 3.0, "3", True, np.nan, None, [3], 3j, np.array([3, 3]), kind=TypeError),
]
FRACTIONS = [
    *bad(np.nan, np.inf, -np.inf, -0.1, 1e400, kind=ValueError),
    *bad("0.1", None, True, [0.1], 1j, np.ones(2), kind=TypeError),
]
WORDS = bad("gausian", "", "GAUSSIAN", None, 3, ["gaussian"], b"gaussian", kind=ValueError)
SEEDS = [
    *bad(-1, kind=ValueError),
    *bad("a", 1.5, True, [1], np.random, np.random.PCG64(0), kind=TypeError),
]
ACTIVATIONS = bad("sigmoidal", "leaky_relu(2)", "leaky_relu(nan)", "relu(0.1)", "", None, 3, np.tanh)


def but_none(cases):
    """For an argument that may be None."""
    return [case for case in cases if case[0] is not None]


SMALL = np.array([[0.6, 0.8], [0.0, -1.0], [0.1, 0.2], [0.0, 0.0]])
DOORS_OF_THE_BALL = {
    "learn_l1_kernel": lambda **options: fm.learn_l1_kernel(X, Y[:, 0], **{"rescale": True, "radius": 1.0} | options),
    "l1_kernel_path": lambda **options: fm.l1_kernel_path(X, Y[:, 0], [1.0], **{"rescale": True} | options),
}
BIASES = bad("both", 2, None, [], np.ones(2), kind=ValueError)
ARGUMENTS = {
    ("n_hidden", "learn"): (lambda v: fm.learn(X, Y, n_hidden=v), but_none(COUNTS)),
    ("n_hidden", "learn_rectified"): (lambda v: fm.learn_rectified(X, Y, v), but_none(COUNTS)),
    ("bias", "learn_rectified"): (lambda v: fm.learn_rectified(X, Y, bias=v), BIASES),
    ("noise", "learn_rectified"): (lambda v: fm.learn_rectified(X, Y, noise=v), WORDS),
    ("variant", "learn_rectified"): (lambda v: fm.learn_rectified(X, Y, variant=v), WORDS),
    ("activation", "learn_rectified"): (lambda v: fm.learn_rectified(X, Y, activation=v), ACTIVATIONS),
    ("rng", "learn_rectified"): (lambda v: fm.learn_rectified(X, Y, rng=v), SEEDS),
    ("n_hidden", "learn_landscape"): (lambda v: fm.learn_landscape(X, Y, v), but_none(COUNTS)),
    ("optimizer", "learn_landscape"): (lambda v: fm.learn_landscape(X, Y, 3, optimizer=v), WORDS),
    ("activation", "learn_landscape"): (lambda v: fm.learn_landscape(X, Y, 3, activation=v), ACTIVATIONS),
    ("mu", "learn_landscape"): (lambda v: fm.learn_landscape(X, Y, 3, mu=v), FRACTIONS),
    ("lam", "learn_landscape"): (lambda v: fm.learn_landscape(X, Y, 3, lam=v), FRACTIONS),
    ("polish", "learn_landscape"): (lambda v: fm.learn_landscape(X, Y, 3, polish=v), bad(None, 1, "yes", np.ones(2))),
    ("repair", "learn_landscape"): (lambda v: fm.learn_landscape(X, Y, 3, repair=v), COUNTS),
    ("covariance", "learn_landscape"): (
        lambda v: fm.learn_landscape(X, Y, 3, covariance=v),
        bad("given", None, 3, np.eye(3), -np.eye(4), np.full((4, 4), np.nan), np.triu(np.ones((4, 4)))),
    ),
    ("rng", "learn_landscape"): (lambda v: fm.learn_landscape(X, Y, 3, rng=v), SEEDS),
    ("n_hidden", "learn_narrow"): (lambda v: fm.learn_narrow(X, Y, v), but_none(COUNTS)),
    ("max_hidden", "learn_narrow"): (lambda v: fm.learn_narrow(X, Y, max_hidden=v), [*COUNTS, *bad(11)]),
    ("variant", "learn_narrow"): (lambda v: fm.learn_narrow(X, Y, variant=v), WORDS),
    ("polish", "learn_narrow"): (lambda v: fm.learn_narrow(X, Y, polish=v), bad(None, 1, "yes", np.ones(2))),
    ("rng", "learn_narrow"): (lambda v: fm.learn_narrow(X, Y, rng=v), SEEDS),
    **{
        (name, door): (lambda v, name=name, door=door: DOORS_OF_THE_BALL[door](**{name: v}), cases)
        for door in ("learn_l1_kernel", "l1_kernel_path")
        for name, cases in {
            "depth": [*FRACTIONS, (2e6, ValueError)],
            "loss": WORDS,
            "solver": WORDS,
            "n_landmarks": but_none(COUNTS),
            "rescale": [*bad(0.0, -1.0, np.nan), *bad(None, "yes", np.ones(2), kind=TypeError)],
            "rng": SEEDS,
        }.items()
    },
    ("radius", "learn_l1_kernel"): (
        lambda v: DOORS_OF_THE_BALL["learn_l1_kernel"](radius=v),
        [*(case for case in but_none(FRACTIONS) if not isinstance(case[0], str)), (0.0, ValueError), ("1", ValueError)],
    ),
    **{
        (name, "l1_kernel_path"): (
            lambda v, name=name: fm.l1_kernel_path(X, Y, rescale=True, **{name: v}),
            bad(1.0, [], [0.0], [np.nan], ["theory"], [None]),
        )
        for name in ("radii", "penalties")
    },
    ("n_hidden", "l1_kernel"): (lambda v: fm.learn(X, Y, "l1_kernel", n_hidden=v), bad(3, kind=TypeError)),
    ("depth", "recursive_kernel"): (lambda v: fm.recursive_kernel(0.1 * SMALL, depth=v), FRACTIONS),
    ("out", "recursive_kernel"): (
        lambda v: fm.recursive_kernel(SMALL, out=v),
        bad(np.zeros((3, 3)), np.zeros((4, 4), np.float32), np.zeros((4, 8))[:, ::2], [[0.0] * 4] * 4),
    ),
    ("Z", "recursive_kernel"): (
        lambda v: fm.recursive_kernel(SMALL, v),
        bad(np.zeros((2, 3)), 2 * np.eye(2), np.full((2, 2), np.nan), "z", np.zeros(2)),
    ),
    ("V", "kernel_matmul"): (
        lambda v: fm.kernel_matmul(SMALL, None, v),
        bad(
            *(np.ones(3), np.ones((3, 2)), None, "v", [np.nan] * 4, 1.0),
            *([1j] * 4, [[1.0], [2.0, 3.0]], [], np.ones((4, 0))),
        ),
    ),
    ("method", "learn"): (lambda v: fm.learn(X, Y, v), WORDS),
    ("depth", "network_norm_bound"): (
        lambda v: fm.network_norm_bound(v, 1.0),
        [case for case in COUNTS if case[0] is None or not np.array_equal(case[0], 0)],
    ),
    ("L", "network_norm_bound"): (lambda v: fm.network_norm_bound(1, v), [*FRACTIONS, (0.0, ValueError)]),
    ("activation", "network_norm_bound"): (lambda v: fm.network_norm_bound(1, 1.0, v), WORDS),
    ("c", "network_norm_bound"): (lambda v: fm.network_norm_bound(1, 1.0, c=v), [*FRACTIONS, (0, ValueError)]),
    ("n", "sample_inputs"): (lambda v: fm.sample_inputs(v, 3), COUNTS),
    ("d", "sample_inputs"): (lambda v: fm.sample_inputs(3, v), COUNTS),
    ("law", "sample_inputs"): (lambda v: fm.sample_inputs(3, 3, v), WORDS),
    ("rng", "sample_inputs"): (lambda v: fm.sample_inputs(3, 3, rng=v), SEEDS),
    ("teacher", "make_samples"): (lambda v: fm.make_samples(v, 3), bad(None, "net.npz", X, kind=TypeError)),
    ("n", "make_samples"): (lambda v: fm.make_samples(TEACHER, v), COUNTS),
    ("law", "make_samples"): (lambda v: fm.make_samples(TEACHER, 3, law=v), WORDS),
    ("noise", "make_samples"): (lambda v: fm.make_samples(TEACHER, 3, noise=v), FRACTIONS),
    ("corruption", "make_samples"): (
        lambda v: fm.make_samples(TEACHER, 3, corruption=v),
        [*FRACTIONS, (1.1, ValueError)],
    ),
    ("corruption_kind", "make_samples"): (lambda v: fm.make_samples(TEACHER, 3, corruption_kind=v), WORDS),
    ("rng", "make_samples"): (lambda v: fm.make_samples(TEACHER, 3, rng=v), SEEDS),
    ("n_inputs", "random_teacher"): (lambda v: fm.random_teacher(v, 2), COUNTS),
    ("n_hidden", "random_teacher"): (lambda v: fm.random_teacher(2, v), COUNTS),
    ("n_outputs", "random_teacher"): (lambda v: fm.random_teacher(2, 2, v), COUNTS),
    ("kind", "random_teacher"): (lambda v: fm.random_teacher(2, 2, kind=v), WORDS),
    ("output", "random_teacher"): (lambda v: fm.random_teacher(2, 2, output=v), WORDS),
    ("condition", "random_teacher"): (
        lambda v: fm.random_teacher(3, 3, kind="conditioned", condition=v),
        [*but_none(FRACTIONS), (0.5, ValueError)],
    ),
    ("angle", "random_teacher"): (
        lambda v: fm.random_teacher(3, 3, kind="clump", angle=v),
        [*but_none(FRACTIONS), (4.0, ValueError)],
    ),
    ("activation", "random_teacher"): (lambda v: fm.random_teacher(3, 3, activation=v), ACTIVATIONS),
    ("rng", "random_teacher"): (lambda v: fm.random_teacher(3, 3, rng=v), SEEDS),
    ("A", "TwoLayerNetwork"): (
        lambda v: fm.TwoLayerNetwork(np.ones((2, 3)), v),
        bad(np.ones((2, 3)), np.ones(3), [[np.nan, 1]]),
    ),
    ("hidden_bias", "TwoLayerNetwork"): (
        lambda v: fm.TwoLayerNetwork(np.ones((2, 3)), np.ones((1, 2)), hidden_bias=v),
        bad(np.ones(3), np.ones((2, 1)), 0.5, "x", [np.nan, 1], [1j, 1]),
    ),
    ("output_bias", "TwoLayerNetwork"): (
        lambda v: fm.TwoLayerNetwork(np.ones((2, 3)), np.ones((1, 2)), output_bias=v),
        bad(np.ones(2), 0.5, "x", [np.inf], scipy.sparse.csr_matrix([[1.0]])),
    ),
    ("linear", "TwoLayerNetwork"): (
        lambda v: fm.TwoLayerNetwork(np.ones((2, 3)), np.ones((1, 2)), linear=v),
        bad(np.ones((3, 1)), np.ones(3), [[np.nan, 1, 1]]),
    ),
    ("activation", "TwoLayerNetwork"): (
        lambda v: fm.TwoLayerNetwork(np.ones((2, 3)), np.ones((1, 2)), activation=v),
        ACTIVATIONS,
    ),
    ("student", "compare"): (
        lambda v: fm.compare(v, TEACHER),
        bad(None, X, "net.npz", fm.random_teacher(5, 3, 4), fm.random_teacher(4, 3, 3)),
    ),
    ("teacher", "compare"): (lambda v: fm.compare(TEACHER, v), bad(None, X, "net.npz", kind=TypeError)),
    ("path", "load"): (fm.load, bad(None, 0, 3, 1.5, ["net.npz"], b"\0", "net\0.npz")),
    ("path", "save"): (TEACHER.save, bad(None, 1, 1.5, ["net.npz"], "net\0.npz")),
}


@pytest.mark.parametrize(("name", "door"), ARGUMENTS, ids="-".join)
def test_bad_arguments_are_refused_by_name(name, door):
    call, cases = ARGUMENTS[name, door]
    for value, kind in cases:
        with pytest.raises(kind) as caught:
            call(value)
        assert str(caught.value).startswith((f"{name}: ", f"{name}[")), f"{value!r}: {caught.value}"


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3)])
def test_every_integer_is_a_count(value):
    assert fm.learn(X, Y, n_hidden=value, bias=True, rng=0).n_hidden == 3
    assert fm.sample_inputs(value, value).shape == (3, 3)
    assert fm.random_teacher(value, value, value).W.shape == (3, 3)


def test_an_option_that_does_not_exist_is_refused_by_name():
    with pytest.raises(TypeError, match=r"^biass: .*did you mean 'bias'"):
        fm.learn(X, Y, biass=True)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY", b"hello", bytes(1000)])
def test_what_is_no_network_file_is_refused_with_its_name(tmp_path, content):
    path = tmp_path / "net.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"net\.npz: "):
        fm.load(path)
    assert path.read_bytes() == content


def test_places_that_cannot_be_read_or_written_are_operating_system_errors(tmp_path):
    for path in (tmp_path, tmp_path / "missing" / "net.npz", tmp_path / "net.npz" / "x"):
        with pytest.raises(OSError):
            fm.load(path)
        with pytest.raises(OSError):
            TEACHER.save(path)


# ---- data that break an assumption: an honest verdict, never an exception

RNG = np.random.default_rng(3)
CAUCHY = RNG.standard_cauchy((300, 4))


def with_column(column):
    return np.column_stack([X, column]), Y


def labelled(teacher, inputs=X):
    return inputs, teacher.predict(inputs)


HARD = {
    "one row": (X[:1], Y[:1]),
    "two rows": (X[:2], Y[:2]),
    "fewer rows than inputs": (X[:3], Y[:3]),
    "fewer rows than neurons": labelled(fm.random_teacher(2, 9, 9, rng=1), X[:8, :2]),
    "as many rows as unknowns": (X[:10], Y[:10]),
    "more neurons than inputs": labelled(fm.random_teacher(4, 7, 8, rng=1)),
    "more neurons than outputs": labelled(fm.random_teacher(4, 6, 2, rng=1)),
    "one input": (X[:, :1], np.maximum(X[:, :1] * [1.0, -2.0], 0)),
    "one output": (X, Y[:, 0]),
    "constant column": with_column(np.ones(120)),
    "zero column": with_column(np.zeros(120)),
    "repeated column": with_column(X[:, 0]),
    "nearly repeated column": with_column(X[:, 0] + 1e-13 * X[:, 1]),
    "tiny column": with_column(1e-140 * X[:, 0]),
    "huge column": with_column(1e140 * X[:, 0]),
    "columns of many scales": (X * [1e-60, 1.0, 1e5, 1e60], Y),
    "labels of many scales": (X, Y * [1e-60, 1.0, 1e5, 1e60]),
    "repeated rows": (np.repeat(X, 3, axis=0), np.repeat(Y, 3, axis=0)),
    "the same row again and again": (np.tile(X[:1], (120, 1)), np.tile(Y[:1], (120, 1))),
    "the same row with other labels": (np.tile(X[:1], (120, 1)), Y),
    "all inputs zero": (0 * X, Y),
    "all inputs zero, constant labels": (0 * X, 0 * Y + 1),
    "labels zero": (X, 0 * Y),
    "labels constant": (X, 0 * Y + 3),
    "labels constant to round-off": (X, 1 + 1e-13 * RNG.standard_normal(Y.shape)),
    "inputs times 1e140": (1e140 * X, Y),
    "labels times 1e140": (X, 1e140 * Y),
    "inputs times 1e-200": (1e-200 * X, Y),
    "labels times 1e-200": (X, 1e-200 * Y),
    "both times 1e-160": (1e-160 * X, 1e-160 * Y),
    "subnormal inputs": (5e-324 * np.rint(10 * X), Y),
    "subnormal labels": (X, 5e-324 * np.rint(10 * Y)),
    "heavy tails": labelled(TEACHER, CAUCHY),
    "repeated neurons": labelled(fm.TwoLayerNetwork(TEACHER.W[[0, 1, 1]], TEACHER.A)),
    "opposite neurons": labelled(fm.TwoLayerNetwork([*TEACHER.W, *-TEACHER.W], RNG.standard_normal((7, 6)))),
    "nearly equal neurons": labelled(fm.random_teacher(4, 3, 4, kind="same", angle=1e-7, rng=1)),
    "neurons that are never active": labelled(fm.TwoLayerNetwork(-np.eye(4)[:3], TEACHER.A), np.abs(X)),
    "neurons that are always active": labelled(fm.TwoLayerNetwork(np.eye(4)[:3], TEACHER.A), np.abs(X)),
    "a neuron active on one row": labelled(fm.TwoLayerNetwork(TEACHER.W, TEACHER.A, [0.2, -2.5, 0.1])),
    "linear labels": (X, X @ LINEAR),
    "repeated labels": (X, np.hstack([Y, Y])),
    "a label column of zeros": (X, np.column_stack([Y, 0 * Y[:, 0]])),
    "quadratic labels": (X, X**2),
    "random labels": (X, RNG.standard_normal(Y.shape)),
    "binary labels": (X, (Y > 0).astype(float)),
    "one outlier": (X, Y + 1e8 * (np.arange(120) == 5)[:, None]),
    "binary inputs": labelled(TEACHER, np.sign(X)),
    "sparse inputs": labelled(TEACHER, X * (RNG.random(X.shape) < 0.2)),
}
OPTIONS = {
    "no bias": {},
    "bias": {"bias": True},
    "exact only": {"bias": "output", "noise": "none"},
    "least squares": {"bias": True, "noise": "gaussian"},
    "wrong rows": {"bias": True, "noise": "gross"},
    "enumeration": {"variant": "enumerate"},
    "least squares, leaky": {"noise": "gaussian", "activation": "leaky_relu(0.1)"},
    "too few neurons": {"n_hidden": 1, "bias": "hidden"},
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("case", HARD)
def test_data_that_break_an_assumption_get_an_honest_verdict(case, options):
    inputs, labels = HARD[case]
    before = inputs.tobytes(), labels.tobytes()
    try:
        result = fm.learn_rectified(inputs, labels, rng=0, **OPTIONS[options])
    except (ValueError, TypeError) as error:
        assert str(error).startswith(("X:", "X[", "Y:", "Y["))
        return
    finally:
        assert (inputs.tobytes(), labels.tobytes()) == before
    assert result.status and result.message and repr(result)
    json.dumps(result.to_dict(), allow_nan=False)
    network, certificate = result.network, result.certificate
    if network is None:
        assert not result.success
        return
    assert np.isfinite(numbers(network)).all()
    if certificate.certified:
        labels = labels.reshape(len(labels), -1)
        right = np.delete(np.arange(len(inputs)), result.diagnostics.get("corrupt_rows", []))
        assert certificate.n_corrupt == len(inputs) - len(right) < len(inputs) / 2
        scale = np.abs(labels).max()
        np.testing.assert_allclose(network.predict(inputs[right]) / scale, labels[right] / scale, atol=1e-8)
        assert result.status == "recovered" and certificate.n_rows == len(inputs)


LANDSCAPE = {
    "any number": {},
    "one neuron": {"n_hidden": 1, "activation": "leaky_relu(0.1)"},
    "order 3": {"n_hidden": 3, "activation": "tanh"},
    "descent": {"n_hidden": 2, "optimizer": "lbfgs", "covariance": "estimate"},
}


@pytest.mark.parametrize("options", LANDSCAPE)
@pytest.mark.parametrize("case", HARD)
def test_the_landscape_learner_gives_an_honest_verdict(case, options):
    inputs, labels = HARD[case]
    labels = labels.reshape(len(labels), -1)[:, : 1 if options == "any number" else None]
    try:
        result = fm.learn_landscape(inputs, labels, rng=0, **LANDSCAPE[options])
    except (ValueError, TypeError) as error:
        assert str(error).startswith(("X:", "X[", "Y:", "Y["))
        return
    json.dumps(result.to_dict(), allow_nan=False)
    if result.network is not None:
        assert np.isfinite(numbers(result.network)).all()
    if result.success:
        scale = np.abs(labels).max()
        predicted = result.network.predict(inputs)
        np.testing.assert_allclose(predicted / scale, labels / scale, atol=1e-8)  # none of these has noise to fit


NARROW = {
    "any number": {"max_hidden": 3},
    "moments": {"n_hidden": 2, "polish": False},
    "net": {"n_hidden": 2, "variant": "one_stage"},
    "discovery": {"n_hidden": 2, "variant": "paper", "polish": False},
    "tower": {"n_hidden": 2, "variant": "implicit"},
}


@pytest.mark.parametrize("options", NARROW)
@pytest.mark.parametrize("case", HARD)
def test_the_narrow_learner_gives_an_honest_verdict(case, options):
    inputs, labels = HARD[case]
    labels = labels.reshape(len(labels), -1)[:, : 1 if options == "any number" else None]
    try:
        result = fm.learn_narrow(inputs, labels, rng=0, **NARROW[options])
    except (ValueError, TypeError) as error:
        assert str(error).startswith(("X:", "X[", "Y:", "Y["))
        return
    json.dumps(result.to_dict(), allow_nan=False)
    if result.network is not None:
        assert np.isfinite(numbers(result.network)).all()
    if result.success:
        scale = np.abs(labels).max()
        predicted = result.network.predict(inputs)
        np.testing.assert_allclose(predicted / scale, labels / scale, atol=1e-8)  # none of these has noise to fit


@pytest.mark.parametrize("scale", [1e-140, 1e-6, 1e6, 1e140])
def test_the_scale_of_inputs_and_labels_does_not_matter(scale):
    plain = fm.learn(X, Y, bias=True, rng=0)
    inputs = fm.learn(scale * X, Y, bias=True, rng=0)
    assert inputs.certificate.certified
    np.testing.assert_allclose(inputs.network.predict(scale * X), Y, rtol=1e-9, atol=1e-9)
    labels = fm.learn(X, scale * Y, bias=True, rng=0)
    assert labels.certificate.certified
    order = [np.argmin(np.linalg.norm(labels.network.W - w, axis=1)) for w in plain.network.W]
    np.testing.assert_allclose(labels.network.W[order], plain.network.W, atol=1e-10)
    np.testing.assert_allclose(labels.network.A[:, order] / scale, plain.network.A, atol=1e-10)
