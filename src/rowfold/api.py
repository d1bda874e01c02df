"""The house on one page: trace -> simplify -> plan -> lower -> emit -> compile -> load -> call.

`Kernel` is what `rf.kernel` returns. Each stage is a pure function of the one before it, except compiling and loading:

    trace      row function                  -> Program   codegen/trace.py
    simplify   Program                       -> Program   codegen/simplify.py, predicate.py
    make_plan  Program, shape, Machine       -> Plan      codegen/planner.py
    lower      Plan                          -> Kernel    codegen/lower (loops)
    emit       loops                         -> Source    codegen/emit_c.py, templates
    load       Source                        -> Loaded    runtime
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

import numpy as np

from . import config as configuration
from .building.host import host_isa, in_form, machine, plan_for
from .config import Config
from .errors import CompileError, LoadError, NothingAsked, PlanError
from .inspecting.emission import Emitting
from .kernels.gradients import Differentiable, Gradients
from .kernels.parts import Parts
from .kernels.signature import Signature
from .kernels.unequal import Unequal
from .runtime import cache, quick, recall
from .runtime.call import Argument, Bound, Caller, CallSpec, FloatSetting, HasLoop, Remembering
from .runtime.layout import rows_and_length
from .runtime.operands import asked
from .runtime.recall import Call, Known
from .runtime.spec import Formats, Results

if TYPE_CHECKING:  # a call from a warm cache must not pay for what it does not use
    from typing_extensions import Unpack

    from .codegen.ir import Program
    from .codegen.language.signature import Parameter, Setting
    from .codegen.plan import Plan
    from .config import Options
    from .inspecting.explain import Explanation

P = ParamSpec("P")
R = TypeVar("R")

_NAMES: Mapping[str, str] = {"f": "f32", "d": "f64"}
_OURS = f"{__package__}.library"


class Kernel(Differentiable, Emitting, Parts, Unequal, Remembering, Generic[P, R]):
    """A row function as a callable over arrays, compiled on first use for each dtype and plan.

    Calling it: `k(*arrays, axis=-1, out=None, where=None, dtype=None, keepdims=False, threads=None, **settings)`.
    """

    def __init__(
        self, fn: Callable[P, R], *, name: str | None = None, masked: float = 0.0,
        chosen: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._fn = fn
        if not (getattr(fn, "__module__", None) or "").startswith(_OURS):  # ours are known to be right
            _ = self.parameters, self.settings  # raises TypeError for what no kernel can take
        self.name = name or fn.__name__
        self.masked = masked
        self._chosen = dict(chosen or {})
        self._programs: dict[tuple[object, ...], tuple[Program, str | None]] = {}
        self._callers: dict[tuple[object, ...], Caller] = {}
        self._bound: dict[tuple[Call, Config], Bound | None] = {}
        self._loops: dict[tuple[str, Config], HasLoop] = {}
        self._memories: dict[tuple[str, Config], recall.Memory] = {}
        self._own = frozenset([*vars(self), "_own"])
        functools.update_wrapper(self, fn)

    __signature__ = Signature()
    __wrapped__: Callable[P, R]

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The array parameters of the row function."""
        from .codegen.language.signature import parameters

        return parameters(self._fn)

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """The keyword-only settings of the row function."""
        from .codegen.language.signature import settings_of

        return settings_of(self._fn)

    @cached_property
    def static(self) -> dict[str, Setting]:
        """The settings that are compiled into the kernel."""
        return {s.name: s for s in self.settings if s.static}

    def __repr__(self) -> str:
        return f"<rowfold kernel {self.name}{self.__signature__}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._fn.__module__, self._fn.__qualname__, self.name, self.masked, self._chosen)

    # calling

    def careful(self, arrays: tuple[Any, ...], out: Any, options: dict[str, Any]) -> tuple[Any, Any]:
        """A call that is not known yet: traced rows are inlined, arrays go to the caller of these settings."""
        if any(map(_is_traced, arrays)) or any(map(_is_traced, options.values())):
            from .codegen.trace import inline

            return inline(self._fn, arrays, options), None
        if any(map(_is_dask, arrays)) or any(map(_is_dask, options.values())):
            dask = importlib.import_module(f"{__package__}.interop.dask")  # it stands above this module
            return dask.apply(self, *arrays, out=out, **options), None
        static = {name: s.check(options.pop(name)) for name, s in self.static.items() if name in options}
        threads = self._chosen.get("threads")
        if threads is not None:
            options.setdefault("threads", threads)
        return self._caller(static).careful(arrays, out, options)

    def _caller(self, static: dict[str, object]) -> Caller:
        values = self._static_values(static)
        key = recall.exactly(values)
        if key not in self._callers:
            tables = functools.partial(self._tables, values)
            self._callers[key] = Caller(self._spec(), functools.partial(self._compiled, values), tables)
        return self._callers[key]

    def _static_values(self, given: Mapping[str, object]) -> dict[str, object]:
        for name in given:
            if name not in self.static:
                raise TypeError(f"{self.name}: there is no setting {name!r} that specializes")
        missing = [n for n, s in self.static.items() if n not in given and s.required]
        if missing:
            raise TypeError(f"{self.name} needs the setting {missing[0]!r}: it has no default")
        return {name: given.get(name, s.default) for name, s in self.static.items()}

    def _specializing(self, settings: Mapping[str, object]) -> dict[str, object]:
        from .codegen.language.signature import known

        return known(self.settings, settings, self.name)

    def _spec(self) -> CallSpec:
        floats = (s for s in self.settings if not s.static)
        return CallSpec(
            self.name,
            tuple(Argument(p.name, p.role.value, p.ignore, p.optional, *p.bounds[:3]) for p in self.parameters),  # type: ignore[arg-type]
            tuple(FloatSetting(s.name, _default(s), s.low, s.high, s.open, s.length) for s in floats),
            None,
            self.masked,
        )

    def _tables(self, values: Mapping[str, object], given: frozenset[str]) -> frozenset[str]:
        """The plain rows that only `rf.lookup` reads."""
        program = self._traced(values, given, frozenset(), has_where=False)[0]
        plain = {p.name for p in self.parameters if p.role.value == "row"}
        return frozenset(i.name for _, i in program.inputs if i.role.value == "table" and i.name in plain)

    # the stages

    def program(self, static: Mapping[str, object], given: frozenset[str], booleans: frozenset[str]) -> Program:
        """The canonical program for these specializing settings, present parameters and boolean rows."""
        return self._traced(self._static_values(static), given, booleans, has_where=False)[0]

    def _traced(
        self, values: Mapping[str, object], given: frozenset[str], booleans: frozenset[str], *, has_where: bool
    ) -> tuple[Program, str | None]:
        """The canonical program for these settings and present parameters, and the definition that it was made of."""
        definition = self.known_as()
        key = (recall.exactly(values), given, booleans, has_where, definition)
        if key not in self._programs:
            program = self._trace(values, given, booleans, has_where)
            if self.known_as() != definition:  # something that it reads was changing: it stands for this call only
                return program, None
            self._programs[key] = program, definition
        return self._programs[key]

    def _trace(
        self, values: Mapping[str, object], given: frozenset[str], booleans: frozenset[str], has_where: bool
    ) -> Program:
        from .codegen.rewriting.predicate import under_where, with_ignored
        from .codegen.simplify import simplify
        from .codegen.trace import trace

        optional = given & {p.name for p in self.parameters if p.optional}
        kinds = dict.fromkeys(booleans, "bool")
        traced = trace(self._fn, name=self.name, settings=values, given=frozenset(optional), kinds=kinds)
        return simplify(with_ignored(under_where(traced, self.masked) if has_where else traced))

    def known_as(self) -> str | None:
        from .runtime.definition import definition

        return definition(self) if quick.kind_of(self) is Kernel else None  # what a subclass may trace, nobody knows

    def _compiled(
        self, values: Mapping[str, object], dtype: np.dtype[Any], n: int, rows: int, given: frozenset[str],
        has_where: bool, booleans: frozenset[str], narrow: Formats = (),
    ) -> Bound:  # fmt: skip
        """The loop for a call: from memory, from the cache, or traced, planned, emitted and compiled now."""
        config = configuration.resolve(self._chosen)
        call = Call(recall.exactly(values), dtype.char, n, rows, given, has_where, booleans, narrow)
        found = self._bound.get((call, config))
        if found is None:
            try:
                found = self._bound[call, config] = self._bind(values, call, config)
            except NothingAsked as error:
                nothing = importlib.import_module(f"{__package__}.building.nothing")  # hardly ever
                found = nothing.nothing_of(self, values, call, error)
        return found

    def _bind(self, values: Mapping[str, object], call: Call, config: Config) -> Bound:
        memory, place = self._memory(call, config), ""
        if memory is not None:
            place = recall.place_of(call, host_isa(config), config)
            found = self._recalled(memory.find(place), config, functools.partial(self._formed, values, call, config))
            if found is not None:
                return found
        program, definition = self._traced(values, call.given, call.booleans, has_where=call.has_where)
        plain, same = self._traced(values, call.given, call.booleans, has_where=False)
        plan = plan_for(program.narrowed(dict(call.narrow)), _NAMES[call.dtype], call.n, call.rows, config)
        plan = in_form(plan, call.form)
        key, loop = self._loop(plan, config)
        results = _results_of(plain)
        if memory is not None and memory.definition == definition == same and isinstance(loop, cache.Loaded):
            loop.after(functools.partial(memory.note, place, Known(key, results)))
        return Bound(loop, results, config.threads, functools.partial(self._formed, values, call, config))

    def _formed(self, values: Mapping[str, object], call: Call, config: Config, form: str) -> Bound | None:
        """The same loop in another form of C, None where that cannot be had."""
        if config.backend not in ("auto", "c"):
            return None
        call = call._replace(form=form)
        if (call, config) not in self._bound:
            try:
                bound = self._bound[call, config] = self._bind(values, call, config)
                bound.grain = 16 if form == "tiles" else 1
            except (CompileError, LoadError):
                self._bound[call, config] = None
        return self._bound[call, config]

    def _memory(self, call: Call, config: Config) -> recall.Memory | None:
        """What earlier processes found out about this definition; None where the kernel cannot be told for certain."""
        definition = self.known_as() if recall.usable(config) else None
        if definition is None:
            return None
        key = recall.key_of(definition, call), config
        if key not in self._memories:
            self._memories[key] = recall.Memory(definition, *key)
        return self._memories[key]

    def _recalled(self, known: Known | None, config: Config, formed: Callable[[str], Bound | None]) -> Bound | None:
        if known is None:
            return None
        key = known.plan, config
        found = self._loops.get(key) or cache.find(*key)
        if found is None:
            return None
        self._loops[key] = found
        return Bound(found, known.results, config.threads, formed)

    def _loop(self, plan: Plan, config: Config) -> tuple[str, HasLoop]:
        from .building.build import loop_of, plan_key

        key = (plan_key(plan), config)
        if key not in self._loops:
            self._loops[key] = loop_of(plan, key[0], config)
        return key[0], self._loops[key]

    # looking

    def plan(
        self, shape: tuple[int, ...] = (1, 4096), dtype: Any = np.float32, axis: int = -1, given: Any = (),
        **settings: Any,
    ) -> Plan:  # fmt: skip
        """The plan for the first row argument's shape. Raises PlanError when the strategy asked for has none."""
        rows, n = rows_and_length(shape, axis)
        static = self._specializing(settings)
        computing, narrow = asked(dtype, self.parameters, given)
        program = self.program(static, frozenset(given), frozenset()).narrowed(dict(narrow))
        return plan_for(program, _NAMES[computing.char], n, rows, configuration.resolve(self._chosen))

    def explain(
        self, shape: tuple[int, ...] = (1, 4096), dtype: Any = np.float32, axis: int = -1, **more: Any
    ) -> Explanation:
        """The plan in words: `str()` for a terminal, `_repr_html_()` for a notebook."""
        from .inspecting.explain import Explanation

        return Explanation(self.plan(shape, dtype, axis, **more), shape, machine())

    def stages(self, shape: tuple[int, ...] = (1, 4096), dtype: Any = np.float32, axis: int = -1, **more: Any) -> Any:
        """A lazy mapping with every stage as text: program, plan, c, llvm, mlir, asm."""
        from .inspecting.stages import Stages

        return Stages(self.plan(shape, dtype, axis, **more), configuration.resolve(self._chosen))

    def trace_row(self, *rows: Any, **settings: Any) -> Any:
        """Every named value of one row as a table, in float64, beside the kernel's own results."""
        from .inspecting.trace_row import trace_row

        return trace_row(self, rows, settings)

    def using(self, **chosen: Unpack[Options]) -> Kernel[P, R]:
        """The same kernel under other options (strategy, isa, backend, threads); errors come from the call."""
        merged = {**self._chosen, **{k: v for k, v in chosen.items() if v is not None}}
        configuration.Config().changed(**merged)
        return self._with(merged)

    def _kernel_of(self, gradients: Callable[..., Any], **more: Any) -> Vjp:
        return Vjp(self, gradients, self._chosen, **more)

    @staticmethod
    def beside(fn: Callable[..., Any], name: str, masked: float, chosen: Mapping[str, Any]) -> Kernel[..., Any]:
        """Another kernel, for those who stand below this module."""
        return Kernel(fn, name=name, masked=masked, chosen=chosen)

    def _with(self, chosen: dict[str, Any]) -> Kernel[P, R]:
        return Kernel(self._fn, name=self.name, masked=self.masked, chosen=chosen)

    def cffi(self, shape: tuple[int, ...] = (1, 4096), dtype: Any = np.float32, axis: int = -1, **more: Any) -> Any:
        """`(ffi, lib)`: the compiled functions with the emitted header's declarations."""
        _, loop = self._loop(self.plan(shape, dtype, axis, **more), configuration.resolve(self._chosen))
        if not isinstance(loop, cache.Loaded):
            raise LoadError(f"{self.name}: there is no compiled function to hand out; no C compiler was found")
        return loop.cffi()

    def warm(
        self, shape: tuple[int, ...] = (1, 4096), dtype: Any = np.float32, axis: int = -1, given: Any = (),
        **settings: Any,
    ) -> None:  # fmt: skip
        """Compile now what the first call of this shape would compile, and leave a note for other processes."""
        rows, n = rows_and_length(shape, axis)
        values = self._static_values(self._specializing(settings))
        computing, narrow = asked(dtype, self.parameters, given)
        cache.settled(self._compiled(values, computing, n, rows, frozenset(given), False, frozenset(), narrow))

    def reference(
        self, *arrays: Any, axis: Any = -1, where: Any = None, keepdims: bool = False, **settings: Any
    ) -> Any:
        """The row function itself on float64 copies, row by row."""
        from .inspecting.reference import reference

        return reference(self, arrays, axis, where, keepdims, settings)

    def check(self, *arrays: Any, **settings: Any) -> Any:
        """Runs the kernel against the oracle: the float64 interpreter with error bounds (longdouble for float64)."""
        from .inspecting.reference import check

        return check(self, arrays, settings)


