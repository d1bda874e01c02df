"""Counter-based random numbers as operations on values: rf_philox of common.c.j2, on scalars and on vectors."""

from __future__ import annotations

from .values import Builder, Value

MULTIPLIERS, STEPS = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)
Words = tuple[Value, Value, Value, Value]


def philox(b: Builder, counter: Value, key: Value) -> Words:
    """Four words of 32 bits for a counter of 64 bits, in ten rounds."""
    keys = [_low(b, key), _high(b, key)]
    words: Words = (_low(b, counter), _high(b, counter), *(b.const(0, counter.type.of("i32")) for _ in range(2)))  # type: ignore[assignment]
    for _ in range(10):
        one, other, two, third = words
        p, q = (_wide(b, w) * m for w, m in zip((one, two), MULTIPLIERS, strict=True))
        words = (_high(b, q) ^ other ^ keys[0], _low(b, q), _high(b, p) ^ third ^ keys[1], _low(b, p))
        keys = [k + s for k, s in zip(keys, STEPS, strict=True)]
    return words


def uniform(b: Builder, first: Value, key: Value, lanes: int, element: str) -> Value:
    """Uniform numbers for `lanes` places from `first` on, a multiple of four."""
    count = lanes // 4
    counters = b.convert("wide", b.lanes_from(b.apply("shr", first, 2), count), "i64")
    one, two, three, four = philox(b, counters, b.splat(key, count))
    words = b.interleaved(b.interleaved(one, three), b.interleaved(two, four))
    return _unit(b, words) if element == "f64" else b.convert("narrow", _unit(b, words), "f32")


def uniform_from(b: Builder, first: Value, key: Value, lanes: int, element: str) -> Value:
    """The same from any place on, with a counter for every lane."""
    places = b.convert("wide", b.lanes_from(first, lanes), "i64")
    numbers = _chosen(b, places, b.splat(key, lanes), b.splat(b.const(3, key.type), lanes))
    return numbers if element == "f64" else b.convert("narrow", numbers, "f32")


def uniform_at(b: Builder, place: Value, key: Value) -> Value:
    """The same for one place, a double."""
    at = b.convert("to_int", place, "i64")
    return _chosen(b, at, key, b.const(3, at.type))


def _chosen(b: Builder, at: Value, key: Value, three: Value) -> Value:
    """The number at a place, of the four that its counter gives."""
    words = philox(b, b.apply("shr", at, 2), key)
    which = at & three
    word = words[0]
    for k, other in enumerate(words[1:], 1):
        word = b.apply("select", which.eq(k), other, word)
    return _unit(b, word)


def _unit(b: Builder, word: Value) -> Value:
    return (b.convert("from_int", b.apply("shr", word, 9), "f64") + 0.5) * 2.0**-23


def _low(b: Builder, wide: Value) -> Value:
    return b.convert("truncate", wide, "i32")


def _high(b: Builder, wide: Value) -> Value:
    return _low(b, b.apply("shr", wide, 32))


def _wide(b: Builder, word: Value) -> Value:
    return b.convert("extend", word, "i64")
