"""Check what a call was given and bring it into the loop's order. Nothing is computed and nothing written here."""

from __future__ import annotations

import importlib
import math
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from ..codegen.dtypes import CHARS, NAMED
from ..errors import DTypeError, shown
from ..philox import keys_of
from ..records import NamedTuple
from .layout import Layout, Shape
from .spec import ROW_LIKE, WITH_AXIS, Argument, Array, CallSpec, DType, FloatSetting, Formats, Names

FLOATS = ("float32", "float64", *NAMED)
_EXPECTED = "float32, float64, float16 or (with ml_dtypes) bfloat16, float8_e4m3fn, float8_e5m2"
_SEEN = 256
_KEY = np.dtype(np.uint64).char
_BOOL, _INT64, _FLOAT32, _FLOAT64 = (np.dtype(name) for name in ("bool", "int64", "float32", "float64"))


@lru_cache(_SEEN)
def is_float(dtype: DType) -> bool:
    """Whether kernels take rows of this dtype (remembered: NumPy makes names in Python, in 13 us)."""
    return dtype.name in FLOATS


@lru_cache(_SEEN)
def computing_dtype(dtype: DType) -> DType:
    """What a result of this dtype is computed in."""
    return _FLOAT32 if dtype.name in NAMED else dtype


@lru_cache(_SEEN)
def format_of(dtype: DType) -> str:
    """The format of a dtype that is computed in float32 and rounded once when stored; "" for all others."""
    return NAMED.get(dtype.name, "")


def asked(dtype: Any, parameters: Collection[Any], given: Names) -> tuple[DType, Formats]:
    """What a call computes in whose rows all have this dtype, and how they and its results are stored."""
    unknown = set(given) - {p.name for p in parameters}
    if unknown:
        names = ", ".join(p.name for p in parameters if p.optional) or "none"
        raise TypeError(f"given names {min(unknown)!r}; the optional arrays are {names}")
    added = isinstance(dtype, str) and dtype in NAMED and dtype != "float16"
    found = np.dtype(getattr(importlib.import_module("ml_dtypes"), dtype) if added else dtype)
    computing: DType = np.result_type(computing_dtype(found), np.float32)
    rows = [p.name for p in parameters if p.role.value == "row" and (not p.optional or p.name in given)]
    return computing, tuple(sorted((name, format_of(found)) for name in ("", *rows))) if format_of(found) else ()


@lru_cache(_SEEN)
def _code(dtype: DType) -> DType | None:
    """The integers that a ufunc takes for a dtype that it does not know."""
    return np.dtype(f"u{dtype.itemsize}") if format_of(dtype) and dtype != np.float16 else None


def raw(array: Array) -> Array:
    """The array as a loop takes it: bfloat16 and the like as their codes, everything else as it is."""
    code = _code(array.dtype)
    return array if code is None else array.view(code)


def _native(dtype: DType) -> DType:
    return dtype if dtype.isnative else dtype.newbyteorder("=")


class How(NamedTuple):
    """The options of a call that every kernel has."""

    axis: Any = -1
    where: Any = None
    dtype: Any = None
    keepdims: bool = False
    threads: int | None = None


