"""Sweeps in less text, for C that stands alone: one loop for every block, sums in eight vectors, no text twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...records import replace
from ..loops import CHUNK, Kernel, Kind, Phase, Stmt, Sweep, Var
from ..lower.overlap import Batch, streams
from ..lower.whole import sums_of
from .shared import Walk, folds_of, sums_of_rare_rows, sweeps_of
from .sweeps import Names, Pace, Sweeps
from .text import CTYPES, half_name, indented
from .widening import widened


def walked(sweep: Sweep) -> list[str]:
    """The arrays of a sweep, each once."""
    return list(dict.fromkeys((*sweep.reads, *sweep.writes)))


class Small(Sweeps):
    """A block of which nothing is missing keeps its sums in registers; any other one masks each of its vectors."""

    whole_apart = False

    def __init__(self, kernel: Kernel, batch: Batch, names: Names) -> None:
        super().__init__(kernel, batch, names)
        self.folds = folds_of(replace(kernel, steps=batch.whole))
        alone = {id(sweep) for sweep, _ in sweeps_of(batch.whole) if len(self.halves(sweep)) == 1}
        self.twice = sums_of_rare_rows(replace(kernel, steps=batch.whole), alone)

    def halves(self, sweep: Sweep) -> Mapping[Var, Stmt]:
        """The sums that eight vectors are enough for."""
        return sums_of(sweep) if len(sweep.phases) == 1 else {}

    def before(self, sweep: Sweep) -> Iterator[str]:
        kept = self.halves(sweep)
        yield from (self.stmt(s) for s in sweep.before if not kept.keys() & set(s.results))

    def any_block(self, sweep: Sweep, pace: Pace) -> Iterator[str]:
        sums = self.halves(sweep)
        if not sums:
            yield from super().any_block(sweep, pace)
            return
        ((head, phase),) = sweep.phases
        yield from map(self.stmt, head)
        if pace is Pace.RARE:
            yield from self.some_of_it(sweep, sums)
            return
        yield f"if (count == {self.block_size}) {{"
        yield from indented(self.all_of_it(phase, sums))
        yield "} else {"
        yield from indented(self.some_of_it(sweep, sums))
        yield "}"

    def all_of_it(self, phase: Phase, sums: Mapping[Var, Stmt]) -> Iterator[str]:
        lanes = self.kernel.lanes
        yield from self.cleared(sums)
        yield f"for (intptr_t half_at = 0; half_at < {self.block_size}; half_at += {8 * lanes}) {{"
        yield "    for (int k = 0; k < 8; ++k) {"
        yield f"        const intptr_t j = half_at + {lanes} * k;"
        body = widened(phase.body, self.kernel.dtype)
        yield from (f"        {self.put_in(s, 'k') or self.stmt(s)}" for s in body)
        yield "    }"
        yield "}"
        yield from self.joined(sums)

    def some_of_it(self, sweep: Sweep, sums: Mapping[Var, Stmt]) -> Iterator[str]:
        if self.twice and any(sweep is one for one in self.twice[:2]):
            acc = next(iter(sums.values())).results[0].name
            yield f"{acc} = {self.names.kernel}_some({', '.join([*self.shared_arguments(sweep), acc])});"
            return
        yield from self.masked_sums(sweep, sums)
        yield from self.joined(sums)

    def masked_sums(self, sweep: Sweep, sums: Mapping[Var, Stmt]) -> Iterator[str]:
        phase = sweep.phases[0][1]
        yield from self.cleared(sums)
        put = {self.stmt(s): self.put_in(s, f"j / {self.kernel.lanes} % 8") for s in phase.tail if s.word == "put"}
        for line in self.masked_vectors(phase):
            text = line.strip()
            yield line.replace(text, put.get(text, text))

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
        return Walk(what, "static inline double", name, ", ".join(given), tuple(lines))

    def extremum(self, sweep: Sweep) -> tuple[str, str]:
        """What a fold is, and the name of its function."""
        word = sweep.after[0].word.removeprefix("fold_")
        return f"The {word} of a row.", f"{self.names.kernel}_{word}"

    def some_walk(self, sweep: Sweep) -> Walk:
        sums = self.halves(sweep)
        parts, s = next(iter(sums.items()))
        acc = s.results[0].name
        given = [f"{'' if n in sweep.writes else 'const '}{self.element(self.ports[n])} *{n}_b" for n in walked(sweep)]
        given += ["intptr_t count", *(f"{CTYPES[v.kind]} {v.name}" for v in self.outer()), f"rf_acc {acc}"]
        lines = (*self.masked_sums(sweep, sums), f"return rf_acc_add_half({acc}, {half_name(parts.name)});")
        what = "A block of which something is missing, or whose elements are shifted by the row's maximum."
        return Walk(what, "static inline rf_acc", f"{self.names.kernel}_some", ", ".join(given), lines)

    def outer(self) -> list[Var]:
        """What the walk over some of a block is given, as the rare row's sweep calls it."""
        assert self.twice is not None
        return [v for v in self.twice[2] if v.kind is not Kind.PARTS]

    def shared_arguments(self, sweep: Sweep) -> list[str]:
        assert self.twice is not None
        first, _, names = self.twice
        given = [names[v] if sweep is first else v for v in self.outer()]
        return [*(f"{n}_b" for n in walked(sweep)), "count", *(v.name if v else "rf_set(0.0)" for v in given)]

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

    def cleared(self, sums: Mapping[Var, Stmt]) -> Iterator[str]:
        halves = [half_name(parts.name) for parts in sums]
        yield f"rf_vec {', '.join(f'{half}[8]' for half in halves)};"
        yield f"for (int k = 0; k < 8; ++k) {' = '.join(f'{half}[k]' for half in halves)} = rf_set(0.0);"

    def joined(self, sums: Mapping[Var, Stmt]) -> Iterator[str]:
        for parts, s in sums.items():
            acc = s.results[0].name
            yield f"{acc} = rf_acc_add_half({acc}, {half_name(parts.name)});"

    def put_in(self, s: Stmt, place: str) -> str:
        """What is put among the parts of a sum, added to one of eight."""
        if s.word != "put":
            return ""
        parts = s.args[0]
        assert isinstance(parts, Var)
        half = f"{half_name(parts.name)}[{place}]"
        return f"{half} = rf_add({half}, {self.arg(s.args[1], Kind.VEC)});"

    def ahead(self, sweep: Sweep) -> Iterator[str]:
        yield from (f"if (from_memory) {self.fetch(p)}" for p in streams(sweep, self.ports))

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
