"""One call of a kernel, written down so that it can be repeated: shapes, layouts, values, strategy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from shutil import which
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rowfold.codegen.bounding.oracle import Expected, Verdict, judge, oracle
from rowfold.codegen.ir import WHERE, Program, Role, Type
from rowfold.codegen.rewriting.predicate import under_where
from rowfold.codegen.simplify import simplify
from rowfold.codegen.trace import Parameter, parameters, settings_of, trace
from rowfold.errors import PlanError
from rowfold.testing.layouts import LAYOUTS, empty, laid_out
from rowfold.testing.programs import Draws
from rowfold.testing.values import FINITE, SPECIAL, row

Array = NDArray[Any]
LONG = 100_003
WIDTHS = (0, 1, 2, 3, 15, 16, 17, 31, 33, 63, 64, 65, 100, 255, 256, 257, 1023, 1024, 1025, 4095, 4096, 4097)
ROWS = (0, 1, 2, 3, 9)
OUTPUTS = ("new", "new", "given", "in_place", "strided")
STRATEGIES = ("auto", "three_pass_recompute", "three_pass_reload", "two_pass", "online", "speculative", "one_pass")
BACKENDS = ("auto", "auto", "auto", "auto", "llvm", "numpy")
COMPILERS = ("", "", *(name for name in ("gcc", "clang") if which(name)))
THREADS = (0, 0, 0, 1, 2, 7)
_STORED = {Type.INT: np.dtype(np.int64), Type.BOOL: np.dtype(np.bool_), Type.DOUBLE: np.dtype(np.float64)}
MAY_REFUSE = ("two_pass", "online", "speculative", "one_pass")


@dataclass(frozen=True)
class Case:
    """Everything that decides a call but the kernel. Its `repr` is what a reproducer holds."""

    seed: int = 0
    batch: tuple[int, ...] = (2,)
    width: int = 17
    axis: int = -1
    dtype: str = "float32"
    values: tuple[str, ...] = ("normal",)  # kinds of the zoo, row after row
    layout: str = "contiguous"
    output: str = "new"
    strategy: str = "auto"
    isa: str = "auto"
    selected: bool = False  # called with where=
    shared: bool = False  # its further rows are one row for the whole batch
    optional: bool = False  # its optional parameters are given
    settings: Mapping[str, float] = field(default_factory=dict)
    backend: str = "auto"
    cc: str = ""  # the compiler's command; "": the one that rowfold finds
    threads: int = 0  # 0: as many as rowfold thinks

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a row argument."""
        place = self.axis % (len(self.batch) + 1)
        return (*self.batch[:place], self.width, *self.batch[place:])


def random_case(draws: Draws, fn: Callable[..., Any], isas: Sequence[str], widths: Sequence[int] = WIDTHS) -> Case:
    """A case for a kernel of the row function `fn`."""
    least = _least_width(fn)
    rank = draws.pick((0, 1, 1, 1, 2, 3))
    long = (LONG,) if rank == 0 and widths is WIDTHS else ()
    batch = tuple(draws.pick(ROWS if rank < 3 else ROWS[1:4]) for _ in range(rank))
    kinds = (*FINITE, *FINITE, *SPECIAL)
    return Case(
        seed=draws.pick(range(2**20)),
        batch=batch,
        width=draws.pick([w for w in (*widths, *long) if w >= least]),
        axis=draws.pick((-1, -1, -1, *range(rank + 1))),
        dtype=draws.pick(("float32", "float32", "float64")),
        values=tuple(draws.pick(kinds) for _ in range(3)),
        layout=draws.pick(("contiguous", "contiguous", "zero", *LAYOUTS)),
        output=draws.pick(OUTPUTS),
        strategy=draws.pick(STRATEGIES),
        isa=draws.pick(isas),
        selected=not least and draws.pick((False, False, False, True)),
        shared=draws.pick((False, False, True)),
        optional=draws.pick((False, True)),
        settings={s.name: draws.pick((0.75, 1.0, 0.1, 3.0)) for s in settings_of(fn) if not s.static},
    )