class Operands(NamedTuple):
    """A call that passed every check of its inputs. `arrays` are in the loop's order, not yet cast to `dtypes`."""

    first: Array  # the first row argument, where axis counts
    layout: Layout
    batch: Shape
    arrays: tuple[Array, ...]
    dtypes: tuple[DType, ...]
    computing: DType
    result: DType
    given: Names
    booleans: Names
    has_where: bool
    narrow: Formats  # how rows and results are stored that are not of the computing dtype, if the loop can do that
    coded: bool = False  # whether the loop rounds its results to the narrow format itself

    @property
    def rows(self) -> int:
        return math.prod(self.batch)

    def matched(self, spec: CallSpec, values: Mapping[str, Any], types: str) -> Operands:
        """The same for a loop of these types, one that may take no narrow rows."""
        chars = types.replace("->", "")
        if not self.narrow:
            return self.keyed(spec, values, chars)
        pairs = zip(self.dtypes, chars, strict=False)
        dtypes = tuple(self.computing if format_of(t) and c not in CHARS else t for t, c in pairs)
        coded = any(c in CHARS for c in chars[len(self.arrays) :])
        return self._replace(dtypes=dtypes, coded=coded).keyed(spec, values, chars)

    def wide(self) -> Operands:
        """The same for a loop that takes no narrow rows."""
        dtypes = tuple(self.computing if format_of(t) else t for t in self.dtypes)
        return self._replace(dtypes=dtypes, narrow=())

    def keyed(self, spec: CallSpec, values: Mapping[str, Any], types: str) -> Operands:
        """The same with 64-bit keys for the scalars that the loop takes as seeds. Nothing else is integral there."""
        if _KEY not in types:
            return self
        arrays, dtypes = list(self.arrays), list(self.dtypes)
        present = [a.name for a in spec.arguments if values.get(a.name) is not None]
        for i, name in enumerate(present):
            if types[i] == _KEY:
                dtypes[i] = np.dtype(np.uint64)
                try:
                    arrays[i] = keys_of(values[name], self.batch)
                except (TypeError, ValueError) as error:
                    raise type(error)(f"{spec.name}: {name!r}: {error}") from None
        return self._replace(arrays=tuple(arrays), dtypes=tuple(dtypes))

    def cast(self) -> list[Array]:
        """The arrays as the loop reads them; only foreign byte orders, narrow floats and integers need a copy."""
        return [a if a.dtype == t else a.astype(t) for a, t in zip(self.arrays, self.dtypes, strict=True)]


def prepare(spec: CallSpec, values: Mapping[str, Any], settings: Mapping[str, Any], how: How) -> Operands:
    """Check the arguments by name, `None` for absent ones, and the settings."""
    kernel = spec.name
    _check_threads(kernel, how.threads)
    present = [a for a in spec.arguments if values.get(a.name) is not None]
    arrays = {a.name: as_array(kernel, a.name, values[a.name]) for a in present}
    first = _first(spec, present)
    rows = [a for a in present if a.role in ("row", "table")]
    booleans = frozenset(a.name for a in rows if a is not first and arrays[a.name].dtype == _BOOL)
    floats = [a for a in rows if a.name not in booleans]
    for argument in present:
        if argument.name not in booleans:
            check_dtype(kernel, argument, arrays[argument.name], how.dtype)
    result = _result_dtype(kernel, [(values[a.name], arrays[a.name]) for a in floats], how.dtype)
    computing = computing_dtype(result)
    layout = Layout.of(arrays[first.name], how.axis, first.name)
    views = {a.name: _view(kernel, layout, a, arrays[a.name]) for a in present}
    batch = _batch(kernel, {a.name: views[a.name].shape[:-1] for a in present if a.role in WITH_AXIS})
    for argument in present:
        _check_value(kernel, argument, views[argument.name], layout.n, batch)
    numbers = [np.array(setting(kernel, s, settings.get(s.name, s.default), layout.n)) for s in spec.settings]
    where = () if how.where is None or how.where is True else (_where(kernel, layout, first.name, how.where),)
    kinds = {a.name: _native(arrays[a.name].dtype) for a in floats if computing == _FLOAT32 and a.role == "row"}
    narrow = {name: kind for name, kind in kinds.items() if format_of(kind)}
    known = narrow | dict.fromkeys(booleans, _BOOL)
    dtypes = [known.get(a.name) or loop_dtype(a, computing) for a in present]
    return Operands(
        first=arrays[first.name],
        layout=layout,
        batch=batch,
        arrays=(*views.values(), *where, *numbers),
        dtypes=(*dtypes, *(_BOOL for _ in where), *(_FLOAT64 for _ in numbers)),
        computing=computing,
        result=result,
        given=frozenset(a.name for a in present if a.optional),
        booleans=booleans,
        has_where=bool(where),
        narrow=_formats(narrow | {"": result}),
    )


def _formats(stored: Mapping[str, DType]) -> Formats:
    return tuple(sorted((name, format_of(dtype)) for name, dtype in stored.items() if format_of(dtype)))


def as_array(kernel: str, name: str, value: Any) -> Array:
    """The value as a plain array; subclasses lose their class, masked arrays are refused rather than misread."""
    if type(value) is np.ndarray:
        return value
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{kernel}: {name!r} is a masked array; its mask would be ignored; pass {name}.data and where=~{name}.mask"
        )
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{kernel}: {name!r} cannot be made an array: {error}") from error


