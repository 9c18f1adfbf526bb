"""The fused kernel in LLVM's language, and as machine code; needs llvmlite.

All of it is written with vectors of eight numbers, which LLVM splits where a processor has shorter
ones: nothing rests on what a compiler finds in loops, and no operation may be moved across another
one, but for the product and the sum, which it may fuse.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

# Numbers of a vector, rows of a tile, and the columns whose right factor stays in a core's cache.
LANES, ROWS, CACHED = 8, 6, 512
I8, I16, I32, I64 = map(ir.IntType, (8, 16, 32, 64))
HALF, SINGLE, DOUBLE = ir.HalfType(), ir.FloatType(), ir.DoubleType()


def compiled(
    dtype: str, cpu: str | None = None, features: str | None = None
) -> tuple[Callable[..., int], int, object] | None:
    """The kernel, the columns that it takes at a time, and what owns the machine code.

    dtype: that of the base as safetensors names it, F16, BF16 or F32. For this machine, or another
    processor and its features as LLVM names them; None where that cannot convert float16.

    kernel(left, right, base, out, rows, rank, columns, scale, beta) returns 0 if all that it stored
    is finite. It is given the addresses of contiguous matrices; `right` is cut into parts of as many
    columns as it takes at a time, the last of which overlaps with the one before. It has at least
    ROWS rows.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    cpu = llvm.get_host_cpu_name() if cpu is None else cpu
    features = llvm.get_host_cpu_features().flatten() if features is None else features
    if dtype == "F16" and target.name.startswith("x86") and "+f16c" not in features:
        return None
    vectors = 2 if "+avx512f" in features else 1
    machine = target.create_target_machine(cpu=cpu, features=features, opt=3)
    module = llvm.parse_assembly(written(dtype, vectors))
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(module, passes)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    address, count, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
    # A call by ctypes is without the interpreter's lock.
    signature = ctypes.CFUNCTYPE(ctypes.c_int8, *[address] * 4, *[count] * 3, *[number] * 2)
    return signature(engine.get_function_address("kernel")), LANES * vectors, engine


