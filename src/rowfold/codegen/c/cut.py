"""A row cut into chunks that threads walk: the C of it."""

from __future__ import annotations

from collections.abc import Iterator

from ...records import dataclass
from ..loops import CHUNK, Kernel, Kind, Port, Stmt, Var
from ..lower.whole import converted
from .staged import Staged, Walk, part
from .sweeps import Pace
from .text import CTYPES, TURNS, indented, turn_name

SIZES = {"f32": 4, "f64": 8}


@dataclass(frozen=True, slots=True)
class WalkText:
    """A walk over some chunks, and how what they leave is put together."""

    number: int
    comment: tuple[str, ...]
    left: tuple[str, ...]  # the fields that a chunk leaves
    together: bool  # whether chunks can be walked apart
    lines: tuple[str, ...]
    join: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CutText:
    """The page of a kernel that walks its rows in chunks."""

    struct: tuple[str, ...]
    next: tuple[str, ...]
    walks: tuple[WalkText, ...]
    chunk: int

    @property
    def lines(self) -> list[str]:
        return [*self.struct, *self.next, *(line for w in self.walks for line in (*w.left, *w.lines, *w.join))]


def cut_of(kernel: Kernel, name: str) -> CutText:
    page = _Cut(kernel, name)
    return CutText(tuple(page.struct()), tuple(page.next()), tuple(page.text(w) for w in page.walks), CHUNK)


class _Cut(Staged):
    streamed: Port | None = None  # what is being written around the caches

    def past_caches(self, walk: Walk) -> Port | None:
        """The array that a walk only writes, if it carries nothing and no value depends on where a vector begins."""
        sweep = walk.sweep
        stmts = [s for _, p in sweep.phases for s in p.body]
        if walk.carried or len(sweep.writes) != 1 or any(s.word == "uniform" for s in stmts):
            return None
        port = self.ports[sweep.writes[0]]
        return None if port.name in sweep.reads or converted(port) else port

    def far_chunks(self, walk: Walk, port: Port) -> Iterator[str]:
        """Chunks whose vectors follow the lines of the array that is written, past caches that do not hold the row."""
        n, size = port.name, f"(intptr_t)sizeof({self.ctype})"
        most = self.kernel.traffic.stream // ((len(walk.sweep.reads) + 1) * SIZES[self.kernel.dtype])
        even = f"(uintptr_t){n} % sizeof({self.ctype}) == 0"
        yield f"const int far = extent > {most} && {n}_step == {size} && {even}; /* a row that no cache holds */"
        yield f"const intptr_t shift = far ? rf_unaligned({n}) : 0;"
        yield from self.loop()
        yield f"    const intptr_t end = rf_least((chunk + 1) * {CHUNK} + shift, extent);"
        yield f"    for (intptr_t i = chunk ? chunk * {CHUNK} + shift : 0, stop = end; i < end; i = stop) {{"
        yield f"        stop = i < shift ? rf_least(shift, end) : rf_least(i + {self.block_size}, end);"
        lines = (line.replace("rf_least(n - i,", "rf_least(stop - i,") for line in self.block(walk.sweep, Pace.FAST))
        yield from indented(indented(lines))
        yield from ("    }", "}", "if (far) rf_stream_end();")

    def effect(self, s: Stmt) -> str:
        if s.word == "store" and self.streamed is not None and s.args[0] == self.streamed.name:
            return f"rf_store_far({s.args[0]}_b + j, {self.arg(s.args[1], Kind.VEC)}, far && i >= shift)"
        return super().effect(s)

    def text(self, walk: Walk) -> WalkText:
        together = walk.joins is not None
        kept = [v for v in walk.carried if v not in walk.spare] if together else []
        left = tuple(f"{CTYPES[v.kind]} {v.name};" for v in kept)
        lines = tuple(self.apart(walk, kept) if together else self.in_order(walk))
        return WalkText(walk.number, walk.sweep.comment, left, together, lines, tuple(self.join(walk)) if kept else ())

    def apart(self, walk: Walk, kept: list[Var]) -> Iterator[str]:
        """Every chunk on its own."""
        self.streamed = self.past_caches(walk)
        if self.streamed is not None:
            yield from self.around(walk, list(self.far_chunks(walk, self.streamed)))
            self.streamed = None
            return
        inner = [f"{CTYPES[v.kind]} {v.name} = r->{v.name};" for v in walk.carried]
        inner += [*self.turns_before(walk), *self.chunk(walk), *self.turns_after(walk)]
        inner += [f"left[chunk - first].{v.name} = {v.name};" for v in kept]
        yield from self.around(walk, [*self.loop(), *indented(inner), "}"])

    def in_order(self, walk: Walk) -> Iterator[str]:
        """All chunks, one after the other: each goes on from what the one before found."""
        every = dict.fromkeys([*walk.carried, *(v for s in walk.sweep.chunk_end if s.assign for v in s.results)])
        inner = [*self.chunk(walk)]
        if walk.sweep.chunk_end:
            inner += [f"if ((chunk + 1) * {CHUNK} <= extent) {{", *indented(map(self.stmt, walk.sweep.chunk_end)), "}"]
        lines = [f"{CTYPES[v.kind]} {v.name} = r->{v.name};" for v in every]
        lines += [*self.turns_before(walk), *self.loop(), *indented(inner), "}", *self.turns_after(walk)]
        yield from self.around(walk, [*lines, *(f"r->{v.name} = {v.name};" for v in every)])

    def loop(self) -> list[str]:
        return ["for (intptr_t chunk = first; chunk < last; ++chunk) {"]

    def chunk(self, walk: Walk) -> Iterator[str]:
        yield f"const intptr_t end = rf_least((chunk + 1) * {CHUNK}, extent);"
        yield f"for (intptr_t i = chunk * {CHUNK}; i < end; i += {self.block_size}) {{"
        yield from indented(self.block(walk.sweep, Pace.FAST))
        yield "}"

    def around(self, walk: Walk, body: list[str]) -> Iterator[str]:
        """The head of a walk: what it takes from its row."""
        text = "\n".join(body)
        yield from self.buffers(text)
        yield from self.heads(body)
        yield "const intptr_t extent = r->extent;"
        yield from (f"const {CTYPES[v.kind]} {v.name} = r->{v.name};" for v in walk.captured)
        yield from self.parts(walk.sweep)
        yield from body

    def turns_before(self, walk: Walk) -> Iterator[str]:
        yield from (f"rf_vec {turn_name(n, u)} = {n};" for n in walk.sweep.rotate for u in range(1, TURNS))

    def turns_after(self, walk: Walk) -> Iterator[str]:
        names = walk.sweep.rotate
        yield from (f"{n} = rf_max({turn_name(n, u)}, {n});" for n in names for u in range(1, TURNS))

    def join(self, walk: Walk) -> Iterator[str]:
        """A chunk's findings beside those of all chunks before it."""
        assert walk.joins is not None
        yield from (f"r->{v.name} = left[chunk].{v.name};" for v in walk.reset)
        for s in walk.joins:
            v = s.results[0]
            yield f"const {CTYPES[v.kind]} {part(v).name} = left[chunk].{v.name};"
            yield self.of_row(s)
        yield from map(self.of_row, walk.sweep.chunk_end)