_LOOP = {"mask": _BOOL, "int row": _INT64, "scalar": _FLOAT64, "index": _INT64}


def loop_dtype(argument: Argument, computing: DType) -> DType:
    """The element type that the loop reads for this argument."""
    return computing if argument.role in ("row", "table") else _LOOP[argument.role]


def setting(kernel: str, wanted: FloatSetting, value: Any, n: int) -> float:
    """The setting as a float within its bounds, of which the row length may be one."""
    if wanted.length:
        wanted = wanted._replace(high=min(wanted.high, float(n)))
    if value is None:
        raise TypeError(
            f"{kernel}: the setting {wanted.name!r} is missing; give {wanted.name}= a number in {_interval(wanted)}"
        )
    number = value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
    if isinstance(number, bool | np.bool_) or not isinstance(number, int | float | np.integer | np.floating):
        raise TypeError(
            f"{kernel}: the setting {wanted.name!r} is {shown(value)}; expected one number in {_interval(wanted)}"
        )
    try:
        found = float(number)
    except OverflowError:
        found = math.nan
    low_enough = wanted.low < found if wanted.open else wanted.low <= found
    if low_enough and found <= wanted.high:
        return found
    told = f"the setting {wanted.name!r} is {shown(value)}"
    raise ValueError(f"{kernel}: {told}; expected a number in {_interval(wanted)}")


def _interval(wanted: FloatSetting | Argument) -> str:
    return f"{'(' if wanted.open else '['}{wanted.low:g}, {wanted.high:g}]"


def _first(spec: CallSpec, present: list[Argument]) -> Argument:
    """The argument in which `axis` counts: the first row, or else the first mask or integer row."""
    row_like = [a for a in present if a.role == "row"] or [a for a in present if a.role in ROW_LIKE]
    if not row_like:
        raise TypeError(f"{spec.name}: no row was given; expected an array with a row in it as first argument")
    return row_like[0]


def _check_threads(kernel: str, threads: Any) -> None:
    if threads is None:
        return
    number = isinstance(threads, int | np.integer) and not isinstance(threads, bool)
    if not number or threads < 1:
        raise (ValueError if number else TypeError)(
            f"{kernel}: threads is {shown(threads)}; expected a positive int, or None"
        )


def check_dtype(kernel: str, argument: Argument, array: Array, dtype: Any) -> None:
    """Refuse an element type that this role does not take, and say how to make one that it does."""
    found, name, kind = array.dtype, argument.name, array.dtype.kind
    match argument.role:
        case "row" | "table":
            if is_float(found) or (dtype is not None and (kind in "iu" or found.char == "g")):
                return
            expected = _EXPECTED
            fix = f"pass {name}.astype(np.float32) if its values are numbers"
            if kind in "iu" or found.char == "g":
                fix = f"give dtype=np.float32 or np.float64, or pass {name}.astype(np.float32)"
        case "mask":
            if kind == "b":
                return
            expected, fix = "bool", f"pass {name} != 0"
        case "int row" | "index":
            if kind in "iu":
                return
            expected, fix = "an integer dtype", f"pass {name}.astype(np.int64)"
        case "scalar":
            if kind in "iuf" or is_float(found):
                return
            expected, fix = "real numbers, one a row", f"pass {name}.astype(np.float64)"
    raise DTypeError(f"{kernel}: {name!r} has dtype {found}; expected {expected}; {fix}")


def _result_dtype(kernel: str, rows: list[tuple[Any, Array]], dtype: Any) -> DType:
    """What comes back: `dtype`, or the promotion of the row arguments, in which Python numbers are weak."""
    if dtype is not None:
        try:
            asked = _native(np.dtype(dtype))
        except TypeError as error:
            raise DTypeError(f"{kernel}: dtype={shown(dtype)} is no dtype; expected {_EXPECTED}") from error
        if not is_float(asked):
            raise DTypeError(f"{kernel}: dtype is {asked}; expected {_EXPECTED}")
        return asked
    found = [_native(array.dtype) for value, array in rows if not isinstance(value, float)] or [_FLOAT64]
    if len(found) == 1:
        return found[0]
    try:
        return np.result_type(*found)
    except TypeError as error:
        names = ", ".join(str(one) for one in found)
        raise DTypeError(f"{kernel}: the rows have dtypes {names}, which have no common one; give dtype=") from error


