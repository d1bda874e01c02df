"""Kernel and plans -> C that stands alone: a source and a header for other programs, or one header.

sections   programs, ISAs     -> Section    the words, functions and loops of one instruction set and dtype
page       sections           -> Page       everything that the templates lay out
text       Page               -> str        templates/standalone*.j2; same input, same bytes
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from .. import __version__
from ..records import dataclass, replace
from .c.standalone_api import Argument, Index, arguments_of, indexes_of, longest_of
from .c.standalone_words import renamed, section_words
from .c.words import environment
from .emit_c import Unit, unit_of
from .ir import Program
from .isas import Isa, isa_of
from .loops import with_banner
from .lower.kernel import lower
from .plan import describe
from .planning.choice import Choices
from .source import identifier

# The best one of each machine first.
ISAS = ("avx512", "avx2", "sse2", "sve", "neon", "rvv", "wasm", "portable-fma", "c99")
ALIASES: Mapping[str, str] = {"portable": "c99"}
VOCABULARIES: Mapping[str, str] = {"portable-fma": "portable"}
GUARDS = {
    "x86_64": "defined(__x86_64__) && defined(__GNUC__)",
    "aarch64": "defined(__aarch64__) && defined(__GNUC__)",
    "riscv64": "defined(__riscv) && __riscv_xlen == 64 && defined(__GNUC__)",
    "wasm32": "defined(__wasm_simd128__)",
}
FMA_GUARD = "defined(__GNUC__) && (defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__FP_FAST_FMAF))"
# Where CPUID tells a feature (leaf, register, bit), and the registers that the system must save for it (XCR0).
CPUID = {"avx512f": (7, "b", 16), "avx512dq": (7, "b", 17), "avx512bw": (7, "b", 30), "avx512vl": (7, "b", 31),
         "avx2": (7, "b", 5), "fma": (1, "c", 12), "f16c": (1, "c", 29)}  # fmt: skip
DTYPES = {"f32": "float", "f64": "double"}


@dataclass(frozen=True, slots=True)
class Section:
    """One instruction set and dtype: its text, and which of its loops takes a call."""

    isa: str
    guard: str
    target: str  # what the compiler has to be told, e.g. "avx2,fma"
    prefix: str
    lanes: int
    ctype: str
    words: tuple[str, ...]
    functions: str
    loops: str
    symbols: tuple[str, ...]
    table: tuple[tuple[str, str], ...]  # (condition, symbol); the last condition is empty


@dataclass(frozen=True, slots=True)
class Kind:
    """The functions of one dtype."""

    dtype: str
    ctype: str
    symbol: str
    arguments: tuple[Argument, ...]
    indexes: tuple[Index, ...]
    shortest: int
    longest: int
    sections: tuple[Section, ...]
    contract: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the templates lay out."""

    name: str
    symbol: str
    version: str
    digest: str
    summary: tuple[str, ...]
    banner: tuple[str, ...]
    kinds: tuple[Kind, ...]
    probes: tuple[Probe, ...]
    includes: tuple[tuple[str, str], ...]  # (guard, header)

    @property
    def sections(self) -> list[Section]:
        return [s for kind in self.kinds for s in kind.sections]


@dataclass(frozen=True, slots=True)
class Probe:
    """How to find out whether this CPU runs an instruction set. `test` is C, "" where every CPU does."""

    isa: str
    macro: str
    guard: str
    test: str
    bit: int

    @property
    def cpuid(self) -> bool:
        return "_cpuid(" in self.test

    @property
    def hwcap(self) -> bool:
        return "_hwcap(" in self.test


def section_of(name: str, isa_name: str, dtype: str, choices: Choices) -> Section:
    isa = isa_of(VOCABULARIES.get(isa_name, isa_name))
    prefix = f"{name}_{identifier(isa_name)}_{'f64_' if dtype == 'f64' else ''}"
    units = [_unit(plan, isa_name, prefix) for plan in choices.plans]
    lines = [line for unit in units for line in unit.lines]
    functions = {f.head: f for unit in units for f in unit.functions}
    words = section_words(isa, dtype, lines)
    kernel = environment().get_template("kernel.c.j2")

    def block(which: str, **fields: Any) -> str:
        return "\n".join(renamed("".join(kernel.blocks[which](kernel.new_context(fields))).splitlines(), prefix))

    target = ",".join(isa.features) if isa.arch == "x86_64" and isa.fma else isa.target
    return Section(
        isa_name, _guard(isa_name), target, prefix, units[0].lanes, units[0].ctype,
        tuple(renamed(words, prefix)),
        block("functions", functions=list(functions.values())),
        "\n".join(block("rows", export="", **unit.fields()) for unit in units),
        tuple(u.symbol for u in units), tuple(_table(choices, units)),
    )  # fmt: skip


