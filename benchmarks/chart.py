#!/usr/bin/env python3
"""Draws a result of run.py: softmax's time and its largest error, library by library. The picture in the README."""

from __future__ import annotations

import argparse
import html
import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SHOWN = ("rowfold", "onnxruntime", "xnnpack", "torch", "numpy")
COLOURS = ("#c0392b", "#2980b9", "#16a085", "#8e44ad", "#7f8c8d")
LEFT, PANEL, BAR, GAP, TOP = 110, 300, 9, 14, 58
Rows = Mapping[str, Mapping[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("result", type=Path, help="what run.py --json wrote")
    parser.add_argument("svg", type=Path, help="the picture")
    parser.add_argument("--shapes", default="", help="comma separated (default: all of the result)")
    options = parser.parse_args()
    report = json.loads(options.result.read_text())
    found: Mapping[str, Rows] = report["results"]["softmax"]["float32"]
    shapes = options.shapes.split(",") if options.shapes else list(found)
    machine = f"float32 softmax, one thread, {report['machine']['cpu']}, {report['machine']['system']}"
    options.svg.write_text("\n".join(drawing({shape: found[shape] for shape in shapes}, machine)) + "\n")


def drawing(found: Mapping[str, Rows], machine: str) -> list[str]:
    """Two panels side by side: nanoseconds an element from 0, and units in the last place on a logarithmic scale."""
    peers = [name for name in SHOWN if any(name in rows for rows in found.values())]
    high = TOP + len(found) * (len(peers) * BAR + GAP) + 16
    wide = LEFT + 2 * PANEL + 110
    size = f'viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="11"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>']
    lines.append(f'<rect width="{wide}" height="{high}" fill="#fff"/>')
    for k, name in enumerate(peers):
        lines.append(f'<rect x="{LEFT + 105 * k}" y="8" width="10" height="10" fill="{COLOURS[SHOWN.index(name)]}"/>')
        lines.append(f'<text x="{LEFT + 105 * k + 15}" y="17">{name}</text>')
    shown = [rows[name] for rows in found.values() for name in peers if name in rows]
    slowest, worst = max(row["min_ns"] for row in shown), max(math.log10(row["max_ulp"]) for row in shown)
    panels = (
        ("nanoseconds an element", LEFT, "min_ns", lambda ns: ns / slowest),
        ("largest error, ULP (logarithmic)", LEFT + PANEL + 50, "max_ulp", lambda u: max(math.log10(u), 0.02) / worst),
    )
    for title, x, key, share in panels:
        lines.append(f'<text x="{x}" y="42" font-weight="bold">{title}</text>')
        lines += bars(found, peers, x, key, share)
    for i, shape in enumerate(found):
        y = TOP + i * (len(peers) * BAR + GAP) + len(peers) * BAR / 2 + 4
        lines.append(f'<text x="{LEFT - 8}" y="{y:.0f}" text-anchor="end">{shape.replace("x", " x ")}</text>')
    lines.append(f'<text x="{LEFT}" y="{high - 8}" fill="#555">{html.escape(machine)}</text>')
    return [*lines, "</svg>"]


def bars(
    found: Mapping[str, Rows], peers: list[str], x: int, key: str, share: Callable[[float], float]
) -> list[str]:
    """One bar for each library at each shape, its figure behind it."""
    lines = []
    for i, rows in enumerate(found.values()):
        for k, name in enumerate(peers):
            if name not in rows:
                continue
            value, y = rows[name][key], TOP + i * (len(peers) * BAR + GAP) + k * BAR
            width, colour = share(value) * PANEL, COLOURS[SHOWN.index(name)]
            figure = f"{value:.3f}" if key == "min_ns" else f"{value:.1f}"
            lines.append(f'<rect x="{x}" y="{y}" width="{width:.1f}" height="{BAR - 1}" fill="{colour}"/>')
            lines.append(f'<text x="{x + width + 4:.1f}" y="{y + 7}" font-size="8">{figure}</text>')
    return lines


if __name__ == "__main__":
    sys.exit(main())
