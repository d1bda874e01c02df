"""Hand-written C with the ABI of a gufunc loop: what the runtime is tested with, free of the emitter."""

from __future__ import annotations

from dataclasses import replace

from rowfold.codegen.source import Source

_TEXT = r"""
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#define EXPORT __attribute__((visibility("default")))
#define AT(type, base, step, i) (*(type *)((base) + (step) * (i)))

EXPORT void NAME_softmax(char **args, const intptr_t *dims, const intptr_t *steps, void *data) {
    fenv_t env; feholdexcept(&env); (void)data;
    for (intptr_t r = 0; r < dims[0]; r++) {
        const char *x = args[0] + r * steps[0]; char *y = args[2] + r * steps[2];
        double t = AT(const double, args[1], steps[1], r), m = -INFINITY, s = 0;
        for (intptr_t i = 0; i < dims[1]; i++) m = fmax(m, (double)AT(const T, x, steps[3], i));
        for (intptr_t i = 0; i < dims[1]; i++) s += exp(((double)AT(const T, x, steps[3], i) - m) / t);
        for (intptr_t i = 0; i < dims[1]; i++) AT(T, y, steps[4], i) = (T)(exp(((double)AT(const T, x, steps[3], i) - m) / t) / s);
    }
    fesetenv(&env);
}

EXPORT void NAME_total_where(char **args, const intptr_t *dims, const intptr_t *steps, void *data) {
    (void)data;
    for (intptr_t r = 0; r < dims[0]; r++) {
        double s = 0;
        for (intptr_t i = 0; i < dims[1]; i++)
            if (AT(const unsigned char, args[1] + r * steps[1], steps[4], i)) s += (double)AT(const T, args[0] + r * steps[0], steps[3], i);
        AT(T, args[2], steps[2], r) = (T)s;
    }
}

EXPORT void NAME_pick(char **args, const intptr_t *dims, const intptr_t *steps, void *data) {
    (void)data;
    for (intptr_t r = 0; r < dims[0]; r++) {
        int64_t at = AT(const int64_t, args[1], steps[1], r);
        AT(T, args[2], steps[2], r) = at == -100 ? 0 : AT(const T, args[0] + r * steps[0], steps[3], at);
    }
}

EXPORT void NAME_weigh(char **args, const intptr_t *dims, const intptr_t *steps, void *data) {
    (void)data;
    for (intptr_t r = 0; r < dims[0]; r++)
        for (intptr_t i = 0; i < dims[1]; i++)
            AT(T, args[2] + r * steps[2], steps[5], i) = AT(const T, args[0] + r * steps[0], steps[3], i) * AT(const T, args[1] + r * steps[1], steps[4], i);
}

EXPORT void NAME_shift(char **args, const intptr_t *dims, const intptr_t *steps, void *data) {
    (void)data;
    for (intptr_t r = 0; r < dims[0]; r++)
        for (intptr_t i = 0; i < dims[1]; i++)
            AT(T, args[2] + r * steps[2], steps[4], i) = (T)((double)AT(const T, args[0] + r * steps[0], steps[3], i) + AT(const double, args[1], steps[1], r));
}

EXPORT void NAME_center(char **args, const intptr_t *dims, const intptr_t *steps, void *data) {
    (void)data;
    for (intptr_t r = 0; r < dims[0]; r++) {
        double s = 0; intptr_t best = 0;
        const char *x = args[0] + r * steps[0];
        for (intptr_t i = 0; i < dims[1]; i++) s += (double)AT(const T, x, steps[4], i);
        for (intptr_t i = 1; i < dims[1]; i++) if (AT(const T, x, steps[4], i) > AT(const T, x, steps[4], best)) best = i;
        s /= (double)dims[1];
        AT(T, args[2], steps[2], r) = (T)s;
        AT(int64_t, args[3], steps[3], r) = best;
        for (intptr_t i = 0; i < dims[1]; i++) AT(T, args[1] + r * steps[1], steps[5], i) = (T)((double)AT(const T, x, steps[4], i) - s);
    }
}
"""  # noqa: E501

_SHAPES = {  # what each loop takes; F stands for the computing dtype
    "softmax": ("(n),()->(n)", "FdF"),
    "total_where": ("(n),(n)->()", "F?F"),
    "pick": ("(n),()->()", "FqF"),
    "weigh": ("(n),(n)->(n)", "FFF"),
    "shift": ("(n),()->(n)", "FdF"),
    "center": ("(n)->(n),(),()", "FFFq"),
}


def source(name: str, dtype: str = "float32", extra: str = "") -> Source:
    """One of the kernels above. All of a dtype share one text, so they are compiled once; `extra` makes it another."""
    signature, types = _SHAPES[name]
    prefix = f"test_{dtype}"
    ctype, character = {"float32": ("float", "f"), "float64": ("double", "d")}[dtype]
    symbol = f"{prefix}_{name}"
    return Source(
        symbol=symbol,
        text=f"#define T {ctype}\n" + _TEXT.replace("NAME", prefix) + extra,
        header=f"void {symbol}(char **args, const intptr_t *dims, const intptr_t *steps, void *data);",
        isa="portable",
        flags=("-O1",),
        features=(),
        signature=signature,
        types=types.replace("F", character),
    )


_OTHER = """#include <stdint.h>
__attribute__((visibility("default"))) void other(char **args, const intptr_t *dims, const intptr_t *steps, void *data) {
    (void)data;
    for (intptr_t r = 0; r < dims[0]; r++) *(double *)(args[1] + r * steps[1]) = NUMBER;
}
"""  # noqa: E501


def another(number: int) -> Source:
    """A small source that differs for every number, which is its answer: for tests that need a fresh compilation."""
    header = "void other(char **args, const intptr_t *dims, const intptr_t *steps, void *data);"
    text = _OTHER.replace("NUMBER", str(number))
    return replace(source("pick"), symbol="other", text=text, header=header, signature="(n)->()", types="dd")
