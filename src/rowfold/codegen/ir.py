"""The whole language of programs on one screen.

A `Program` is the traced maths of one row in single-assignment form: a tuple of nodes, each naming earlier nodes
by position (`Ref`). A value is row-shaped (one number an element) or row-constant (one number a row).
`Builder` makes programs; it is the only place where nodes are numbered, and equal nodes get one number.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import NewType

from ..records import dataclass, field, replace
from .role import Role as Role  # noqa: PLC0414 - re-exported

Ref = NewType("Ref", int)
WHERE = "where"  # the input that holds a call's predicate; no parameter can be called so


class Shape(Enum):
    ROW = "row"
    CONST = "row-constant"
    SMALL = "k-vector"  # k numbers a row, the same k for every row: in all but its size a row-constant


_ONE_A_ROW = frozenset({Role.SCALAR, Role.INDEX, Role.SEED, Role.UNKNOWN, Role.TABLE})  # constant along the row
_WIDENESS = {Shape.CONST: 0, Shape.SMALL: 1, Shape.ROW: 2}


class Type(Enum):
    FLOAT = "float"
    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"  # of what is stored: a number a row that a float32 kernel does not round


@dataclass(frozen=True, slots=True)
class Input:
    """A parameter of the row function that is an array at the call."""

    name: str
    role: Role
    ignore: int | None = None  # INDEX only: the value that marks a row to be ignored
    narrow: str = ""  # ROW only: the format of 16 or 8 bits (dtypes.py) that it is stored in, if it is


@dataclass(frozen=True, slots=True)
class Param:
    """A float setting that is passed at run time, within `low` and `high`; `open` excludes `low` itself."""

    name: str
    low: float = -math.inf
    high: float = math.inf
    open: bool = False

    @property
    def positive(self) -> bool:
        return self.low > 0 or (self.low == 0 and self.open)


@dataclass(frozen=True, slots=True)
class Const:
    """A number or boolean known when tracing. Equality is by bits, so that -0.0 and nan keep their identity."""

    value: float | bool
    bits: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", struct.pack("<d", self.value) + bytes([isinstance(self.value, bool)]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Const) and self.bits == other.bits

    def __hash__(self) -> int:
        return hash(self.bits)


@dataclass(frozen=True, slots=True)
class Map:
    """An elementwise operation, named as NumPy names it. Row-shaped when any argument is ("take" excepted)."""

    op: str
    args: tuple[Ref, ...]


@dataclass(frozen=True, slots=True)
class Reduce:
    """A reduction over the elements of a row, or over those where `where` is true. Row-constant.

    As traced: sum prod max min any all argmax argmin, and count() for the row's length.
    After `simplify`: expsum(w, a) = sum w e^a, dot(a, b) = sum a b, mean(x), m2(x) = sum (x - mean x)^2,
    comoment(x, z, ...) = sum (x - mean x) (z - mean z) ..., of up to four rows; wcomoment(w, x, ...) the same with a
    weight at each element and weighted means.
    """

    op: str
    args: tuple[Ref, ...]
    where: Ref | None = None


Node = Input | Param | Const | Map | Reduce

COMPARISONS = frozenset({"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"})
PREDICATES = COMPARISONS | {"logical_and", "logical_or", "logical_not", "logical_xor", "isnan", "isfinite"}
UNARY = frozenset(
    "negative absolute sign square reciprocal sqrt rsqrt exp exp2 expm1 log log2 log1p tanh sigmoid softplus sin cos "
    "arcsin arccos arctan rint floor stop_gradient".split()
)
BINARY = frozenset("add subtract multiply divide minimum maximum power".split())
# tau with sum f = target: threshold(f, tau, target, lo, hi) binds tau; excess(z, target, p) has f = max(z - tau, 0)^p
THRESHOLDS = frozenset({"threshold", "excess"})
SELECTIONS = frozenset({"topk", "topk_at"})  # topk(x, k): the k largest of a row in order; topk_at: their positions
SUMS = frozenset("sum mean dot expsum count m2 comoment wcomoment".split())
REDUCTIONS = SUMS | SELECTIONS | THRESHOLDS | frozenset("prod max min any all argmax argmin".split())
SMALL_FOLDS = frozenset("small_sum small_prod small_max small_min pick".split())  # k-vector -> number; pick(v, index)
# broadcast(x, c): c at every element of x; uniform(position, key); lookup(places, table), NaN where there is no place
MAPS = UNARY | BINARY | PREDICATES | SMALL_FOLDS | {"where", "take", "broadcast", "cumsum", "uniform", "lookup"}
INTEGER_RESULTS = frozenset({"argmax", "argmin", "topk_at"})


@dataclass(frozen=True, slots=True)
class Output:
    """One result. `dtype` is a NumPy dtype name when the row function ends in `.astype`, else None.

    `total`: the sum of a row over the batch, its rows added one after the other, in double (float64: two-sum) lanes.
    """

    ref: Ref
    dtype: str | None = None
    total: bool = False
    narrow: str = ""  # the format of 16 or 8 bits that the kernel stores it in, if it does


@dataclass(frozen=True, slots=True)
class Program:
    """The maths of one row. `names[i]` is the user's own name of node i, or "" where there is none."""

    name: str
    nodes: tuple[Node, ...]
    shapes: tuple[Shape, ...]
    types: tuple[Type, ...]
    names: tuple[str, ...]
    outputs: tuple[Output, ...]

    @property
    def inputs(self) -> tuple[tuple[Ref, Input], ...]:
        """The inputs in the order of the row function's parameters, without the generated positions."""
        found = ((Ref(i), n) for i, n in enumerate(self.nodes) if isinstance(n, Input))
        return tuple((r, n) for r, n in found if n.role not in (Role.POSITIONS, Role.UNKNOWN))

    @property
    def params(self) -> tuple[tuple[Ref, Param], ...]:
        return tuple((Ref(i), n) for i, n in enumerate(self.nodes) if isinstance(n, Param))

    def is_row(self, ref: Ref) -> bool:
        return self.shapes[ref] is Shape.ROW

    def entries(self, ref: Ref) -> int:
        """The length of a k-vector; 0 for what is none."""
        return entries(self.nodes, self.shapes, ref)

    @property
    def shortest(self) -> int:
        """The least row length that a call may have: an index needs an element, and k largest need k."""
        index = any(i.role is Role.INDEX for _, i in self.inputs)
        return max([int(index), *(self.entries(Ref(i)) for i, _ in enumerate(self.nodes))])

    def stored(self, output: Output) -> Type:
        """What a kernel writes: booleans, int64 and float64 numbers themselves, the rest as computed, to be cast."""
        dtype = output.dtype or {Type.BOOL: "bool", Type.INT: "int64"}.get(self.types[output.ref], "")
        whole = dtype == "int64" or ("int" in dtype and not self.is_row(output.ref))
        if output.total or (dtype == "float64" and self.shapes[output.ref] is Shape.CONST):
            return Type.DOUBLE
        return Type.BOOL if dtype == "bool" else Type.INT if whole else Type.FLOAT

    def narrowed(self, formats: Mapping[str, str]) -> Program:
        """The same maths on rows stored in these formats, by parameter; "" names that of the float results."""
        tables = {n.args[1] for n in self.nodes if isinstance(n, Map) and n.op == "lookup"}
        nodes = tuple(
            replace(n, narrow=formats.get(n.name, ""))
            if isinstance(n, Input) and n.role is Role.ROW and i not in tables
            else n
            for i, n in enumerate(self.nodes)
        )
        floats = [self.stored(o) is Type.FLOAT and o.dtype is None and not o.total for o in self.outputs]
        kinds = [formats.get("", "") if is_float else "" for is_float in floats]
        return replace(self, nodes=nodes, outputs=tuple(map(_stored_in, self.outputs, kinds)))

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _stored_in(output: Output, narrow: str) -> Output:
    return replace(output, narrow=narrow)


