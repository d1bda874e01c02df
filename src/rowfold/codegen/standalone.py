"""Kernel and plans -> C that stands alone: a source and a header for other programs, or one header.

sections   programs, ISAs     -> Section    the words, functions and loops of one instruction set and dtype
page       sections           -> Page       everything that the templates lay out
text       Page               -> str        templates/standalone*.j2; same input, same bytes
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import __version__
from ..records import dataclass, replace
from .c.library import FunctionText
from .c.standalone_api import Argument, Index, arguments_of, indexes_of, longest_of
from .c.standalone_macros import MACROS, STRICT, without_single_use
from .c.standalone_notes import notes
from .c.standalone_states import States, states_of
from .c.standalone_text import Reader, other_names
from .c.standalone_words import keeps_flags, renamed, section_words
from .c.words import environment
from .dtypes import FORMATS, Format
from .emit_c import Unit, unit_of
from .ir import Program
from .isas import Isa, isa_of
from .loops import with_banner
from .lower.kernel import lower
from .plan import Plan, describe
from .planning.choice import Choices
from .source import identifier, symbol_of
from .states import Layout, state_plan

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
DTYPES = {"f32": "float", "f64": "double"}  # what is computed in, and what else has 16 bits in memory


@dataclass(frozen=True, slots=True)
class Section:
    """One instruction set and dtype: its text, and which of its loops takes a call."""

    isa: str
    guard: str
    target: str  # what the compiler has to be told of a function, e.g. "avx2,fma"
    macro: str  # and the name of what tells it
    prefix: str
    lanes: int
    ctype: str
    words: tuple[str, ...]
    functions: str
    loops: str
    symbols: tuple[str, ...]
    table: tuple[tuple[str, str], ...]  # (condition, symbol); the last condition is empty
    parts: tuple[str, ...] = ()  # the loops over a part of a row, and of the results
    part_words: tuple[str, ...] = ()  # what they need beside the words before them
    part_loops: str = ""

    @property
    def parts_of_text(self) -> tuple[str, ...]:
        """All of it."""
        return (*self.words, self.functions, self.loops, *self.part_words, self.part_loops)

    @property
    def entry(self) -> str:
        """The function that takes a call."""
        (_, first), *others = self.table
        return f"{self.prefix}run" if others else first


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
    states: States | None = None

    @property
    def routes(self) -> list[tuple[str, list[tuple[Section, str]]]]:
        """What is chosen by the CPU: the name of each kind of loop, and which one an instruction set has."""
        parts = self.states.loops if self.states else ()
        return [
            ("run", [(s, s.entry) for s in self.sections]),
            *((name, [(s, s.parts[k]) for s in self.sections]) for k, name in enumerate(parts)),
        ]

    @property
    def computing(self) -> str:
        """The dtype that is computed in."""
        return computing(self.dtype)

    @property
    def narrow(self) -> Format | None:
        """The format of its rows, if that is one of 16 bits."""
        return FORMATS.get(self.dtype)

    @property
    def elements(self) -> str:
        """What rows are made of, in words."""
        return f"{self.narrow.numpy} codes ({self.ctype})" if self.narrow else f"{self.ctype}s"


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

    @property
    def guard(self) -> str:
        """The condition of every section, if that is one machine: nothing of the page is for another."""
        guards = {s.guard for s in self.sections}
        return guards.pop() if len(guards) == 1 and guards & self._machines else ""

    @property
    def direct(self) -> bool:
        """Whether its one instruction set runs wherever it is compiled."""
        return len(self.probes) == 1 and not self.probes[0].test and (bool(self.guard) or not self.probes[0].guard)

    @property
    def _machines(self) -> set[str]:
        return {_guard(isa) for isa in ISAS if isa_of(VOCABULARIES.get(isa, isa)).arch}

    @property
    def machine(self) -> str:
        """That machine in words."""
        isa = self.sections[0].isa
        if isa == "wasm":
            return "WebAssembly with -msimd128"
        return "riscv64 with vectors, or Clang 19" if isa == "rvv" else f"{isa_of(isa).arch}, by GCC or Clang"

    @property
    def targets(self) -> list[tuple[str, str]]:
        """What compilers have to be told of functions: (macro, target)."""
        return list(dict.fromkeys((s.macro, s.target) for s in self.sections if s.target))

    @property
    def portable(self) -> bool:
        """Whether some of it is for any compiler: else GCC and Clang alone see anything in it."""
        return not all(s.guard for s in self.sections)

    @property
    def gnu(self) -> tuple[tuple[str, str], ...]:
        """What the page calls by names of its own, for GCC and Clang: (macro, what it stands for)."""
        return MACROS

    @property
    def strict(self) -> tuple[tuple[str, str], ...]:
        """What other compilers have to be told of GCC's words, by which the page calls what C has another one for."""
        used = self.text + ("__builtin_memcpy" if any(kind.states for kind in self.kinds) else "")
        used += "__asm__" if "RF_NAMED" in self.macros else ""
        return tuple((name, text) for name, text in STRICT if name in used)

    @property
    def macros(self) -> set[str]:
        """The macros in use."""
        found = {"RF_NAMED"} if self.portable and any(p.cpuid for p in self.probes) else set()
        found |= {"RF_COPY"} if any(kind.states for kind in self.kinds) else set()
        return found | set(re.findall(r"\bRF_[A-Z]+", self.text))

    @property
    def text(self) -> str:
        """All that its sections hold."""
        states = [k.states for k in self.kinds if k.states]
        merging = [line for s in states for line in (*s.words, *s.merged, *s.identity)]
        return "\n".join([*(part for s in self.sections for part in s.parts_of_text), *merging])

    @property
    def notes(self) -> list[str]:
        """Why its constants are what they are."""
        text = re.sub(r"\w+_(?=sixteenths\b)", "", self.text)
        return notes(text, frozenset(kind.computing for kind in self.kinds))


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