def _view(kernel: str, layout: Layout, argument: Argument, array: Array) -> Array:
    if argument.role not in WITH_AXIS:
        return array
    view = layout.rows(array)
    if argument.role != "table" and view.shape[-1] != layout.n:
        raise ValueError(
            f"{kernel}: {argument.name!r} of shape {array.shape} has rows of {view.shape[-1]} elements; "
            f"expected {layout.n}, the row length of the first row argument (shape {layout.shape})"
        )
    return view


def _batch(kernel: str, shapes: Mapping[str, Shape]) -> Shape:
    if len(shapes) == 1:
        return next(iter(shapes.values()))
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        text = ", ".join(f"{name!r} has {shape}" for name, shape in shapes.items())
        raise ValueError(f"{kernel}: the batch shapes do not broadcast: {text}; make them equal or 1") from None


def _check_value(kernel: str, argument: Argument, array: Array, n: int, batch: Shape) -> None:
    name = argument.name
    if argument.role in ("scalar", "index") and array.ndim and array.shape != batch:
        if not _broadcasts(array.shape, batch):
            raise ValueError(
                f"{kernel}: {name!r} has shape {array.shape}; expected one value a row, the batch shape {batch}"
            )
    if array.dtype.kind == "u" and array.dtype.itemsize == 8 and argument.role == "int row":
        if array.size and int(array.max()) > np.iinfo(np.int64).max:
            raise ValueError(f"{kernel}: {name!r} has the value {array.max()}; expected values below 2^63")
    if argument.role == "index":
        check_index(kernel, argument, array, n, batch)
    if argument.bounded:
        check_scalar(kernel, argument, array)


def check_scalar(kernel: str, argument: Argument, array: Array) -> None:
    """Every number is in the bounds of its annotation; the error names the first row that breaks this."""
    over = (argument.low < array) if argument.open else (argument.low <= array)
    bad = ~(over & (array <= argument.high))
    if bad.any():
        place = np.unravel_index(int(bad.argmax()), array.shape)
        row = ", ".join(str(int(i)) for i in place) or "0"
        raise ValueError(
            f"{kernel}: {argument.name!r} is {array[place]} at row {row}; expected numbers in {_interval(argument)}"
        )


def check_index(kernel: str, argument: Argument, array: Array, n: int, batch: Shape) -> None:
    """Every index is in [0, n) or is the value to ignore; the error names the first row that breaks this."""
    if n == 0:
        raise ValueError(
            f"{kernel}: the rows are empty, so {argument.name!r} can name no element; expected rows of 1 or more"
        )
    if array.size == 0 or (array.min() >= 0 and array.max() < n):
        return
    bad = (array < 0) | (array >= n)
    if argument.ignore is not None:
        bad &= array != argument.ignore
    if bad.any():
        place = np.unravel_index(int(bad.argmax()), array.shape)
        row = ", ".join(str(int(i)) for i in place) or "0"
        ignore = "" if argument.ignore is None else f", or {argument.ignore} for a row to ignore"
        raise IndexError(f"{kernel}: {argument.name!r} is {array[place]} at row {row}; expected 0 to {n - 1}{ignore}")


def _where(kernel: str, layout: Layout, first: str, where: Any) -> Array:
    array = as_array(kernel, "where", where)
    if array.dtype != _BOOL:
        raise DTypeError(f"{kernel}: 'where' has dtype {array.dtype}; expected bool; pass where != 0")
    if not _broadcasts(array.shape, layout.shape):
        raise ValueError(
            f"{kernel}: 'where' has shape {array.shape}; expected one that broadcasts to "
            f"the shape {layout.shape} of {first!r}"
        )
    return layout.rows(np.broadcast_to(array, layout.shape))


def _broadcasts(shape: Shape, to: Shape) -> bool:
    aligned = zip(reversed(shape), reversed(to), strict=False)
    return len(shape) <= len(to) and all(size in (1, target) for size, target in aligned)
