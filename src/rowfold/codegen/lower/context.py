"""What lowering knows while it writes a kernel: names, row-constant values so far, and each group's shift."""

from __future__ import annotations

import math

from ...records import dataclass, field
from ..ir import SMALL_FOLDS, Const, Input, Map, Param, Program, Reduce, Ref, Role, Type, any_element, operands
from ..isas import isa_of
from ..loops import Code, Kind, Names, Port, Stmt, Var
from ..mathlib.exponential import UNIT
from ..plan import Group, Plan
from .displaced import whole
from .forms import (
    CALLS,
    COMPARE,
    NUM_OPS,
    DisplacedSum,
    Flag,
    Number,
    NumForm,
    Offset,
    Plain,
    Scaled,
    far_sum,
    fits,
    offset,
    op,
    plus,
    scaled,
    times,
)
from .logs import LN2, log_of_displaced, log_of_scaled
from .moderate import moderate, unit_of
from .smallrows import chosen, small_fold

LOG2E = math.log2(math.e)
LOG2E_LO = 2.0355273740931033e-17  # log2 e - LOG2E

# Below 2^-DROP an exponential is nothing beside the largest; above LIMIT the exponent's reduction is no longer exact.
DROP = {"f32": 190.0, "f64": 1100.0}
BIASED_DROP = {"f32": 176.0, "f64": 1092.0}  # under a bias: in float32 not even a subnormal number, which is slow
BIAS = 72.0  # the least result, 2^-149 of the sum, is then normal beside it; products with a float64 row may overflow
LIMIT = 94548.0  # 2^16 log2 e
NEAR = 512.0  # the same for float32 without fma: three constants leave 2^-36 of the exponent
FLAT = 2.0**-100  # stands for a smaller factor, by which no exponent can be divided
FAR = 2.0**49  # beyond it e^x is 0 or infinite whatever it meets
INF = math.inf


@dataclass(slots=True)
class Shift:
    """A group's shift as variables: e^(factor x) = e * 2^n * e^(factor shift), with every e at most about 1."""

    scale: tuple[Number, Number]  # factor * log2 e as hi + lo doubles
    factor: Number
    per_octave: Number  # what the base changes by when the exponential doubles
    shift: Var | None = None
    n: Var | None = None
    low: Var | None = None  # elements below contribute nothing
    high: Var | None = None  # only where +inf has to stay apart from NaN
    maximum: Var | None = None
    near: Var | None = None  # a flag: the guess lies where exponents are exact
    finite: Var | None = None  # a flag: the maximum is not +inf


