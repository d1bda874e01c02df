"""Losses and divergences on logits."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

import rowfold as rf

from .softmax import log_softmax


@rf.kernel
def cross_entropy(
    logits: rf.Row,
    target: Annotated[rf.Index, rf.Ignore(-100)],
    *,
    label_smoothing: rf.Static[float] = 0.0,
    z_loss: rf.Static[float] = 0.0,
) -> Any:
    """-log_softmax(logits)[target], one number a row; 0 where target is -100.

    Shapes: logits (..., n), target (...) of integers in [0, n), result (...). Within 3 ULP at any logit gap.
    `label_smoothing` mixes in the mean over all classes, `z_loss` adds z_loss * logsumexp^2 (PaLM's, not the 2016 one).
    A target outside [0, n) is an IndexError before anything is written; a target at -inf gives +inf.
    """
    p = log_softmax(logits)
    loss = -p[target]
    if label_smoothing:
        loss = (1 - label_smoothing) * loss - label_smoothing * np.mean(p)
    if z_loss:
        loss = loss + z_loss * np.square(np.logaddexp.reduce(logits))
    return loss


@rf.kernel
def kl_div(x: rf.Row, z: rf.Row) -> Any:
    """KL(softmax(x) || softmax(z)) in nats, one number a row: E_p[x - z] - LSE(x) + LSE(z).

    Shapes: x and z (..., n), result (...).
    """
    p = log_softmax(x)
    return np.sum(np.exp(p) * (p - log_softmax(z)))
