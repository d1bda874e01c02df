"""Rows in parts in C that stands alone: the layout of a state, the loops over a part, and how two states merge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...records import dataclass
from ..ir import Program, Role
from ..loops import Kernel, Port
from ..lower.merging import identity
from ..states import HEAD, Layout
from .standalone_api import Argument, Index, arguments_of, free_name, indexes_of
from .standalone_merging import merging_of
from .standalone_words import merging_words, renamed
from .text import literal


@dataclass(frozen=True, slots=True)
class Kept:
    """An argument that is one number a row: its place in a state, and the word that the loops read it with."""

    argument: Argument
    place: int
    index: bool
    key: bool


@dataclass(frozen=True, slots=True)
class States:
    """What the templates know of the states of one dtype."""

    size: int
    rounds: int
    layout: tuple[str, ...]  # a line for each field
    identity: tuple[str, ...]  # its numbers
    arguments: tuple[Argument, ...]  # of a part
    rows: tuple[Argument, ...]  # of them, those that results are written from
    results: tuple[Argument, ...]
    indexes: tuple[Index, ...]
    kept: tuple[Kept, ...]
    words: tuple[str, ...]
    begun: str  # whether `a` is the state of some part
    merged: tuple[str, ...]  # statements, `a` and `b` into `m`, by rounds
    offset: str
    given: str
    state: str

    @property
    def loops(self) -> tuple[str, ...]:
        """The loops: a round each, and the results."""
        return (*(f"partial_{k + 1}" for k in range(self.rounds)), "finish")

    @property
    def whole(self) -> bool:
        """Whether a result is a row, so that its parts are read once more."""
        return any(a.wide and not a.entries for a in self.results)


def states_of(program: Program, layout: Layout, loops: Sequence[Kernel], ctype: str, prefix: str) -> States:
    """From the loops of each round and of the results."""
    count = len(program.inputs) + len(program.params)
    arguments = arguments_of(program, _own(loops[0].ports, count), ctype)
    results = [a for a in arguments_of(program, _results(loops[-1].ports, count), ctype) if a.output]
    taken = {"rows", "n", "status", *(x for a in (*arguments, *results) for x in (a.name, a.row, a.step))}
    rows = [a for a in arguments if a.wide and any(r.wide and not r.entries for r in results)]
    merging, none = merging_of(layout.fields, layout.dtype), identity(layout.fields)
    return States(
        len(none), layout.rounds, tuple(_described(layout)), tuple(renamed(map(literal, none), prefix)),
        tuple(arguments), tuple(rows), tuple(results), tuple(indexes_of(program, arguments)),
        tuple(_kept(program, layout, arguments)), tuple(merging_words(layout.dtype, prefix, merging)),
        merging.begun, tuple(renamed(merging.lines, prefix)),
        free_name("offset", taken), free_name("given", taken), free_name("state", taken),
    )  # fmt: skip


def _own(ports: Sequence[Port], count: int) -> list[Port]:
    """The ports that are the kernel's arguments."""
    return [p for p in ports[:count] if not p.output]


def _results(ports: Sequence[Port], count: int) -> list[Port]:
    return [*ports[:count], *(p for p in ports[count:] if p.output)]


def _kept(program: Program, layout: Layout, arguments: Sequence[Argument]) -> Iterator[Kept]:
    roles = {node.name: node.role for _, node in program.inputs}
    names = [*roles, *(node.name for _, node in program.params)]
    for place, name in enumerate(layout.kept, HEAD):
        role = roles.get(name)
        yield Kept(arguments[names.index(name)], place, role is Role.INDEX, role is Role.SEED)


def _described(layout: Layout) -> Iterator[str]:
    """Where each field begins, as docs/states.md and the state of `k.partial` have it."""
    at = 0
    for name, shape in layout.fields:
        size = 1
        for extent in shape:
            size *= extent
        yield f"{f'{at}' if size == 1 else f'{at}..{at + size - 1}'}: {name}"
        at += size
