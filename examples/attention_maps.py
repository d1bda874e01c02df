"""Who looks at whom: attention of handwritten digits to others under three normalizers, as one picture.

    python examples/attention_maps.py [PICTURE.svg]        needs rowfold[examples]

Queries and keys are images of digits, centred; the score is their scaled dot product. softmax gives every key a share,
sparsemax gives most of them none, softpick may give all of them none.
"""

import sys
from pathlib import Path

import numpy as np
from drawing import heatmaps
from sklearn.datasets import load_digits

from rowfold.library import softmax, softpick, sparsemax


def scores(queries=20, keys=50):
    """Scaled dot products; keys are in order of their digit."""
    images, labels = load_digits(return_X_y=True)
    images = (images - images.mean(axis=0)) / 16
    order = np.argsort(labels[:keys], kind="stable")
    asked = images[keys : keys + queries]
    return (4 * asked @ images[:keys][order].T / np.sqrt(images.shape[1])).astype(np.float32)


def main():
    x = scores()
    maps = {kernel.name: kernel(x) for kernel in (softmax, sparsemax, softpick)}
    for name, weights in maps.items():
        total = weights.sum(axis=1)
        print(f"{name:10} zeros {np.mean(weights == 0):6.1%}  rows sum to {total.min():.3f} ... {total.max():.3f}")
    if sys.argv[1:]:
        Path(sys.argv[1]).write_text(heatmaps(maps))


if __name__ == "__main__":
    main()
