"""Every error that rowfold raises by name, so that a caller can catch one family or one case."""

from __future__ import annotations

_SHOWN = 100  # characters of a value


def shown(value: object) -> str:
    """A value as a message shows it: on one line, cut where it is long; of an array its shape."""
    shape = getattr(value, "shape", ())
    if isinstance(shape, tuple) and shape:
        return f"a {type(value).__name__} of shape {shape}"
    text = " ".join(repr(value).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ..."


class RowfoldError(Exception):
    """Base of all errors that rowfold raises itself."""


class TraceError(RowfoldError):
    """A row function steps outside the row language; the message shows the line and what to write instead."""


class PlanError(RowfoldError):
    """No plan meets the constraint that was asked for; the message lists why each candidate was refused."""


class CompileError(RowfoldError):
    """The C compiler failed, hung or is missing; the message holds the command and its last lines."""


class LoadError(RowfoldError):
    """A compiled library could not be loaded or failed its self-test."""


class NothingAsked(ValueError):  # noqa: N818 - in empty rows it is no error
    """k = 0: an error in rows that have elements, none in empty rows. Users meet it as the ValueError that it is."""


class DTypeError(RowfoldError, TypeError):
    """An argument has a dtype that the kernel does not take."""


class OutputError(RowfoldError, ValueError):
    """`out` cannot take the result: wrong shape or dtype, read-only, big-endian. Nothing was written."""


class StateError(RowfoldError, ValueError):
    """States of parts of rows that do not belong together, or not to this kernel, or to another round."""


class IsaError(RowfoldError):
    """The instruction set asked for is unknown, or this CPU lacks it."""


class NotDifferentiableError(RowfoldError):
    """A derivative was asked of an output that has none."""
