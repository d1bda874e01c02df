"""Compiling under ROWFOLD_DEBUG, ROWFOLD_DUMP and ROWFOLD_OVERRIDE: every stage shown, written or read back.

A dump is `<directory>/<kernel>/` with 00-program.txt 01-plan.txt 02-kernel.c 03-kernel.s 04-cc.log, or 02-kernel.ll
where LLVM compiles. A second plan of the same kernel (another dtype, say) goes to `<kernel>-2/`. Overriding looks
through the same folders for a text that defines the symbol of the plan and, where 00-program.txt is beside it, has the
plan's program.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
from dataclasses import dataclass, replace

from ..codegen.plan import Plan
from ..codegen.source import Source
from ..config import Config
from ..errors import CompileError, RowfoldError
from ..runtime import cache
from ..runtime import compiler as compilers
from .stages import assembly_of, plan_text

PROGRAM, PLAN, ASSEMBLY, LOG = "00-program.txt", "01-plan.txt", "03-kernel.s", "04-cc.log"
TEXTS = {"c": "02-kernel.c", "llvm": "02-kernel.ll"}
_folders: dict[str, list[str]] = {}  # <directory>/<kernel> -> the keys of the plans that this process dumped there


def inspected(plan: Plan, emitted: Source, key: str, config: Config) -> cache.Loaded:
    """What `build` does without these variables, in the open. Raises CompileError and LoadError as it does."""
    if config.debug >= 2:
        _show(plan_text(plan))
    source = _overridden(plan, emitted, config.override) if config.override else emitted
    dump = _dump(plan, source, key, config)
    if config.debug >= 3:
        _show(source.text)
    loaded = _loaded(source, "" if source is not emitted else key, config, dump)
    if dump.folder or config.debug >= 4:
        _assembled(source, loaded, config, dump)
    return loaded


def _loaded(source: Source, key: str, config: Config, dump: Dump) -> cache.Loaded:
    """An edited source comes with no key: the plan must not lead to it once the override is gone."""
    try:
        loaded = cache.load(source, key, config)
    except RowfoldError as error:
        _say(f"{source.symbol}: {error}")
        dump.write(LOG, f"{error}\n")
        raise
    if loaded.from_cache and config.debug:
        _say(f"loaded {source.symbol} from the cache, {loaded.path or 'in this process already'}")
    return loaded


def _assembled(source: Source, loaded: cache.Loaded, config: Config, dump: Dump) -> None:
    try:
        assembly, said = assembly_of(source, config)
    except CompileError as error:
        assembly, said = f"# There is no assembly: {str(error).splitlines()[0]}\n", str(error)
    dump.write(ASSEMBLY, assembly)
    dump.write(LOG, _log(source, loaded, config, said))
    if config.debug >= 4:
        _show(assembly)


def _log(source: Source, loaded: cache.Loaded, config: Config, said: str) -> str:
    compiler = compilers.find(config.cc) if source.language == "c" else None
    command = shlex.join(compilers.command_line(compiler, source.flags)) if compiler else "none"
    origin = "loaded from the cache" if loaded.from_cache else "compiled now"
    lines = [
        f"command:  {command}",
        f"compiler: {loaded.compiler}",
        f"result:   {origin}; {loaded.path or 'not kept in a file'}",
    ]
    return "\n".join([*lines, "messages:", said.strip() or "none", ""])


# writing


@dataclass(frozen=True, slots=True)
class Dump:
    """The folder of one plan, or None when nothing is dumped. A fault of it is said, and the kernel runs on."""

    folder: str | None

    def write(self, name: str, text: str) -> None:
        if self.folder is None:
            return
        try:
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            _say(f"cannot dump {name}: {error}")


def _dump(plan: Plan, source: Source, key: str, config: Config) -> Dump:
    if not config.dump:
        return Dump(None)
    folder = _folder_for(os.path.join(os.path.abspath(config.dump), safe_name(plan.name)), key)
    if _would_lose_an_edit(folder, source, config):
        path = os.path.join(folder, TEXTS[source.language])
        _say(f"not dumped: {path} is an edited file of another plan; dump to another directory")
        return Dump(None)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        _say(f"cannot dump {plan.name}: {error}")
        return Dump(None)
    dump = Dump(folder)
    texts = ((PROGRAM, f"{plan.program}\n"), (PLAN, f"{plan_text(plan)}\n"), (TEXTS[source.language], source.text))
    for name, text in texts:
        dump.write(name, text)
    return dump


def _would_lose_an_edit(folder: str, source: Source, config: Config) -> bool:
    """Whether the dump goes where edited files are read from, and one is there that this plan did not take."""
    if not config.override or os.path.realpath(os.path.dirname(folder)) != os.path.realpath(config.override):
        return False
    return _text(os.path.join(folder, TEXTS[source.language])) not in (None, source.text)


def _folder_for(base: str, key: str) -> str:
    keys = _folders.setdefault(base, [])
    if key not in keys:
        keys.append(key)
    number = keys.index(key) + 1
    return base if number == 1 else f"{base}-{number}"


def safe_name(name: str) -> str:
    """A kernel's name as the name of a folder: no separator, no dot, nothing that a shell reads."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)[:60] or "kernel"


# reading back


def _overridden(plan: Plan, source: Source, directory: str) -> Source:
    """The source with the text of a hand-edited file, or the same source when there is none for it."""
    found = _kernel_files(directory, safe_name(plan.name), TEXTS[source.language])
    for path in found:
        text = _text(path)
        if text is not None and _is_for(plan, source, path, text):
            if text == source.text:
                return source
            _say(f"{source.symbol} is compiled from {path}, not from what rowfold emits")
            return replace(source, text=text)
    if found:
        file = TEXTS[source.language]
        _say(f"{source.symbol} is compiled as emitted: no {file} of {directory} has this symbol and program")
    elif not os.path.isdir(directory):
        _say(f"{source.symbol} is compiled as emitted: {directory} is not a directory")
    return source


def _kernel_files(directory: str, name: str, file: str) -> list[str]:
    folders: list[str] = []
    with contextlib.suppress(OSError):
        folders = [f for f in os.listdir(directory) if re.fullmatch(rf"{name}(-[0-9]+)?", f)]
    paths = (os.path.join(directory, f, file) for f in sorted(folders, key=lambda f: (len(f), f)))
    return [path for path in paths if os.path.isfile(path)]


def _is_for(plan: Plan, source: Source, path: str, text: str) -> bool:
    program = _text(os.path.join(os.path.dirname(path), PROGRAM))
    return (
        re.search(rf"\b{source.symbol}\(", text) is not None
        and _arguments(text) == _arguments(source.text)
        and (program is None or program.strip() == str(plan.program).strip())
    )


def _arguments(text: str) -> set[str]:
    """Which arguments the loop takes. One too many would read memory that is not ours."""
    return set(re.findall(r"\bargs(?:\[|, i64 )([0-9]+)\b", text))


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None


# saying


def _say(line: str) -> None:
    sys.stderr.write(f"rowfold: {line}\n")


def _show(text: str) -> None:
    sys.stderr.write(text if text.endswith("\n") else f"{text}\n")
