"""Loops: what every emitter prints. A kernel for one row as steps, each a sweep in blocks of vectors or scalar code.

A statement applies one word of the vocabulary (templates/isa) or calls one function of the maths library. Variables
have one of six types; `vec` is LANES numbers of the computing dtype, `acc` LANES wider sums, `num` a double.
A block is VECTORS vectors; the last vector of a row is masked. Emitters read this and never ask the planner again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

from ..records import dataclass, field, replace
from .ir import SMALL_FOLDS
from .machine import Traffic
from .source import identifier, remark

VECTORS = 16
CHUNK = 1 << 13  # elements: rows beyond it are summed chunk by chunk (lower/chunks.py)
_OF_A_ROW = re.compile(r"_(step|next|rows|row|b|buffer|length|pitch)$")  # what emitters append to the name of a row
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# What a variable may not be called: words of C and C++, macros of common systems, names of <math.h> and <string.h>.
C_NAMES = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if inline int long register "
    "restrict return short signed sizeof static struct switch typedef union unsigned void volatile while asm typeof "
    "and or not xor bool true false class new delete this template operator namespace private public protected friend "
    "linux unix i386 errno stdin stdout stderr assert main exp exp2 expm1 log log2 log10 log1p pow sqrt sin cos tan "
    "asin acos atan sinh cosh tanh erf gamma lgamma tgamma floor ceil rint round trunc fabs fmin fmax fma abs div "
    "j0 j1 jn y0 y1 yn index rindex memcpy memset signgam drem significand scalb logb hypot cbrt remainder isnan isinf "
    "finite signbit fpclassify isfinite isnormal args dims steps data env row n i j k q count whole live vectors entry "
    "held held_at held_end held_whole held_far contiguous far together from_memory rows row_length member alone "
    "waiting waiting_at more half_at live_count "
    "intptr_t uintptr_t int8_t uint8_t int16_t uint16_t int32_t uint32_t int64_t uint64_t size_t float_t "
    "double_t".split()
)
LANES: Mapping[str, int] = {"f32": 16, "f64": 8}


class Kind(Enum):
    VEC = "vec"
    MASK = "mask"
    ACC = "acc"
    WIDE = "wide"  # a vec's numbers as doubles
    NUM = "num"
    FLAG = "flag"
    PARTS = "parts"  # one vec for each vector of a block
    BEST = "best"  # the largest elements so far, in order, with their positions
    POOL = "pool"  # the candidates of a threshold
    SMALL = "small"  # a num for each entry of a k-vector
    FLAGS = "flags"  # a flag for each entry


EACH = {Kind.NUM: Kind.SMALL, Kind.FLAG: Kind.FLAGS}  # a word on a k-vector is the word on each of its entries
ONE_OF = {many: one for one, many in EACH.items()}


@dataclass(frozen=True, slots=True)
class Var:
    """A variable. `size` is the number of entries of a k-vector, and of what it comes from."""

    name: str
    kind: Kind
    size: int = 0


Arg = Var | float | str  # a str names a port


@dataclass(frozen=True, slots=True)
class Stmt:
    """`results = word(args)`. `assign` updates variables that exist; `call` names a library function."""

    results: tuple[Var, ...]
    word: str
    args: tuple[Arg, ...]
    assign: bool = False
    call: bool = False


@dataclass(frozen=True, slots=True)
class Port:
    """One array of the call. `element` is the C type in memory, `row` whether it has the core dimension."""

    name: str
    element: str  # "T" (the computing dtype), "mask", "int", "double", "index"; "total": wide lanes, summed over rows
    row: bool
    output: bool = False
    entries: int = 0  # of a k-vector
    setting: bool = False  # one number for a whole batch
    narrow: str = ""  # the format of 16 or 8 bits that T has in memory, if it has another there
    table: bool = False  # with a core dimension of its own

    @property
    def strided(self) -> bool:
        """Whether a row of it has elements with a step between them."""
        return self.row or self.table or self.entries > 0

    @property
    def core(self) -> bool:
        """Whether it has a core dimension in the call."""
        return self.strided or self.element == "total"


@dataclass(frozen=True, slots=True)
class Phase:
    """One walk over the vectors of a block: the body of a whole vector and of the masked tail."""

    body: tuple[Stmt, ...]
    tail: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """One walk over the row, block by block."""

    comment: tuple[str, ...]
    before: tuple[Stmt, ...]
    phases: tuple[tuple[tuple[Stmt, ...], Phase], ...]  # each phase after its own block-level statements
    block_end: tuple[Stmt, ...]
    after: tuple[Stmt, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    peek: tuple[tuple[str, str], ...] | None = None  # only the first vector; all if two of these ports are one memory
    wary: Var | None = None  # a flag: all of it in any case
    only: Var | None = None  # a flag: without it the row is not walked
    chunk_end: tuple[Stmt, ...] = ()  # every CHUNK elements, behind the block's end
    rotate: tuple[str, ...] = ()  # maxima that take turns in several accumulators: the order of a maximum is free


@dataclass(frozen=True, slots=True)
class Scalars:
    """Row-constant arithmetic between sweeps."""

    comment: tuple[str, ...]
    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Seek:
    """`at` becomes the first place where `found` is true, the last place of the row if there is none."""

    comment: tuple[str, ...]
    at: Var
    body: tuple[Stmt, ...]
    found: Var


@dataclass(frozen=True, slots=True)
class Unless:
    """Steps that run only for the rare row in which `safe` is false."""

    comment: tuple[str, ...]
    safe: Var
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Until:
    """Steps that run again and again until `done`, which they assign."""

    comment: tuple[str, ...]
    done: Var
    steps: tuple[Step, ...]


Step = Sweep | Scalars | Seek | Unless | Until


@dataclass(frozen=True, slots=True)
class Kernel:
    name: str
    dtype: str  # "f32" or "f64"
    ports: tuple[Port, ...]
    steps: tuple[Step, ...]
    banner: tuple[str, ...] = ()
    memory: tuple[Stmt, ...] = ()  # variables that a row may find as the row before left them, with their first values
    learn: tuple[Stmt, ...] = ()  # at the end of a row, where a language lets rows remember
    traffic: Traffic = Traffic()

    @property
    def lanes(self) -> int:
        return LANES[self.dtype]


def sizes_of(kernel: Kernel) -> Mapping[str, int]:
    """Where the loop finds the rows' length, "n", and each table's among its dimensions: in the order of operands."""
    labels = ["n" if p.row or not p.core else p.name if p.table else f"{p.element}{p.entries}" for p in kernel.ports]
    cores = dict.fromkeys(label for p, label in zip(kernel.ports, labels, strict=True) if p.core)
    return {"n": 1} | {label: 1 + k for k, label in enumerate(cores)}


@dataclass(slots=True)
class Names:
    """Hands out variable names: the wanted one if it is free, else with a number behind it.

    What begins with the kernel's own name is for its functions, which a variable of that name would hide, and what
    ends like x_step belongs to a row x.
    """

    taken: set[str] = field(default_factory=set)
    kernel: str = ""

    def fresh(self, wanted: str) -> str:
        ours = ("rf_", "num_", f"{identifier(self.kernel)}_")
        wanted = wanted if _PLAIN_NAME.fullmatch(wanted) and not wanted.startswith(ours) else "v"
        wanted = wanted + "_v" if wanted.isupper() or wanted in C_NAMES or _OF_A_ROW.search(wanted) else wanted
        name, count = wanted, 1
        while name in self.taken:
            count += 1
            name = f"{wanted}_{count}"
        self.taken.add(name)
        return name


class Code:
    """Records statements in order. Equal pure statements in one list are one statement."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.stmts: list[Stmt] = []
        self._known: dict[tuple[object, ...], tuple[Var, ...]] = {}

    def let(self, kind: Kind, name: str, word: str, *args: Arg) -> Var:
        return self._pure((kind,), (name,), word, args, call=False)[0]

    def vec(self, name: str, word: str, *args: Arg) -> Var:
        return self.let(Kind.VEC, name, word, *args)

    def mask(self, name: str, word: str, *args: Arg) -> Var:
        return self.let(Kind.MASK, name, word, *args)

    def num(self, name: str, word: str, *args: Arg) -> Var:
        return self.let(Kind.NUM, name, word, *args)

    def flag(self, name: str, word: str, *args: Arg) -> Var:
        return self.let(Kind.FLAG, name, word, *args)

    def call(self, kind: Kind, names: tuple[str, ...], function: str, *args: Arg) -> tuple[Var, ...]:
        return self._pure((kind,) * len(names), names, function, args, call=True)

    def declare(self, kind: Kind, name: str, word: str, *args: Arg, size: int = 0) -> Var:
        """A variable that later statements assign."""
        var = Var(self.names.fresh(name), kind, size)
        self.stmts.append(Stmt((var,), word, args))
        return var

    def assign(self, var: Var, word: str, *args: Arg) -> None:
        self.stmts.append(Stmt((var,), word, args, assign=True))
        stale = [key for key, made in self._known.items() if var in made or var in key]
        for key in stale:
            del self._known[key]

    def do(self, word: str, *args: Arg) -> None:
        self.stmts.append(Stmt((), word, args))

    def _pure(
        self, kinds: tuple[Kind, ...], names: tuple[str, ...], word: str, args: tuple[Arg, ...], call: bool
    ) -> tuple[Var, ...]:
        size = 0 if word in SMALL_FOLDS else max((a.size for a in args if isinstance(a, Var)), default=0)
        kinds = tuple(EACH.get(kind, kind) for kind in kinds) if size else kinds
        size = size if kinds[0] in ONE_OF else 0
        key = (kinds, word, call, *((type(a), repr(a)) if isinstance(a, float) else a for a in args))
        if key not in self._known:
            made = tuple(Var(self.names.fresh(n), k, size) for n, k in zip(names, kinds, strict=True))
            self._known[key] = made
            self.stmts.append(Stmt(made, word, args, call=call))
        return self._known[key]

    def rename(self, stmt: Stmt, var: Var) -> None:
        """Gives the result of the last statement another name."""
        assert self.stmts[-1] is stmt
        self.names.taken.discard(stmt.results[0].name)
        self.stmts[-1] = replace(stmt, results=(var,))
        self._known = {key: (var,) if made == stmt.results else made for key, made in self._known.items()}

    def take(self) -> tuple[Stmt, ...]:
        return tuple(self.stmts)