def section_of(
    name: str, isa_name: str, dtype: str, choices: Choices, parts: Sequence[Plan] = (), *, compact: bool
) -> Section:
    """The text of one instruction set and dtype; `compact` where its size counts more than its speed.

    `parts` are the plans of each round over a part of a row and of the results, which are always compact.
    """
    isa = isa_of(VOCABULARIES.get(isa_name, isa_name))
    prefix = f"{name}_{identifier(isa_name)}_{'' if dtype == 'f32' else dtype + '_'}"
    units = [_unit(plan, dtype, isa_name, prefix, compact=compact) for plan in choices.plans]
    more = [_unit(plan, dtype, isa_name, prefix, compact=True) for plan in parts]
    lines = [line for unit in units for line in unit.lines]
    functions = {f.head: f for unit in units for f in unit.functions}
    others = {f.head: f for unit in more for f in unit.functions if f.head not in functions}
    words = renamed(section_words(isa, computing(dtype), lines), prefix)
    more_lines = [*lines, *(line for unit in more for line in unit.lines)]
    every = renamed(section_words(isa, computing(dtype), more_lines), prefix)
    target, guard = _target(isa), _guard(isa_name)
    reader = Reader(other_names(every), target_macro(isa_name) if target else "", dict(MACROS))

    def block(template: str, **fields: Any) -> str:
        return reader.text("\n".join(renamed(_rendered(template, **fields).splitlines(), prefix)))

    def texts(functions: Iterable[FunctionText], units: Iterable[Unit]) -> tuple[str, str]:
        rows = (block("standalone/rows.c.j2", flags=keeps_flags(isa), **unit.fields()) for unit in units)
        return block("functions.c.j2", functions=list(functions)), "\n".join(rows)

    return Section(
        isa_name, guard, target, reader.macro, prefix, units[0].lanes, units[0].ctype,
        reader.definitions(words), *texts(functions.values(), units),
        tuple(u.symbol for u in units), tuple(_table(choices, units)), tuple(u.symbol for u in more),
        reader.definitions(every[len(words) :]), "".join(texts(others.values(), more)),
    )  # fmt: skip


def _target(isa: Isa) -> str:
    return ",".join(isa.features) if isa.arch == "x86_64" and isa.fma else isa.target


def target_macro(isa_name: str) -> str:
    """The macro that tells compilers for which instruction set a function is."""
    return f"RF_{identifier(isa_name).upper()}"


def computing(dtype: str) -> str:
    """What rows of a dtype are computed in: those of 16 bits in float32."""
    return "f32" if dtype in FORMATS else dtype


def _unit(plan: Plan, dtype: str, isa_name: str, prefix: str, *, compact: bool) -> Unit:
    loops = with_banner(lower(plan), tuple(describe(plan, brief=True)))
    name = prefix + plan.strategy
    unit = unit_of(loops, plan.isa, plan.strategy, name, grouped=plan.together, compact=compact, read=True)
    return replace(unit, symbol=symbol_of(plan.name, dtype, plan.strategy, isa_name))


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
            contract: Sequence[str], states: States | None = None) -> Kind:  # fmt: skip
    ctype = DTYPES[computing(dtype)]
    arguments = arguments_of(program, ports, ctype)
    return Kind(
        dtype, FORMATS[dtype].ctype if dtype in FORMATS else ctype, f"rowfold_{identifier(program.name)}_{dtype}",
        tuple(arguments), tuple(indexes_of(program, arguments)), program.shortest,
        longest_of(program, computing(dtype)), tuple(sections), tuple(contract), states,
    )  # fmt: skip


def parts_of(program: Program, layout: Layout, isa: str) -> list[Plan]:
    """The plans of each round over a part of a row, and of the results."""
    return [state_plan(program, layout, isa, done) for done in range(layout.rounds + 1)]


def kept_of(program: Program, layout: Layout, isa: str, dtype: str) -> States:
    """What the functions for parts of rows need to know."""
    name, loops = identifier(program.name), [lower(plan) for plan in parts_of(program, layout, isa)]
    return states_of(program, layout, loops, DTYPES[computing(dtype)], f"{name}_{dtype}_")


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
    return without_single_use(_rendered("standalone.c.j2", page=page))


def header_text(page: Page) -> str:
    return _rendered("standalone.h.j2", page=page)


def single_text(page: Page) -> str:
    """The header with the source behind `<SYMBOL>_IMPLEMENTATION`."""
    return without_single_use(_rendered("standalone_single.h.j2", page=page))


def _rendered(template: str, **fields: Any) -> str:
    return environment().get_template(template).render(**fields)