def random_cases(
    draws: Draws, fn: Callable[..., Any], isas: Sequence[str], each: int = 8, *, everywhere: bool = False
) -> Iterator[Case]:
    """Cases without end; `each` that follow one another share what is compiled for them: that is the dear part."""
    while True:
        first = random_case(draws, fn, isas)
        first = _elsewhere(draws, first) if everywhere else first
        yield first
        for _ in range(each - 1):
            case = random_case(draws, fn, [first.isa])
            case = _elsewhere(draws, case) if everywhere else case
            case = replace(case, strategy=first.strategy, backend=first.backend, cc=first.cc)
            yield replace(case, dtype=first.dtype, selected=first.selected)


def _elsewhere(draws: Draws, case: Case) -> Case:
    """The case by another backend, another compiler, another number of threads."""
    return replace(case, backend=draws.pick(BACKENDS), cc=draws.pick(COMPILERS), threads=draws.pick(THREADS))


def _least_width(fn: Callable[..., Any]) -> int:
    """The shortest row that the function has a value for: an index needs an element, and the k largest need k."""
    index = any(p.role is Role.INDEX for p in parameters(fn))
    if any(s.required for s in settings_of(fn)):
        return int(index)
    return trace(fn).shortest


def arrays(case: Case, found: Sequence[Parameter]) -> dict[str, Array]:
    """The arguments, the row along the last axis."""
    rng = np.random.default_rng(case.seed)
    result: dict[str, Array] = {}
    for i, p in enumerate(found):
        match p.role:
            case Role.ROW | Role.INT_ROW | Role.POSITIONS:
                result[p.name] = _rows(case, rng, i)
            case Role.MASK:
                result[p.name] = rng.random((*case.batch, case.width)) < 0.7
            case Role.SCALAR:
                result[p.name] = rng.normal(size=case.batch).astype(case.dtype)
            case Role.INDEX:
                result[p.name] = rng.integers(0, case.width, size=case.batch)
    return result


def _rows(case: Case, rng: np.random.Generator, position: int) -> Array:
    kinds = case.values[position:] + case.values[:position]
    if case.layout == "zero":
        one = row(kinds[0], case.dtype, case.width, rng)
        return np.broadcast_to(one, (*case.batch, case.width))
    if case.shared and position:
        return row(kinds[0], case.dtype, case.width, rng)
    count = math.prod(case.batch)
    rows = [row(kinds[i % len(kinds)], case.dtype, case.width, rng) for i in range(count)]
    return np.array(rows, dtype=case.dtype).reshape(*case.batch, case.width)


def placed(case: Case, array: Array, role: Role) -> Array:
    """An argument as the kernel gets it: its row moved to the case's axis, in the case's layout."""
    if role not in (Role.ROW, Role.MASK, Role.INT_ROW):
        return array
    if array.ndim <= len(case.batch):  # a row shared by the batch lies on its last axis
        return array
    moved = np.moveaxis(array, -1, case.axis)
    return moved if case.layout == "zero" else laid_out(moved, case.layout)


def present(case: Case, fn: Callable[..., Any]) -> tuple[Parameter, ...]:
    """The parameters that the case gives."""
    return tuple(p for p in parameters(fn) if case.optional or not p.optional)


def program_of(case: Case, fn: Callable[..., Any]) -> Program:
    """The simplified program that the oracle judges by."""
    return simplify(_traced(case, fn))


def _traced(case: Case, fn: Callable[..., Any]) -> Program:
    static = {s.name: case.settings[s.name] for s in settings_of(fn) if s.static and s.name in case.settings}
    optional = frozenset(p.name for p in present(case, fn) if p.optional)
    return trace(fn, settings=static, given=optional)


def selection(case: Case) -> Array | None:
    """The mask that the call is given, the row along the last axis."""
    shape = (*case.batch, case.width)
    return np.random.default_rng(case.seed + 1).random(shape) < 0.6 if case.selected else None


