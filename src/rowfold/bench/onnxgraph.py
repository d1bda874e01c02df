"""A traced program as an ONNX model: an array module whose functions write nodes instead of computing.

One operator of ONNX for each operation, as an exporter would write it: no log1p or expm1, which ONNX lacks, but log and
exp beside an addition.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
_FLOAT, _INT, _BOOL = "float", "int", "bool"
_SAME = {
    "negative": "Neg", "absolute": "Abs", "abs": "Abs", "sign": "Sign", "reciprocal": "Reciprocal", "sqrt": "Sqrt",
    "exp": "Exp", "log": "Log", "tanh": "Tanh", "sigmoid": "Sigmoid", "softplus": "Softplus", "sin": "Sin",
    "cos": "Cos", "arcsin": "Asin", "arccos": "Acos", "arctan": "Atan", "rint": "Round", "floor": "Floor",
    "stop_gradient": "Identity", "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "minimum": "Min",
    "maximum": "Max", "power": "Pow",
}  # fmt: skip
_PREDICATES = {
    "equal": "Equal", "less": "Less", "less_equal": "LessOrEqual", "greater": "Greater", "logical_or": "Or",
    "greater_equal": "GreaterOrEqual", "logical_and": "And", "logical_not": "Not", "logical_xor": "Xor",
    "isnan": "IsNaN",
}  # fmt: skip


@dataclass(frozen=True)
class Value:
    """The result of a node: its name, what kind of numbers it has, and of an input its shape."""

    graph: Graph
    name: str
    kind: str
    shape: tuple[int, ...] = ()

    def __getitem__(self, key: object) -> Value:
        if key != (..., None):
            raise TypeError(f"no node for [{key}]")
        axis = self.graph.constant(np.array([-1]), _INT)
        return self.graph.node("Unsqueeze", self.kind, self, axis)

    def __add__(self, other: object) -> Value:
        return self.graph.call("add", self, other)

    def __sub__(self, other: object) -> Value:
        return self.graph.call("subtract", self, other)

    def __mul__(self, other: object) -> Value:
        return self.graph.call("multiply", self, other)

    def __truediv__(self, other: object) -> Value:
        return self.graph.call("divide", self, other)


class Graph:
    """Nodes as they are asked for, and the constants that they read."""

    def __init__(self, dtype: type[Any]) -> None:
        self.helper = importlib.import_module("onnx").helper
        self.dtype = dtype
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}

    def functions(self) -> dict[str, Callable[..., Any]]:
        """The array functions of `rowfold.codegen.interpret.apply` and `rowfold.bench.own.straight`."""
        made: dict[str, Callable[..., Any]] = {n: self._calling(n) for n in (*_SAME, *_PREDICATES)}
        made |= {n: self._reducing(f"Reduce{n.title()}") for n in ("max", "min", "prod")}
        made |= {"argmax": self._placing("ArgMax"), "argmin": self._placing("ArgMin")}
        one = self.number(1.0)
        return made | {
            "sum": self._sum,
            "where": self._where,
            "square": lambda a: a * a,
            "rsqrt": lambda a: self.call("reciprocal", self.call("sqrt", a)),
            "exp2": lambda a: self.call("power", self.number(2.0), a),
            "log2": lambda a: self.call("log", a) / self.number(float(np.log(2))),
            "log1p": lambda a: self.call("log", a + one),
            "expm1": lambda a: self.call("exp", a) - one,
            "not_equal": lambda a, b: self.call("logical_not", self.call("equal", a, b)),
            "take_along_axis": lambda a, i, axis: self.node("GatherElements", a.kind, a, i, axis=axis),
            "topk": self._topk,
            "arange": lambda n: self.constant(np.arange(n).astype(self.dtype), _FLOAT),
        }

    def number(self, value: float) -> Value:
        return self.constant(np.array(value, self.dtype), _FLOAT)

    def constant(self, array: Array, kind: str) -> Value:
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return Value(self, name, kind)

    def node(self, operator: str, kind: str, *values: Value, **attributes: Any) -> Value:
        name = f"v{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(operator, [v.name for v in values], [name], **attributes))
        return Value(self, name, kind)

    def call(self, name: str, *values: object) -> Value:
        """An elementwise operation; numbers of different kinds become floats first."""
        taken = [self._value(v) for v in values]
        if len({v.kind for v in taken}) > 1:
            taken = [self._float(v) for v in taken]
        return self.node((_SAME | _PREDICATES)[name], _BOOL if name in _PREDICATES else taken[0].kind, *taken)

    def session(self, inputs: Mapping[str, Array], outputs: tuple[Value, ...]) -> Callable[[], object]:
        """A call of the graph by onnxruntime, on one thread."""
        onnx = importlib.import_module("onnx")
        kinds = {_INT: np.int64, _BOOL: np.bool_, _FLOAT: self.dtype}

        def info(name: str, dtype: Any, shape: tuple[int, ...] | None) -> Any:
            kind = self.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
            return self.helper.make_tensor_value_info(name, kind, shape)

        read = {name for node in self.nodes for name in node.input}
        graph = self.helper.make_graph(
            self.nodes,
            "program",
            [info(name, a.dtype, a.shape) for name, a in inputs.items()],
            [info(v.name, kinds[v.kind], None) for v in outputs],
            [onnx.numpy_helper.from_array(a, name) for name, a in self.constants.items() if name in read],
        )
        return session(graph, inputs)

    def _value(self, value: object) -> Value:
        if isinstance(value, Value):
            return value
        return self.constant(np.array(value), _BOOL) if isinstance(value, bool) else self.number(float(value))  # type: ignore[arg-type]

    def _float(self, value: Value) -> Value:
        if value.kind == _FLOAT:
            return value
        return self.node("Cast", _FLOAT, value, to=self.helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype)))

    def _where(self, condition: Value, yes: object, no: object) -> Value:
        a, b = (self._float(self._value(v)) for v in (yes, no))
        return self.node("Where", _FLOAT, condition, a, b)

    def _sum(self, a: Value, *, axis: int, keepdims: bool) -> Value:
        axes = self.constant(np.array([axis]), _INT)
        return self.node("ReduceSum", _FLOAT, self._float(a), axes, keepdims=int(keepdims))

    def _topk(self, a: Value, k: int) -> tuple[Value, Value]:
        first = self.node("TopK", a.kind, a, self.constant(np.array([k]), _INT), axis=-1)
        second = Value(self, f"{first.name}_at", _INT)
        self.nodes[-1].output.append(second.name)
        return first, second

    def _calling(self, name: str) -> Callable[..., Value]:
        return lambda *values: self.call(name, *values)

    def _reducing(self, operator: str) -> Callable[..., Value]:
        return lambda a, *, axis, keepdims: self.node(operator, a.kind, a, axes=[axis], keepdims=int(keepdims))

    def _placing(self, operator: str) -> Callable[..., Value]:
        return lambda a, *, axis, keepdims: self.node(operator, _INT, a, axis=axis, keepdims=int(keepdims))


def session(graph: Any, inputs: Mapping[str, Array]) -> Callable[[], object]:
    """A call of a graph by onnxruntime, on one thread."""
    ort, onnx = importlib.import_module("onnxruntime"), importlib.import_module("onnx")
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    made = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: made.run(None, dict(inputs))
