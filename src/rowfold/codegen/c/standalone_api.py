"""The functions that stand-alone C offers: their parameters, checks and contract, from the ports of a kernel."""

from __future__ import annotations

from collections.abc import Sequence

from ...records import dataclass
from ..dtypes import FORMATS
from ..ir import Param, Program, Reduce, Role
from ..loops import Port
from .text import literal

STRIDES = "strides count elements, may be negative or 0, and rows need no alignment"


@dataclass(frozen=True, slots=True)
class Argument:
    """One array or number of a call. `wide` has a value for each element (or entry), `setting` one for all rows."""

    name: str
    ctype: str
    output: bool
    wide: bool
    entries: int
    setting: bool
    row: str  # the name of its distance between rows
    step: str  # and between elements
    doc: str
    refused: str = ""  # a condition on a setting

    @property
    def single(self) -> str:
        """The parameter for one row."""
        if self.output:
            return f"{self.ctype} *{self.name}"
        return f"const {self.ctype} *{self.name}" if self.wide else f"{self.ctype} {self.name}"

    @property
    def strided(self) -> str:
        """The parameters for many rows."""
        if self.setting:
            return f"{self.ctype} {self.name}"
        pointer = f"{'' if self.output else 'const '}{self.ctype} *{self.name}"
        return f"{pointer}, ptrdiff_t {self.row}" + (f", ptrdiff_t {self.step}" if self.wide else "")

    @property
    def forwarded(self) -> str:
        """What the function for one row hands to that for many."""
        if self.setting:
            return self.name
        pointer = self.name if self.output or self.wide else f"&{self.name}"
        return f"{pointer}, 0" + (", 1" if self.wide else "")

    @property
    def pointer(self) -> str:
        return f"(char *)(uintptr_t){'&' if self.setting else ''}{self.name}"

    @property
    def absent(self) -> str:
        """When it may be null, as what precedes a test of it."""
        return "n && " if self.wide and not self.entries else ""

    @property
    def outer(self) -> str:
        return "0" if self.setting else f"{self.row} * (intptr_t)sizeof({self.ctype})"

    @property
    def inner(self) -> str:
        return f"{self.step} * (intptr_t)sizeof({self.ctype})"


@dataclass(frozen=True, slots=True)
class Index:
    name: str
    row: str
    ignore: int | None


def arguments_of(program: Program, ports: Sequence[Port], ctype: str) -> list[Argument]:
    """The arguments of a call, in order: arrays, settings, results."""
    taken = {p.name for p in ports} | {"rows", "n"}
    settings = {id(p): node for p, (_, node) in zip(ports[len(program.inputs) :], program.params, strict=False)}
    types = {"T": ctype, "mask": "unsigned char", "int": "int64_t", "double": "double", "index": "int64_t",
             "key": "uint64_t"}  # fmt: skip
    return [
        Argument(
            port.name, FORMATS[port.narrow].ctype if port.narrow else types[port.element], port.output,
            port.row or bool(port.entries), port.entries,
            id(port) in settings, free_name(f"{port.name}_row", taken), free_name(f"{port.name}_step", taken),
            *_doc(port, settings.get(id(port))),
        )
        for port in ports
    ]  # fmt: skip


def free_name(name: str, taken: set[str]) -> str:
    """A C name that is not taken, and is from now on."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _doc(port: Port, setting: object) -> tuple[str, str]:
    if isinstance(setting, Param):
        return _interval(setting)
    kinds = {"T": "a number", "mask": "0 or 1", "int": "an integer", "index": "an integer", "double": "a number",
             "key": "a random key"}  # fmt: skip
    what = kinds[port.element]
    if port.output:
        many = f"the {port.entries} results" if port.entries else "the result"
        return f"{what} for each of the n elements" if port.row else f"{many} of a row", ""
    return f"{what} for each of the n elements" if port.row else f"{what} a row", ""


def _interval(setting: Param) -> tuple[str, str]:
    """A setting's interval in words, and the C condition that refuses what lies outside."""
    name, inf = setting.name, float("inf")
    tests = [] if setting.low == -inf else [f"{name} {'>' if setting.open else '>='} {literal(setting.low)}"]
    tests += [] if setting.high == inf else [f"{name} <= {literal(setting.high)}"]
    words = " and ".join(tests)
    return f"a number for all rows{f', {words}' if words else ''}", f"!({' && '.join(tests)})" if tests else ""


def indexes_of(program: Program, arguments: Sequence[Argument]) -> list[Index]:
    found = zip(arguments, program.inputs, strict=False)
    return [Index(a.name, a.row, node.ignore) for a, (_, node) in found if node.role is Role.INDEX]


def longest_of(program: Program, dtype: str) -> int:
    """The largest row length, or 0: float32 lanes count positions up to 2^28."""
    positions = any(isinstance(n, Reduce) and n.op in ("argmax", "argmin") for n in program.nodes)
    return 2**28 if positions and dtype == "f32" else 0