@dataclass(slots=True)
class Context:
    """One kernel being lowered. `code` receives row-constant statements; sweeps swap it as they go."""

    plan: Plan
    names: Names
    code: Code
    ports: dict[Ref, Port]
    memory: Code  # what one row tells the next
    known: dict[Ref, NumForm] = field(default_factory=dict)
    shifts: dict[int, Shift] = field(default_factory=dict)
    count: Var | None = None
    learned: tuple[Stmt, ...] = ()  # how it does so, when it is done
    reciprocals: dict[Number, Number] = field(default_factory=dict)
    counts: dict[Ref, Plain] = field(default_factory=dict)  # selected elements, by predicate
    apart: frozenset[Ref] = frozenset()  # exponentials that are pairs of mantissa and exponent to the last
    states: dict[Ref, tuple[Number, ...]] | None = None  # of a part of a row: what its carries ended with
    first: str | None = None  # of a part of a row: the port that tells where in the row it begins

    @property
    def program(self) -> Program:
        return self.plan.program

    @property
    def dtype(self) -> str:
        return self.plan.dtype

    @property
    def limit(self) -> float:
        """How far from zero an exponent may be and its reduction still be exact."""
        return LIMIT if self.dtype == "f64" or isa_of(self.plan.isa).fma else NEAR

    def bias(self, index: int) -> float:
        """The power of two by which exponentials under a fixed shift are kept larger, so that none is subnormal."""
        group = self.plan.groups[index]
        return 0.0 if self.dtype == "f64" and group.weighted else BIAS

    def unit(self, index: int) -> float:
        """What a group's exponentials are multiplied by; it cancels in ratios, and is divided out elsewhere."""
        return float(UNIT[self.dtype] * 2.0 ** self.bias(index))

    def name(self, ref: Ref, default: str) -> str:
        return self.program.names[ref] or default

    def group_of(self, exponent: Ref) -> int | None:
        """The group whose exponent this is, once its shift is known."""
        for i, group in enumerate(self.plan.groups):
            if group.exponent == exponent and i in self.shifts and self.shifts[i].n is not None:
                return i
        return None

    # parts of rows

    @property
    def length(self) -> Var:
        """How many elements are at hand."""
        return Var("row_length", Kind.NUM)

    def in_whole_row(self, place: Number) -> Number:
        """A place among the elements at hand as a place in the row; -1, which is none, stays."""
        if self.first is None:
            return place
        c = self.code
        there = op(c, "place", "add", place, c.num("first_place", "scalar", self.first))
        return c.num("place", "choose", c.flag("some", "ge", place, 0.0), there, -1.0)

    def in_this_part(self, place: Number) -> Number:
        """A place in the row as one among the elements at hand, which may not have it."""
        if self.first is None:
            return place
        return op(self.code, "place", "sub", place, self.code.num("first_place", "scalar", self.first))

    # row-constant values

    def num(self, ref: Ref) -> NumForm:
        """The form of a row-constant value, computing it now if no one has before."""
        if ref not in self.known:
            self.known[ref] = self._compute(ref)
        return self.known[ref]

    def value(self, ref: Ref) -> Number:
        """The value as one double."""
        return self.collapse(self.num(ref), self.name(ref, "value"))

    def flag(self, ref: Ref) -> Var:
        form = self.num(ref)
        return form.value if isinstance(form, Flag) else self.code.flag("flag", "ne", self.value(ref), 0.0)

    def collapse(self, form: NumForm, name: str) -> Number:
        match form:
            case Plain(v):
                return v
            case Offset(hi, lo, pure=pure):
                return self.code.num(name, "join" if pure else "add", hi, lo)
            case Scaled():
                return self.unscale(form, name)
            case DisplacedSum():
                return self.unscale(whole(self, form), name)
            case Flag(v):
                return self.code.num(name, "from_flag", v)

    def unscale(self, form: Scaled, name: str) -> Number:
        """The number multiplied out."""
        return self.code.num(name, "scale", *self.mantissa(form, name))

    def mantissa(self, form: Scaled, name: str) -> tuple[Number, Number]:
        """The number as m 2^n: all its exponents meet in one power of two before any of them can overflow."""
        c, m, n = self.code, form.m, form.binade
        fars: list[Number] = [*form.logs]
        for group, power in form.powers.items():
            unit, late = unit_of(self, form, group, late=self.dtype == "f64")  # doubles have no room to spare for it
            exponent, far = self.shift(group, power)
            n, fars = op(c, "power", "add", n, exponent), [*fars, *far]
            m, n = op(c, "unit", "div", m, unit), op(c, "n", "sub", n, late)
        log, lost = far_sum(c, fars, self.dtype)
        if isinstance(log, Var):
            kept = c.num("far", "min", FAR, c.num("far", "max", -FAR, log))
            p, k = c.call(Kind.NUM, ("p", "k"), "exp_split", kept, LOG2E, LOG2E_LO)
            p = p if lost == 0.0 else c.num("p", "fma", p, lost, p)
            p = c.num("p", "choose", c.flag("finite", "isfinite", log), p, c.num("edge", "max", 0.0, log))
            m, n = op(c, name, "mul", p, m), op(c, "power", "add", k, n)
        return m, n

    def shift(self, group: int, power: int) -> tuple[Number, list[Number]]:
        """A power of the group's shift as an exponent of 2, and as exponents of e, none of which is rounded."""
        s = self.shifts[group]
        assert s.n is not None and s.shift is not None
        far = op(self.code, "far", "mul", s.shift, s.factor)
        parts = [math.copysign(2.0**k, power) for k in range(abs(power).bit_length()) if abs(power) >> k & 1]
        return op(self.code, "power", "mul", s.n, float(power)), [op(self.code, "far", "mul", far, p) for p in parts]

    def _compute(self, ref: Ref) -> NumForm:
        match self.program.nodes[ref]:
            case Const(value):
                return Plain(float(value), exact=fits(float(value), self.dtype))
            case Param(name):
                return Plain(self.code.num(name, "scalar", self.ports[ref].name))
            case Input(name):
                return Plain(self.code.num(name, "scalar", self.ports[ref].name), exact=True)
            case Reduce("count", _, None):
                assert self.count is not None
                return Plain(self.count, exact=True)
            case Reduce(kind):
                raise AssertionError(f"the {kind} at {ref} is used before the sweep that carries it")
            case Map("take", (x, y)):
                return Plain(self.code.num(self.name(ref, "taken"), "element", self.ports[x].name, self.value(y)), True)
            case Map(("uniform" | "lookup") as word, (place, source)):
                return Plain(self.placed(word, self.name(ref, "u"), self.value(place), source), True)
            case Map(operation, args):
                return self._map(ref, operation, args)

    def placed(self, word: str, name: str, place: Number, source: Ref) -> Var:
        """The random number at one position, or what a table has there."""
        return self.code.num(name, word, place, self.ports[source].name)

    def _map(self, ref: Ref, operation: str, args: tuple[Ref, ...]) -> NumForm:
        name = self.name(ref, operation.rstrip("_"))
        if operation in SMALL_FOLDS or operation == "cumsum":
            return small_fold(self, name, operation, args)
        if operation in ("add", "subtract"):
            if any(isinstance(self.num(a), Scaled | DisplacedSum) for a in args):
                left, right = (scaled(self.multiplicative(self.num(a))) for a in args)
                return self._scaled_sum(name, left, right, NUM_OPS[operation])
            a, b = map(self._additive, args)
            return plus(self.code, name, a, b, NUM_OPS[operation], element=any_element(self.program, args))
        if operation == "divide" and self.program.nodes[args[0]] == Const(1.0):
            below = self.num(args[1])
            if isinstance(below, Plain) and below.lo is None:
                return Plain(self.reciprocal(below.value))
        if operation in ("multiply", "divide"):
            forms = [self.num(a) for a in args]
            if any(isinstance(f, Scaled | DisplacedSum) for f in forms) or (
                operation == "divide" and isinstance(forms[1], Plain) and forms[1].lo is not None
            ):
                sides = moderate(self, [self.multiplicative(f) for f in forms])
                return times(self.code, name, sides[0], sides[1], NUM_OPS[operation])
        if operation == "where" and self.program.nodes[args[2]] == Const(0.0):
            return chosen(self, name, args[0], args[1])
        if operation == "negative":
            if isinstance(self.num(args[0]), Scaled | DisplacedSum):
                return times(self.code, name, Plain(-1.0), self.multiplicative(self.num(args[0])), "mul")
            return plus(self.code, name, Plain(0.0), self._additive(args[0]), "sub")
        if operation == "exp":
            log = self.value(args[0])
            return Scaled(1.0, logs=(log,)) if isinstance(log, Var) else self.plain_map(name, operation, args)
        if operation == "log":
            form = self.num(args[0])
            if isinstance(form, Scaled) and isinstance(form.m, Var):
                return log_of_scaled(self, form, name)
            if isinstance(form, DisplacedSum):
                return log_of_displaced(self, form, name)
        return self.plain_map(name, operation, args)

    def _scaled_sum(self, name: str, left: Scaled, right: Scaled, word: str) -> Scaled:
        """The sum or difference over the larger power of two, so that neither overflows where the sum does not."""
        c, endless = self.code, left.open or right.open
        if (left.powers, left.logs, left.binade) == (right.powers, right.logs, right.binade):
            return Scaled(op(c, name, word, left.m, right.m), left.powers, None, left.logs, left.binade, endless)
        (m1, n1), (m2, n2) = (self.mantissa(s, name) for s in (left, right))
        top = c.num("binade", "max", *(self.binade_of(m, n) for m, n in ((m1, n1), (m2, n2))))
        first, second = (c.num(name, "scale", m, op(c, "power", "sub", n, top)) for m, n in ((m1, n1), (m2, n2)))
        return Scaled(op(c, name, word, first, second), binade=top, open=endless)

    def binade_of(self, m: Number, n: Number) -> Number:
        """The power of two of m 2^n; that of nothing is the lowest."""
        if isinstance(m, float):
            return n
        return self.code.num("power", "choose", self.code.flag("nothing", "eq", m, 0.0), -2 * FAR, n)

    def reciprocal(self, number: Number) -> Number:
        """1 / number; one variable wherever it is needed, so that equal factors are seen to be equal."""
        if number not in self.reciprocals:
            self.reciprocals[number] = op(self.code, "reciprocal", "div", 1.0, number)
        return self.reciprocals[number]

    def _additive(self, ref: Ref) -> NumForm:
        form = self.num(ref)
        return form if offset(form) is not None else Plain(self.value(ref))

    def multiplicative(self, form: NumForm) -> Plain | Scaled:
        """The form as a factor."""
        if isinstance(form, DisplacedSum):
            return whole(self, form)
        return form if isinstance(form, Plain | Scaled) else Plain(self.collapse(form, "value"))

    def plain_map(self, name: str, operation: str, args: tuple[Ref, ...]) -> NumForm:
        """An operation on collapsed doubles."""
        c = self.code
        if operation in COMPARE:
            return Flag(c.flag(name, COMPARE[operation], self.value(args[0]), self.value(args[1])))
        if operation in ("logical_and", "logical_or", "logical_xor", "logical_not"):
            return Flag(c.flag(name, operation.removeprefix("logical_"), *(self.flag(a) for a in args)))
        if operation == "where":
            return Plain(c.num(name, "choose", self.flag(args[0]), self.value(args[1]), self.value(args[2])))
        values = [self.value(a) for a in args]
        if operation in ("isnan", "isfinite"):
            return Flag(c.flag(name, operation, values[0]))
        if operation in CALLS:
            return Plain(c.call(Kind.NUM, (name,), operation, *values)[0])
        if operation in NUM_OPS:
            return Plain(op(c, name, NUM_OPS[operation], values[0], values[1]))
        exact = all(isinstance(form := self.num(a), Plain) and form.exact for a in args)
        chosen = operation in ("minimum", "maximum") and exact
        return Plain(c.num(name, "abs" if operation == "absolute" else operation, *values), chosen)

    def element(self, ref: Ref, index: Number) -> Number:
        """A row-shaped value at one position, in double precision."""
        if not self.program.is_row(ref):
            return self.value(ref)
        match self.program.nodes[ref]:
            case Input(_, Role.POSITIONS):
                return self.in_whole_row(index)
            case Input(name, _):
                return self.code.num(f"first_{name}", "element", self.ports[ref].name, index)
            case Map("broadcast", (_, c)):
                return self.value(c)
            case Map(("uniform" | "lookup") as word, (place, source)):
                return self.placed(word, "first", self.element(place, index), source)
            case Map("where", (cond, a, b)):
                at = self.code.flag("chosen", "ne", self.element(cond, index), 0.0)
                return self.code.num("first", "choose", at, self.element(a, index), self.element(b, index))
            case Map(operation, args):
                return self._element_map(operation, [self.element(a, index) for a in args])
            case Const() | Param() | Reduce():
                raise AssertionError("row-constant")

    def _element_map(self, operation: str, values: list[Number]) -> Number:
        c = self.code
        if operation in COMPARE:
            return c.num("first", "from_flag", c.flag("first", COMPARE[operation], values[0], values[1]))
        if operation.startswith("logical_"):
            flags = [c.flag("first", "ne", v, 0.0) for v in values]
            return c.num("first", "from_flag", c.flag("first", operation.removeprefix("logical_"), *flags))
        if operation in ("isnan", "isfinite"):
            return c.num("first", "from_flag", c.flag("first", operation, values[0]))
        if operation in CALLS:
            return c.call(Kind.NUM, ("first",), operation, *values)[0]
        if operation in NUM_OPS:
            return op(c, "first", NUM_OPS[operation], values[0], values[1])
        return c.num("first", {"absolute": "abs", "negative": "neg"}.get(operation, operation), *values)

    # shifts

    def scale_of(self, index: int) -> Shift:
        """The group's factor times log2 e as a pair of doubles; the shift itself is still open."""
        if index not in self.shifts:
            self.shifts[index] = self._scale(self.plan.groups[index])
        return self.shifts[index]

    def _scale(self, group: Group) -> Shift:
        if group.factor is None:
            return Shift((LOG2E, LOG2E_LO), 1.0, LN2)
        factor = self.value(group.factor)
        lo = self.factor_lo(group.factor)
        if self.depends(group.factor):
            flat = self.code.flag("flat", "lt", self.code.num("size", "abs", factor), FLAT)
            factor = self.code.num("factor", "choose", flat, FLAT, factor)
        hi, rest = self.code.call(Kind.NUM, ("scale", "scale_lo"), "scale_log2e", factor, lo)
        return Shift((hi, rest), factor, self.code.num("per_octave", "div", 1.0, hi))

    def depends(self, ref: Ref) -> bool:
        """Whether a value depends on the arrays of the call; settings are never 0 where they divide an exponent."""
        node = self.program.nodes[ref]
        return isinstance(node, Input | Reduce) or any(self.depends(a) for a in operands(node))

    def factor_lo(self, ref: Ref) -> Number:
        """What a quotient or product lost when it was rounded: an exponent of 1000 would magnify it."""
        match self.program.nodes[ref]:
            case Map(("divide" | "multiply") as word, (x, y)):
                a, b, made = map(self.value, (x, y, ref))
                return self.code.num("factor_lo", f"{NUM_OPS[word]}_rest", a, b, made)
            case Map("absolute", (x,)) if (lo := self.factor_lo(x)) != 0.0:
                below = self.code.flag("below", "lt", self.value(x), 0.0)
                return self.code.num("factor_lo", "choose", below, op(self.code, "less", "sub", 0.0, lo), lo)
        return 0.0


def is_bool(program: Program, ref: Ref) -> bool:
    return program.types[ref] is Type.BOOL
