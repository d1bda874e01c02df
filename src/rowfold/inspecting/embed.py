"""`k.emit(lang="c")`: the files of a kernel for C, C++ and Rust programs, as name -> text."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codegen import standalone
from ..codegen.bounding.published import PUBLISHED
from ..codegen.dtypes import FORMATS
from ..codegen.ir import Map, Program, Role
from ..codegen.loops import C_NAMES
from ..codegen.lower.kernel import lower
from ..codegen.plan import describe
from ..codegen.planning.choice import Choices, every, one
from ..codegen.source import remark
from ..codegen.standalone import ALIASES, ISAS, VOCABULARIES, Kind, Page, Section
from ..codegen.states import layout_of
from ..errors import DTypeError, IsaError, shown
from .emission import EmitError
from .examples import example_files
from .vectors import special_values, vectors

if TYPE_CHECKING:
    from ..api import Kernel

NAMES = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16"}
TARGETS = {"x86-64-v2": ("sse2",), "x86-64-v3": ("avx2",), "x86-64-v4": ("avx512",), "aarch64": ("neon",),
           "riscv64": ("portable",), "wasm32": ("wasm",)}  # fmt: skip


def files(
    kernel: Kernel[..., Any], strategy: str, isas: Iterable[str] | None, dtypes: Any, shape: tuple[int, ...] | None,
    target: str | None, *, single_header: bool, given: Iterable[str] = (), compact: bool | None = None,
    states: bool = False, **settings: Any,
) -> dict[str, str]:  # fmt: skip
    """Every file, with its place below the directory. Nothing is written."""
    compact = shape is not None if compact is None else compact
    name = _checked_name(kernel.name)
    chosen, kinds = _isas(isas, target), _dtypes(dtypes)
    program = kernel.program({k: v for k, v in settings.items() if k in kernel.static}, frozenset(given), frozenset())
    values = _values(kernel, settings)
    if any(isinstance(n, Map) and n.op == "lookup" for n in program.nodes):
        raise EmitError(f"{kernel.name}: rf.lookup has no C that stands alone yet; k.stages()['c'] is what a call runs")
    made = [
        _kind(kernel, program, dtype, chosen, shape, strategy, values, compact=compact, states=states)
        for dtype in kinds
    ]
    page = standalone.page_of(program, [m[0] for m in made], chosen, _summary(kernel), made[0][1])
    rows = {
        kind.dtype: vectors(_stored(program, kind.dtype), kind.computing, values, kind.shortest) for kind in page.kinds
    }
    texts = {f"{page.symbol}.h": standalone.single_text(page)} if single_header else _pair(page)
    return texts | example_files(page, rows, values, single_header=single_header, name=name)


def _pair(page: Page) -> dict[str, str]:
    return {f"{page.symbol}.c": standalone.source_text(page), f"{page.symbol}.h": standalone.header_text(page)}


def _checked_name(name: str) -> str:
    """The kernel's name, if it can be a part of C's and a file's names."""
    if not (name.isascii() and name.isidentifier()):
        raise EmitError(f"the kernel's name {name!r} is no C identifier; name it with rf.kernel(name=)")
    if name in C_NAMES or keyword.iskeyword(name):
        raise EmitError(f"the kernel's name {name!r} is a word of C; name it with rf.kernel(name=)")
    return name


def _isas(isas: Iterable[str] | None, target: str | None) -> list[str]:
    """The instruction sets, the best of each machine first."""
    if isas is None and target is not None:
        if target not in TARGETS:
            raise EmitError(f"target={shown(target)}: C is written for {', '.join(TARGETS)}, or for isas=")
        isas = TARGETS[target]
    wanted = ISAS if isas is None else (isas,) if isinstance(isas, str) else tuple(isas)
    named = [ALIASES.get(isa, isa) for isa in wanted]
    unknown = [isa for isa in named if isa not in ISAS]
    if unknown or not named:
        what = f"isas={shown(wanted)}: " + (f"{unknown[0]!r} is not known" if unknown else "none is named")
        raise IsaError(f"{what}; C is written for {', '.join(('portable', *ISAS))}")
    return [isa for isa in ISAS if isa in named]


