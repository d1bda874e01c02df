"""The accuracy that is promised for library kernels, as data that the tests read."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from rowfold.testing.ulp import ulp


class Bound(NamedTuple):
    """At most `ulps` ULP of the exact value plus `units` unit roundoffs, absolute."""

    ulps: float
    units: float = 0.0


PUBLISHED: dict[tuple[str, str], Bound] = {
    ("softmax", "float32"): Bound(4),
    ("softmax", "float64"): Bound(4),
    ("softmin", "float32"): Bound(4),
    ("softmin", "float64"): Bound(4),
    ("log_softmax", "float32"): Bound(3),
    ("log_softmax", "float64"): Bound(3),
    ("cross_entropy", "float32"): Bound(3),
    ("cross_entropy", "float64"): Bound(3),
    ("logsumexp", "float32"): Bound(1, 4),
    ("logsumexp", "float64"): Bound(1, 4),
    ("layer_norm", "float32"): Bound(1.5, 2.0**-12),
    ("rms_norm", "float32"): Bound(1, 2.0**-12),
}


def published_bound(kernel_name: str, exact: ArrayLike, dtype: DTypeLike) -> NDArray[Any]:
    """The largest absolute error that the named library kernel may have beside these exact values."""
    kind: Any = np.dtype(dtype)
    bound = PUBLISHED[kernel_name, kind.name]
    return np.asarray(bound.ulps * ulp(exact, kind) + bound.units * float(np.finfo(kind).eps) / 2)
