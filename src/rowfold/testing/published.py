"""The accuracy that is promised for library kernels, as data that the tests read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from rowfold.codegen.bounding.published import PUBLISHED as PUBLISHED  # noqa: PLC0414 - re-exported
from rowfold.codegen.bounding.published import Bound as Bound  # noqa: PLC0414
from rowfold.testing.ulp import ulp


def published_bound(kernel_name: str, exact: ArrayLike, dtype: DTypeLike) -> NDArray[Any]:
    """The largest absolute error that the named library kernel may have beside these exact values."""
    kind: Any = np.dtype(dtype)
    bound = PUBLISHED[kernel_name, kind.name]
    return np.asarray(bound.ulps * ulp(exact, kind) + bound.units * float(np.finfo(kind).eps) / 2)
