"""The accuracy that is promised for library kernels, as data: ULP of the exact value plus unit roundoffs, absolute."""

from __future__ import annotations

from collections.abc import Mapping

from ...records import NamedTuple


class Bound(NamedTuple):
    """At most `ulps` ULP of the exact value plus `units` unit roundoffs, absolute."""

    ulps: float
    units: float = 0.0

    def __str__(self) -> str:
        return f"{self.ulps:g} ULP" + (f" + {self.units:g} u, u = half the epsilon" if self.units else "")


PUBLISHED: Mapping[tuple[str, str], Bound] = {
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
