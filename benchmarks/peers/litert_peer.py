"""LiteRT: one-operator models, which the interpreter hands to XNNPACK."""

from __future__ import annotations

from typing import Any

import numpy as np
from problem import Problem

from .base import Job, Peer


def litert_xnnpack(p: Problem) -> Job | None:
    """Softmax or LogSoftmax of float32 rows; the input is written once."""
    from ai_edge_litert.interpreter import Interpreter

    if p.operator not in ("softmax", "log_softmax") or p.dtype != np.float32:
        return None
    interpreter = Interpreter(model_content=flatbuffer(p.shape, p.operator), num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    interpreter.set_tensor(source, p.x)
    return Job(interpreter.invoke, lambda: np.asarray(interpreter.get_tensor(target)))


def flatbuffer(shape: tuple[int, ...], operator: str) -> bytes:
    """The bytes of a model that holds one operator over `shape`."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    softmax = operator == "softmax"
    options = schema.SoftmaxOptionsT() if softmax else schema.LogSoftmaxOptionsT()
    if softmax:
        options.beta = 1.0
    kinds, codes = schema.BuiltinOptions, schema.BuiltinOperator
    one = filled(schema.OperatorT(), inputs=[0], outputs=[1], builtinOptions=options)
    one.builtinOptionsType = kinds.SoftmaxOptions if softmax else kinds.LogSoftmaxOptions
    tensors = [
        filled(schema.TensorT(), shape=list(shape), type=schema.TensorType.FLOAT32, name=name, buffer=0)
        for name in "xy"
    ]
    graph = filled(schema.SubGraphT(), tensors=tensors, inputs=[0], outputs=[1], operators=[one])
    number = codes.SOFTMAX if softmax else codes.LOG_SOFTMAX
    code = filled(schema.OperatorCodeT(), builtinCode=number, deprecatedBuiltinCode=number, version=1)
    model = filled(schema.ModelT(), version=3, operatorCodes=[code], subgraphs=[graph], buffers=[schema.BufferT()])
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def filled(record: Any, **fields: object) -> Any:
    """The record with these fields set: the generated schema classes take no arguments."""
    for name, value in fields.items():
        setattr(record, name, value)
    return record


PEERS = (Peer("xnnpack", "ai_edge_litert", litert_xnnpack),)