def judged_by(case: Case, fn: Callable[..., Any], masked: float = 0.0) -> tuple[Program, dict[str, Array]]:
    """The program of the call itself, with the mask among its inputs if there is one."""
    values, mask = arrays(case, present(case, fn)), selection(case)
    if mask is None:
        return program_of(case, fn), {**values}
    return simplify(under_where(_traced(case, fn), masked)), {**values, WHERE: mask}


def expected(case: Case, fn: Callable[..., Any], masked: float = 0.0) -> list[Expected]:
    """What the kernel of `fn` has to return, rows along the last axis."""
    program, values = judged_by(case, fn, masked)
    defaults = {s.name: s.default for s in settings_of(fn)}
    settings = {p.name: float(case.settings.get(p.name, defaults[p.name])) for _, p in program.params}  # type: ignore[arg-type]
    return oracle(program, values, settings, case.dtype)


def call(kernel: Any, case: Case) -> tuple[Array, ...] | None:
    """The kernel's results, rows along the last axis; None where no plan follows the strategy."""
    fn = kernel.__wrapped__
    found = present(case, fn)
    values = arrays(case, found)
    given = [placed(case, values[p.name], p.role) for p in found]
    chosen = kernel.using(
        strategy=case.strategy, isa=case.isa, backend=case.backend, cc=case.cc or None, threads=case.threads or None
    )
    program = program_of(case, fn)
    rows = [program.is_row(o.ref) for o in program.outputs]
    dtypes = [_STORED.get(program.stored(o), np.dtype(case.dtype)) for o in program.outputs]
    out = _outputs(case, given, rows, dtypes)
    mask = selection(case)
    more = {} if mask is None else {"where": placed(case, mask, Role.MASK)}
    try:
        result = chosen(*given, axis=case.axis, out=out, **more, **case.settings)
    except PlanError:
        if case.strategy in MAY_REFUSE:
            return None
        raise
    results = result if isinstance(result, tuple) else (result,)
    return tuple(
        np.moveaxis(r, case.axis, -1) if wide else np.asarray(r) for r, wide in zip(results, rows, strict=True)
    )


def _outputs(case: Case, given: Sequence[Array], rows: Sequence[bool], dtypes: Sequence[np.dtype[Any]]) -> Any:
    if case.output == "new":
        return None
    made = []
    for i, (wide, dtype) in enumerate(zip(rows, dtypes, strict=True)):
        layout = "doubled" if case.output == "strided" else "contiguous"
        if wide and i == 0 and case.output == "in_place" and given[0].flags.writeable:
            made.append(given[0])
        else:
            made.append(empty(case.shape if wide else case.batch, dtype, layout if wide else "contiguous"))
    return made[0] if len(made) == 1 else tuple(made)


def check(kernel: Any, case: Case) -> list[Verdict]:
    """Runs the case and holds every result against its bound; [] where no plan follows the strategy."""
    results = call(kernel, case)
    if results is None:
        return []
    wanted = expected(case, kernel.__wrapped__, getattr(kernel, "masked", 0.0))
    verdicts = [judge(got, want) for got, want in zip(results, wanted, strict=True)]
    for i, (verdict, got, want) in enumerate(zip(verdicts, results, wanted, strict=True)):
        if not verdict.worst <= 1.0:
            place = verdict.place or ()
            shown = f"got {got[place]!r}, expected {want.value[place]!r} +- {want.bound[place]:.3g}"
            raise AssertionError(f"output {i} at {place}: {shown}, {verdict.worst:.3g} times the bound\n{case}")
    return verdicts


def reproducer(source: str, case: Case, name: str = "fuzzed") -> str:
    """A Python file that runs the case again, on the row function `name` of the source."""
    head = "import numpy as np\nimport rowfold as rf\nfrom rowfold.testing import Case, check\n"
    return f"{head}\n\n{source}\n\ncheck(rf.kernel({name}), {case!r})\n"
