"""Which digits has the model never seen? Scores of logits, and how well each tells strangers from acquaintances.

    python examples/ood_scores.py [PICTURE.svg]        needs rowfold[examples]

A logistic regression learns the digits 0 to 7; 8 and 9 are out of its distribution. Four scores of its logits, each one
walk over the rows: the largest probability, the energy (logsumexp), the entropy, and the margin of the two largest.
"""

import sys
from pathlib import Path

import numpy as np
from drawing import histograms
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import rowfold as rf
from rowfold.gallery import energy_score, margin_score, max_softmax_probability


def logits():
    """The logits of digits that were held back, and which of them are 8 or 9."""
    images, labels = load_digits(return_X_y=True)
    held = np.arange(len(labels)) % 2 == 1
    known = ~held & (labels < 8)
    model = LogisticRegression(max_iter=1000).fit(images[known] / 16, labels[known])
    return model.decision_function(images[held] / 16).astype(np.float32), labels[held] >= 8


def main():
    x, strange = logits()
    scores = {
        "largest probability": -max_softmax_probability(x),
        "energy": energy_score(x),
        "entropy": rf.library.entropy(x),
        "margin": -margin_score(x),
    }
    print(f"{len(x)} digits, {strange.sum()} of them never seen")
    for name, score in scores.items():
        print(f"  {name:20} area under the ROC curve {roc_auc_score(strange, score):.3f}")
    if sys.argv[1:]:
        Path(sys.argv[1]).write_text(histograms(scores, strange, ("0 to 7", "8 and 9")))


if __name__ == "__main__":
    main()
