"""onnxruntime and OpenVINO on the same small ONNX models, one thread, memory bound in advance."""

from __future__ import annotations

from typing import Any

import numpy as np
from problem import EPS, TEMPERATURE, Array, Problem

from .base import Job, Peer

_OPSET, _IR = 23, 11


def model(p: Problem) -> tuple[bytes, dict[str, Array]] | None:
    """A model of the operator with the inputs that it takes, named; None where ONNX has no operator for it."""
    from onnx import TensorProto, helper, numpy_helper

    element = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "float16": TensorProto.FLOAT16}
    if np.dtype(p.dtype).name not in element or p.operator not in _NODES:
        return None
    real = element[np.dtype(p.dtype).name]
    nodes, inputs, shape = _NODES[p.operator](p, helper)
    kinds = {"float": real, "bool": TensorProto.BOOL, "int64": TensorProto.INT64}
    values = [
        helper.make_tensor_value_info(n, kinds["float" if a.dtype == p.dtype else a.dtype.name], a.shape)
        for n, a in inputs.items()
    ]
    constants = {"minus_inf": np.array(-np.inf, p.dtype), "by": np.array(1 / TEMPERATURE, p.dtype)}
    constants |= {"last": np.array([-1]), "k": np.array([p.k if p.operator.startswith("softmax_topk") else 1])}
    text = str(nodes)
    held = [numpy_helper.from_array(a, name) for name, a in constants.items() if f'"{name}"' in text]
    out = helper.make_tensor_value_info("y", real, shape)
    graph = helper.make_graph(nodes, p.operator, values, [out], held)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    return made.SerializeToString(), inputs


def _plain(op: str, *, row: bool = True, **attributes: Any) -> Any:
    def nodes(p: Problem, helper: Any) -> Any:
        names = ["x"] if row else ["x", "last"]
        shape = p.shape if row else p.shape[:1]
        return [helper.make_node(op, names, ["y"], **attributes)], {"x": p.x}, shape

    return nodes


def _topk(p: Problem, helper: Any) -> Any:
    nodes = [helper.make_node("Softmax", ["x"], ["e"], axis=-1), helper.make_node("TopK", ["e", "k"], ["y", "at"])]
    return nodes, {"x": p.x}, (p.shape[0], p.k)


def _masked(p: Problem, helper: Any) -> Any:
    nodes = [helper.make_node("Where", ["m", "x", "minus_inf"], ["e"]), helper.make_node("Softmax", ["e"], ["y"])]
    return nodes, {"x": p.x, "m": p.mask}, p.shape


def _cooled(p: Problem, helper: Any) -> Any:
    return [helper.make_node("Mul", ["x", "by"], ["e"]), helper.make_node("Softmax", ["e"], ["y"])], {"x": p.x}, p.shape


def _loss(p: Problem, helper: Any) -> Any:
    node = helper.make_node("SoftmaxCrossEntropyLoss", ["x", "t"], ["y"], reduction="none")
    return [node], {"x": p.x, "t": p.target}, p.shape[:1]


def _layer_norm(p: Problem, helper: Any) -> Any:
    node = helper.make_node("LayerNormalization", ["x", "w", "b"], ["y"], epsilon=EPS)
    return [node], {"x": p.x, "w": p.weight, "b": p.bias}, p.shape


def _rms_norm(p: Problem, helper: Any) -> Any:
    node = helper.make_node("RMSNormalization", ["x", "w"], ["y"], epsilon=EPS)
    return [node], {"x": p.x, "w": p.weight}, p.shape


_NODES: dict[str, Any] = {
    "softmax": _plain("Softmax", axis=-1),
    "log_softmax": _plain("LogSoftmax", axis=-1),
    "logsumexp": _plain("ReduceLogSumExp", row=False, keepdims=0),
    "cross_entropy": _loss,
    "softmax_topk5": _topk,
    "softmax_topk50": _topk,
    "masked_softmax": _masked,
    "temperature_softmax": _cooled,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
}


def onnx_runtime(p: Problem) -> Job | None:
    """Input and output bound to memory that is already there."""
    import onnxruntime as ort

    found = model(p)
    if found is None:
        return None
    data, inputs = found
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    binding, out = session.io_binding(), session.get_outputs()[0]
    y = np.empty(out.shape, p.dtype)
    for name, a in inputs.items():
        binding.bind_input(name, "cpu", 0, a.dtype.type, a.shape, a.ctypes.data)
    binding.bind_output("y", "cpu", 0, np.dtype(p.dtype).type, y.shape, y.ctypes.data)
    return Job(lambda: session.run_with_iobinding(binding), lambda: y)


def openvino(p: Problem) -> Job | None:
    """The same model compiled for one stream and one thread, in the precision that it is written in."""
    import openvino as ov

    found = model(p)
    if found is None or np.dtype(p.dtype).name == "float64":
        return None
    core = ov.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(found[0], b""), "CPU", settings)
    request = compiled.create_infer_request()
    for name, a in found[1].items():
        request.set_tensor(name, ov.Tensor(a, shared_memory=True))
    return Job(request.infer, lambda: np.asarray(request.get_output_tensor(0).data))


PEERS = (Peer("onnxruntime", "onnxruntime", onnx_runtime), Peer("openvino", "openvino", openvino))
