"""Is the cost of an element the same for any length and any batch? Measured, and drawn as one SVG.

Two curves of float32 softmax, one thread, through Python with `out=`: rows of 2^12 to 2^20 elements, each as 2^20
elements in all and alone; and batches of 1 to 10^5 rows of 1000 elements.

    python benchmarks/flat.py --svg docs/flat.svg --json flat.json
"""

from __future__ import annotations

import argparse
import html
import json
import math
import sys
from pathlib import Path
from typing import Any

import run

LENGTHS = tuple(2**k for k in range(12, 21))
BATCHES = (1, 3, 10, 32, 100, 316, 1000, 3162, 10_000, 31_623, 100_000)
WIDTH, HEIGHT, LEFT, BOTTOM = 640, 300, 56, 40
COLOURS = ("#0b62a4", "#c2570c", "#2d7d46")
Curve = dict[int, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--svg", help="draw the curves into this file")
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--core", type=int, default=-1, help="the core to pin to (default: the last one allowed)")
    options = parser.parse_args()
    run.pin(options.core)
    curves = {
        "rows of n elements, 2^20 in all": {n: cost(2**20 // n, n) for n in LENGTHS},
        "one row of n elements": {n: cost(1, n) for n in LENGTHS},
        "n rows of 1000 elements": {rows: cost(rows, 1000) for rows in BATCHES},
    }
    for name, curve in curves.items():
        print(f"{name}: " + "  ".join(f"{n}: {ns:.3f}" for n, ns in curve.items()))
        print(f"  largest over smallest: {max(curve.values()) / min(curve.values()):.2f}")
    if options.json:
        Path(options.json).write_text(json.dumps(curves, indent=1) + "\n")
    if options.svg:
        Path(options.svg).write_text("\n".join(drawing(curves, str(run.machine(options.core)["cpu"]))) + "\n")


def cost(rows: int, n: int) -> float:
    """Nanoseconds an element, the minimum of many calls."""
    import numpy as np

    import rowfold as rf
    from rowfold import bench

    x = 3 * np.random.default_rng(0).standard_normal((rows, n), np.float32)
    out = np.empty_like(x)
    call: Any = lambda: rf.library.softmax(x, out=out)
    repeats = bench.calls_in(call, 0.05)
    return min(bench.fastest(call, repeats) for _ in range(5)) / x.size * 1e9


def drawing(curves: dict[str, Curve], cpu: str) -> list[str]:
    """Logarithmic in n, linear in nanoseconds from 0."""
    top = 0.6  # a single short row is a call, and far above
    most = math.log10(max(max(c) for c in curves.values()))

    def place(n: float, ns: float) -> str:
        x = LEFT + (WIDTH - LEFT - 20) * math.log10(n) / most
        return f"{x:.1f},{(HEIGHT - BOTTOM) * (1 - min(ns, top) / top) + 8:.1f}"

    size = f'viewBox="0 0 {WIDTH} {HEIGHT + 88}" font-family="sans-serif" font-size="12"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>']
    lines.append(f'<rect width="{WIDTH}" height="{HEIGHT + 88}" fill="#fff"/>')
    for step in range(int(top / 0.05) + 1):
        (_, y), ns = place(1, step * 0.05).split(","), step * 0.05
        lines.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        lines.append(f'<text x="{LEFT - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{ns:.2f}</text>')
    for power in range(int(most) + 1):
        x = place(10**power, 0).split(",")[0]
        lines.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 24}" text-anchor="middle">10^{power}</text>')
    for k, (name, curve) in enumerate(curves.items()):
        points = " ".join(place(n, ns) for n, ns in curve.items())
        lines.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[k]}" stroke-width="2"/>')
        lines.append(f'<text x="{LEFT}" y="{HEIGHT + 10 + 18 * k}" fill="{COLOURS[k]}">{name}: ns an element</text>')
    machine = html.escape(f"float32 softmax, one thread, {cpu}")
    lines.append(f'<text x="{LEFT}" y="{HEIGHT + 10 + 18 * len(curves)}" fill="#555">{machine}</text>')
    return [*lines, "</svg>"]


if __name__ == "__main__":
    sys.exit(main())
