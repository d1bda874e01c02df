"""What the words on sums of vectors mean, bit for bit: trees over a block, and wide lanes beyond it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .numpywords import NumpyWords, fma64, two_sum

Array = Any
Word = Callable[..., Any]


def tree(parts: Array, vectors: int) -> Array:
    """A block's vectors summed to two, which the wide lanes take: halves are added to halves."""
    parts = parts.copy()
    parts[vectors:] = 0
    half = len(parts) // 2
    while half > 1:
        parts = parts[:half] + parts[half : 2 * half]
        half //= 2
    return parts


def pairs_tree(
    words: NumpyWords, parts: Array, exponents: Array, vectors: int, exponent: Array
) -> tuple[Array, Array]:
    """The sums of parts * 2^exponents over 2^exponent, two of them."""
    p, n = parts.copy(), exponents.copy()
    p[vectors:], n[vectors:] = 0, exponents[0]
    half = len(p) // 2
    while half > 1:
        (p, q), (n, m) = ((a[:half], a[half : 2 * half]) for a in (p, n))
        top = words.max(n, m)
        p, n = words.scale(p, n - top) + words.scale(q, m - top), top
        half //= 2
    return words.scale(p[0], n[0] - exponent), words.scale(p[1], n[1] - exponent)


def both(add: Callable[[Any, Array], Any], s: Any, parts: Sequence[Array] | Array) -> Any:
    """The wide sum s with two vectors added, one after the other."""
    return add(add(s, parts[0]), parts[1])


def doubles() -> dict[str, Word]:
    return {
        "widen": lambda x: x.astype(np.float64),
        "distance": lambda x, pivot: x.astype(np.float64) - pivot.astype(np.float64),
        "wide_mul": lambda x, y: x * y + 0.0,
    }


def sums32() -> dict[str, Word]:
    single, double = NumpyWords("f32"), NumpyWords("f64")

    def add(s: Array, x: Array) -> Array:
        return s + x.astype(np.float64)

    return {
        "copy": lambda s: s,
        "acc_add": add,
        "acc_fma": lambda s, x, y: x.astype(np.float64) * y.astype(np.float64) + s,  # the product is exact
        "acc_add_wide": np.add,
        "acc_fma_wide": lambda s, x, y: fma64(x, y, s),
        "acc_scale": double.scale,
        "acc_join": np.add,
        "acc_add_tree": lambda s, parts, vectors: both(add, s, tree(parts, vectors)),
        "acc_add_pairs": lambda s, p, n, at, vectors: both(add, s, pairs_tree(single, p, n, vectors, at)),
    }


def sums64() -> dict[str, Word]:
    words = NumpyWords("f64")

    def add(s: Array, x: Array) -> Array:
        hi, lost = two_sum(s[0], x)
        return hi, s[1] + lost

    def fma(s: Array, x: Array, y: Array) -> Array:
        product = x * y
        hi, lo = add(s, product)
        return hi, lo + fma64(x, y, -product)

    def join(s: Array, x: Array) -> Array:
        hi, lo = add(s, x[0])
        return hi, lo + x[1]

    return {
        "copy": lambda s: s,
        "acc_add": add,
        "acc_fma": fma,
        "acc_add_wide": add,
        "acc_fma_wide": fma,
        "acc_scale": lambda s, n: (words.scale(s[0], n), words.scale(s[1], n)),
        "acc_join": join,
        "acc_add_tree": lambda s, parts, vectors: both(add, s, tree(parts, vectors)),
        "acc_add_pairs": lambda s, p, n, at, vectors: both(add, s, pairs_tree(words, p, n, vectors, at)),
    }
