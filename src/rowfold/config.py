"""Every knob, in one frozen value: what the ten ROWFOLD_ variables and their keyword twins may say.

Order: call, `k.using`, `rf.options`, environment, default. The environment is read by `resolve`, which is called when a
kernel is first planned and never on the call path; there `active()` tells, for 40 ns, which options are in force.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from .errors import IsaError, RowfoldError, shown
from .records import dataclass, replace

if TYPE_CHECKING:  # what an editor offers in `rf.options(` and `k.using(`; `Config` says what each is
    from typing import Literal, TypedDict

    from typing_extensions import Unpack

    Backend = Literal["auto", "c", "llvm", "numpy"]

    class Options(TypedDict, total=False):
        strategy: Literal[
            "auto", "three_pass_recompute", "three_pass_reload", "online", "two_pass", "speculative", "one_pass"
        ] | None
        isa: str | None
        backend: Backend | None
        threads: int | None
        cc: str | None
        cache: bool | None
        cache_dir: str | os.PathLike[str] | None
        debug: int | None
        dump: str | os.PathLike[str] | None
        override: str | os.PathLike[str] | None


Overrides = tuple[tuple[str, object], ...]

STRATEGIES = ("auto", "three_pass_recompute", "three_pass_reload", "online", "two_pass", "speculative", "one_pass")
BACKENDS = ("auto", "c", "llvm", "numpy")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class ConfigError(RowfoldError, ValueError):
    """A variable or an option has a value that it does not take; the message lists the ones it does."""


@dataclass(frozen=True, slots=True)
class Config:
    """How kernels are planned, compiled and kept. One field per variable; `None` means: let rowfold choose."""

    strategy: str = "auto"  # a constraint on the planner's candidates
    isa: str = "auto"  # the instruction set to emit for; auto: the best that this CPU has
    backend: str = "auto"  # c, llvm or numpy; auto: the first of these that works
    threads: int | None = None  # threads of a call
    cc: str | None = None  # the compiler's command, e.g. "gcc" or "ccache clang-19"
    cache: bool = True  # keep compiled kernels on disk
    cache_dir: str | None = None  # where; None: $XDG_CACHE_HOME/rowfold or the platform's own
    debug: int = 0  # 1: a line per compile, 2: rejected plans, 3: C, 4: assembly
    dump: str | None = None  # write every stage of every kernel below this directory
    override: str | None = None  # load hand-edited stages from this directory

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Config:
        """The defaults, changed by the ROWFOLD_ variables that are set and not empty."""
        env = os.environ if environment is None else environment
        found = ((name, env.get(variable(name), "")) for name in NAMES)
        values = {name: _parsed(name, text, variable(name)) for name, text in found if text}
        return cls(**values)  # type: ignore[arg-type]

    def changed(self, **values: object) -> Config:
        """A copy with other values, each checked; `None` leaves a value as it is."""
        given = {name: value for name, value in values.items() if value is not None}
        checked = {name: _parsed(name, value, name) for name, value in given.items()}
        return replace(self, **checked)  # type: ignore[arg-type]


NAMES = tuple(Config.__annotations__)
VARIABLE: ContextVar[Overrides] = ContextVar("rowfold_options", default=())

active = VARIABLE.get
"""The options in force here as a hashable value, `()` outside every `options` block."""


def variable(name: str) -> str:
    """The environment variable that is the twin of this option."""
    return f"ROWFOLD_{name.upper()}"


@contextmanager
def options(**values: Unpack[Options]) -> Iterator[None]:
    """Set options for the calls inside a `with` block, in this thread or task only; blocks nest."""
    checked = {name: _parsed(name, value, name) for name, value in values.items() if value is not None}
    token = VARIABLE.set(tuple(sorted({**dict(active()), **checked}.items())))
    try:
        yield
    finally:
        VARIABLE.reset(token)


def resolve(*closer: Mapping[str, object]) -> Config:
    """The configuration here and now: environment, then `options`, then each of `closer`; the last one wins."""
    config = Config.from_environment().changed(**dict(active()))
    for values in closer:
        config = config.changed(**values)
    return config


def isa_names() -> tuple[str, ...]:
    """The instruction sets that rowfold has words for: one template file each."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates", "isa")
    try:
        return tuple(sorted(name.split(".")[0] for name in os.listdir(folder) if name.endswith(".c.j2")))
    except OSError:
        return ()


def _parsed(name: str, value: object, label: str) -> object:
    """The value as the field holds it, or a ConfigError that names the option as the user wrote it."""
    match name:
        case "strategy":
            return _one_of(value, STRATEGIES, label)
        case "backend":
            return _one_of(value, BACKENDS, label)
        case "isa":
            return _isa(value, label)
        case "threads":
            return _integer(value, 1, 1024, label)
        case "debug":
            return _integer(value, 0, 4, label)
        case "cache":
            return _switch(value, label)
        case "cc" | "cache_dir" | "dump" | "override":
            return _text(value, label)
        case _:
            raise ConfigError(f"there is no option {name!r}; the options are {', '.join(NAMES)}")


def _one_of(value: object, valid: tuple[str, ...], label: str) -> str:
    if isinstance(value, str) and value in valid:
        return value
    raise ConfigError(f"{label} = {shown(value)} is not one of {', '.join(valid)}")


def _isa(value: object, label: str) -> str:
    valid = ("auto", *isa_names())
    if isinstance(value, str) and (value in valid or (len(valid) == 1 and value.isidentifier())):
        return value
    known = ", ".join(valid)
    raise IsaError(f"{label} = {shown(value)} is not an instruction set that rowfold knows; they are {known}")


def _integer(value: object, low: int, high: int, label: str) -> int:
    text = value.strip() if isinstance(value, str) else value
    number = int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else text
    if isinstance(number, int) and not isinstance(number, bool) and low <= number <= high:
        return number
    raise ConfigError(f"{label} = {shown(value)} is not an integer from {low} to {high}")


def _switch(value: object, label: str) -> bool:
    text = str(int(value)) if isinstance(value, bool | int) else str(value).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ConfigError(f"{label} = {shown(value)} is neither on ({', '.join(_TRUE)}) nor off ({', '.join(_FALSE)})")


def _text(value: object, label: str) -> str:
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    if isinstance(text, str) and text and "\0" not in text:
        return text
    raise ConfigError(
        f"{label} = {shown(value)} is not a text such as {'gcc' if label.lower().endswith('cc') else '/a/path'!r}"
    )
