"""Functions on matrices against whole-matrix NumPy."""

import numpy as np
import pytest

from rowfold import gallery

RNG = np.random.default_rng(5)
A, B = RNG.normal(size=(2, 6, 8))
S, T = RNG.normal(size=(2, 6, 6))


def softmax(x, axis=-1):
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


def lse(x, axis=-1):
    return np.log(np.exp(x).sum(axis))


def cut(h, w, y):
    logits = h @ w.T
    return lse(logits) - logits[np.arange(len(y)), y]


def info_nce(s):
    d = np.diag(s)
    return np.mean(lse(s) - d) + np.mean(lse(s, 0) - d) + 0.01 * np.mean(lse(s) ** 2)


def factored(g, w):
    r, c = np.mean(g**2, 1), np.mean(g**2, 0)
    u = g / np.sqrt(np.outer(r, c) / r.mean())
    return u / max(1, np.sqrt(np.mean(u**2))) * np.sqrt(np.mean(w**2))


def dynamic(s, bank, k):
    hubs = set(np.argsort(-bank, axis=1)[:, :k].ravel())
    kept = np.array([row.argmax() in hubs for row in s])[:, None]
    return np.where(kept, np.exp(2 * s) / np.exp(2 * bank).sum(0), s)


def independence(k, g):
    n, one = len(k), np.ones(len(k))
    return np.trace(k @ g) / n**2 + k.sum() * g.sum() / n**4 - 2 * one @ k @ g @ one / n**3


K, L = np.exp(S + S.T), np.exp(-((T - T.T) ** 2))
Y = np.array([0, 3, 5, 1, 1, 4])
CASES = {
    "cut_cross_entropy": (gallery.cut_cross_entropy(A, B, Y, tile=4)[0], cut(A, B, Y)),
    "inverted_softmax": (gallery.inverted_softmax(A, B, beta=2.0), np.exp(2 * A) / np.exp(2 * B).sum(0)),
    "activation_set": (gallery.activation_set(B, k=2).nonzero()[0], np.unique(np.argsort(-B)[:, :2])),
    "dynamic": (gallery.dynamic_inverted_softmax(A, B, k=1, beta=2.0), dynamic(A, B, 1)),
    "dual_dynamic": (
        gallery.dual_dynamic_inverted_softmax(A, B, B, k=8, beta1=2.0, beta2=2.0),
        (np.exp(2 * A) / np.exp(2 * B).sum(0)) ** 2,
    ),
    "independence": (gallery.quadratic_mutual_information(K, L), independence(K, L)),
    "independence_cs": (
        gallery.cauchy_schwarz_mutual_information(K, L),
        np.log(np.trace(K @ L) * K.sum() * L.sum() / (K.sum(0) @ L.sum(0)) ** 2),
    ),
    "winner_take_all": (gallery.winner_take_all(A.T, B, k=4)[0].sum(), 1.0),
    "soft_moe": (np.array(gallery.soft_moe(A)), np.array([softmax(A, 0), softmax(A, 1)])),
    "soft_merge": (gallery.soft_merge(A[:, 0], B), softmax(A[:, 0]) @ B),
    "maxout": (gallery.maxout(A), A.reshape(6, 4, 2).max(-1)),
    "symmetric_info_nce": (gallery.symmetric_info_nce(S), info_nce(S)),
    "adafactor": (gallery.adafactor(A, B), factored(A, B)),
    "soft_topk": (gallery.soft_topk(A, k=3.0).sum(-1), np.full(6, 3.0)),
    "column_row": (gallery.column_row_probabilities(A.T, B).sum(), 1.0),
    "ghost": (np.array(gallery.ghost_statistics(A, size=3)), np.array([A.mean(0), A.var(0)])),
    "segmented": (gallery.segmented_softmax(A, [3]), np.hstack([softmax(A[:, :3]), softmax(A[:, 3:])])),
    "cauchy_schwarz": (gallery.cauchy_schwarz_divergence(S, T, T, T), 0.0),
    "marginal_entropy": (gallery.marginal_entropy(A), -np.sum(softmax(A).mean(0) * np.log(softmax(A).mean(0)))),
}


@pytest.mark.parametrize("name", CASES)
def test_a_function_is_its_formula(name):
    """Kernels along one axis and the other make what NumPy makes of the whole matrix."""
    np.testing.assert_allclose(*CASES[name], rtol=1e-10, atol=1e-12)
