"""Plain SVG for the examples: no plotting library needed."""

import numpy as np

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" font-family="sans-serif" font-size="12">'
COLOURS = ("#4477aa", "#ee6677")


def histograms(scores, strange, names, bins=30):
    """One histogram for each score, the two kinds in two colours."""
    parts = [HEAD.format(760, 90 * len(scores) + 30), '<rect width="100%" height="100%" fill="white"/>']
    for kind, (colour, label) in enumerate(zip(COLOURS, names, strict=True)):
        parts.append(f'<text x="{200 + 120 * kind}" y="18" fill="{colour}">{label}</text>')
    for row, (name, score) in enumerate(scores.items()):
        base, edges = 90 * row + 110, np.histogram_bin_edges(score, bins)
        parts.append(f'<text x="8" y="{base - 30}">{name}</text>')
        for kind, colour in enumerate(COLOURS):
            counts = np.histogram(score[strange == kind], edges)[0]
            for i, share in enumerate(counts / max(counts.max(), 1)):
                x, height = 160 + 580 * i / bins, 70 * share
                parts.append(
                    f'<rect x="{x:.1f}" y="{base - height:.1f}" width="{560 / bins:.1f}" height="{height:.1f}" '
                    f'fill="{colour}" opacity="0.6"/>'
                )
    return "\n".join([*parts, "</svg>\n"])


def heatmaps(maps, side=7):
    """One matrix of weights beside the other; zero is white, and each row's largest weight is black."""
    rows, columns = next(iter(maps.values())).shape
    wide = columns * side + 20
    parts = [HEAD.format(wide * len(maps) + 10, rows * side + 40), '<rect width="100%" height="100%" fill="white"/>']
    for place, (name, weights) in enumerate(maps.items()):
        left = place * wide + 10
        parts.append(f'<text x="{left}" y="18">{name}: {np.mean(weights == 0):.0%} zeros</text>')
        for (i, j), w in np.ndenumerate(weights / weights.max(axis=1, keepdims=True)):
            if w > 0.004:
                shade = round(255 * (1 - w))
                parts.append(
                    f'<rect x="{left + side * j}" y="{30 + side * i}" width="{side}" height="{side}" '
                    f'fill="rgb({shade},{shade},{shade})"/>'
                )
    return "\n".join([*parts, "</svg>\n"])
