"""Rows in parts in C that stands alone: the layout of a state, the loops over a part, and how two states merge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...records import dataclass
from ..ir import Program, Role
from ..loops import Kernel, Port
from ..states import HEAD, Layout
from .standalone_api import Argument, Index, arguments_of, free_name, indexes_of
from .standalone_words import merging_words

_JOINED = {"sum": "total", "argmax": "join_argmax", "take": "join_take", "lse": "join_lse"}
_NUMBERS = {"count": "{0} + {1}", "prod": "{0} * {1}", "max": "rf_larger({0}, {1})", "min": "rf_smaller({0}, {1})"}


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


def states_of(
    program: Program, layout: Layout, loops: Sequence[Kernel], ctype: str, prefix: str, identity: Sequence[str]
) -> States:
    """From the loops of each round and of the results; `identity` is the state of no element."""
    count = len(program.inputs) + len(program.params)
    arguments = arguments_of(program, _own(loops[0].ports, count), ctype)
    results = [a for a in arguments_of(program, _results(loops[-1].ports, count), ctype) if a.output]
    taken = {"rows", "n", "status", *(x for a in (*arguments, *results) for x in (a.name, a.row, a.step))}
    rows = [a for a in arguments if a.wide and any(r.wide and not r.entries for r in results)]
    words = tuple(merging_words(layout.dtype, prefix, _merged(layout)))
    return States(
        len(identity), layout.rounds, tuple(_described(layout)), tuple(identity), tuple(arguments), tuple(rows),
        tuple(results), tuple(indexes_of(program, arguments)), tuple(_kept(program, layout, arguments)),
        words[: -len(_merged(layout))], words[-len(_merged(layout)) :],
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


def _merged(layout: Layout) -> list[str]:
    """The statements that merge two states of the same round into `m`, which is a copy of `a`."""
    lines, at = ["if (a[1] == 1) m[0] = a[0] + b[0];"], HEAD + len(layout.kept)
    for unit in layout.units:
        found = list(_unit(unit.kind, unit.name, unit.size, at, 2 if layout.dtype == "f64" else 1))
        if layout.rounds > 1:
            found = [f"if (a[1] == {unit.round}) {{", *(f"    {line}" for line in found), "}"]
        lines += [f"/* {unit.name} */", *found]
        at += unit.size
    return lines


def _unit(kind: str, name: str, size: int, at: int, width: int) -> Iterator[str]:
    sides = f"a + {at}, b + {at}"
    if kind in _NUMBERS:
        yield f"m[{at}] = {_NUMBERS[kind].format(f'a[{at}]', f'b[{at}]')};"
    elif kind in _JOINED:
        yield f"rf_{_JOINED[kind]}({sides}, m + {at});"
    elif kind == "exp":
        yield f"rf_join_exp({sides}, {size - 4}, m + {at});"
    elif kind == "topk":
        yield f"rf_join_topk({sides}, {size // 2}, m + {at});"
    else:
        yield from _moments(name, size, at, width, weighted=kind == "wmoments")


def _moments(name: str, size: int, at: int, width: int, *, weighted: bool) -> Iterator[str]:
    """Sums of products of distances from pivots, moved to the pivots of one side (runtime/merging.py, _moments)."""
    products = name.split("_")[3:]
    rows = [p for p in products if len(p) == 1]
    places = {p: len(rows) + k * width for k, p in enumerate(products)}
    last = size - 1
    yield "{"
    yield f"    const int gone = a[{at + last}] == 0; /* an empty side has no pivots */"
    yield f"    const double *left = (gone ? b : a) + {at}, *right = (gone ? a : b) + {at};"
    yield f"    double *to = m + {at}, term[{width}];"
    if weighted:
        places[""] = len(rows) + len(products) * width
    else:
        yield f"    const double count[2] = {{ right[{last}], 0 }};"
    for k, row in enumerate(rows):
        yield f"    const double apart_{row} = right[{last}] == 0 ? 0 : right[{k}] - left[{k}];"
        yield f"    to[{k}] = left[{k}];"
    for product, place in places.items():
        yield from (f"    {line}" for line in _shifted(product, place, places))
    yield f"    to[{last}] = left[{last}] + right[{last}];"
    yield "}"


def _shifted(product: str, place: int, places: dict[str, int]) -> Iterator[str]:
    """The product of (distance + apart), multiplied out, and the left side's."""
    total = f"total_{product or 'weights'}"
    yield f"double {total}[2]; /* {product or 'weights'} */"
    yield f"rf_same(right + {place}, {total});"
    for chosen in range(1, 2 ** len(product)):
        inside = "".join(r for k, r in enumerate(product) if not chosen >> k & 1)
        source = f"right + {places[inside]}" if inside in places else "count"
        for k, r in enumerate(product):
            if chosen >> k & 1:
                yield f"rf_times({source}, apart_{r}, term);"
                source = "term"
        yield f"rf_total({total}, term, {total});"
    yield f"rf_total(left + {place}, {total}, to + {place});"
