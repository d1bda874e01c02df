"""The words on vectors, masks and wide sums as operations on values: what common.c.j2 and the vocabularies say in C."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ..loops import VECTORS, Kind
from ..mathlib.coefficients import SIXTEENTHS
from ..mathlib.exponential import FINE_MAGIC, MAGIC
from .library import Library
from .numbers import NORMAL, Numbers, exponent_bits, flag_words, number_words, power, unit
from .small import small_words
from .values import DOUBLE, INDEX, Builder, Type, Value

FARTHEST = {"f32": 252.0, "f64": 2044.0}  # powers of two that one scaling takes
Word = Callable[..., Any]
Wide: TypeAlias = "Value | tuple[Value, Value]"  # float32: lanes of double; float64: pairs (hi, lo)
PLAIN = ("add", "sub", "mul", "div", "neg", "sqrt", "rint", "floor", "abs", "copysign", "fma", "select",
         "lt", "le", "gt", "ge", "eq", "ne")  # fmt: skip


class Vectors(Library):
    """The library's words on vectors. `rounds`: an exponent is halved by rounding, else by cutting."""

    def __init__(self, builder: Builder, dtype: Any, *, rounds: bool) -> None:
        self.b, self.dtype, self._rounds = builder, dtype, rounds
        self.type = Type(dtype, builder.kernel.lanes)
        self.short = False  # whether what is long is called, not written out
        self.near = False  # whether rows are short: a call in each would cost as much as its sum

    def const(self, value: float) -> Value:
        return self.b.const(value, self.type)

    def scale(self, p: Value, n: Value) -> Value:
        return self.b.native("scale", (p, n)) or self._scaled(p, n)

    def _scaled(self, p: Value, n: Value) -> Value:
        """p 2^n in two factors."""
        top, bottom = (254.0, -252.0) if p.type.element == "f32" else (2046.0, -2044.0)
        if self._rounds:
            k = self.min(top, self.max(bottom, n))
            h = self.b.apply("rint", k * 0.5)
        else:
            k = self.b.apply("select", n < top, self.max(n, bottom), top)
            h = self.b.convert("from_int", self.b.convert("to_int", k * 0.5, "i32"), p.type.element)
        return p * power(self.b, h) * power(self.b, k - h)

    def scale_floor(self, p: Value, n: Value) -> Value:
        native = self.b.native("scale", (p, n))
        if native is None and self.b.adds_exponents and self.dtype == "f32" and not self.short:
            return self._added(p, n)
        return native or self._scaled(p, self.b.apply("floor", n))

    def _added(self, p: Value, n: Value) -> Value:
        """Sixteenths n and a positive p: floor(n) is added to the exponent, unless the result is subnormal."""
        k = self.min(127.9375, self.max(-252.0, n))
        floor = self.b.apply("shr", self.b.convert("bits", k + 1.5 * 2.0**19, "i32"), 4)
        raised = self.b.convert("bits", p, "i32") + self.b.apply("shl", floor, 23)
        small = self.b.any(raised < (1 << 23))
        normal = self.b.convert("bits", raised, "f32")
        return self.b.branch(small, lambda: [self._scaled(p, self.b.apply("floor", k))], [normal], rare=True)[0]

    def scale_whole(self, p: Value, n: Value) -> Value:
        return self.scale_floor(p, n)

    def scale_far(self, t: Value, k: Value) -> Value:
        """t 2^floor(k), in two steps, where one is not enough."""
        native = self.b.native("scale", (t, k))
        if native is not None:
            return native
        n = self.b.apply("floor", k)
        near = self.min(FARTHEST[self.dtype], self.max(-FARTHEST[self.dtype], n))
        return self._scaled(self._scaled(t, n - near), near)

    def sixteenth(self, z: Value) -> Value:
        return self.b.native("sixteenth", (z,)) or self._sixteenth(z)

    def scaled_sixteenth(self, z: Value, shift: Value) -> Value:
        native = self.b.native("scaled_sixteenth", (z, shift))
        return native or self.scale_floor(self.sixteenth(z), (z - FINE_MAGIC[self.dtype]) - shift)

    def _sixteenth(self, z: Value) -> Value:
        """The entry chosen by halving the table, from the lowest bit up."""
        bits = self.b.convert("bits", z, "i32" if self.dtype == "f32" else "i64")
        entries: list[Any] = [self.const(entry) for entry in SIXTEENTHS[self.dtype]]
        for k in range(4):
            upper = self.b.apply("and", bits, 1 << k).ne(0)
            entries = [self.b.apply("select", upper, b, a) for a, b in zip(entries[::2], entries[1::2], strict=True)]
        entry: Value = entries[0]
        return entry

    def exponent(self, x: Value) -> Value:
        return self.b.native("exponent", (x,)) or self._exponent(x)

    def _exponent(self, x: Value) -> Value:
        a = self.b.apply("abs", x)
        n = self.raised(a)
        e = exponent_bits(self.b, n)
        return self.b.apply("select", n.eq(a), e, e - 54.0)

    def mantissa(self, x: Value) -> Value:
        return self.b.native("mantissa", (x,)) or unit(self.b, self.raised(self.b.apply("abs", x)))

    def raised(self, a: Value) -> Value:
        """A subnormal number lifted among the normal ones."""
        return self.b.apply("select", a < NORMAL[a.type.element], a * 2.0**54, a)

    # the words of the loops

    def set(self, number: Value) -> Value:
        narrow = number if self.dtype == "f64" else self.b.convert("narrow", number, "f32")
        return self.b.splat(narrow, self.type.lanes)

    def set_lo(self, number: Value, numbers: Numbers) -> Value:
        return self.set(numbers.finite_or_0(number - numbers.single(number)))

    def widen(self, x: Value) -> Value:
        return x if self.dtype == "f64" else self.b.convert("widen", x, "f64")

    def exponent_v(self, x: Value, scale: Value) -> Value:
        return self.b.apply("fma", x, scale, MAGIC[self.dtype]) - MAGIC[self.dtype]

    # blocks

    def _part(self, array: Value, k: int) -> Value:
        return self.b.load_array(array, self.b.const(k * self.type.lanes, INDEX), self.type)

    def fill(self, array: Value, vectors: Value, vector: Value, whole: Value | None = None) -> None:
        """The places behind the last vector of a block that is not full."""
        lanes = self.type.lanes
        end = self.b.const(VECTORS * lanes, INDEX) if whole is None else whole * lanes

        def body(at: Value, _: list[Value]) -> list[Value]:
            self.b.store_array(array, at, vector)
            return []

        self.b.loop((vectors * lanes, end, lanes), [], body)

    def tree(self, parts: Value, vectors: Value) -> tuple[Value, Value]:
        """A block's vectors summed to two: halves are added to halves."""

        def body(b: Builder, given: Sequence[Value]) -> list[Value]:
            return Vectors(b, self.dtype, rounds=self._rounds).summed(*given)

        def call() -> list[Value]:
            return self.b.subroutine("tree", [parts, vectors], [self.type] * 2, body)

        if self.short:
            left, right = call()
            return left, right
        whole, sums = vectors.eq(VECTORS), [self.const(0.0)] * 2
        if self.near:
            few = vectors <= VECTORS // 4
            sums = self.b.branch(few, lambda: self.pair(self.four(parts, vectors)), sums, rare=False)
            sums = self.b.branch(~(few | whole), call, sums, rare=False)
        else:
            sums = self.b.branch(~whole, call, sums, rare=False)
        left, right = self.b.branch(whole, lambda: self.pair(self.sixteen(parts)), sums, rare=False)
        return left, right

    def four(self, parts: Value, vectors: Value) -> list[Value]:
        """The sums of four vectors or fewer, which they are."""
        self.fill(parts, vectors, self.const(0.0), self.b.const(VECTORS // 4, INDEX))
        return [self._part(parts, k) for k in range(4)]

    def sixteen(self, parts: Value) -> list[Value]:
        """Four sums of four vectors each."""
        halves = [[self._part(parts, k + j) + self._part(parts, k + j + 8) for j in (0, 4)] for k in range(4)]
        return [a + b for a, b in halves]

    def pair(self, sums: Sequence[Value]) -> list[Value]:
        return [sums[0] + sums[2], sums[1] + sums[3]]

    def summed(self, parts: Value, vectors: Value) -> list[Value]:
        """The tree of 16, 8 or 4 vectors: zeros added to a sum are left out."""
        b, whole = self.b, self.b.const(VECTORS, INDEX)
        for size in (VECTORS // 2, VECTORS // 4):
            whole = b.apply("select", vectors <= b.const(size, INDEX), b.const(size, INDEX), whole)
        self.fill(parts, vectors, self.const(0.0), whole)
        few = [self._part(parts, k) for k in range(4)]

        def more() -> list[Value]:
            return [few[k] + self._part(parts, k + 4) for k in range(4)]

        sums = b.branch(whole > 4, more, few, rare=False)
        return self.pair(b.branch(whole > 8, lambda: self.sixteen(parts), sums, rare=False))

    def pairs_tree(self, parts: Value, exponents: Value, vectors: Value, at: Value) -> tuple[Value, Value]:
        """The sums of parts * 2^exponents over 2^at, two of them."""
        self.fill(parts, vectors, self.const(0.0))
        self.fill(exponents, vectors, self._part(exponents, 0))
        p, n = ([self._part(a, k) for k in range(VECTORS)] for a in (parts, exponents))
        half = VECTORS // 2
        while half > 1:
            for k in range(half):
                top = self.max(n[k], n[k + half])
                p[k] = self.scale(p[k], n[k] - top) + self.scale(p[k + half], n[k + half] - top)
                n[k] = top
            half //= 2
        return self.scale(p[0], n[0] - at), self.scale(p[1], n[1] - at)

    def parts_max(self, parts: Value, vectors: Value) -> Value:
        def body(at: Value, top: list[Value]) -> list[Value]:
            return [self.max(self.b.load_array(parts, at, self.type), top[0])]

        lanes = self.type.lanes
        first = self._part(parts, 0)
        return self.b.loop((self.b.const(lanes, INDEX), vectors * lanes, lanes), [first], body)[0]


def vector_words(v: Vectors, numbers: Numbers) -> Mapping[str, Word]:
    """The words that give a vector."""
    named = (
        "min",
        "max",
        "scale",
        "scale_floor",
        "scale_whole",
        "scale_far",
        "sixteenth",
        "scaled_sixteenth",
        "exponent",
        "mantissa",
        "set",
        "exponent_v",
        "parts_max",
    )
    plain = [word for word in PLAIN if word not in COMPARED]
    return {
        **{name: lambda *a, name=name: v.b.apply(name, *a) for name in plain},
        **{name: getattr(v, name) for name in named},
        "set_lo": lambda a: v.set_lo(a, numbers),
        "copy": lambda a: a,
    }


COMPARED = ("lt", "le", "gt", "ge", "eq", "ne")


def mask_words(v: Vectors) -> Mapping[str, Word]:
    """The words that give a mask."""
    b, lanes = v.b, v.type.lanes

    def first(mask: Value) -> Value:
        if (native := b.native("first", (mask,))) is not None:
            return native
        places = b.lanes_from(b.const(0, INDEX), lanes)
        lowest = b.lowest(b.apply("select", mask, places, lanes))
        return places.eq(b.splat(lowest, lanes)) & mask

    return {
        **{name: lambda *a, name=name: b.apply(name, *a) for name in COMPARED},
        **{f"mask_{name}": lambda *a, name=name: b.apply(name, *a) for name in ("and", "or", "xor", "not")},
        "mask_first": first,
        "mask_none": lambda: b.const(0, Type("i1", lanes)),
        "copy": lambda a: a,
    }


# wide sums


def wide_words(v: Vectors) -> Mapping[str, Word]:
    """The words that give a wide sum."""
    words = _wide32(v) if v.dtype == "f32" else _wide64(v)
    add = words["acc_add"]

    def both(s: Wide, parts: tuple[Value, Value]) -> Any:
        return add(add(s, parts[0]), parts[1])

    return {
        **words,
        "copy": lambda s: s,
        "acc_add_tree": lambda s, parts, vectors: both(s, v.tree(parts, vectors)),
        "acc_add_pairs": lambda s, p, n, at, vectors: both(s, v.pairs_tree(p, n, vectors, at)),
    }


def double_words(v: Vectors) -> Mapping[str, Word]:
    """The words that give a vector's numbers as doubles."""
    return {
        "widen": v.widen,
        "distance": lambda x, pivot: v.widen(x) - v.widen(pivot),
        "wide_mul": lambda x, y: x * y + 0.0 if v.dtype == "f64" else v.b.apply("fma", x, y, 0.0),
    }


def _wide32(v: Vectors) -> dict[str, Word]:
    b, wide = v.b, v.widen
    return {
        "acc_zero": lambda: b.const(0.0, Type("f64", v.type.lanes)),
        "acc_add": lambda s, x: s + wide(x),
        "acc_fma": lambda s, x, y: b.apply("fma", wide(x), wide(y), s),
        "acc_add_wide": lambda s, x: s + x,
        "acc_fma_wide": lambda s, x, y: b.apply("fma", x, y, s),
        "acc_scale": lambda s, n: v.scale(s, wide(n)),
        "acc_join": lambda s, x: s + x,
    }


def _wide64(v: Vectors) -> dict[str, Word]:
    def add(s: tuple[Value, Value], x: Value) -> tuple[Value, Value]:
        hi = s[0] + x
        back = hi - s[0]
        return hi, s[1] + ((s[0] - (hi - back)) + (x - back))

    def fma(s: tuple[Value, Value], x: Value, y: Value) -> tuple[Value, Value]:
        product = x * y
        hi, lo = add(s, product)
        return hi, lo + v.b.apply("fma", x, y, -product)

    def join(s: tuple[Value, Value], x: tuple[Value, Value]) -> tuple[Value, Value]:
        hi, lo = add(s, x[0])
        return hi, lo + x[1]

    zero = v.const(0.0)
    return {
        "acc_zero": lambda: (zero, zero),
        "acc_add": add,
        "acc_fma": fma,
        "acc_add_wide": add,
        "acc_fma_wide": fma,
        "acc_scale": lambda s, n: (v.scale(s[0], n), v.scale(s[1], n)),
        "acc_join": join,
    }


# folds over the lanes


def fold_words(b: Builder) -> Mapping[str, Word]:
    """The words that make a double of the lanes of a vector or a wide sum: halves meet halves."""

    def folded(combine: Word) -> Word:
        def word(lanes: Value) -> Value:
            while lanes.type.lanes > 1:
                lanes = combine(b.half(lanes, 0), b.half(lanes, 1))
            number = b.lane(lanes, 0)
            return number if number.type == DOUBLE else b.convert("widen", number, "f64")

        return word

    def product(lanes: Value) -> Value:
        p = b.const(1.0, DOUBLE)
        for k in range(lanes.type.lanes):
            lane = b.lane(lanes, k)
            p = p * (lane if lane.type == DOUBLE else b.convert("widen", lane, "f64"))
        return p

    def first(best: Value, vector: Value) -> Value:
        place, top = b.const(-1.0, DOUBLE), b.const(0.0, Type(best.type.element))
        for k in range(best.type.lanes):
            value, number = b.lane(best, k), b.lane(vector, k)
            here = (number if number.type == DOUBLE else b.convert("widen", number, "f64")) * best.type.lanes + float(k)
            nan, other = value.ne(value), top.ne(top)
            same, above = (b.apply("select", nan, *two) for two in ((other, value.eq(top)), (~other, value > top)))
            take = (here >= 0.0) & ((place < 0.0) | above | (same & (here < place)))
            place, top = b.apply("select", take, here, place), b.apply("select", take, value, top)
        return place

    def beyond(comparison: str) -> Word:
        return folded(lambda x, y: b.apply("select", b.apply(comparison, x, y), x, y))

    total = folded(lambda x, y: x + y)
    extremes = {"fold_max": beyond("gt"), "fold_min": beyond("lt")}
    return {"fold": total, **extremes, "fold_mul": product, "fold_first": first}


def fold2(b: Builder, numbers: Numbers) -> Word:
    """The sum over the lanes of pairs as a double and what its rounding lost."""

    def word(s: tuple[Value, Value]) -> tuple[Value, Value]:
        lane, rest = s
        while lane.type.lanes > 1:
            x, y = b.half(lane, 0), b.half(lane, 1)
            lane = x + y
            back = lane - x
            rest = b.half(rest, 0) + b.half(rest, 1) + ((x - (lane - back)) + (y - back))
        first, second = b.lane(lane, 0), b.lane(rest, 0)
        total = first + second
        left = (first - total) + second
        return numbers.select(numbers.isfinite(total), total, first), numbers.finite_or_0(left)

    return word


def table(b: Builder, v: Vectors, numbers: Numbers) -> dict[tuple[Kind, str], Word]:
    """Every word of every kind."""
    groups = {
        Kind.VEC: vector_words(v, numbers),
        Kind.MASK: mask_words(v),
        Kind.ACC: wide_words(v),
        Kind.WIDE: double_words(v),
        Kind.NUM: {**number_words(numbers), **fold_words(b), **small_words(b)},
        Kind.FLAG: flag_words(numbers),
    }
    return {(kind, word): meaning for kind, group in groups.items() for word, meaning in group.items()}
