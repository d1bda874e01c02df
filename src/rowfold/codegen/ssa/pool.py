"""The pool of a threshold's candidates as operations on values: line for line what selection.c.j2 says in C."""

from __future__ import annotations

import math
from collections.abc import Callable

from ...records import dataclass
from ..loops import VECTORS
from .values import DOUBLE, FLAG, INDEX, Builder, Type, Value

MOST = 2048
FIELDS = (
    *("base", "rest", "target", "width", "least", "above", "spilled", "bad", "solved"),
    *(f"first{i}" for i in range(8)),
    *(f"second{i}" for i in range(8)),
)
FLAGS = frozenset({"spilled", "bad", "solved"})
INF = math.inf


@dataclass(frozen=True, slots=True)
class Pool:
    """tau = base + rest is never above the solution; what is not above tau cannot be part of it."""

    b: Builder
    values: Value
    state: Value
    size: Value
    number: Type
    power: int

    # the state, in memory: flags are ones and zeros

    def get(self, name: str) -> Value:
        number = self.b.load_array(self.state, self.b.const(FIELDS.index(name), INDEX), DOUBLE)
        return number.ne(0.0) if name in FLAGS else number

    def put(self, name: str, value: Value | float) -> None:
        if not isinstance(value, Value):
            value = self.b.const(float(value), DOUBLE)
        elif name in FLAGS:
            value = self.b.apply("select", value, self.b.const(1.0, DOUBLE), 0.0)
        self.b.store_array(self.state, self.b.const(FIELDS.index(name), INDEX), value)

    def count(self) -> Value:
        return self.b.load_array(self.size, self.b.const(0, INDEX), INDEX)

    def resize(self, count: Value) -> None:
        self.b.store_array(self.size, self.b.const(0, INDEX), count)

    def clear(self) -> None:
        self.put("above", 0.0)
        self.put("least", INF)
        for lane in range(8):
            self.put(f"first{lane}", 0.0)
            self.put(f"second{lane}", 0.0)

    # what C computes

    def narrow(self, value: Value) -> Value:
        return value if self.number == DOUBLE else self.b.convert("narrow", value, self.number.element)

    def wide(self, value: Value) -> Value:
        return value if self.number == DOUBLE else self.b.convert("widen", value, "f64")

    def bar(self) -> Value:
        base, rest = self.get("base"), self.get("rest")
        level = self.narrow(base + rest)
        beyond = ((self.wide(level) - base) - rest) > 0.0
        level = self.b.apply("select", beyond, self.before(level), level)
        return self.b.apply("select", self.get("bad"), self.b.const(INF, self.number), level)

    def before(self, a: Value) -> Value:
        """The next number below."""
        whole = {"f32": "i32", "f64": "i64"}[self.number.element]
        bits = self.b.convert("bits", a, whole)
        one = self.b.const(1, Type(whole))
        step = self.b.apply("select", a > 0.0, bits - one, bits + one)
        lowest = -(2**31) + 1 if whole == "i32" else -(2**63) + 1  # the bits of the least number below 0
        return self.b.convert(
            "bits", self.b.apply("select", a.eq(0.0), self.b.const(lowest, Type(whole)), step), a.type.element
        )

    def add(self, values: Value, count: Value) -> None:
        base, rest = self.get("base"), self.get("rest")
        names = [f"{kind}{lane}" for kind in ("first", "second") for lane in range(8)] + ["above", "least"]

        def body(at: Value, carried: list[Value]) -> list[Value]:
            sums, above, least = list(carried[:16]), carried[16], carried[17]
            for lane in range(8):
                value = self.b.load_array(values, at + self.b.const(lane, INDEX), self.number)
                d = (self.wide(value) - base) - rest
                over = d > 0.0
                e = self.b.apply("select", over, d, 0.0)
                sums[lane], sums[8 + lane] = sums[lane] + e, sums[8 + lane] + e * e
                above = above + self.b.apply("select", over, self.b.const(1.0, DOUBLE), 0.0)
                least = self.b.apply("select", over & (d < least), d, least)
            return [*sums, above, least]

        found = self.b.loop((self.b.const(0, INDEX), count, 8), [self.get(n) for n in names], body)
        for name, value in zip(names, found, strict=True):
            self.put(name, value)

    def step(self) -> None:
        first, second = (self.total(kind) for kind in ("first", "second"))
        above, rest, target = self.get("above"), self.get("rest"), self.get("target")
        over = (second if self.power == 2 else first) - target
        if self.power == 2:
            root = first * first - above * over
            exact = over / (first + self.b.apply("sqrt", self.b.apply("select", root > 0.0, root, 0.0)))
            fits = exact <= self.get("least")
            norm = self.b.apply("sqrt", second)
            nearer = over * norm / (first * (norm + self.get("width")))
            following = rest + self.b.apply("select", fits, exact, nearer)
        else:
            exact = over / above
            fits = exact <= self.get("least")
            following = rest + exact
        self.put("solved", fits | ~(following > rest))
        self.put("rest", self.b.apply("select", above > 0.0, following, rest))
        self.clear()

    def total(self, kind: str) -> Value:
        lanes = [self.get(f"{kind}{lane}") for lane in range(8)]
        while half := len(lanes) // 2:
            lanes = [a + b for a, b in zip(lanes[:half], lanes[half:], strict=True)]
        return lanes[0]

    def select(self, source: Value, count: Value, kept: Value) -> Value:
        """What of the source is above the bar, from place `kept` of the pool on; where that ends."""
        bar = self.bar()

        def body(at: Value, place: list[Value]) -> list[Value]:
            value = self.b.load_array(source, at, self.number)
            self.b.store_array(self.values, place[0], value)
            further = place[0] + self.b.const(1, INDEX)
            return [self.b.apply("select", value <= bar, place[0], further)]

        return self.b.loop((self.b.const(0, INDEX), count, 1), [kept], body)[0]

    def raised(self) -> None:
        size = self.count()
        for lane in range(8):
            place = size + self.b.const(lane, INDEX)
            self.b.store_array(self.values, place, self.b.const(-INF, self.number))
        self.add(self.values, size)
        self.step()
        self.resize(self.select(self.values, size, self.b.const(0, INDEX)))

    def gather(self, parts: Value, count: Value) -> None:
        b = self.b

        def look(at: Value, seen: list[Value]) -> list[Value]:
            value = b.load_array(parts, at, self.number)
            return [b.apply("select", value > seen[0], value, seen[0]), seen[1] | ~(value < INF)]

        first = [b.const(-INF, self.number), b.const(0, FLAG)]
        most, odd = b.loop((b.const(0, INDEX), count, 1), first, look)
        self.put("bad", self.get("bad") | odd)
        top = self.wide(most)

        def take() -> list[Value]:
            base, width = self.get("base"), self.get("width")
            higher = base.eq(-INF) | (((top - base) - width) > self.get("rest"))
            self.put("rest", b.apply("select", higher, -width, self.get("rest")))
            self.put("base", b.apply("select", higher, top, base))
            self.put("solved", 0.0)
            self.again(lambda: self.fits(count) | self.get("solved"))
            self.put("spilled", self.get("spilled") | ~self.fits(count))

            def keep() -> list[Value]:
                self.resize(self.select(parts, count, self.count()))
                return []

            b.branch(~self.get("spilled"), keep, [], rare=False)
            return []

        b.branch(~(self.get("bad") | top.eq(-INF)), take, [], rare=False)

    def fits(self, count: Value) -> Value:
        return self.count() + count <= self.b.const(MOST, INDEX)

    def again(self, done: Callable[[], Value]) -> None:
        """Steps of the solution until that is so."""

        def body(_: list[Value]) -> tuple[Value, list[Value]]:
            self.raised()
            return done(), []

        self.b.until(done(), [], body)

    def take(self, parts: Value, above: Value, count: Value) -> None:
        def gathered() -> list[Value]:
            self.gather(parts, count)
            return []

        self.b.branch(self.b.any(above), gathered, [], rare=True)

    def solve(self) -> None:
        self.put("bad", self.get("bad") | self.get("base").eq(-INF))
        self.put("solved", self.get("bad"))
        self.clear()
        self.again(lambda: self.get("solved") | self.get("spilled"))

    def high(self) -> Value:
        level = self.wide(self.narrow(self.get("base") + self.get("rest")))
        return self.b.apply("select", self.get("bad"), math.nan, level)

    def low(self) -> Value:
        base, rest, high = self.get("base"), self.get("rest"), self.high()
        small = self.b.apply("abs", base) < self.b.apply("abs", rest)
        large = self.b.apply("select", small, rest, base)
        return (large - high) + self.b.apply("select", large.eq(base), rest, base)


def pool(b: Builder, name: str, number: Type, target: Value, power: float) -> Pool:
    """An empty pool."""
    lanes = b.kernel.lanes
    rooms = (b.array(name, number, MOST + VECTORS * lanes), b.array(f"{name}_state", DOUBLE, len(FIELDS)))
    made = Pool(b, *rooms, b.array(f"{name}_size", INDEX, 1), number, int(power))
    made.resize(b.const(0, INDEX))
    made.put("target", target)
    made.put("width", b.apply("sqrt", target) if power == 2 else target)
    for field in ("base", "rest"):
        made.put(field, -INF)
    for field in ("spilled", "solved"):
        made.put(field, 0.0)
    made.clear()
    made.put("bad", ~(target > 0.0) | target.eq(INF))
    return made
