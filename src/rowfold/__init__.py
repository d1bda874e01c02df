"""Write the row in NumPy. Get the fused kernel.

Importing this costs next to nothing: each public name is fetched from its module when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import gallery as gallery
    from . import library as library
    from . import testing as testing
    from .annotations import Between, Ignore, Index, Mask, NonNegative, Positive, Row, Scalar, Static, Table
    from .api import Kernel, kernel
    from .config import options
    from .errors import (
        CompileError,
        DTypeError,
        IsaError,
        LoadError,
        NotDifferentiableError,
        OutputError,
        PlanError,
        RowfoldError,
        StateError,
        TraceError,
    )
    from .inspecting.showconfig import show_config
    from .rowfns import (
        gumbel,
        kth,
        logsumexp,
        lookup,
        positions,
        rsqrt,
        sigmoid,
        softplus,
        stop_gradient,
        threshold,
        topk,
        uniform,
    )

__version__ = "0.1.0"

_HOMES = {
    "annotations": "Between Ignore Index Mask NonNegative Positive Row Scalar Static Table",
    "api": "Kernel kernel",
    "config": "options",
    "errors": "CompileError DTypeError IsaError LoadError NotDifferentiableError OutputError PlanError RowfoldError "
    "StateError TraceError",
    "inspecting.showconfig": "show_config",
    "rowfns": "gumbel kth logsumexp lookup positions rsqrt sigmoid softplus stop_gradient threshold topk uniform",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}
_MODULES = ("gallery", "library", "testing")

__all__ = [
    "Between", "CompileError", "DTypeError", "Ignore", "Index", "IsaError", "Kernel", "LoadError", "Mask",
    "NonNegative",
    "NotDifferentiableError", "OutputError", "PlanError", "Positive", "Row", "RowfoldError", "Scalar", "StateError",
    "Static", "Table", "TraceError", "__version__", "gallery", "gumbel",
    "kernel", "kth", "library", "logsumexp", "lookup", "options", "positions", "rsqrt", "show_config",
    "sigmoid", "softplus", "stop_gradient", "testing", "threshold", "topk", "uniform",
]  # fmt: skip


if not TYPE_CHECKING:  # a type checker would take any name for one that this finds

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
