"""Sweeps in less text, for C that stands alone: one loop for every block, sums in eight vectors, no text twice."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ...records import replace
from ..loops import CHUNK, Kernel, Kind, Phase, Stmt, Sweep, Var, statements, whole_row
from ..lower.overlap import Batch, streams
from ..lower.whole import loaded_first, sums_of
from .shared import Walk, folds_of, sums_of_rare_rows, sweeps_of
from .sweeps import Names, Pace, Sweeps
from .text import CTYPES, eight_name, half_name, indented
from .widening import widened

_SELECT = re.compile(r"\brf_select\(live, ")
_SOME = re.compile(r"\brf_(load|store)_tail\((.*, )live(?=\))")


def _counted(line: str) -> str:
    """A masked operation told how many elements are left, in the place of a mask."""
    return _SOME.sub(r"rf_\1_some(\2live_count", _SELECT.sub("rf_select_some(live_count, ", line))


def walked(sweep: Sweep) -> list[str]:
    """The arrays of a sweep, each once."""
    return list(dict.fromkeys((*sweep.reads, *sweep.writes)))


class Small(Sweeps):
    """A block of which nothing is missing keeps its sums in registers; any other one masks each of its vectors."""

    whole_apart = False

    def __init__(self, kernel: Kernel, batch: Batch, names: Names, *, ahead: bool = False) -> None:
        """`ahead`: registers have room for eight vectors that are loaded before results are stored."""
        super().__init__(kernel, batch, names)
        self.loads_ahead = ahead
        self.folds = folds_of(replace(kernel, steps=batch.whole))
        alone = {id(sweep) for sweep, _ in sweeps_of(batch.whole) if len(self.halves(sweep)) == 1}
        self.twice = sums_of_rare_rows(replace(kernel, steps=batch.whole), alone)
        self.makers = self.makers_of(self.twice[2]) if self.twice else {}

    def makers_of(self, names: Mapping[Var, Var | None]) -> dict[Var, Stmt]:
        """How vectors are made of a number, where what stands for them is as well."""
        made = {s.results[0]: s for s in statements(whole_row(self.kernel)) if s.word in ("set", "set_lo")}
        word = {v: s.word for v, s in made.items() if isinstance(s.args[0], Var)}
        alike = [(v, u) for v, u in names.items() if v in word and (u is None or word.get(u) == word[v])]
        return {x: made[x] for pair in alike for x in pair if x is not None}

    def halves(self, sweep: Sweep) -> Mapping[Var, Stmt]:
        """The sums that eight vectors are enough for."""
        return sums_of(sweep) if len(sweep.phases) == 1 else {}

    def before(self, sweep: Sweep) -> Iterator[str]:
        idle = set(self.halves(sweep))
        if self.twice and sweep is self.twice[1]:
            idle |= self.makers.keys() & set(self.outer())
        kept = [s for s in sweep.before if not idle & set(s.results)]
        yield from map(self.stmt, sorted(kept, key=lambda s: s.word != "acc_zero"))

    def block(self, sweep: Sweep, pace: Pace) -> Iterator[str]:
        if self.twice and sweep is self.twice[1]:
            yield self.some_call(sweep)
            return
        sums = self.halves(sweep)
        if pace is Pace.RARE or not sums or sweep.peek is not None:
            yield from super().block(sweep, pace)
            return
        yield f"if (contiguous && n - i >= {self.block_size}) {{"
        yield from indented(self.all_of_it(sweep, sums))
        if self.twice and sweep is self.twice[0]:
            yield f"}} else {self.some_call(sweep)}"
            return
        yield "} else {"
        yield from indented(line for line in super().block(sweep, pace) if "from_memory" not in line)
        yield "}"

    def any_block(self, sweep: Sweep, pace: Pace) -> Iterator[str]:
        if not (sums := self.halves(sweep)):
            yield from super().any_block(sweep, pace)
            return
        ((head, phase),) = sweep.phases
        yield from map(self.stmt, head)
        yield from self.cleared(sums)
        put = {self.stmt(s): self.put_in(s, f"j / {self.kernel.lanes} % 8") for s in phase.tail if s.word == "put"}
        for line in self.masked_vectors(phase):
            text = line.strip()
            yield line.replace(text, put.get(text, text))
        yield from self.joined(sums)

    def all_of_it(self, sweep: Sweep, sums: Mapping[Var, Stmt]) -> Iterator[str]:
        """A block of which nothing is missing, with one of the row that waits for its last sweep."""
        ((head, phase),) = sweep.phases
        lanes, host = self.kernel.lanes, self.hosts(sweep)
        yield from self.direct(sweep)
        yield from self.ahead(sweep) if host else ()
        yield from map(self.stmt, head)
        yield self.halves_of(sums)
        yield f"for (intptr_t half_at = 0; half_at < {self.block_size}; half_at += {8 * lanes}) {{"
        body = widened(phase.body, self.kernel.dtype)
        first = loaded_first(body) if self.loads_ahead else []
        yield from indented(line for s in first for line in self.eight_loaded(s))
        yield f"    for (intptr_t k = 0, j = half_at; k < 8; ++k, j += {lanes}) {{"
        for s in body:
            yield f"        {self.of_eight(s) if s in first else self.put_in(s, 'k', first='half_at') or self.stmt(s)}"
        yield "    }"
        yield "}"
        yield from self.beneath() if host else ()
        yield from self.joined(sums)
        yield from self.closed(sweep)

    def eight_loaded(self, s: Stmt) -> Iterator[str]:
        """A load that waits for no earlier store."""
        name = eight_name(s.results[0].name)
        value = re.sub(r"\bj\b", f"half_at + {self.kernel.lanes} * k", self.value(s))
        yield f"rf_vec {name}[8]; /* a load waits for a store that may be to its place */"
        yield f"for (int k = 0; k < 8; ++k) {name}[k] = {value};"

    def beneath(self, *also: str) -> Iterator[str]:
        tests = " && ".join([*also, f"n - held_at >= {self.block_size}"])
        yield f"if ({tests}) {{"
        yield f"    {self.names.last_whole()}"
        yield f"    held_at += {self.block_size};"
        yield "}"

    def take_along(self) -> Iterator[str]:
        assert self.batch.last is not None
        if not self.halves(self.batch.last.host):
            yield from self.beneath("contiguous")

    def masked(self, phase: Phase) -> list[str]:
        """Most of these are whole vectors, which need no mask."""
        made = super().masked(phase)
        body = [_counted(line) for line in made if " live = " not in line]
        live = made[:1] if any(re.search(r"\blive\b", line) for line in body) else []
        counted = any(re.search(r"\blive_count\b", line) for line in body)
        return [*(["const intptr_t live_count = count - j;"] if counted else []), *live, *body]

    # what is written once for common and for rare rows

    def walks(self) -> Iterator[Walk]:
        """The functions for it."""
        if self.folds:
            yield self.fold_walk(self.folds[0])
        if self.twice:
            yield self.some_walk(self.twice[1])

    def fold_walk(self, sweep: Sweep) -> Walk:
        alone = replace(sweep, peek=None, wary=None, after=(), comment=())
        ports = [self.ports[name] for name in sweep.reads]
        given = ["intptr_t n", *(f"const char *{p.name}, intptr_t {p.name}_step" for p in ports)]
        lines = [line for line in super().sweep(alone, Pace.RARE) if line]
        what, name = self.extremum(sweep)
        lines += [f"return {self.value(sweep.after[0])};"]
        return Walk(what, "static RF_APART double", name, ", ".join(given), tuple(lines))

    def extremum(self, sweep: Sweep) -> tuple[str, str]:
        """What a fold is, and the name of its function."""
        word = sweep.after[0].word.removeprefix("fold_")
        return f"The {word} of a row.", f"{self.names.kernel}_{word}"

    def some_walk(self, sweep: Sweep) -> Walk:
        acc = self.sum_of(sweep)
        given = ["intptr_t n, intptr_t i"]
        for name in walked(sweep):
            given.append(f"{'' if name in sweep.writes else 'const '}char *{name}, intptr_t {name}_step")
        makers = [self.makers.get(v) for v in self.outer()]
        given += [f"{CTYPES[v.kind]} {v.name}" for v in self.passed()]
        given.append(f"rf_acc *{acc}")
        alone = replace(sweep, comment=())
        lines = [*(self.stmt(s) for s in makers if s), *super().block(alone, Pace.RARE)]
        lines = [line.replace(f"&{acc}", acc) for line in lines]
        what = "A block that is not whole, not contiguous, or of a row whose elements are shifted by its maximum."
        return Walk(what, "static inline void", f"{self.names.kernel}_some", ", ".join(given), tuple(lines))

    def sum_of(self, sweep: Sweep) -> str:
        return next(iter(self.halves(sweep).values())).results[0].name

    def outer(self) -> list[Var]:
        """What the walk over some of a block needs, as the rare row's sweep calls it."""
        assert self.twice is not None
        return [v for v in self.twice[2] if v.kind is not Kind.PARTS]

    def passed(self) -> list[Var]:
        """What it is given: numbers in the place of the vectors that are made of them, for registers take those."""
        found = (self.makers[v].args[0] if v in self.makers else v for v in self.outer())
        return [v for v in found if isinstance(v, Var)]

    def some_call(self, sweep: Sweep) -> str:
        assert self.twice is not None
        first, _, names = self.twice
        given = [names[v] if sweep is first else v for v in self.outer()]
        ports = [text for name in walked(sweep) for text in (name, f"{name}_step")]
        numbers = [self.given(u, as_number=v in self.makers) for u, v in zip(given, self.outer(), strict=True)]
        return f"{self.names.kernel}_some({', '.join(['n', 'i', *ports, *numbers, f'&{self.sum_of(sweep)}'])});"

    def given(self, var: Var | None, *, as_number: bool) -> str:
        """What stands for a vector in a call; None: no shift."""
        if var is None:
            return "0.0" if as_number else "rf_set(0.0)"
        return self.arg(self.makers[var].args[0], Kind.NUM) if as_number else var.name

    def sweep(self, sweep: Sweep, pace: Pace) -> Iterator[str]:
        if not any(sweep is one for one in self.folds):
            yield from super().sweep(sweep, pace)
            return
        fold = sweep.after[0]
        given = [n for name in sweep.reads for n in (name, f"{name}_step")]
        call = f"{self.extremum(sweep)[1]}({', '.join([self.extent(sweep), *given])})"
        yield from ("", *(f"/* Sweep: {c}. */" for c in sweep.comment))
        yield f"const double {fold.results[0].name} = {call};"
        yield from map(self.stmt, sweep.after[1:])

    def halves_of(self, sums: Mapping[Var, Stmt]) -> str:
        return f"rf_vec {', '.join(f'{half_name(parts.name)}[8]' for parts in sums)};"

    def cleared(self, sums: Mapping[Var, Stmt]) -> Iterator[str]:
        yield self.halves_of(sums)
        halves = " = ".join(f"{half_name(parts.name)}[k]" for parts in sums)
        yield f"for (int k = 0; k < 8; ++k) {halves} = rf_set(0.0);"

    def joined(self, sums: Mapping[Var, Stmt]) -> Iterator[str]:
        for parts, s in sums.items():
            yield f"rf_acc_gain(&{s.results[0].name}, {half_name(parts.name)});"

    def put_in(self, s: Stmt, place: str, first: str = "") -> str:
        """What is put among the parts of a sum, added to one of eight; `first`: what is 0 where nothing was before."""
        if s.word != "put":
            return ""
        parts = s.args[0]
        assert isinstance(parts, Var)
        half, value = f"{half_name(parts.name)}[{place}]", self.arg(s.args[1], Kind.VEC)
        added = f"rf_add({half}, {value})"
        return f"{half} = {first} ? {added} : {value};" if first else f"{half} = {added};"

    def ahead(self, sweep: Sweep) -> Iterator[str]:
        yield from (f"if (from_memory) rf_ahead({p.name}_b);" for p in streams(sweep, self.ports))

    def chunk_end(self, sweep: Sweep) -> Iterator[str]:
        ends = f"if (!((i + {self.block_size}) & {CHUNK - 1}))"
        joined = {s.results[0]: s for s in sweep.chunk_end if s.word == "acc_join"}
        moved = [(total, s.args[1]) for total, s in joined.items() if s.args[0] == total]
        cleared = {s.results[0] for s in sweep.chunk_end if s.word == "acc_zero"}
        if len(sweep.chunk_end) != 2 or len(moved) != 1 or cleared != {moved[0][1]}:
            yield from super().chunk_end(sweep)
            return
        total, part = (self.arg(a, Kind.ACC) for a in moved[0])
        yield f"{ends} rf_acc_move(&{total}, &{part}); /* a chunk ends */"

    def rest_of_last(self) -> Iterator[str]:
        yield f"if (held_at < n) {self.names.rest()}"
