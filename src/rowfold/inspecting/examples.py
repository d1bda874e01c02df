"""The files beside emitted C: a self-test with its vectors, examples in C, C++ and Rust, and build files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..codegen.c.text import literal
from ..codegen.c.words import environment
from ..codegen.standalone import Kind, Page
from ..records import dataclass
from .vectors import Vector

EXAMPLES = ("CMakeLists.txt", "rowfold.pc.in", "example.c", "example.cpp", "selftest.c", "rust/Cargo.toml",
            "rust/build.rs", "rust/src/main.rs")  # fmt: skip
RUST = {"float": "f32", "double": "f64", "unsigned char": "u8", "int64_t": "i64", "uint64_t": "u64",
        "uint16_t": "u16"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Data:
    """The vectors of one dtype as C initializers, by argument; `bounds` by result."""

    kind: Kind
    lengths: tuple[int, ...]
    names: tuple[str, ...]
    values: Mapping[str, str]
    bounds: Mapping[str, str]
    settings: Mapping[str, str]


def example_files(
    page: Page, rows: Mapping[str, Sequence[Vector]], values: Mapping[str, float], *, single_header: bool, name: str
) -> dict[str, str]:
    """Name -> text of everything in `example/`."""
    data = [_data(kind, rows[kind.dtype], values) for kind in page.kinds]
    fields: dict[str, Any] = {"page": page, "data": data, "single": single_header, "name": name, "rust": RUST}
    made = {file: environment().get_template(f"example/{file}.j2").render(fields) for file in EXAMPLES}
    made[f"{page.symbol}.pc.in"] = made.pop("rowfold.pc.in")
    return {f"example/{file}": text for file, text in made.items()}


def _data(kind: Kind, rows: Sequence[Vector], values: Mapping[str, float]) -> Data:
    inputs = [a for a in kind.arguments if not a.output and not a.setting]
    outputs = [a for a in kind.arguments if a.output]
    text = {a.name: _list([v.inputs[i] for v in rows], a.ctype) for i, a in enumerate(inputs)}
    text |= {a.name: _list([v.expected[i] for v in rows], "double") for i, a in enumerate(outputs)}
    bounds = {a.name: _list([_above(v.bound[i]) for v in rows], "double") for i, a in enumerate(outputs)}
    settings = {a.name: literal(values[a.name]) for a in kind.arguments if a.setting}
    return Data(kind, tuple(v.n for v in rows), tuple(v.kind for v in rows), text, bounds, settings)


def _above(bound: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The bounds in four digits, never less."""
    return np.asarray([float(f"{1.001 * float(b):.3g}") for b in np.ravel(bound)])


def _list(parts: Sequence[np.ndarray[Any, Any]], ctype: str) -> str:
    """An initializer of several lines."""
    words = [_word(value, ctype) for part in parts for value in np.ravel(part).tolist()]
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) > 110:
            lines.append(line.rstrip())
            line = ""
        line += word + ", "
    return "\n    ".join([*lines, line.rstrip()])


def _word(value: Any, ctype: str) -> str:
    if ctype in ("int64_t", "uint64_t", "uint16_t", "unsigned char"):
        return str(int(value))
    number = float(value)
    if not math.isfinite(number):
        return literal(number)
    return repr(number) + "f" if ctype == "float" else repr(number)
