"""MLIR that tools accept: xdsl parses and verifies it, and Debian's mlir-opt lowers it, where they are installed."""

import shutil
import subprocess

import numpy as np
import pytest

import rowfold as rf
from rowfold import library

LOWERING = (
    "--convert-vector-to-scf --lower-vector-mask --convert-scf-to-cf --convert-vector-to-llvm --convert-math-to-llvm "
    "--expand-strided-metadata --finalize-memref-to-llvm --convert-func-to-llvm --convert-arith-to-llvm "
    "--convert-index-to-llvm --convert-cf-to-llvm --reconcile-unrealized-casts"
).split()


@rf.kernel
def selected(x, *, k: int = 5):
    v, at = rf.topk(x, k)
    return library.softmax(v), at, np.argmax(x)


@rf.kernel
def third_moment(x):
    d = x - np.mean(x)
    return np.mean(d**3)


@rf.kernel
def solved(x):
    return rf.threshold(lambda v, t: rf.sigmoid(v - t), 3.0, x, lo=-50.0, hi=50.0)


LIBRARY = ("softmax", "log_softmax", "logsumexp", "layer_norm", "cross_entropy", "entropy", "entmax15")
KERNELS = {k.name: k for k in (*(getattr(library, name) for name in LIBRARY), selected, third_moment, solved)}
every_kernel = pytest.mark.parametrize("name", sorted(KERNELS))
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def free(name, operands):
    """An operation of any types: xdsl's comparisons and selections know no vectors."""
    from xdsl.dialects.arith import FastMathFlagsAttr
    from xdsl.dialects.builtin import IntegerAttr
    from xdsl.irdl import AnyAttr, IRDLOperation, irdl_op_definition, operand_def, opt_prop_def, result_def

    fields = {operand: operand_def(AnyAttr()) for operand in operands}
    fields |= {"result": result_def(AnyAttr()), "predicate": opt_prop_def(IntegerAttr)}
    fields |= {"fastmath": opt_prop_def(FastMathFlagsAttr), "name": name, "__annotations__": {}}
    return irdl_op_definition(type("Free", (IRDLOperation,), fields))


@every_dtype
@every_kernel
def test_xdsl_verifies_the_text(name, dtype):
    """Every operation, type and region is what its dialect says."""
    pytest.importorskip("xdsl", reason="the MLIR is verified with xdsl, of the extra test")
    from xdsl.context import Context
    from xdsl.dialects import arith, builtin, func, math, memref, scf, vector
    from xdsl.ir import Dialect
    from xdsl.parser import Parser

    own = {"arith.cmpf": "ab", "arith.cmpi": "ab", "arith.select": "cab"}
    operations = [op for op in arith.Arith.operations if op.name not in own]
    ours = Dialect("arith", [*operations, *(free(*one) for one in own.items())], list(arith.Arith.attributes))
    context = Context()
    for dialect in (ours, builtin.Builtin, func.Func, math.Math, memref.MemRef, scf.Scf, vector.Vector):
        context.load_dialect(dialect)
    module = Parser(context, KERNELS[name].stages((4, 100), dtype)["mlir"]).parse_module()
    assert module.verify() is None


@every_dtype
@every_kernel
def test_mlir_opt_lowers_the_text(name, dtype):
    """Upstream's own tool verifies it and leaves nothing but its LLVM dialect."""
    tool = shutil.which("mlir-opt") or shutil.which("mlir-opt-19")
    if tool is None:
        pytest.skip("mlir-opt is not installed (Debian: mlir-19-tools)")
    text = KERNELS[name].stages((4, 100), dtype)["mlir"]
    done = subprocess.run([tool, *LOWERING], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, "vector.load" in done.stdout) == (0, "", False)
