"""Rows are the same from any array, every row is visited once, and sums do not depend on how rows are cut."""

import inspect
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmom.kernels import forward, reference
from fastmom.runtime import passes
from fastmom.runtime.passes import Rows, block_rows, sum_over_rows

X = np.random.default_rng(0).integers(-8, 8, (37, 3)).astype(np.float64)
Y = np.random.default_rng(1).integers(-8, 8, (37, 2)).astype(np.float64)


def unaligned(array):
    copy = np.zeros(array.nbytes + 1, dtype=np.uint8)[1:].view(np.float64).reshape(array.shape)
    copy[:] = array
    return copy


def read_only(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def mapped(array, folder):
    np.save(folder / f"{array.shape[1]}.npy", array)
    return np.load(folder / f"{array.shape[1]}.npy", mmap_mode="r")


FORMS = {
    "C": lambda array: array,
    "F": np.asfortranarray,
    "strided rows": lambda array: np.repeat(array, 2, axis=0)[::2],
    "strided columns": lambda array: np.repeat(array, 2, axis=1)[:, ::2],
    "reversed": lambda array: array[::-1].copy()[::-1],
    "reversed columns": lambda array: array[:, ::-1].copy()[:, ::-1],
    "read-only": read_only,
    "unaligned": unaligned,
    "big-endian": lambda array: array.astype(">f8"),
    "float16": lambda array: array.astype(np.float16),
    "float32": lambda array: array.astype(np.float32),
    "longdouble": lambda array: array.astype(np.longdouble),
    "int8": lambda array: array.astype(np.int8),
    "int64": lambda array: array.astype(np.int64),
    "big-endian int": lambda array: array.astype(">i4"),
}


def network(d=3, k=4, m=2, slope=0.1):
    """hidden, outer, slopes."""
    shapes = (d, k), (k + 1, m)
    drawn = (np.random.default_rng(5 + i).standard_normal(shape) for i, shape in enumerate(shapes))
    return *drawn, np.full(k, slope)


def residual_sums(X, Y, **options):
    """Residual pass of a fixed network over the rows."""
    import numpy as np

    from fastmom.kernels import forward
    from fastmom.runtime.passes import Rows, sum_over_rows

    d, k, m = X.shape[1], 4, Y.shape[1]
    hidden, outer = np.cos(np.arange(d * k)).reshape(d, k), np.sin(np.arange((k + 1) * m)).reshape(k + 1, m)
    return sum_over_rows(
        Rows(X, Y),
        forward.residual_pass,
        (hidden, outer, np.zeros(k)),
        width=m + k,
        scratch_width=2 * k + m,
        row_flops=100.0,
        stage="testing",
        **options,
    )


def gathered(rows, size=1000):
    """All rows, from chunks."""
    chunks = list(rows.chunks(size))
    assert [first for first, _, _ in chunks] == list(range(0, rows.n_rows, size))
    for first, inputs, labels in chunks:
        assert len(inputs) == len(labels) == min(size, rows.n_rows - first)
    return np.concatenate([x for _, x, _ in chunks]), np.concatenate([y for _, _, y in chunks])


def plain(array):
    return array.flags.c_contiguous and array.dtype == np.float64 and array.dtype.isnative


# ---- rows


@pytest.mark.parametrize("ones", [False, True])
@pytest.mark.parametrize("form", [*FORMS, "memory map"])
def test_rows_are_the_same_from_any_array(form, ones, tmp_path):
    convert = FORMS.get(form, lambda array: mapped(array, tmp_path))
    sources = convert(X), convert(Y)
    before = [source.tobytes() for source in sources]
    rows = Rows(*sources, ones=ones)
    truth = np.column_stack([X, np.ones(37)]) if ones else X
    for size in (1, 5, 37, 64):
        inputs, labels = gathered(rows, size)
        np.testing.assert_array_equal(inputs, truth)
        np.testing.assert_array_equal(labels, Y)
    np.testing.assert_array_equal(np.concatenate(list(rows.label_chunks(5))), Y)
    chosen = np.array([36, 0, 7, 7])
    inputs, labels = rows.take(chosen)
    np.testing.assert_array_equal(inputs, truth[chosen])
    np.testing.assert_array_equal(labels, Y[chosen])
    assert (rows.n_rows, rows.n_inputs, rows.n_outputs) == (37, 3 + ones, 2)
    assert [source.tobytes() for source in sources] == before


@pytest.mark.parametrize("form", [*FORMS, "memory map"])
def test_chunks_are_plain_and_read_only(form, tmp_path):
    convert = FORMS.get(form, lambda array: mapped(array, tmp_path))
    source = convert(X)
    writeable = source.flags.writeable
    for ones in (False, True):
        for _, inputs, labels in Rows(source, convert(Y), ones=ones).chunks(10):
            assert plain(inputs) and plain(labels)
            assert not inputs.flags.writeable and not labels.flags.writeable
    assert source.flags.writeable == writeable


def test_rows_that_are_taken_are_copies():
    source, labels = X.copy(), Y.copy()
    for ones in (False, True):
        for array in Rows(source, labels, ones=ones).take(np.array([1, 2])):
            assert plain(array)
            array[:] = np.nan
    np.testing.assert_array_equal(source, X)
    np.testing.assert_array_equal(labels, Y)


def test_a_broadcast_row_is_many_rows():
    row = np.broadcast_to(X[:1], (50, 3))
    labels = np.broadcast_to(np.float64(2.0), (50, 2))
    inputs, found = gathered(Rows(row, labels), 20)
    np.testing.assert_array_equal(inputs, np.tile(X[:1], (50, 1)))
    np.testing.assert_array_equal(found, np.full((50, 2), 2.0))


def test_only_the_chunk_at_hand_is_converted():
    source = np.zeros((200_000, 10), dtype=np.float32)
    tracemalloc.start()
    for _ in Rows(source, source).chunks(1000):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6


# ---- blocks


@given(st.integers(1, 10**6))
def test_a_block_is_a_power_of_two_that_fits_the_cache(columns):
    size = block_rows(columns)
    assert size.bit_count() == 1 and 64 <= size <= 4096
    assert size == 64 or 8 * columns * size <= passes._BLOCK_BYTES
    assert size == 4096 or 8 * columns * 2 * size > passes._BLOCK_BYTES
    assert block_rows(columns + 1) <= size


# ---- sums


@pytest.mark.parametrize("n", [1, 63, 4096, 4097, 9001, 20_000])
def test_a_sum_is_the_definition_over_all_rows(n):
    rng = np.random.default_rng(n)
    inputs, labels = rng.standard_normal((n, 7)), rng.standard_normal((n, 2))
    hidden, outer, slopes = network(7)
    kernels = {
        "residual_pass": (2 + 4, 2 * 4 + 2),
        "gradient_pass": (1 + 4 * 7, 2 * 4 + 2),
        "label_moments_pass": (5 * 7, 3 * 4 + 1),
    }
    for name, (width, scratch_width) in kernels.items():
        found = sum_over_rows(
            Rows(inputs, labels),
            getattr(forward, name),
            (hidden, outer, slopes),
            width=width,
            scratch_width=scratch_width,
            row_flops=100.0,
            stage="testing",
        )
        truth = getattr(reference, name)(inputs, labels, hidden, outer, slopes)
        truth = truth[0] if isinstance(truth, tuple) else truth
        np.testing.assert_allclose(found, truth, rtol=1e-12, atol=1e-12 * np.abs(truth).max())


@pytest.mark.parametrize("ones", [False, True])
@pytest.mark.parametrize("n", [1, 700, 50_000])
def test_every_row_is_visited_once_and_in_order(n, ones, monkeypatch):
    monkeypatch.setattr(passes, "_PARTIAL_BYTES", 6 * 8 * 3)  # three blocks a call
    rng = np.random.default_rng(0)
    inputs, labels = rng.standard_normal((n, 3)), rng.standard_normal((n, 2))
    hidden, outer, slopes = network(3 + ones)
    seen = []
    sum_over_rows(
        Rows(inputs, labels, ones=ones),
        forward.residual_pass,
        (hidden, outer, slopes),
        width=6,
        scratch_width=10,
        row_flops=100.0,
        stage="testing",
        visit=lambda first, values: seen.append((first, values.copy())),
    )
    assert [first for first, _ in seen] == np.cumsum([0, *(len(values) for _, values in seen)])[:-1].tolist()
    assert len(seen) == -(-n // (3 * 4096))
    if ones:
        inputs = np.column_stack([inputs, np.ones(n)])
    truth = reference.residual_pass(inputs, labels, hidden, outer, slopes)[1]
    np.testing.assert_allclose(np.concatenate([values for _, values in seen]), truth, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("n", [1, 4095, 30_001])
def test_the_bits_do_not_depend_on_how_many_blocks_a_call_takes(n, monkeypatch):
    rng = np.random.default_rng(2)
    inputs, labels = rng.standard_normal((n, 9)), rng.standard_normal((n, 2))
    whole = residual_sums(inputs, labels)
    for name in ("_CALL_FLOPS", "_PARTIAL_BYTES", "_CALL_BYTES"):
        for value in (1, 10**6, 1 << 50):
            monkeypatch.setattr(passes, name, value)
            np.testing.assert_array_equal(residual_sums(inputs, labels), whole)
        monkeypatch.undo()


def test_a_call_takes_a_bounded_part_of_narrow_rows(monkeypatch):
    longest = []
    chunks = Rows.chunks
    monkeypatch.setattr(Rows, "chunks", lambda self, size: longest.append(size) or chunks(self, size))
    residual_sums(np.zeros((10, 1), dtype=np.float32), np.zeros((10, 1)))
    assert 8 * 3 * longest[0] <= passes._CALL_BYTES


@pytest.mark.parametrize("form", [*FORMS, "memory map"])
def test_the_bits_do_not_depend_on_the_array(form, tmp_path):
    inputs, labels = np.tile(X, (900, 1)), np.tile(Y, (900, 1))
    convert = FORMS.get(form, lambda array: mapped(array, tmp_path))
    found = residual_sums(convert(inputs), convert(labels))
    np.testing.assert_array_equal(found, residual_sums(inputs, labels))


def test_the_bits_do_not_depend_on_the_number_of_threads(run_python, tmp_path):
    rng = np.random.default_rng(3)
    inputs, labels = rng.standard_normal((90_001, 6)), rng.standard_normal((90_001, 3))
    np.save(tmp_path / "X.npy", inputs)
    np.save(tmp_path / "Y.npy", labels)
    code = (
        f"import numpy as np\n{inspect.getsource(residual_sums)}\n"
        "from fastmom.kernels import forward\n"
        "print(residual_sums(np.load('X.npy'), np.load('Y.npy')).tobytes().hex())\n"
        "print(len(forward.residual_pass.parallel.signatures))"
    )
    expected = residual_sums(inputs, labels).tobytes().hex()
    for threads in (1, 2, 4):
        process = run_python("-c", code, env={"NUMBA_NUM_THREADS": str(threads)}, cwd=tmp_path)
        assert process.stdout.split() == [expected, str(int(threads > 1))], process.stderr


def test_progress_is_reported_to_the_last_row(monkeypatch):
    reports = []
    monkeypatch.setattr(passes.progress, "report", lambda *words: reports.append(words))
    monkeypatch.setattr(passes, "_CALL_FLOPS", 1.0)
    residual_sums(np.zeros((10_000, 3)), np.zeros((10_000, 1)))
    assert reports == [("testing", done, 10_000) for done in (4096, 8192, 10_000)]


def test_a_selection_is_the_rows_selected():
    rng = np.random.default_rng(5)
    inputs, labels = rng.standard_normal((5000, 3)).astype(np.float32), rng.standard_normal((5000, 2))
    chosen = np.flatnonzero(rng.random(5000) < 0.4)
    for ones in (False, True):
        part = passes.Selection(Rows(inputs, labels, ones=ones), chosen)
        whole = Rows(inputs[chosen], labels[chosen], ones=ones)
        assert (part.n_rows, part.n_inputs, part.n_outputs) == (whole.n_rows, whole.n_inputs, whole.n_outputs)
        for ours, theirs in zip(part.chunks(700), whole.chunks(700), strict=True):
            assert ours[0] == theirs[0] and all(np.array_equal(a, b) for a, b in zip(ours[1:], theirs[1:], strict=True))
        assert np.array_equal(part.take(np.array([5, 1]))[0], whole.take(np.array([5, 1]))[0])