def _dtypes(dtypes: Any) -> list[str]:
    given = ["float32"] if dtypes is None else list(dtypes) if isinstance(dtypes, list | tuple | set) else [dtypes]
    names = []
    for one_dtype in given:
        try:
            names.append(NAMES["bfloat16" if str(one_dtype) == "bfloat16" else np.dtype(one_dtype).name])
        except (TypeError, KeyError):
            raise DTypeError(f"dtypes={shown(one_dtype)}: C is written for {', '.join(NAMES)}") from None
    if not names:
        raise DTypeError("dtypes=(): name one of " + ", ".join(NAMES))
    return [short for short in NAMES.values() if short in names]


def _kind(
    kernel: Kernel[..., Any], program: Program, dtype: str, isas: list[str], shape: tuple[int, ...] | None,
    strategy: str, values: Mapping[str, float], *, compact: bool, states: bool,
) -> tuple[Kind, list[str]]:  # fmt: skip
    """The functions of a dtype, and the plans in words."""
    sections: list[Section] = []
    banner: list[str] = []
    program, computing = _stored(program, dtype), standalone.computing(dtype)
    layout = layout_of(program, computing) if states else None
    made = [_choices(program, computing, VOCABULARIES.get(isa, isa), shape, strategy) for isa in isas]
    for isa, choices in zip(isas, made, strict=True):
        banner += [line for plan in choices.plans for line in describe(plan, brief=True) if line not in banner]
        parts = standalone.parts_of(program, layout, VOCABULARIES.get(isa, isa)) if layout else ()
        sections.append(standalone.section_of(kernel.name, isa, dtype, choices, parts, compact=compact))
    ports = lower(made[-1].plans[0]).ports
    full = next(long for long, short in NAMES.items() if short == dtype)
    contract = [*_error(kernel, full, strategy), *_special(program, values)]
    kept = None
    if layout:
        kept = standalone.kept_of(program, layout, VOCABULARIES.get(isas[-1], isas[-1]), dtype)
    return standalone.kind_of(program, dtype, sections, ports, contract, kept), banner


def _stored(program: Program, dtype: str) -> Program:
    """The program on rows and results of this format."""
    if dtype not in FORMATS:
        return program
    return program.narrowed({"": dtype, **{node.name: dtype for _, node in program.inputs if node.role is Role.ROW}})


def _choices(program: Program, dtype: str, isa: str, shape: tuple[int, ...] | None, strategy: str) -> Choices:
    if shape is None:
        return every(program, dtype, isa, program.shortest, strategy)
    rows = int(np.prod(shape[:-1])) if shape else 1
    return one(program, dtype, isa, shape[-1] if shape else 1, max(rows, 1), strategy)


def _error(kernel: Kernel[..., Any], dtype: str, strategy: str) -> list[str]:
    bound = PUBLISHED.get((kernel.name, dtype))
    if bound is None or not kernel.__wrapped__.__module__.startswith("rowfold.library."):
        return ["Error: within the bound that running error analysis of the program gives; example/selftest.c",
                "lists it for its rows."]  # fmt: skip
    return [f"Error: at most {bound}, for rows of any length and any finite values."]


def _special(program: Program, values: Mapping[str, float]) -> list[str]:
    lines = special_values(program, values)
    return ["Special values:", *(f"  {line}" for line in lines)] if lines else []


def _values(kernel: Kernel[..., Any], settings: Mapping[str, Any]) -> dict[str, float]:
    """A value for each setting that is passed at run time: what was given, its default, or 1."""
    floats = [s for s in kernel.settings if not s.static]
    unknown = settings.keys() - {s.name for s in kernel.settings}
    if unknown:
        raise TypeError(f"{kernel.name} has no setting {min(unknown)!r}")
    return {s.name: float(settings.get(s.name, 1.0 if s.required else s.default)) for s in floats}


def _summary(kernel: Kernel[..., Any]) -> list[str]:
    """The kernel's documentation and, where it is found, its row function."""
    doc = inspect.getdoc(kernel.__wrapped__) or kernel.name
    lines = doc.split("\n\n", maxsplit=1)[0].splitlines()
    try:
        source = inspect.getsource(kernel.__wrapped__).splitlines()
    except (OSError, TypeError):
        source = []
    body = [line for line in _without_doc(source) if line.strip() and not line.lstrip().startswith("@")]
    return [remark(line.expandtabs()) for line in [*lines, *(["", *body] if body else [])]]


def _without_doc(lines: list[str]) -> list[str]:
    text = "\n".join(lines)
    for quote in ('"""', "'''"):
        before, found, rest = text.partition(quote)
        if found and quote in rest:
            return (before.rstrip() + rest.partition(quote)[2]).splitlines()
    return lines