def assigned(steps: tuple[Step, ...]) -> frozenset[str]:
    """The names of variables that some statement assigns again: those an emitter may not declare constant."""
    found: set[str] = set()
    for stmt in statements(steps):
        if stmt.assign:
            found.update(v.name for v in stmt.results)
    return frozenset(found)


def statements(steps: tuple[Step, ...]) -> list[Stmt]:
    """Every statement of the steps, in order of the text."""
    found: list[Stmt] = []
    for step in steps:
        match step:
            case Sweep():
                found += step.before
                for head, phase in step.phases:
                    found += head + phase.body + phase.tail
                found += step.block_end + step.chunk_end + step.after
            case Scalars() | Seek():
                found += step.body
            case Unless() | Until():
                found += statements(step.steps)
    return found


def looks_up(steps: tuple[Step, ...]) -> bool:
    """Whether anything is read at places that are computed: only a row that is whole has them."""
    return any(s.word == "lookup" for s in statements(steps))


def with_banner(kernel: Kernel, banner: tuple[str, ...]) -> Kernel:
    return replace(kernel, banner=tuple(map(remark, banner)))


def whole_row(kernel: Kernel) -> tuple[Step, ...]:
    """Everything that happens from the first value of the memory to what the row leaves in it."""
    return (Scalars((), kernel.memory), *kernel.steps, Scalars((), kernel.learn))


