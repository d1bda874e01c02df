"""`k.emit`: a kernel for other programs, as C, LLVM IR, MLIR or an object file. All or nothing is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import RowfoldError, shown


class EmitError(RowfoldError, ValueError):
    """What was asked of `k.emit` cannot be written: the message says which argument, and what is expected."""


class FilesExistError(EmitError, FileExistsError):
    """Files are there that would be replaced; `overwrite=True`, or `--overwrite` on the command line, replaces them."""


class DirectoryError(EmitError, OSError):
    """The directory cannot be made or written to."""


class Emitting:
    """The part of a kernel that writes it for other programs."""

    _chosen: dict[str, Any]

    def emit(
        self, directory: str | os.PathLike[str], isas: Iterable[str] | None = None, dtypes: Any = None,
        shape: tuple[int, ...] | None = None, lang: str = "c", target: str | None = None, single_header: bool = False,
        overwrite: bool = False, **more: Any,
    ) -> tuple[str, ...]:  # fmt: skip
        """Writes the kernel for other programs below `directory`, and gives the paths.

        `lang="c"`: `rowfold_<name>.c` and `.h` (or with `single_header` the latter alone), which compile with no
        machine flag, and examples, a self-test and build files in `example/`. `isas` are instruction sets
        (`rowfold.codegen.standalone.ISAS`; by default those of `target`, or all for x86-64 and any other machine),
        `dtypes` the dtypes (default float32). With `shape` it holds the plan of that shape only, else every plan that
        is the cheapest for some shape. That one plan is written `compact`, in less text, unless `compact=False`.
        `lang="object"` and `"llvm"` need a `target`: see `rowfold.inspecting.ahead`.
        Functions for parts of rows, `..._partial`, `_merge` and `_finish` with the states of `k.partial`, are written
        with `states=True` (PlanError where there is no state).
        `given` names the optional parameters that are present; other keywords are settings that specialize.

        Raises IsaError for an unknown instruction set, DTypeError, EmitError for a name that C cannot have,
        FilesExistError (a FileExistsError) unless `overwrite`, DirectoryError (an OSError). Then nothing was written.
        """
        from .. import config as configuration

        kernel: Any = self
        config = configuration.resolve(self._chosen)
        if lang != "c":
            from .ahead import emit

            dtype = {} if dtypes is None else {"dtype": _only(dtypes)}
            shaped = {} if shape is None else {"shape": shape}
            return emit(kernel, directory, config, target=target, lang=lang, overwrite=overwrite,
                        **{**dtype, **shaped, **more})  # fmt: skip
        from .embed import files

        made = files(kernel, config.strategy, isas, dtypes, shape, target, single_header=single_header, **more)
        return write(directory, made, overwrite=overwrite)


def _only(dtypes: Any) -> Any:
    if isinstance(dtypes, list | tuple):
        if len(dtypes) != 1:
            raise EmitError(f"dtypes={shown(dtypes)}: an object file holds one dtype")
        return dtypes[0]
    return dtypes


def write(directory: str | os.PathLike[str], files: Mapping[str, str | bytes], *, overwrite: bool) -> tuple[str, ...]:
    """Writes files below a directory: aside first, then into their places."""
    import shutil
    import tempfile

    root = os.fspath(directory)
    there = [name for name in files if os.path.lexists(os.path.join(root, name))]
    if there and not overwrite:
        how = "overwrite=True, or --overwrite on the command line,"
        raise FilesExistError(f"{os.path.join(root, there[0])} is there already; pass {how} to replace it")
    aside = None
    try:
        os.makedirs(root, exist_ok=True)
        aside = tempfile.mkdtemp(prefix=".rowfold-", dir=root)
        for name, text in files.items():
            _put(os.path.join(aside, name), text)
        for name in files:
            os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
            os.replace(os.path.join(aside, name), os.path.join(root, name))
    except OSError as error:
        raise DirectoryError(f"directory={root!r} cannot be written to: {error}") from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
    return tuple(os.path.join(root, name) for name in files)


def _put(path: str, text: str | bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(text.encode() if isinstance(text, str) else text)
