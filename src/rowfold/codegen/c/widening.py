"""Numbers that are summed in wide lanes are widened as they are loaded: halves of a register need not be taken apart.

A statement takes the place of two, and the same doubles come out; only what C prints changes.
"""

from __future__ import annotations

from ...records import dataclass
from ..loops import Kind, Stmt, Var

STEADY = frozenset({"acc_fma", "distance"})  # words that widen what they are given


@dataclass(frozen=True, slots=True)
class Loaded:
    """How a vector comes from memory: as it is, or 0 where a mask is (`where`) or is not set (`unless`)."""

    word: str
    args: tuple[Var | str, ...]
    place: int  # after which statement

    @property
    def plain(self) -> bool:
        """Whether no mask has changed it yet: a load heeds one."""
        return self.word == "load_wide"


def widened(body: tuple[Stmt, ...], dtype: str) -> tuple[Stmt, ...]:
    """The statements of a whole vector, those that widen a loaded one reading memory themselves."""
    if dtype != "f32":
        return body
    found = _loaded(body)
    wanted = {a: found[a] for s in body if s.word in STEADY for a in s.args if isinstance(a, Var) and a in found}
    if not wanted:
        return body
    made: list[Stmt] = []
    for place, s in enumerate(body):
        made.append(s)
        made += [Stmt((_wide(v),), f.word, f.args) for v, f in wanted.items() if f.place == place]
        if s.word in STEADY and any(a in wanted for a in s.args):
            made[-1:] = _wide_form(s, frozenset(wanted))
    return _read(made)


def _loaded(body: tuple[Stmt, ...]) -> dict[Var, Loaded]:
    """The vectors that come from memory before anything is stored, which may be the same memory."""
    found: dict[Var, Loaded] = {}
    for place, s in enumerate(body):
        if not s.results and s.word != "put":
            break
        plain = {x: f.args for x, f in found.items() if f.plain}
        match s.word, s.args:
            case "load", (str() as port,):
                found[s.results[0]] = Loaded("load_wide", (port,), place)
            case "select", (Var() as mask, Var() as x, float() as other) if x in plain and _nothing(other):
                found[s.results[0]] = Loaded("load_wide_where", (*plain[x], mask), place)
            case "select", (Var() as mask, float() as other, Var() as x) if x in plain and _nothing(other):
                found[s.results[0]] = Loaded("load_wide_unless", (*plain[x], mask), place)
            case _:
                pass
    return {v: f for v, f in found.items() if v.kind is Kind.VEC}


def _nothing(number: float) -> bool:
    return number == 0 and str(number) == "0.0"


def _wide(v: Var) -> Var:
    return Var(f"rf_wide_{v.name}", Kind.WIDE)  # no variable of a program begins so


def _wide_form(s: Stmt, wanted: frozenset[Var]) -> list[Stmt]:
    """The word on what is wide already."""
    given: list[Stmt] = []
    wide = []
    for a in s.args[-2:]:
        assert isinstance(a, Var)
        v = _wide(a)
        if a not in wanted:
            v = Var(f"{v.name}_of_{s.results[0].name}", Kind.WIDE)
            given.append(Stmt((v,), "widen", (a,)))
        wide.append(v)
    if s.word == "distance":
        return [*given, Stmt(s.results, "wide_sub", tuple(wide))]
    return [*given, Stmt(s.results, "acc_fma_wide", (s.args[0], *wide), assign=True)]


def _read(stmts: list[Stmt]) -> tuple[Stmt, ...]:
    """The statements without those whose vector nobody reads any more."""
    while True:
        read = {a for s in stmts for a in s.args if isinstance(a, Var)}
        kept = [s for s in stmts if s.assign or not s.results or any(v in read for v in s.results)]
        if len(kept) == len(stmts):
            return tuple(kept)
        stmts = kept