def written(dtype: str, vectors: int) -> str:
    """The kernel as text, for tiles of so many vectors of columns."""
    pointer, bits, width = ir.PointerType(), I32 if dtype == "F32" else I16, LANES * vectors
    kind = ir.FunctionType(I8, [pointer] * 4 + [I64] * 3 + [DOUBLE] * 2)
    function = ir.Function(ir.Module(), kind, "kernel")
    left, right, base, out, rows, rank, columns, scale, beta = function.args
    b = ir.IRBuilder(function.append_basic_block())

    def place(of: Any, matrix: Any, *summands: Any) -> Any:
        index = summands[0]
        for summand in summands[1:]:
            index = b.add(index, summand)
        return b.gep(matrix, [index], source_etype=of)

    scales, betas = _spread(b, scale), _spread(b, beta)
    wrong = b.alloca(_vector(ir.IntType(1)))
    b.store(_all(ir.IntType(1), 0), wrong)
    tile = [[b.alloca(_vector(DOUBLE)) for _ in range(vectors)] for _ in range(ROWS)]
    with (
        _loop(b, I64(0), columns, CACHED) as part,
        _loop(b, I64(0), rows, ROWS) as row,
        _loop(b, part, _least(b, b.add(part, I64(CACHED)), columns), width) as column,
    ):
        # The last rows and columns are moved back to where a tile is full: some are computed twice.
        top = _least(b, row, b.sub(rows, I64(ROWS)))
        first = _least(b, column, b.sub(columns, I64(width)))
        lines = [(b.add(top, I64(number)), line) for number, line in enumerate(tile)]
        for sums in (sums for line in tile for sums in line):
            b.store(_all(DOUBLE, 0.0), sums)
        with _loop(b, I64(0), rank, 1) as k:
            start = b.add(b.mul(column, rank), b.mul(k, I64(width)))
            others = [place(DOUBLE, right, start, I64(n)) for n in range(0, width, LANES)]
            others = [b.load(other, align=8, typ=_vector(DOUBLE)) for other in others]
            for number, line in lines:
                one = b.load(place(DOUBLE, left, b.mul(number, rank), k), typ=DOUBLE)
                for sums, other in zip(line, others, strict=True):
                    term = b.fmul(_spread(b, one), other, flags=("contract",))
                    b.store(b.fadd(term, b.load(sums), flags=("contract",)), sums)
        for number, line in lines:
            for n, sums in enumerate(line):
                delta = b.fmul(b.fmul(b.load(sums), scales), betas)
                at = b.mul(number, columns), first, I64(LANES * n)
                stored = b.load(place(bits, base, *at), align=bits.width // 8, typ=_vector(bits))
                found, bad = _rounded(b, dtype, delta, stored)
                b.store(found, place(bits, out, *at), align=bits.width // 8)
                b.store(b.or_(b.load(wrong), bad), wrong)
    b.ret(b.bitcast(b.load(wrong), I8))
    return str(function.module)


def _rounded(b: Any, dtype: str, delta: Any, stored: Any) -> tuple[Any, Any]:
    """The bits of stored + delta, and which are not finite; rounded as `interpolate_rows` does."""
    if dtype == "F32":
        wide = b.fpext(b.bitcast(stored, _vector(SINGLE)), _vector(DOUBLE))
        found = b.bitcast(b.fptrunc(b.fadd(wide, delta), _vector(SINGLE)), _vector(I32))
        return found, _not_finite(b, I32, found, 0x7F800000)
    delta = b.fptrunc(delta, _vector(SINGLE))
    if dtype == "F16":
        wide = b.fpext(b.bitcast(stored, _vector(HALF)), _vector(SINGLE))
        found = b.bitcast(b.fptrunc(b.fadd(delta, wide), _vector(HALF)), _vector(I16))
        return found, _not_finite(b, I16, found, 0x7C00)
    # To the nearest by integers: instructions for bfloat16 take its subnormal numbers for zeros.
    sixteen = _all(I32, 16)
    wide = b.bitcast(b.shl(b.zext(stored, _vector(I32)), sixteen), _vector(SINGLE))
    exact = b.bitcast(b.fadd(delta, wide), _vector(I32))
    odd = b.and_(b.lshr(exact, sixteen), _all(I32, 1))
    found = b.lshr(b.add(b.add(exact, _all(I32, 0x7FFF)), odd), sixteen)
    bad = b.or_(_not_finite(b, I32, exact, 0x7F800000), _not_finite(b, I32, found, 0x7F80))
    return b.trunc(found, _vector(I16)), bad


def _not_finite(b: Any, of: Any, found: Any, exponent: int) -> Any:
    mask = _all(of, exponent)
    return b.icmp_unsigned("==", b.and_(found, mask), mask)


@contextmanager
def _loop(b: Any, start: Any, stop: Any, step: int) -> Iterator[Any]:
    """What is written within is done for every number from `start` to `stop`."""
    head, body, after = (b.function.append_basic_block() for _ in range(3))
    # In the first block: one within a loop would take new memory each time.
    with b.goto_entry_block():
        variable = b.alloca(I64)
    b.store(start, variable)
    b.branch(head)
    b.position_at_end(head)
    number = b.load(variable)
    b.cbranch(b.icmp_signed("<", number, stop), body, after)
    b.position_at_end(body)
    yield number
    b.store(b.add(number, I64(step)), variable)
    b.branch(head)
    b.position_at_end(after)


def _vector(of: Any) -> Any:
    return ir.VectorType(of, LANES)


def _all(of: Any, value: float) -> Any:
    return ir.Constant(_vector(of), [value] * LANES)


def _spread(b: Any, number: Any) -> Any:
    """The float64 `number` in every place of a vector."""
    none = ir.Constant(_vector(DOUBLE), ir.Undefined)
    return b.shuffle_vector(b.insert_element(none, number, I32(0)), none, _all(I32, 0))


def _least(b: Any, one: Any, other: Any) -> Any:
    return b.select(b.icmp_signed("<", one, other), one, other)
