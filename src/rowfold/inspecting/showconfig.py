"""What rowfold found on this machine and is set to do: the first thing to look at when something is slow or missing."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .. import __version__
from .. import config as configuration
from ..config import Config
from ..errors import CompileError, RowfoldError

if TYPE_CHECKING:
    from ..runtime.store import Store


def show_config() -> None:
    """Prints version, CPU, caches, compilers found and refused, the kernel cache and the configuration in force."""
    sys.stdout.write("\n".join(config_lines()) + "\n")


def config_lines() -> list[str]:
    """The lines of `show_config`. A value that is not valid is a line here, not an error."""
    config, fault = in_force()
    return [*_machine(), *_compilers(config), f"kernel cache  {_cache(config)}", *_settings(config, fault)]


def in_force() -> tuple[Config, str]:
    """The configuration, or the default one and why what was set is not valid."""
    try:
        return configuration.resolve(), ""
    except RowfoldError as error:
        return Config(), str(error)


def _machine() -> Iterator[str]:
    import numpy as np

    from ..runtime import cpu

    sizes, features = cpu.caches(), ", ".join(cpu.host_isas())
    yield f"rowfold {__version__}, Python {platform.python_version()}, NumPy {np.__version__}, {sys.platform}"
    yield f"CPU           {cpu.model() or platform.machine()}, {cpu.cores()} cores"
    yield f"instructions  {features}: the first, unless isa= says otherwise"
    levels = ", ".join(f"{name} {_size(n)}" for name, n in zip(("L1", "L2", "L3"), sizes, strict=False))
    yield f"CPU caches    {levels}, lines of {sizes.line} bytes"


def _compilers(config: Config) -> Iterator[str]:
    from ..runtime import compiler as compilers

    used = compilers.find(config.cc)
    yield "compilers"
    for place in compilers.survey(config.cc):
        found = place.compiler
        if found is None:
            text = f"none: {place.reason}"
        elif found == used:
            text, used = f"{found}, used: {_identity(found)}", None
        else:
            text = f"{found}, not used: " + (f"{config.cc} was asked for" if config.cc else "an earlier one is")
        yield f"  {place.found_by:11} {text}"


def _identity(compiler: object) -> str:
    from ..runtime import compiler as compilers

    assert isinstance(compiler, compilers.Compiler)
    try:
        return compilers.identity(compiler)
    except CompileError as error:
        return str(error).splitlines()[0]


def _cache(config: Config) -> str:
    from ..runtime.store import Fault, default_directory, open_store

    try:
        where = config.cache_dir or default_directory()
        store = open_store(where, create=False)
        if not config.cache:
            return f"off; it would be {where}"
        return f"{where}, {_content(store)}" if store else f"{where}, not made yet"
    except (Fault, OSError) as error:
        return f"not used: {error}"


def _content(store: Store) -> str:
    kernels, size = store.content()
    return f"{kernels} kernels, {_size(size)}"


def _settings(config: Config, fault: str) -> Iterator[str]:
    yield f"configuration that would be in force, were it not for: {fault}" if fault else "configuration in force"
    default = Config()
    outside = default if fault else Config.from_environment()
    for name in configuration.NAMES:
        value = getattr(config, name)
        origin = ""
        if value != getattr(default, name):
            origin = configuration.variable(name) if value == getattr(outside, name) else "rf.options"
        yield f"  {name:11} {value!r}{f'  from {origin}' if origin else ''}"


def _size(count: int) -> str:
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} bytes"
