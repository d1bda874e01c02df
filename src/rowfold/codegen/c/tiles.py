"""Rows beside each other in a tile: the C of it, for rows along another axis than the last.

A tile has as many rows as a vector has lanes; a vector of a walk holds one element of each. The lanes of a single row
become a loop, so that sums have the order that they have in a row of its own, and its bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ...errors import CompileError
from ...records import dataclass, replace
from ..loops import CHUNK, Arg, Kernel, Kind, Phase, Port, Stmt, Sweep, Var
from .staged import Staged, Walk, pointer
from .sweeps import Pace
from .text import CTYPES, POINTERS, half_name, indented, suffix

ACROSS = frozenset({"vector_number", "uniform", "accumulate", "mask_first", "fold", "any", "element"})


@dataclass(frozen=True, slots=True)
class TileText:
    """A walk over a tile."""

    number: int
    comment: tuple[str, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TilesText:
    """The page of a kernel that walks rows side by side."""

    struct: tuple[str, ...]
    next: tuple[str, ...]
    walks: tuple[TileText, ...]

    @property
    def lines(self) -> list[str]:
        return [*self.struct, *self.next, *(line for w in self.walks for line in w.lines)]


def tiles_of(kernel: Kernel, name: str) -> TilesText:
    page = _Tiles(kernel, name)
    return TilesText(tuple(page.struct()), tuple(page.next()), tuple(page.text(w) for w in page.walks))


class _Tiles(Staged):
    in_rows = False  # whether a block is being printed row by row

    def text(self, walk: Walk) -> TileText:
        self._check(walk.sweep)
        return TileText(walk.number, walk.sweep.comment, tuple(self.tile(walk)))

    def _check(self, sweep: Sweep) -> None:
        words = {s.word for head, p in sweep.phases for s in (*head, *p.body, *p.tail)} | {
            s.word for s in sweep.block_end
        }
        if words & ACROSS or any(word.startswith(("best_", "pool_")) for word in words):
            raise CompileError(
                f"{self.kernel.name}: {min(words & ACROSS, default='a selection')} is for a row of its own"
            )

    # a walk

    def tile(self, walk: Walk) -> Iterator[str]:
        sweep = replace(walk.sweep, rotate=())
        every = list(dict.fromkeys([*walk.carried, *(v for s in sweep.chunk_end if s.assign for v in s.results)]))
        captured = [v for v in walk.captured if v not in every]
        captured += [v for v in self._of_chunk(sweep) if v not in (*captured, *every)]
        if any(v.kind is not Kind.VEC for v in captured):
            raise CompileError(f"{self.kernel.name}: a walk reads what is no vector")
        ports = [self.ports[n] for n in dict.fromkeys((*sweep.reads, *sweep.writes))]
        yield from (self.declared_beside(v) for v in captured)
        yield from (self.carried_in(v) for v in every)
        yield from (
            f"RF_ALIGNED {self.element(p)} {p.name}_buffer[TILES][{self.block_size} * {self.kernel.lanes}];"
            for p in ports
        )
        for p in ports:
            yield f"{pointer(p)}{p.name} = all_rows[0].{p.name};"
            yield f"const intptr_t {p.name}_step = all_rows[0].{p.name}_step, {p.name}_next = next[{self.place(p)}];"
        yield f"const intptr_t tiles = (all_columns + {self.kernel.lanes - 1}) / {self.kernel.lanes};"
        near = [f"{p.name}_next == (intptr_t)sizeof({self.element(p)})" for p in ports if self.plain(p)]
        near = near if len(near) == len(ports) else ["0"]
        every_row = f"all_columns % {self.kernel.lanes} == 0 && all == ~(uint64_t)0 >> (64 - all_columns)"
        yield f"const int as_it_lies = {' && '.join([every_row, *near])};"
        yield from self.parts(sweep)
        yield from self.each_tile(line for v in captured for line in self.beside(v))
        yield from self.each_tile(line for v in every for line in self.start(v, sweep))
        yield f"for (intptr_t i = 0; i < extent; i += {self.block_size}) {{"
        yield f"    const intptr_t count = rf_least(extent - i, {self.block_size});"
        yield from indented(self.one_block(sweep, walk, every, captured, ports))
        yield "}"
        yield from self.each_tile(line for v in every for line in self.end(v))

    def each_tile(self, lines: Iterable[str]) -> Iterator[str]:
        """The lines for every tile that has a row to walk."""
        body = list(lines)
        text = "\n".join(body)
        if not body:
            return
        yield f"for (intptr_t tile = 0; tile * {self.kernel.lanes} < all_columns; ++tile) {{"
        yield f"    const unsigned mask = (unsigned)(all >> tile * {self.kernel.lanes}) & ALL;"
        yield "    if (!mask) continue;"
        if "columns" in text:
            lanes = self.kernel.lanes
            yield f"    const intptr_t columns = rf_least(all_columns - tile * {lanes}, {lanes});"
        if "rows[" in text:
            yield f"    {self.name}_row *const rows = all_rows + tile * {self.kernel.lanes};"
        yield from indented(body)
        yield "}"

    def _of_chunk(self, sweep: Sweep) -> list[Var]:
        own = {v.name for s in sweep.chunk_end for v in s.results}
        return [a for s in sweep.chunk_end for a in s.args if isinstance(a, Var) and a.name not in own]

    def place(self, port: Port) -> int:
        return self.kernel.ports.index(port)

    def plain(self, p: Port) -> bool:
        return p.element == "T" and not p.narrow

    def one_block(
        self, sweep: Sweep, walk: Walk, every: list[Var], captured: list[Var], ports: list[Port]
    ) -> Iterator[str]:
        by_tile = list(self.each_tile(self.tile_block(sweep, walk, captured, ports)))
        sums = {a: s for s in sweep.block_end for a in s.args[1:] if isinstance(a, Var)}
        plain = len(sweep.phases) == 1 and not any(head for head, _ in sweep.phases)
        if not plain or any(s.word != "acc_add_tree" for s in sweep.block_end):
            yield from by_tile
        else:
            whole = f" && count == {self.block_size}" if sums or walk.carried else ""
            yield f"if (as_it_lies{whole}) {{"
            yield from indented(self.as_it_lies(sweep, walk, captured, sums))
            yield "} else {"
            yield from indented(by_tile)
            yield "}"
        if sweep.chunk_end:
            yield f"if (!((i + {self.block_size}) & {CHUNK - 1})) {{"
            read = [v for v in captured if any(v in s.args for s in sweep.chunk_end)]
            lines = indented(self.in_lane(tuple(every), map(self.stmt, sweep.chunk_end)))
            loop = f"for (int lane = 0; lane < {self.kernel.lanes}; ++lane) {{"
            yield from indented(self.each_tile([*self.loaded(read), loop, *lines, "}"]))
            yield "}"

    def loaded(self, captured: Iterable[Var]) -> Iterator[str]:
        yield from (f"const rf_vec {v.name} = rf_load({v.name}_each[tile]);" for v in captured)

    def as_it_lies(self, sweep: Sweep, walk: Walk, captured: list[Var], sums: Mapping[Var, Stmt]) -> Iterator[str]:
        """All tiles of a block, row by row: memory is walked as it lies, and what the lanes carry is in the cache."""
        if not sums and not walk.carried:
            loop = f"intptr_t j = 0; j < count; j += {self.kernel.lanes}"
            yield from self.rows_of_all(loop, " && j + lane < count", [*self.loaded(captured), *self.all_lines(sweep)])
            return
        if sums and not _any_order(sweep, walk):
            lines = self.in_lane(walk.carried, self.halves(sweep, sums))
            yield from self.lanes_of_tiles([*self.loaded(captured), *lines])
            return
        yield from (f"RF_ALIGNED rf_vec {half_name(p.name)}[TILES][{self.kernel.lanes}];" for p in sums)
        carried = tuple(v for v in walk.carried if any(v in s.results for s in self.stmts_of(sweep)))
        heavy = any(s.assign and s.results[0].kind is Kind.ACC for s in sweep.phases[0][1].body)
        each = 8 if heavy else 4
        body = [*self.loaded(captured), *self.in_lane(carried, self.some(sweep, sums, each))]
        yield f"for (int turn = 0; turn < {16 // each}; ++turn) {{"
        if sums:
            yield "    const intptr_t next_turn = turn == 3 ? 16 : (turn + 1) / 2 + (turn + 1) % 2 * 2;"
        yield from indented(self.lanes_of_tiles(body))
        yield "}"

    def stmts_of(self, sweep: Sweep) -> tuple[Stmt, ...]:
        return (*sweep.phases[0][1].body, *sweep.block_end)

    def lanes_of_tiles(self, body: Iterable[str]) -> Iterator[str]:
        yield f"for (int lane = 0; lane < {self.kernel.lanes}; ++lane) for (intptr_t tile = 0; tile < tiles; ++tile) {{"
        yield from indented(body)
        yield "}"

    def some(self, sweep: Sweep, sums: Mapping[Var, Stmt], each: int) -> Iterator[str]:
        """A few vectors of a lane, so that memory is as many streams: those that the tree of a block adds up first, or
        the next; more where what is carried takes longer to load and store than memory.
        """
        lanes, self.in_rows = self.kernel.lanes, True
        yield from (f"rf_vec {half_name(p.name)}_4[4];" for p in sums)
        yield "RF_UNROLL"
        yield f"for (int k = 0; k < {each}; ++k) {{"
        first = "(turn / 2 + turn % 2 * 2 + 4 * k)" if sums else f"({each} * turn + k)"
        yield f"    const intptr_t j = {lanes} * {first};"
        yield from indented(self.fetched(sweep, "next_turn + 4 * k" if sums else f"{each} * (turn + 1) + k"))
        yield from indented(self.put_in_four(s) for s in sweep.phases[0][1].body)
        yield "}"
        for parts, s in sums.items():
            four, half, acc = f"{half_name(parts.name)}_4", f"{half_name(parts.name)}[tile][lane]", s.results[0].name
            added = f"rf_add(rf_add({four}[0], {four}[2]), rf_add({four}[1], {four}[3]))"
            yield f"const rf_vec {half_name(parts.name)}_sum = {added};"
            yield f"if (turn % 2) {acc} = rf_acc_add({acc}, rf_add({half}, {half_name(parts.name)}_sum));"
            yield f"else {half} = {half_name(parts.name)}_sum;"
        self.in_rows = False

    def fetched(self, sweep: Sweep, vector: str) -> Iterator[str]:
        """Fetches ahead what the next turn reads: the hardware goes on within a page only, and streams end there."""
        lanes = self.kernel.lanes
        for name in sweep.reads:
            if self.plain(self.ports[name]):
                yield f"RF_PREFETCH({name} + (i + {lanes} * ({vector}) + lane) * {name}_step, 64 * tile, 0);"

    def put_in_four(self, s: Stmt) -> str:
        if s.word != "put" or not isinstance(parts := s.args[0], Var):
            return self.stmt(s)
        return f"{half_name(parts.name)}_4[k] = {self.arg(s.args[1], Kind.VEC)};"

    def halves(self, sweep: Sweep, sums: Mapping[Var, Stmt]) -> Iterator[str]:
        """All vectors of a lane, where what it carries is added to in their order."""
        self.in_rows = True
        yield from (f"rf_vec {half_name(p.name)}[8];" for p in sums)
        for second in (False, True):
            yield from self.eight(second, [self.summed(s, second) for s in sweep.phases[0][1].body])
        for parts, s in sums.items():
            acc = s.results[0].name
            yield f"{acc} = rf_acc_add_half({acc}, {half_name(parts.name)});"
        self.in_rows = False

    def rows_of_all(self, loop: str, inside: str, lines: Iterable[str]) -> Iterator[str]:
        yield f"for ({loop}) for (int lane = 0; lane < {self.kernel.lanes}{inside}; ++lane) {{"
        yield "    for (intptr_t tile = 0; tile < tiles; ++tile) {"
        yield from indented(indented(lines))
        yield from ("    }", "}")

    def all_lines(self, sweep: Sweep) -> list[str]:
        """The body for one vector of each tile."""
        self.in_rows = True
        lines = list(map(self.stmt, sweep.phases[0][1].body))
        self.in_rows = False
        return lines

    def tile_block(self, sweep: Sweep, walk: Walk, captured: list[Var], ports: list[Port]) -> Iterator[str]:
        yield from self.loaded(captured)
        for p in ports:
            yield from self.open(p, p.name in sweep.reads, p.name in sweep.writes)
        yield from self.lane_by_lane(sweep, walk) if walk.carried else self.row_by_row(sweep)
        yield from (self.close(self.ports[name]) for name in sweep.writes)

    def lane_by_lane(self, sweep: Sweep, walk: Walk) -> Iterator[str]:
        """What a lane carries stays in registers; its elements lie far apart, so they were packed before."""
        yield f"for (int lane = 0; lane < {self.kernel.lanes}; ++lane) {{"
        yield from indented(self.in_lane(walk.carried, self.lines_of_block(sweep, Pace.FAST)))
        yield "}"

    def row_by_row(self, sweep: Sweep) -> Iterator[str]:
        """Nothing is carried: memory as it comes."""
        (_, phase), lanes = sweep.phases[-1], self.kernel.lanes
        yield f"for (intptr_t j = 0; j < count; j += {lanes})"
        yield f"    for (int lane = 0; lane < {lanes} && j + lane < count; ++lane) {{"
        yield from indented(indented(map(self.stmt, phase.body)))
        yield "    }"

    def in_lane(self, carried: tuple[Var, ...], lines: Iterable[str]) -> Iterator[str]:
        """The lines with a lane's own variables."""
        yield from (f"{CTYPES[v.kind]} {v.name} = {v.name}_of[tile][lane];" for v in carried)
        yield from lines
        yield from (f"{v.name}_of[tile][lane] = {v.name};" for v in carried)

    # ports: rows of the tile lie beside each other, or are put there

    def open(self, p: Port, read: bool, written: bool) -> Iterator[str]:
        n, element, lanes = p.name, self.element(p), self.kernel.lanes
        wide = f"{n}_next == (intptr_t)sizeof({element})" if self.plain(p) else "0"
        whole = "mask == ALL" if written else f"columns == {lanes}"
        yield f"const int {n}_there = {wide} && {whole};"
        kind = "char" if written else "const char"
        there = f"{n} + i * {n}_step + tile * {lanes} * {n}_next"
        yield f"{kind} *const {n}_b = {n}_there ? {there} : ({kind} *){n}_buffer[tile];"
        yield f"const intptr_t {n}_pitch = {n}_there ? {n}_step : (intptr_t)sizeof({element}) * {lanes};"
        if read:
            yield f"if (!{n}_there) for (intptr_t k = 0; k < count; ++k) {{"
            yield f"    {element} *const to = {n}_buffer[tile] + k * {lanes};"
            word = f"rf_read{suffix(p, POINTERS)}"
            yield (f"    const {element} *const from = {word}({n} + (i + k) * {n}_step + tile * {lanes} * {n}_next, "
                   f"{n}_next, 0, columns, to);")  # fmt: skip
            yield f"    for (intptr_t c = 0; c < {lanes}; ++c) to[c] = c < columns ? from[c] : 0;"
            yield "}"

    def close(self, port: Port) -> str:
        n, lanes = port.name, self.kernel.lanes
        where = f"{n} + (i + k) * {n}_step + (tile * {lanes} + c) * {n}_next"
        near, word = f"{n}_buffer[tile] + k * {lanes} + c", f"rf_close{suffix(port, POINTERS)}"
        loops = "for (intptr_t k = 0; k < count; ++k) for (intptr_t c = 0; c < columns; ++c)"
        return f"if (!{n}_there) {loops} if (mask >> c & 1) {word}({where}, 0, 0, 1, {near});"

    # statements in a lane

    def place_in(self, port: str) -> str:
        element = self.element(self.ports[port])
        const, lanes = "" if self.ports[port].output else "const ", self.kernel.lanes
        if self.in_rows:
            return f"({const}{element} *)({const}void *)({port} + (i + j + lane) * {port}_step) + {lanes} * tile"
        return f"({const}{element} *)({const}void *)({port}_b + (j + lane) * {port}_pitch)"

    def value(self, s: Stmt) -> str:
        if s.word.startswith("load"):
            rest = ["live_rows"] if s.word == "load_mask_tail" else [self.arg(a, s.results[0].kind) for a in s.args[1:]]
            return f"rf_{s.word}({', '.join([self.place_in(str(s.args[0])), *rest])})"
        if s.word == "positions":
            return "rf_set((double)(i + j + lane))"
        if s.word == "at_position":
            return f"rf_eq({self.arg(s.args[0], Kind.VEC)}, rf_set((double)(i + j + lane)))"
        return super().value(s)

    def effect(self, s: Stmt) -> str:
        if not s.word.startswith("store"):
            return super().effect(s)
        rest = ["live_rows"] if s.word in ("store_mask_tail", "store_int_tail") else []
        args: tuple[Arg, ...] = s.args[1:2] if rest else s.args[1:]
        return (
            f"rf_{s.word}({', '.join([self.place_in(str(s.args[0])), *(self.arg(a, Kind.VEC) for a in args), *rest])})"
        )

    def tail(self, phase: Phase) -> Iterator[str]:
        yield "if (j < count) {"
        tail = [self.stmt(s) for s in phase.tail]
        text = "\n".join(tail)
        if "live_rows" in text or "live" in text:
            tail.insert(0, f"const intptr_t live_rows = j + lane < count ? {self.kernel.lanes} : 0;")
        if "live" in text.replace("live_rows", ""):
            tail.insert(1, "const rf_mask live = rf_first_lanes(live_rows);")
        yield from indented(tail)
        yield "}"

    # between a row's own form and the tile's

    def beside(self, v: Var) -> Iterator[str]:
        """A number of each row, one lane for each."""
        copied = f"memcpy({v.name}_each[tile] + c, &rows[c].{v.name}, sizeof({self.ctype}));"
        yield f"for (intptr_t c = 0; c < columns; ++c) {copied}"

    def declared_beside(self, v: Var) -> str:
        return f"RF_ALIGNED {self.ctype} {v.name}_each[TILES][{self.kernel.lanes}] = {{ {{ 0 }} }};"

    def carried_in(self, v: Var) -> str:
        return f"RF_ALIGNED {CTYPES[v.kind]} {v.name}_of[TILES][{self.kernel.lanes}];"

    def start(self, v: Var, sweep: Sweep) -> Iterator[str]:
        lanes = self.kernel.lanes
        made = next((s for s in sweep.before if v in s.results), None)
        if (
            made is not None
            and made.word in ("acc_zero", "mask_none", "set")
            and not any(isinstance(a, Var) for a in made.args)
        ):
            yield f"for (int lane = 0; lane < {lanes}; ++lane) {v.name}_of[tile][lane] = {self.value(made)};"
        elif v.kind is Kind.MASK:
            raise CompileError(f"{self.kernel.name}: a mask goes from walk to walk")
        else:
            yield from self.turned(v, back=False)

    def end(self, v: Var) -> Iterator[str]:
        if v.kind is not Kind.MASK:
            yield from self.turned(v, back=True)
            return
        lanes, t = self.kernel.lanes, self.ctype
        yield f"RF_ALIGNED {t} {v.name}_bits[{lanes} * {lanes}], {v.name}_row[{lanes}];"
        bits = f"rf_select({v.name}_of[tile][lane], rf_set(1), rf_set(0))"
        yield f"for (int lane = 0; lane < {lanes}; ++lane) rf_store({v.name}_bits + {lanes} * lane, {bits});"
        yield "for (intptr_t c = 0; c < columns; ++c) if (mask >> c & 1) {"
        one = f"{v.name}_row[lane] = {v.name}_bits[{lanes} * lane + c];"
        yield f"    for (int lane = 0; lane < {lanes}; ++lane) {one}"
        yield f"    rows[c].{v.name} = rf_ne(rf_load({v.name}_row), rf_set(0));"
        yield "}"

    def turned(self, v: Var, *, back: bool) -> Iterator[str]:
        """Lane k of row c is lane c of vector k: in one direction or the other, number by number."""
        lanes = self.kernel.lanes
        double, parts = ("double", 1) if self.ctype == "float" and v.kind is Kind.ACC else (self.ctype, 1)
        parts = 2 if self.ctype == "double" and v.kind is Kind.ACC else parts
        yield f"for (intptr_t c = 0; c < columns; ++c) {'if (mask >> c & 1) ' if back else ''}{{"
        yield f"    char *const row = (char *)&rows[c].{v.name};"
        yield f"    for (int lane = 0; lane < {lanes}; ++lane) {{"
        yield f"        char *const lanes = (char *)&{v.name}_of[tile][lane];"
        for part in range(parts):
            at = f" + {part * lanes} * (intptr_t)sizeof({double})" if part else ""
            ends = [f"row + lane * (intptr_t)sizeof({double}){at}", f"lanes + c * (intptr_t)sizeof({double}){at}"]
            to, source = ends if back else ends[::-1]
            yield f"        memcpy({to}, {source}, sizeof({double}));"
        yield from ("    }", "}")


def _any_order(sweep: Sweep, walk: Walk) -> bool:
    """Whether a lane may take a block's vectors in any order: it carries extrema alone, read by nothing else."""
    body = sweep.phases[0][1].body
    for v in walk.carried:
        uses = [s for s in body if v in s.args or v in s.results]
        if len(uses) > 1 or any(s.word not in ("max", "min", "mask_or") for s in uses):
            return False
    return True
