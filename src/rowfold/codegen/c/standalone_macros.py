"""What C that stands alone calls by names of its own, and what compilers other than GCC and Clang take for theirs."""

from __future__ import annotations

import re

MACROS = (
    ("RF_COPY", " __builtin_memcpy"), ("RF_MOVE", " __builtin_memmove"), ("RF_INFINITY", " __builtin_inff()"),
    ("RF_NAN", ' __builtin_nanf("")'), ("RF_NAMED", '(name) __asm__(#name) __attribute__((visibility("hidden")))'),
    ("RF_ALIGNED", " __attribute__((aligned(64))) /* a vector that straddles cache lines costs twice */"),
    ("RF_COLD", " __attribute__((cold, noinline)) /* compiled for size */"),
    ("RF_APART", " __attribute__((noinline)) /* seldom called */"),
    ("RF_INLINE", " inline __attribute__((always_inline)) /* calls would spill every constant */"),
    ("RF_UNROLL", ' _Pragma("GCC unroll 8")'),
    ("RF_PREFETCH", "(p, far, write) __builtin_prefetch((const void *)((uintptr_t)(p) + (uintptr_t)(far)), write, 2)"),
)  # fmt: skip
# What other compilers take for GCC's words.
STRICT = (
    ("__builtin_memcpy", " memcpy"), ("__builtin_memmove", " memmove"), ("__builtin_inff", "() INFINITY"),
    ("__builtin_nanf", "(said) NAN"), ("__builtin_prefetch", "(p, write, near) ((void)(p))"),
    ("__asm__", "(said)"),
)  # fmt: skip


def without_single_use(text: str) -> str:
    """The text with the attributes that it uses once where it uses them, with what is said of them."""
    for name, value in MACROS:
        define, uses = f"#define {name}{value}\n", re.findall(rf"\b{name}\b", text)
        if value.startswith((" __attribute__", " inline")) and define in text and len(uses) == 2:
            text = text.replace(define, "").replace(name, value.strip())
    return text
