"""Every library that can compute a float32 row softmax on this machine, behind one small interface.

A peer is prepared once for an input and gives back a `Job`: `run` computes into memory the peer already holds, as far
as its API lets it, and `result` shows the output as NumPy. A library that is missing is reported, never a failure.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Job:
    """One prepared computation; only `run` is timed."""

    run: Callable[[], object]
    result: Callable[[], Array]


@dataclass(frozen=True, slots=True)
class Peer:
    """A row of the table: the module whose version is reported, and how to prepare it."""

    name: str
    module: str
    prepare: Callable[[Array], Job]

    def version(self) -> str | None:
        """The installed version, or None where the library is absent."""
        try:
            module = importlib.import_module(self.module)
        except ImportError:
            return None
        return str(getattr(module, "__version__", "unknown"))


def rowfold(x: Array) -> Job:
    """The kernel under test, called as a user would: through Python, with `out=`."""
    from rowfold.library import softmax

    y = np.empty_like(x)
    return Job(lambda: softmax(x, out=y), lambda: y)


def numpy_expression(x: Array) -> Job:
    """What a careful NumPy user writes: every step in place."""
    y = np.empty_like(x)

    def run() -> None:
        np.subtract(x, np.max(x, axis=-1, keepdims=True), out=y)
        np.exp(y, out=y)
        np.divide(y, np.sum(y, axis=-1, keepdims=True), out=y)

    return Job(run, lambda: y)


def scipy_special(x: Array) -> Job:
    """`scipy.special.softmax`, which has no `out=`."""
    from scipy.special import softmax

    return Job(lambda: softmax(x, axis=-1), lambda: np.asarray(softmax(x, axis=-1)))


def torch_eager(x: Array) -> Job:
    """`torch.softmax(out=)` on one thread, without autograd."""
    import torch

    torch.set_num_threads(1)
    source, y = torch.from_numpy(x), np.empty_like(x)
    target = torch.from_numpy(y)

    def run() -> None:
        with torch.inference_mode():
            torch.softmax(source, -1, out=target)

    return Job(run, lambda: y)


def jax_jit(x: Array) -> Job:
    """`jax.jit(jax.nn.softmax)`; XLA allocates its output."""
    import jax

    source = jax.device_put(x, jax.devices("cpu")[0])
    softmax = jax.jit(jax.nn.softmax)
    return Job(lambda: softmax(source).block_until_ready(), lambda: np.asarray(softmax(source)))


def onnx_runtime(x: Array) -> Job:
    """A one-node Softmax model on one thread, input and output bound to memory that is already there."""
    import onnxruntime as ort
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Softmax", ["x"], ["y"], axis=-1)], "softmax", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding, y = session.io_binding(), np.empty_like(x)
    binding.bind_input("x", "cpu", 0, np.float32, x.shape, x.ctypes.data)
    binding.bind_output("y", "cpu", 0, np.float32, y.shape, y.ctypes.data)
    return Job(lambda: session.run_with_iobinding(binding), lambda: y)


def litert_xnnpack(x: Array) -> Job:
    """A one-operator LiteRT model, which the interpreter hands to XNNPACK; the input is written once."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=softmax_flatbuffer(x.shape), num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    interpreter.set_tensor(source, x)
    return Job(interpreter.invoke, lambda: np.asarray(interpreter.get_tensor(target)))


def softmax_flatbuffer(shape: tuple[int, ...]) -> bytes:
    """The bytes of a LiteRT model that holds one Softmax operator over `shape`."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    operator = filled(schema.OperatorT(), inputs=[0], outputs=[1], builtinOptions=options)
    operator.builtinOptionsType = schema.BuiltinOptions.SoftmaxOptions
    tensors = [
        filled(schema.TensorT(), shape=list(shape), type=schema.TensorType.FLOAT32, name=name, buffer=0)
        for name in "xy"
    ]
    graph = filled(schema.SubGraphT(), tensors=tensors, inputs=[0], outputs=[1], operators=[operator])
    code = filled(schema.OperatorCodeT(), builtinCode=schema.BuiltinOperator.SOFTMAX, version=1)
    code.deprecatedBuiltinCode = schema.BuiltinOperator.SOFTMAX
    model = filled(schema.ModelT(), version=3, operatorCodes=[code], subgraphs=[graph], buffers=[schema.BufferT()])
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def filled(record: Any, **fields: object) -> Any:
    """The record with these fields set: the generated schema classes take no arguments."""
    for name, value in fields.items():
        setattr(record, name, value)
    return record


PEERS = (
    Peer("rowfold", "rowfold", rowfold),
    Peer("onnxruntime", "onnxruntime", onnx_runtime),
    Peer("xnnpack", "ai_edge_litert", litert_xnnpack),
    Peer("torch", "torch", torch_eager),
    Peer("jax", "jax", jax_jit),
    Peer("scipy", "scipy", scipy_special),
    Peer("numpy", "numpy", numpy_expression),
)
