"""Where the shift of a guess comes from: the row before, the row's first elements, or all of them.

Any shift that the sum validates gives the same bits (docs/decisions/0008), so rows may tell each other where their
maxima lie. What a row leaves is in `Context.memory`; languages that remember nothing start every row afresh.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...records import replace
from ..loops import Code, Kind, Scalars, Step, Stmt, Sweep, Unless, Var
from .context import Context
from .expsums import ExpSums, set_shift
from .rows import Rows

PEEK = 4.0  # doubts from which a row's first elements are looked at instead of trusting the row before
WHOLE = 8.0  # doubts from which all of its elements are: a guess that fails costs more than a maximum
BELOW = 10.0  # octaves that a guess for a sum without its largest element lies below: it must not be above the maximum,
# or what is far below the maximum is no longer 0 beside it
FADING = 0.02  # what every row takes off the doubts


def remember(ctx: Context, guesses: Sequence[ExpSums]) -> Var:
    """Declares what rows tell each other: the groups' shifts, and how often the last ones were wrong."""
    memory = ctx.memory
    for guess in guesses:
        s = ctx.scale_of(guess.index)
        wanted = {"shift": "shift_", "n": "shift_n_", "low": "low_"}
        wanted |= {"high": "high_", "maximum": "maximum_"} if guess.displaced else {}
        for attribute, name in wanted.items():
            setattr(s, attribute, memory.declare(Kind.NUM, name, "copy", 0.0))
    return memory.declare(Kind.NUM, "doubts", "copy", PEEK)


def look(ctx: Context, guesses: Sequence[ExpSums], doubts: Var, peek: Sweep) -> list[Step]:
    """The peek at the row, unless the row before is to be trusted; and which guesses are worth trying."""
    code = Code(ctx.names)
    trusted = code.flag("trusted", "lt", doubts, PEEK)
    wary = code.flag("wary", "ge", doubts, WHOLE)
    comment = ("The rows before do not tell where this one's maximum lies.",)
    steps: list[Step] = [Scalars((), code.take()), Unless(comment, trusted, (replace(peek, wary=wary),))]
    code = Code(ctx.names)
    for guess in guesses:
        s = ctx.shifts[guess.index]
        assert s.n is not None
        if guess.group.factor is not None and ctx.depends(guess.group.factor):  # the ends of the row before are its own
            set_shift(code, ctx, guess.index, s.shift or 0.0, s.n, s.maximum)
        s.near = code.flag("near_zero", "lt", code.num("reach", "abs", s.n), ctx.limit)
    return [*steps, Scalars((), code.take())]


def prepare(ctx: Context, guesses: Sequence[ExpSums]) -> list[Step]:
    """Row-constant values that the bases are made of, before any branch needs them."""
    ctx.code = Code(ctx.names)
    taken = set(ctx.names.taken)
    for guess in guesses:
        ctx.scale_of(guess.index)
        trial = Rows(ctx, Code(ctx.names), Code(ctx.names), None)
        trial.keep(guess.group.where, trial.vec(guess.group.base), 0.0)
    stmts = ctx.code.take()
    ctx.names.taken = taken | {v.name for s in stmts for v in s.results}
    return [Scalars((), stmts)] if stmts else []


def learn(ctx: Context, guesses: Sequence[ExpSums], doubts: Var, shared: Sequence[tuple[str, str]]) -> tuple[Stmt, ...]:
    """What the row leaves: its shift is no guess for the next one if it lies beyond 2^16, or nothing can be redone."""
    code = Code(ctx.names)
    faded = code.num("faded", "max", code.num("faded", "sub", doubts, FADING), 0.0)
    usable: list[Var] = [code.flag("apart", "apart", a, b) for a, b in shared]
    hits = []
    for guess in guesses:
        s = ctx.shifts[guess.index]
        assert s.n is not None and s.shift is not None and guess.safe is not None
        usable.append(code.flag("unshifted", "eq", s.shift, 0.0))
        usable.append(code.flag("near", "lt", code.num("size", "abs", s.n), ctx.limit))
        hits.append(guess.safe)
    hit, good = (_all(code, name, flags) for name, flags in (("hit", hits), ("usable", usable)))
    faded = code.num("faded", "choose", hit, faded, code.num("doubted", "add", faded, 1.0))
    code.assign(doubts, "choose", good, faded, code.num("at_least", "max", faded, PEEK))
    for guess in guesses:
        s = ctx.shifts[guess.index]
        if guess.displaced and s.maximum is not None:
            top = code.num("n", "exponent_of", s.maximum, s.scale[0])
            set_shift(code, ctx, guess.index, 0.0, code.num("guess", "sub", top, BELOW), s.maximum)
    return code.take()


def _all(code: Code, name: str, flags: Sequence[Var]) -> Var:
    first, *others = flags
    for flag in others:
        first = code.flag(name, "and", first, flag)
    return first
