"""Sets that hold the right digit nine times in ten: conformal prediction with adaptive prediction sets (APS).

    python examples/conformal.py        needs rowfold[examples]

The score of a class is the probability above it plus a random part of its own: one walk over the logits, no sort. The
quantile of the right classes' scores on one half of the held-back digits decides what is in a set on the other half.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from rowfold.gallery import aps_score

WANTED = 0.9


def held_back(noise=6.0):
    """Logits and labels of digits that the model has not seen, made hard by noise."""
    images, labels = load_digits(return_X_y=True)
    images = images + noise * np.random.default_rng(0).normal(size=images.shape)
    train = np.arange(len(labels)) % 3 == 0
    model = LogisticRegression(max_iter=2000).fit(images[train] / 16, labels[train])
    return model.decision_function(images[~train] / 16).astype(np.float32), labels[~train]


def main():
    x, y = held_back()
    u = np.random.default_rng(1).random(len(y))
    half = len(y) // 2
    calibration = aps_score(x[:half], y[:half], u[:half])
    level = np.ceil((half + 1) * WANTED) / half
    limit = np.quantile(calibration, level, method="higher")
    scores = np.stack([aps_score(x[half:], np.full(len(y) - half, c), u[half:]) for c in range(10)], axis=1)
    sets = scores <= limit
    covered = sets[np.arange(len(sets)), y[half:]].mean()
    right = (x[half:].argmax(axis=1) == y[half:]).mean()
    print(f"{len(sets)} digits; the largest logit is right for {right:.1%}")
    size = sets.sum(axis=1).mean()
    print(f"asked for {WANTED:.0%}: {covered:.1%} of the sets hold the right digit, {size:.2f} digits a set")


if __name__ == "__main__":
    main()
