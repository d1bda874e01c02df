"""What the planner knows of a machine. Pure data; the runtime fills in what the system reports."""

from __future__ import annotations

from ..records import dataclass


@dataclass(frozen=True, slots=True)
class Traffic:
    """Sizes in bytes at which loops go about memory otherwise. None changes a bit (docs/performance.md).

    A batch beyond `cached` is fetched ahead, but for rows shorter than `near_row`, where the hardware goes on into the
    next one, and rows longer than `long_row`, where what is fetched drives out the row that waits. Results of a row
    that takes more than `stream` bypass the caches.
    """

    cached: int = 16 << 20
    near_row: int = 4 << 10
    long_row: int = 256 << 10
    stream: int = 32 << 20


@dataclass(frozen=True, slots=True)
class Machine:
    """Sizes in bytes; `read` and `write` are nanoseconds a byte at L1, L2, L3, memory; `tick` is ns a cycle.

    What is written is read first, unless the sweep has read it anyway, or writes around the caches: `stream` ns a byte.
    Defaults: measured on one Zen 4 server core (docs/performance.md).
    """

    l1: int = 32 << 10
    l2: int = 1 << 20
    l3: int = 32 << 20
    read: tuple[float, float, float, float] = (0.0030, 0.0060, 0.0080, 0.0165)
    write: tuple[float, float, float, float] = (0.0055, 0.0120, 0.0140, 0.0330)
    tick: float = 0.27
    stream: float = 0.0180
    traffic: Traffic = Traffic()

    def level(self, size: int) -> int:
        """0 to 3: the fastest level that holds `size` bytes beside everything else."""
        return sum(4 * size > 3 * cache for cache in (self.l1, self.l2, self.l3))


@dataclass(frozen=True, slots=True)
class Throughput:
    """Cycles that one logical vector (16 float32 or 8 float64 lanes) costs on an instruction set."""

    simple: float
    exp: float
    extexp: float


THROUGHPUT = {
    "avx512": Throughput(0.6, 8.0, 17.0),
    "avx2": Throughput(1.2, 16.0, 34.0),
    "portable": Throughput(4.0, 60.0, 140.0),
    "c99": Throughput(4.0, 80.0, 180.0),
    "sse2": Throughput(2.4, 60.0, 120.0),
    "neon": Throughput(2.4, 32.0, 68.0),
    "sve": Throughput(6.0, 50.0, 110.0),
    "rvv": Throughput(6.0, 50.0, 110.0),
    "wasm": Throughput(3.0, 80.0, 160.0),
}