def entries(nodes: Sequence[Node], shapes: Sequence[Shape], ref: Ref) -> int:
    """The length of a k-vector; 0 for what is none."""
    while shapes[ref] is Shape.SMALL:
        match nodes[ref]:
            case Reduce(_, (_, k)) if isinstance(size := nodes[k], Const):
                return int(size.value)
            case node:
                ref = next(a for a in operands(node) if shapes[a] is Shape.SMALL)
    return 0


def operands(node: Node) -> tuple[Ref, ...]:
    """The nodes that this one reads, its predicate last."""
    match node:
        case Input() | Param() | Const():
            return ()
        case Map(_, args):
            return args
        case Reduce(_, args, where):
            return args if where is None else (*args, where)


class Builder:
    """Makes a program node by node. Equal nodes are one node, so common subexpressions are shared."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[Node] = []
        self.shapes: list[Shape] = []
        self.types: list[Type] = []
        self.names: list[str] = []
        self._known: dict[Node, Ref] = {}

    def add(self, node: Node, name: str = "") -> Ref:
        ref = self._known.get(node)
        if ref is None:
            ref = self._known[node] = Ref(len(self.nodes))
            self.nodes.append(node)
            self.shapes.append(self._shape(node))
            self.types.append(self._type(node))
            self.names.append(name)
        elif name and not self.names[ref]:
            self.names[ref] = name
        return ref

    def replace_input(self, ref: Ref, node: Input) -> None:
        """Gives a leaf another role, once its use has told what it is."""
        del self._known[self.nodes[ref]]
        self.nodes[ref], self.types[ref] = node, self._type(node)
        self._known[node] = ref

    def const(self, value: float | bool) -> Ref:
        return self.add(Const(value))

    def map(self, op: str, *args: Ref, name: str = "") -> Ref:
        return self.add(Map(op, args), name)

    def reduce(self, op: str, *args: Ref, where: Ref | None = None, name: str = "") -> Ref:
        return self.add(Reduce(op, args, where), name)

    def is_row(self, ref: Ref) -> bool:
        return self.shapes[ref] is Shape.ROW

    def entries(self, ref: Ref) -> int:
        return entries(self.nodes, self.shapes, ref)

    def finish(self, outputs: Iterable[Output]) -> Program:
        """The program of these outputs. Nodes that no output needs are dropped; inputs and params always stay."""
        outputs = tuple(outputs)
        live = self._live(outputs)
        new = {old: Ref(i) for i, old in enumerate(live)}
        nodes = tuple(renumber(self.nodes[i], new) for i in live)
        return Program(
            self.name,
            nodes,
            tuple(self.shapes[i] for i in live),
            tuple(self.types[i] for i in live),
            tuple(self.names[i] for i in live),
            tuple(replace(o, ref=new[o.ref]) for o in outputs),
        )

    def summed(self, outputs: Iterable[Output]) -> frozenset[Ref]:
        """The exponents whose exponentials are summed for these outputs."""
        nodes = (self.nodes[i] for i in self._live(tuple(outputs)))
        return frozenset(n.args[1] for n in nodes if isinstance(n, Reduce) and n.op == "expsum")

    def _live(self, outputs: tuple[Output, ...]) -> list[Ref]:
        keep = {o.ref for o in outputs}
        for i in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[i]
            if Ref(i) in keep or isinstance(node, Param) or (isinstance(node, Input) and node.name):
                keep.add(Ref(i))
                keep.update(operands(node))
        return sorted(keep)

    def _shape(self, node: Node) -> Shape:
        match node:
            case Input(_, role):
                return Shape.CONST if role in _ONE_A_ROW else Shape.ROW
            case Reduce(op) if op in SELECTIONS:
                return Shape.SMALL
            case Param() | Const() | Reduce():
                return Shape.CONST
            case Map(op) if op == "take" or op in SMALL_FOLDS:
                return Shape.CONST
            case Map("lookup", (places, _)):
                return self.shapes[places]
            case Map(_, args):
                return max((self.shapes[a] for a in args), key=_WIDENESS.__getitem__)

    def _type(self, node: Node) -> Type:
        match node:
            case Input(_, role):
                return {Role.MASK: Type.BOOL, Role.INDEX: Type.INT, Role.SEED: Type.INT}.get(role, Type.FLOAT)
            case Param():
                return Type.FLOAT
            case Const(value):
                return Type.BOOL if isinstance(value, bool) else Type.FLOAT
            case Reduce(op):
                return Type.BOOL if op in ("any", "all") else Type.INT if op in INTEGER_RESULTS else Type.FLOAT
            case Map("where", args):
                return self.types[args[1]] if self.types[args[1]] is self.types[args[2]] else Type.FLOAT
            case Map("broadcast", args):
                return self.types[args[1]]
            case Map("take" | "stop_gradient" | "pick", args):
                return self.types[args[0]]
            case Map(op):
                return Type.BOOL if op in PREDICATES else Type.FLOAT


def renumber(node: Node, new: dict[Ref, Ref]) -> Node:
    """The same node, its operands renamed."""
    match node:
        case Input() | Param() | Const():
            return node
        case Map(op, args):
            return Map(op, tuple(new[a] for a in args))
        case Reduce(op, args, where):
            return Reduce(op, tuple(new[a] for a in args), None if where is None else new[where])


def _lines(program: Program) -> Iterable[str]:
    yield f"program {program.name}"
    for i, node in enumerate(program.nodes):
        label = program.names[i] or f"%{i}"
        yield f"  {label:>12} : {program.shapes[i].value:12} = {_text(program, node)}"
    names = (program.names[o.ref] or f"%{o.ref}" for o in program.outputs)
    casts = (f" as {o.dtype}" if o.dtype else "" for o in program.outputs)
    yield "  return " + ", ".join(n + c for n, c in zip(names, casts, strict=True))


def _text(program: Program, node: Node) -> str:
    def show(ref: Ref) -> str:
        target = program.nodes[ref]
        return repr(target.value) if isinstance(target, Const) else program.names[ref] or f"%{ref}"

    match node:
        case Input(_, role):
            return f"input {role.value}"
        case Param(_, low, high):
            return f"setting in {'(' if node.open else '['}{low}, {high}]"
        case Const(value):
            return repr(value)
        case Map(op, args):
            return f"{op}({', '.join(map(show, args))})"
        case Reduce(op, args, where):
            tail = "" if where is None else f" where {show(where)}"
            return f"{op}({', '.join(map(show, args))}){tail}"


def elements_of(program: Program) -> list[bool]:
    """Which nodes are elements of a row: row-shaped, or computed from one that was taken at an index."""
    found: list[bool] = []
    for i, node in enumerate(program.nodes):
        match node:
            case Map(op, args):
                found.append(op == "take" or program.is_row(Ref(i)) or any(found[a] for a in args))
            case Input() | Param() | Const() | Reduce():
                found.append(program.is_row(Ref(i)))
    return found


def any_element(program: Program, refs: Sequence[Ref]) -> bool:
    """Whether one of these nodes is an element of a row."""
    found = elements_of(program)
    return any(found[ref] for ref in refs)