def _unit(plan: Any, isa_name: str, prefix: str) -> Unit:
    loops = with_banner(lower(plan), tuple(describe(plan, brief=True)))
    return replace(unit_of(loops, plan.isa, plan.strategy, prefix + plan.strategy), symbol=_symbol(plan, isa_name))


def _symbol(plan: Any, isa_name: str) -> str:
    from .source import symbol_of

    return symbol_of(plan.name, plan.dtype, plan.strategy, isa_name)


def _table(choices: Choices, units: Sequence[Unit]) -> list[tuple[str, str]]:
    rows = []
    for entry in choices.table:
        tests = [f"dims[0] >= {entry.rows}"] if entry.rows > 1 else []
        tests += [f"dims[1] >= {entry.n}"] if entry.n > 0 else []
        rows.append((" && ".join(tests), units[entry.plan].symbol))
    while len(rows) > 1 and rows[-2][1] == rows[-1][1]:
        del rows[-2]
    return rows


def kind_of(program: Program, dtype: str, sections: Sequence[Section], ports: Sequence[Any],
            contract: Sequence[str]) -> Kind:  # fmt: skip
    arguments = arguments_of(program, ports, DTYPES[dtype])
    return Kind(
        dtype, DTYPES[dtype], f"rowfold_{identifier(program.name)}_{dtype}", tuple(arguments),
        tuple(indexes_of(program, arguments)), program.shortest, longest_of(program, dtype), tuple(sections),
        tuple(contract),
    )  # fmt: skip


def page_of(program: Program, kinds: Sequence[Kind], isas: Sequence[str], summary: Sequence[str],
            banner: Sequence[str]) -> Page:  # fmt: skip
    name = identifier(program.name)
    probes = tuple(_probe(name, isa, 1 << i) for i, isa in enumerate(isas))
    headers = dict.fromkeys((p.guard, isa_of(VOCABULARIES.get(p.isa, p.isa)).header) for p in probes)
    includes = tuple((g, h) for g, h in headers if h.endswith(".h") and h != "fenv.h")
    return Page(name, f"rowfold_{name}", __version__, digest_of(program), tuple(summary), tuple(banner), tuple(kinds),
                probes, includes)  # fmt: skip


def _probe(name: str, isa_name: str, bit: int) -> Probe:
    isa: Isa = isa_of(VOCABULARIES.get(isa_name, isa_name))
    macro = f"ROWFOLD_{name.upper()}_{identifier(isa_name).upper()}"
    return Probe(isa_name, macro, _guard(isa_name), _test(name, isa), bit)


def _guard(isa_name: str) -> str:
    """When the text of an instruction set is compiled."""
    isa = isa_of(VOCABULARIES.get(isa_name, isa_name))
    if isa_name == "portable-fma":
        return FMA_GUARD
    return " && ".join(part for part in (GUARDS.get(isa.arch, ""), isa.guard) if part)


def _test(name: str, isa: Isa) -> str:
    if isa.probe:
        return f"{name}_hwcap({isa.probe.removeprefix('hwcap ')})"
    if isa.arch != "x86_64" or not set(isa.features) & CPUID.keys():
        return ""
    saved = "0xe6" if "avx512f" in isa.features else "0x06"
    bits: dict[tuple[int, str], int] = {}
    for leaf, register, bit in (CPUID[f] for f in isa.features):
        bits[leaf, register] = bits.get((leaf, register), 0) | 1 << bit
    tests = [f"{name}_cpuid({leaf}, '{register}', 0x{mask:08x}u)" for (leaf, register), mask in sorted(bits.items())]
    return " && ".join([f"{name}_saves({saved}u)", *tests])


def digest_of(program: Program) -> str:
    """A name for the program: equal programs have the same, whatever they are called."""
    text = repr((program.nodes, program.outputs))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def source_text(page: Page) -> str:
    return _rendered("standalone.c.j2", page=page)


def header_text(page: Page) -> str:
    return _rendered("standalone.h.j2", page=page)


def single_text(page: Page) -> str:
    """The header with the source behind `<SYMBOL>_IMPLEMENTATION`."""
    return _rendered("standalone_single.h.j2", page=page)


def _rendered(template: str, **fields: Any) -> str:
    return environment().get_template(template).render(**fields)
