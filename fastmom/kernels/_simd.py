"""Strips: short vectors for loops over rows that the compiler does not vectorise well by itself.

A strip is one vector register of the dtype, 32 bytes: 4 entries of float64, 8 of float32. Compiled code reads and
writes strips of C-contiguous matrices; nothing checks bounds. Where kernels are interpreted a strip is a NumPy array,
which also defines what every operation does.
"""

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models, register_default
from numba.extending import intrinsic

BYTES = 32
AHEAD = 1 << 14  # bytes that `fetch_ahead` looks ahead: long enough for memory to answer, short enough to stay in L2
FLAGS = ("contract", "reassoc", "nsz")  # those of FASTMATH: the compiler fuses products and sums

_BYTE = ir.IntType(8).as_pointer()


class Strip(types.Type):
    """The type of a strip in compiled code."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.lanes = BYTES * 8 // dtype.bitwidth
        self.entry = ir.FloatType() if dtype == types.float32 else ir.DoubleType()
        super().__init__(name=f"Strip({dtype})")


@register_default(Strip)
class _StripModel(models.PrimitiveModel):
    def __init__(self, manager, strip):
        super().__init__(manager, strip, ir.VectorType(strip.entry, strip.lanes))


def _operation(interpreted):
    """The typed definition compiled, or the interpreted one where nothing is compiled."""

    def choose(typed):
        return interpreted if numba.config.DISABLE_JIT else intrinsic(prefer_literal=True)(typed)

    return choose


def _pointer(context, builder, array_type, array, indices, count):
    """Pointer to `count` entries from the one at `indices`."""
    view = context.make_array(array_type)(context, builder, array)
    pointer = cgutils.get_item_pointer(context, builder, array_type, view, indices, wraparound=False)
    return builder.bitcast(pointer, ir.VectorType(Strip(array_type.dtype).entry, count).as_pointer())


def _shuffle(builder, left, right, lanes):
    return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes)))


def _lanes(a):
    return BYTES // a.itemsize


@_operation(_lanes)
def strip_lanes(typing_context, a):
    """Entries of a strip, BYTES / itemsize: known when compiling, so that loops in such steps need no division."""
    lanes = BYTES * 8 // a.dtype.bitwidth
    return types.intp(a), lambda context, builder, signature, arguments: context.get_constant(types.intp, lanes)


@_operation(lambda a, i, j: a[i, j : j + _lanes(a)].copy())
def load(typing_context, a, i, j):
    """Strip a[i, j : j + lanes] of a matrix."""

    def code(context, builder, signature, arguments):
        array, *indices = arguments
        pointer = _pointer(context, builder, signature.args[0], array, indices, signature.return_type.lanes)
        return builder.load(pointer, align=a.dtype.bitwidth // 8)

    return Strip(a.dtype)(a, types.intp, types.intp), code


def _store(a, i, j, strip):
    a[i, j : j + len(strip)] = strip


@_operation(_store)
def store(typing_context, a, i, j, strip):
    """a[i, j : j + lanes] = strip."""

    def code(context, builder, signature, arguments):
        array, *indices, value = arguments
        pointer = _pointer(context, builder, signature.args[0], array, indices, strip.lanes)
        builder.store(value, pointer, align=a.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(a, types.intp, types.intp, strip), code


@_operation(lambda a, i, j: None)
def fetch_ahead(typing_context, a, i, j):
    """Ask for what lies AHEAD bytes behind a[i, j]: a hint to the memory, harmless beyond the end of the matrix."""

    def code(context, builder, signature, arguments):
        array, *indices = arguments
        pointer = builder.bitcast(_pointer(context, builder, signature.args[0], array, indices, 1), _BYTE)
        number = ir.IntType(32)
        prefetch = ir.FunctionType(ir.VoidType(), [_BYTE, number, number, number])
        prefetch = cgutils.get_or_insert_function(builder.module, prefetch, "llvm.prefetch.p0")
        reading, second_level, data = number(0), number(2), number(1)
        builder.call(prefetch, [builder.gep(pointer, [ir.IntType(64)(AHEAD)]), reading, second_level, data])
        return context.get_dummy_value()

    return types.void(a, types.intp, types.intp), code


@_operation(lambda a, i: np.tile(a[i : i + 4], _lanes(a) // 4))
def load_four(typing_context, a, i):
    """Strip of a[i : i + 4], repeated to fill it."""

    def code(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1:], 4)
        four = builder.load(pointer, align=a.dtype.bitwidth // 8)
        return _shuffle(builder, four, four, [k % 4 for k in range(signature.return_type.lanes)])

    return Strip(a.dtype)(a, types.intp), code


@_operation(lambda x: np.full(_lanes(x), x))
def splat(typing_context, x):
    """Strip whose entries are all x."""

    def code(context, builder, signature, arguments):
        strip = signature.return_type
        empty = ir.Constant(ir.VectorType(strip.entry, strip.lanes), ir.Undefined)
        first = builder.insert_element(empty, arguments[0], ir.IntType(32)(0))
        return _shuffle(builder, first, empty, [0] * strip.lanes)

    return Strip(x)(x), code


@_operation(lambda strip, k: np.full(len(strip), strip[k]))
def entry(typing_context, strip, k):
    """Strip whose entries are all entry k, a constant, of another."""

    def code(context, builder, signature, arguments):
        return _shuffle(builder, arguments[0], arguments[0], [k.literal_value] * strip.lanes)

    return strip(strip, k), code


@_operation(lambda a, b: a + b)
def add(typing_context, a, b):
    """Sum a + b."""
    return a(a, a), lambda context, builder, signature, arguments: builder.fadd(*arguments, flags=FLAGS)


@_operation(lambda a, b: a - b)
def subtract(typing_context, a, b):
    """Difference a - b."""
    return a(a, a), lambda context, builder, signature, arguments: builder.fsub(*arguments, flags=FLAGS)


@_operation(lambda a, b: a * b)
def multiply(typing_context, a, b):
    """Product a b, entry by entry."""
    return a(a, a), lambda context, builder, signature, arguments: builder.fmul(*arguments, flags=FLAGS)


@_operation(lambda a, b, c: a * b + c)
def multiply_add(typing_context, a, b, c):
    """Sum a b + c."""

    def code(context, builder, signature, arguments):
        return builder.fadd(builder.fmul(*arguments[:2], flags=FLAGS), arguments[2], flags=FLAGS)

    return a(a, a, a), code


def _row_sums(*strips):
    return np.tile(np.array([strip.sum() for strip in strips]), len(strips[0]) // 4)


@_operation(_row_sums)
def row_sums(typing_context, a, b, c, d):
    """Strip of the sums of four strips, repeated to fill it."""

    def code(context, builder, signature, arguments):
        def neighbours(left, right):
            even, odd = (_shuffle(builder, left, right, range(first, 2 * a.lanes, 2)) for first in (0, 1))
            return builder.fadd(even, odd, flags=FLAGS)

        total = neighbours(neighbours(*arguments[:2]), neighbours(*arguments[2:]))
        return total if a.lanes == 4 else neighbours(total, total)

    return a(a, a, a, a), code
