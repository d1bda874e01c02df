"""The MLIR is executed: lowered by mlir-opt and mlir-translate to LLVM IR, compiled by llvmlite, held to the bounds."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

from rowfold import gallery, library
from rowfold.codegen.bounding.oracle import judge, oracle
from rowfold.runtime import load_llvm

LOWERING = (
    "--convert-vector-to-scf --lower-vector-mask --convert-scf-to-cf --convert-vector-to-llvm --convert-math-to-llvm "
    "--expand-strided-metadata --finalize-memref-to-llvm --convert-func-to-llvm --convert-arith-to-llvm "
    "--convert-index-to-llvm --convert-cf-to-llvm --reconcile-unrealized-casts"
).split()
LIBRARY = {"softmax": {}, "logsumexp": {}, "layer_norm": {}, "softmax_topk": {"k": 5}}
GALLERY = ("log_softmax", "entropy", "l2_norm", "kurtosis", "masked_softmax", "mean_square", "max_softmax_probability")
ROWS, N = 5, 333


def tool(name):
    found = shutil.which(name) or shutil.which(f"{name}-19")
    if found is None:
        pytest.skip("mlir-opt is not installed (Debian: mlir-19-tools)")
    return found


def lowered(text):
    opt, translate = tool("mlir-opt"), tool("mlir-translate")
    for command in ([opt, *LOWERING], [translate, "--mlir-to-llvmir"]):
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return text


def descriptor(array):
    """A memref as the lowered function takes it: base, aligned, offset, sizes, strides in elements."""
    place, strides = array.ctypes.data, [s // array.itemsize for s in array.strides]
    words = [ctypes.c_int64(w) for w in (0, *array.shape, *strides)]
    return [ctypes.c_void_p(place), ctypes.c_void_p(place), *words]


def memory(array):
    """An argument as MLIR stores it: a mask as bytes, a setting as a double."""
    a = np.asarray(array)
    return np.ascontiguousarray(a.astype(np.int8) if a.dtype == bool else a)


def executed(kernel, rows, dtype, settings):
    """The outputs of the MLIR on these rows, and what the oracle expects."""
    static = {k: v for k, v in settings.items() if k in kernel.static}
    names = [p.name for p in kernel.parameters][: len(rows)]
    plan = kernel.plan((ROWS, N), dtype, given=names, **static)
    values = {p.name: float(p.default) for p in kernel.settings if not p.static}
    outputs = [np.empty((ROWS, N) if plan.program.is_row(o.ref) else
                        (ROWS, plan.program.entries(o.ref)) if plan.program.entries(o.ref) else ROWS,
                        np.int64 if plan.program.stored(o).value == "int" else dtype)
               for o in plan.program.outputs]  # fmt: skip
    params = [np.full(ROWS, values[p.name]) for _, p in plan.program.params]
    text = lowered(kernel.stages((ROWS, N), dtype, given=names, **static)["mlir"])
    symbol = text.split("define void @", 1)[1].split("(", 1)[0]
    loaded = load_llvm.load(load_llvm.build(text), None, symbol)
    held = [*map(memory, rows), *params, *outputs]
    arguments = [word for a in held for word in descriptor(a)]
    ctypes.CFUNCTYPE(None)(load_llvm.address(loaded, symbol))(*arguments)
    return outputs, oracle(plan.program, dict(zip(names, rows, strict=True)), values, np.dtype(dtype))


def worst(kernel, rows, dtype, settings):
    results, expected = executed(kernel, rows, dtype, settings)
    return max(judge(got, want).worst for got, want in zip(results, expected, strict=True))


def sample(dtype, count=1):
    return np.random.default_rng(7).normal(size=(count, ROWS, N)).astype(dtype) * 3


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_the_mlir_of_a_library_kernel_is_within_its_bounds(name, dtype):
    """The same oracle and bounds as for the compiled kernel."""
    assert worst(getattr(library, name), sample(dtype), dtype, LIBRARY[name]) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", GALLERY)
def test_the_mlir_of_a_gallery_kernel_is_within_its_bounds(name, dtype):
    """Kernels of papers, from one row or two."""
    kernel = getattr(gallery, name)
    rows = list(sample(dtype))
    if name == "masked_softmax":
        rows.append(rows[0] > -1)
    assert worst(kernel, rows, dtype, {}) <= 1