class Vjp(Gradients, Kernel[..., tuple[Any, ...]]):
    """The gradients of another kernel, as a kernel."""


def _results_of(program: Program) -> Results:
    from .building.build import results_of

    return results_of(program)


def _is_traced(value: object) -> bool:
    """Whether a value stands for a row of a trace that is running; asked without importing what traces."""
    return hasattr(type(value), "__row_function__")


def _is_dask(value: object) -> bool:
    """Whether a value is an array of Dask; asked without importing it."""
    return type(value).__module__ == "dask.array.core"


def _default(setting: Setting) -> float | None:
    return None if setting.required else float(setting.default)  # type: ignore[arg-type]


def _restore(module: str, qualname: str, name: str, masked: float, chosen: Mapping[str, Any]) -> Kernel[Any, Any]:
    """A pickled kernel, found again by the name of its row function."""
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    fn = found.__wrapped__ if isinstance(found, Kernel) else found
    return Kernel(fn, name=name, masked=masked, chosen=chosen)


@overload
def kernel(fn: Callable[P, R], /) -> Kernel[P, R]: ...
@overload
def kernel(*, name: str | None = None, masked: float = 0.0) -> Callable[[Callable[P, R]], Kernel[P, R]]: ...
def kernel(fn: Any = None, /, *, name: str | None = None, masked: float = 0.0) -> Any:
    """Makes a kernel of a row function: `@rf.kernel`, `@rf.kernel(name=, masked=)` or `rf.kernel(fn)`.

    Raises TypeError for a signature that is none of a kernel. Nothing is traced or compiled before the first use.
    """
    return Kernel(fn, name=name, masked=masked) if fn else lambda f: Kernel(f, name=name, masked=masked)


__all__ = ["CompileError", "Kernel", "PlanError", "kernel"]