def prune(kernel: Kernel) -> Kernel:
    """The same kernel without pure statements whose results nobody reads."""
    steps = whole_row(kernel)
    while True:
        stmts = statements(steps)
        read = {a.name for s in stmts for a in s.args if isinstance(a, Var)}
        read |= {s.safe.name for s in _nested(steps) if isinstance(s, Unless)}
        read |= {s.found.name for s in _nested(steps) if isinstance(s, Seek)}
        read |= {s.done.name for s in _nested(steps) if isinstance(s, Until)}
        read |= {v.name for s in _nested(steps) if isinstance(s, Sweep) for v in (s.only, s.wary) if v}
        if not any(_dead(s, read) for s in stmts):
            break
        steps = tuple(_pruned(step, read) for step in steps)
    first, *inner, last = steps
    assert isinstance(first, Scalars) and isinstance(last, Scalars)
    return replace(kernel, memory=first.body, steps=tuple(inner), learn=last.body)


def _dead(stmt: Stmt, read: set[str]) -> bool:
    return bool(stmt.results) and not any(v.name in read for v in stmt.results)


def _nested(steps: tuple[Step, ...]) -> list[Step]:
    return [s for step in steps for s in (step, *(_nested(step.steps) if isinstance(step, Unless | Until) else ()))]


def _pruned(step: Step, read: set[str]) -> Step:
    def live(stmts: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        return tuple(s for s in stmts if not _dead(s, read))

    match step:
        case Scalars(comment, body):
            return Scalars(comment, live(body))
        case Seek():
            return replace(step, body=live(step.body))
        case Unless(comment, safe, inner):
            return Unless(comment, safe, tuple(_pruned(s, read) for s in inner))
        case Until(comment, done, inner):
            return Until(comment, done, tuple(_pruned(s, read) for s in inner))
        case Sweep():
            phases = tuple((live(head), Phase(live(p.body), live(p.tail))) for head, p in step.phases)
            return replace(
                step, before=live(step.before), phases=phases, block_end=live(step.block_end), after=live(step.after),
                chunk_end=live(step.chunk_end),
            )
