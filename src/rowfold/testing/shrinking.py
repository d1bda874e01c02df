"""What a find is brought down to: the smallest case that still fails, as a file of Python and as one of C."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rowfold.codegen.c.words import environment
from rowfold.codegen.generate import gufunc, source_of
from rowfold.codegen.ir import Role
from rowfold.errors import RowfoldError
from rowfold.testing import cases
from rowfold.testing.cases import Case

PLAIN: dict[str, Any] = {
    "output": "new", "layout": "contiguous", "axis": -1, "selected": False, "shared": False, "optional": False,
    "threads": 0, "backend": "auto", "cc": "", "strategy": "auto", "isa": "auto", "dtype": "float32",
}  # fmt: skip
SECONDS = 20.0
_DATA = {"f4": "float", "f8": "double", "i8": "int64_t", "b1": "uint8_t"}


@dataclass(frozen=True)
class Data:
    """One array of a file of C."""

    name: str
    ctype: str
    values: list[str]


@dataclass(frozen=True)
class Expectation:
    """One result, and how far from what it may be."""

    name: str
    ctype: str
    want: list[str]
    room: list[str]


def shrunk(fails: Callable[[Case], bool], case: Case, seconds: float = SECONDS) -> Case:
    """The smallest case found for which `fails` still holds: fewer and shorter rows, then fewer peculiarities."""
    end = time.monotonic() + seconds
    smaller = True
    while smaller:
        smaller = False
        for tried in _simpler(case):
            if time.monotonic() > end:
                return case
            if tried != case and fails(tried):
                case, smaller = tried, True
                break
    return case


def failing(kernel: Any) -> Callable[[Case], bool]:
    """Whether a case of this kernel is beyond its bound."""

    def fails(case: Case) -> bool:
        try:
            cases.check(kernel, case)
        except AssertionError:
            return True
        except Exception:  # noqa: BLE001 - another error than the one that is looked for
            return False
        return False

    return fails


def _simpler(case: Case) -> Iterator[Case]:
    """Cases with one thing less, those that lose most first."""
    if case.batch:
        yield replace(case, batch=(), axis=-1)
        yield replace(case, batch=(1,), axis=-1)
        yield from (replace(case, batch=case.batch[:k] + case.batch[k + 1 :], axis=-1) for k in range(len(case.batch)))
        yield from (
            replace(case, batch=(*case.batch[:k], 1, *case.batch[k + 1 :]))
            for k in range(len(case.batch))
            if case.batch[k] > 1
        )
    yield from (
        replace(case, width=w)
        for w in (1, 2, 3, case.width // 8, case.width // 2, case.width - 1)
        if 0 < w < case.width
    )
    yield from (replace(case, values=(kind,)) for kind in case.values if len(case.values) > 1)
    yield from (replace(case, **{name: value}) for name, value in PLAIN.items() if getattr(case, name) != value)
    yield from (
        replace(case, settings={**case.settings, name: 1.0}) for name, value in case.settings.items() if value != 1.0
    )


def c_file(kernel: Any, case: Case) -> str | None:
    """The emitted kernel with a `main` that makes the call; it ends with 1 beyond the bound. None for what C lacks."""
    if not hasattr(kernel, "plan"):
        return None
    found = cases.present(case, kernel.__wrapped__)
    shape, given = (math.prod(case.batch), case.width), tuple(p.name for p in found if p.optional)
    try:
        chosen = kernel.using(strategy=case.strategy, isa=case.isa)
        plan = chosen.plan(shape=shape, dtype=case.dtype, given=given, **case.settings)
        source, (signature, types) = source_of(plan), gufunc(plan)
    except RowfoldError:
        return None
    cores = signature.replace("->", ",").split(",")
    roles = {i.role for _, i in plan.program.inputs}
    if case.selected or set(cores) - {"()", "(n)"} or roles - {Role.ROW, Role.MASK, Role.SCALAR, Role.INDEX}:
        return None
    values = {**cases.arrays(case, found), **{name: np.float64(v) for name, v in case.settings.items()}}
    names = [i.name for _, i in plan.program.inputs] + [p.name for _, p in plan.program.params]
    dtypes = [np.dtype(t) for t in types]
    given_arrays = [
        _data(f"in_{k}", _spread(values[name], shape if core == "(n)" else shape[:1]).astype(dtype))
        for k, (name, core, dtype) in enumerate(zip(names, cores, dtypes, strict=False))
    ]
    outputs = [
        Expectation(f"out_{k}", _DATA[dtype.str[1:]], _doubles(w.value), _doubles(w.bound))
        for k, (w, dtype) in enumerate(zip(cases.expected(case, kernel.__wrapped__), dtypes[len(names) :], strict=True))
    ]
    flags = ["cc -std=c99 -O3 -ffp-contract=off", *source.flags, "FILE.c -lm && ./a.out"]
    template = environment().get_template("reproducer.c.j2")
    return template.render(
        kernel=source.text, symbol=source.symbol, arrays=given_arrays, outputs=outputs, dims=list(shape),
        steps=_steps(cores, dtypes, case.width), names=[*(a.name for a in given_arrays), *(o.name for o in outputs)],
        case=repr(case).replace("*/", "* /"), command=" ".join(flags),
    )  # fmt: skip


def _steps(cores: list[str], dtypes: list[Any], width: int) -> list[int]:
    """From row to row of each argument, then from element to element of each row."""
    wide = [core == "(n)" for core in cores]
    outer = [d.itemsize * (width if w else 1) for w, d in zip(wide, dtypes, strict=True)]
    return outer + [d.itemsize for w, d in zip(wide, dtypes, strict=True) if w]


def _spread(value: Any, shape: tuple[int, ...]) -> Any:
    """The rows of all batches below each other, one that is shared as often as there are rows."""
    array = np.asarray(value)
    return array.reshape(shape) if array.size == math.prod(shape) else np.broadcast_to(array, shape)


def _data(name: str, array: Any) -> Data:
    kind = array.dtype.str[1:]
    if kind[0] == "f":
        return Data(name, _DATA[kind], _doubles(array))
    return Data(name, _DATA[kind], [str(int(v)) for v in array.ravel()] or ["0"])


def _doubles(array: Any) -> list[str]:
    return [_literal(float(v)) for v in np.asarray(array, dtype=np.float64).ravel()] or ["0"]


def _literal(value: float) -> str:
    if np.isnan(value):
        return "NAN"
    return ("-INFINITY" if value < 0 else "INFINITY") if np.isinf(value) else value.hex()
