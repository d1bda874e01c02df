"""Functions on matrices, composed of kernels along one axis and another. Matrix products and sorting stay NumPy's."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

import rowfold as rf

from ..library import entropy, logsumexp, max, softmax, sum  # noqa: A004 - NumPy's names, for rows
from .divergences import jaccard_metric1
from .entries import Paper
from .losses import collapse_free_cross_entropy, log_odds
from .normalization import l2_norm, l2_normalize, weight_decomposed
from .scores import proportional, selective_log_softmax
from .weighting import softmax_average

C9 = Paper("C9", "Cut Your Losses in Large-Vocabulary Language Models")
N12 = Paper("N12", "Balance Act: Mitigating Hubness in Cross-Modal Retrieval with Query and Gallery Banks")
L9 = Paper("L9", "Dual-Encoders for Extreme Multi-Label Classification")
L21 = Paper("L21", "Beyond Reverse KL; Margin Matching Preference; SparsePO; Preference Fine-Tuning for Factuality")
L25 = Paper("L25", "Jaccard Metric Losses; Dice Semimetric Losses")
G4 = Paper("G4", "From Sparse to Soft Mixtures of Experts; Don't flatten, tokenize!")
G5 = Paper("G5", "Soft Merging of Experts with Adaptive Routing (SMEAR)")
P2 = Paper("P2", "Maxout Networks")
X2_8 = Paper("2.8", "On Pitfalls of Test-Time Adaptation (TTAB)")
X2_12 = Paper("2.12", "Audio-AdapterFusion")
X2_13 = Paper("2.13", "EASE: Expandable Subspace Ensemble; MOS: Model Surgery")
X2_18 = Paper("2.18", "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost")
X3_3 = Paper("3.3", "A Single Goal is All You Need: contrastive reinforcement learning")
X3_6 = Paper("3.6", "DoRA: Weight-Decomposed Low-Rank Adaptation; BoRA; EDoRA; GradNormLoRP")
X3_11 = Paper("3.11", "Attention in Large Language Models Yields Efficient Zero-Shot Re-Rankers (ICR)")
X3_14 = Paper("3.14", "A Modern Self-Referential Weight Matrix That Learns to Modify Itself")
X4_10 = Paper("4.10", "From Noisy Traces to Stable Gradients (BVPO)")
X4_18 = Paper("4.18", "Cauchy-Schwarz Divergence Information Bottleneck")
X4_19 = Paper("4.19", "Winner-Take-All Column Row Sampling")


@C9(walks=1)
@rf.kernel
def saved_softmax(x: rf.Row, lse: rf.Scalar) -> Any:
    """e^(x - lse): softmax of a tile whose row's logsumexp is known. A row, one walk."""
    return np.exp(x - lse)


@C9(walks=1, parts=(logsumexp,))
def cut_cross_entropy(hidden: Any, classifier: Any, target: Any, *, tile: int = 4096) -> Any:
    """(loss, logsumexp) of the logits hidden (m, d) times classifier (v, d), made tile by tile and never stored.

    Each has shape (m,). Tiles of the vocabulary are reduced by one kernel and merged by logaddexp.
    """
    lse = np.full(len(hidden), -np.inf, hidden.dtype)
    for start in range(0, len(classifier), tile):
        lse = np.logaddexp(lse, logsumexp(hidden @ classifier[start : start + tile].T))
    return lse - np.sum(hidden * classifier[target], axis=-1), lse


@C9(walks=1, parts=(saved_softmax, max))
def cut_cross_entropy_backward(
    hidden: Any, classifier: Any, target: Any, lse: Any, *, tile: int = 4096, least: float = 2.0**-12
) -> Any:
    """The gradients of the summed loss in hidden and classifier; a tile with every p below `least` is left out."""
    by_hidden, by_classifier = -classifier[target], np.zeros_like(classifier)
    np.subtract.at(by_classifier, target, hidden)
    for start in range(0, len(classifier), tile):
        weights = classifier[start : start + tile]
        p = saved_softmax(hidden @ weights.T, lse)
        if np.max(max(p)) >= least:
            by_hidden = by_hidden + p @ weights
            by_classifier[start : start + tile] += p.T @ hidden
    return by_hidden, by_classifier


@N12(walks=1)
@rf.kernel
def inverted_weights(s: rf.Row, column_lse: rf.Row, *, beta: rf.Positive = 20.0) -> Any:
    """e^(beta s - column_lse): a row of similarities over the sums of a bank's columns."""
    return np.exp(beta * s - column_lse)


@N12(walks=1, parts=(logsumexp, inverted_weights))
def inverted_softmax(s: Any, bank: Any, *, beta: float = 20.0) -> Any:
    """e^(beta s_ij) / sum over k of e^(beta b_kj), s (m, n), bank (k, n): shifted, unlike the released code."""
    return inverted_weights(s, logsumexp(beta * bank, axis=0), beta=beta)


@N12(walks=1, parts=(logsumexp, inverted_weights))
def dual_inverted_softmax(s: Any, queries: Any, gallery: Any, *, beta1: float = 20.0, beta2: float = 20.0) -> Any:
    """The product of the versions with a bank of queries and a bank of gallery items, (k, n) each."""
    return inverted_softmax(s, queries, beta=beta1) * inverted_softmax(s, gallery, beta=beta2)


@N12(walks=1)
@rf.kernel
def nearest(s: rf.Row) -> Any:
    """argmax s, an integer: the gallery item that a query retrieves."""
    return np.argmax(s)


@N12(walks=1, k=3)
@rf.kernel
def best_places(s: rf.Row, *, k: int) -> Any:
    """The positions of the k largest similarities of a bank's row. A k-vector of integers."""
    return rf.topk(s, k)[1]


@N12(walks=1, parts=(best_places,), k=3)
def activation_set(bank: Any, *, k: int = 1) -> Any:
    """Which gallery items are among the k nearest of any row of the bank (k, n): a mask (n,), the hubs."""
    found = np.zeros(bank.shape[-1], bool)
    found[best_places(bank, k=k)] = True
    return found


@N12(walks=1, parts=(logsumexp, inverted_weights, nearest, best_places), k=3)
def dynamic_inverted_softmax(s: Any, bank: Any, *, k: int = 1, beta: float = 20.0) -> Any:
    """inverted_softmax for the rows of s (m, n) that retrieve a hub of the bank, s itself for the others (confirm)."""
    hubs = activation_set(bank, k=k)[nearest(s)]
    return np.where(hubs[:, None], inverted_softmax(s, bank, beta=beta), s)


@N12(walks=1, parts=(logsumexp, inverted_weights, nearest, best_places), k=3)
def dual_dynamic_inverted_softmax(
    s: Any, queries: Any, gallery: Any, *, k: int = 1, beta1: float = 20.0, beta2: float = 20.0
) -> Any:
    """dual_inverted_softmax for the rows that retrieve a hub of both banks, s itself for the others (confirm)."""
    place = nearest(s)
    hubs = activation_set(queries, k=k)[place] & activation_set(gallery, k=k)[place]
    return np.where(hubs[:, None], dual_inverted_softmax(s, queries, gallery, beta1=beta1, beta2=beta2), s)


@L9(walks=1)
@rf.kernel
def sigmoid_sum(x: rf.Row, t: rf.Scalar) -> Any:
    """sum sigmoid(x + t), a number."""
    return np.sum(rf.sigmoid(x + t))


@L21(walks=1, parts=(selective_log_softmax, sum))
def sequence_log_prob(logits: Any, tokens: Any, mask: Any) -> Any:
    """sum of log p_token over the masked tokens; logits (b, t, v), tokens and mask (b, t), result (b,)."""
    return sum(selective_log_softmax(logits, tokens), where=mask)


@X4_10(walks=1, parts=(selective_log_softmax, sum))
def dpo_loss(chosen: Any, rejected: Any, chosen_reference: Any, rejected_reference: Any, *, beta: float = 0.1) -> Any:
    """-log sigmoid(beta ((c - c_ref) - (r - r_ref))) of four sequence log-probabilities."""
    return rf.softplus(-beta * ((chosen - chosen_reference) - (rejected - rejected_reference)))


@L25(walks=2, parts=(softmax, jaccard_metric1))
def soft_jaccard(logits: Any, labels: Any) -> Any:
    """jaccard_metric1 of softmax over the classes (axis 0) along the pixels (axis 1): one number a class."""
    return jaccard_metric1(softmax(logits, axis=0), labels)


@G4(walks=2, parts=(softmax,))
def soft_moe(logits: Any) -> Any:
    """(dispatch, combine) of logits (tokens, slots): softmax over the tokens, and over the slots."""
    return softmax(logits, axis=0), softmax(logits, axis=1)


@G5(walks=1, parts=(softmax_average,))
def soft_merge(router: Any, experts: Any) -> Any:
    """sum over e of softmax(router)_e experts_e; router (e,), experts (e, d), result (d,)."""
    return softmax_average(np.broadcast_to(router[:, None], experts.shape), experts, axis=0)


@P2(walks=1, parts=(max,))
def maxout(x: Any, *, k: int = 2) -> Any:
    """The maximum of each group of k neighbours of the last axis."""
    return max(x.reshape(*x.shape[:-1], -1, k))


@X2_8(walks=1)
@rf.kernel
def probability_entropy(p: rf.Row) -> Any:
    """-sum p log p of probabilities, 0 log 0 = 0. A number."""
    return -np.sum(np.where(p > 0, p * np.log(p), 0.0))


@X2_8(walks=2, parts=(softmax, sum, probability_entropy))
def marginal_entropy(logits: Any) -> Any:
    """The entropy of the mean softmax over the views; logits (views, n), result a number."""
    return probability_entropy(sum(softmax(logits), axis=0) / len(logits))


@X2_12(walks=1, parts=(softmax_average,))
def adapter_fusion(query: Any, keys: Any, values: Any) -> Any:
    """sum over a of softmax(keys . query)_a values_a; query (d,), keys (a, d), values (a, e), result (e,)."""
    return soft_merge(keys @ query, values)


@X2_13(walks=2, parts=(l2_normalize, softmax_average))
def subspace_prototypes(old: Any, new: Any, prototypes: Any) -> Any:
    """softmax over j of cos(old_i, new_j), averaging prototypes_j; old (i, d), new (j, d), prototypes (j, e)."""
    cosines = l2_normalize(old) @ l2_normalize(new).T
    return np.stack([soft_merge(row, prototypes) for row in cosines])


@X2_13(walks=1)
@rf.kernel
def retrieve_adapter(x: rf.Row) -> Any:
    """(argmax, max softmax(x)): which adapter to take, and how sure. An integer and a number."""
    return np.argmax(x), 1.0 / np.sum(np.exp(x - np.max(x)))


@X2_18(walks=1)
@rf.kernel
def mean_square(g: rf.Row, *, eps: rf.NonNegative = 1e-30) -> Any:
    """mean (g^2 + eps), a number; along either axis of a gradient."""
    return np.mean(np.square(g)) + eps


@X2_18(walks=1)
@rf.kernel
def adafactor_update(g: rf.Row, column: rf.Row, row: rf.Scalar) -> Any:
    """(g / sqrt(row column), mean of its square): a row of the update, with row = R_i / mean R, column = C_j."""
    u = g / np.sqrt(row * column)
    return u, np.mean(np.square(u))


@X2_18(walks=3, parts=(mean_square, adafactor_update))
def adafactor(g: Any, w: Any, *, clip: float = 1.0, least: float = 1e-3) -> Any:
    """U / max(1, rms(U) / clip) max(least, rms(W)), U = g / sqrt(R_i C_j / mean R); g and w (m, n). Averages over steps
    are outside.
    """
    rows, columns = mean_square(g), mean_square(g, axis=0)
    u, square = adafactor_update(g, columns, rows / np.mean(rows))
    size = np.sqrt(np.mean(square))
    return u / np.maximum(1.0, size / clip) * np.maximum(least, np.sqrt(np.mean(mean_square(w))))


@X3_3(walks=1, parts=(logsumexp, collapse_free_cross_entropy))
def symmetric_info_nce(critic: Any, *, penalty: float = 0.01) -> Any:
    """mean(LSE_row - diagonal) + mean(LSE_column - diagonal) + penalty mean(LSE_row^2) of a square matrix."""
    y = np.arange(len(critic))
    both = collapse_free_cross_entropy(critic, y) + collapse_free_cross_entropy(critic, y, axis=0)
    return np.mean(both) + penalty * np.mean(np.square(logsumexp(critic)))


@X3_3(walks=1, parts=(log_odds,))
def decoupled_info_nce(critic: Any) -> Any:
    """The variant in which the diagonal is left out of both logsumexps."""
    y = np.arange(len(critic))
    return np.mean(log_odds(critic, y) + log_odds(critic, y, axis=0))


@X3_6(walks=3, parts=(weight_decomposed,))
def bi_dimensional_weight(w: Any, delta: Any, columns: Any, rows: Any) -> Any:
    """BoRA: the columns of w + delta (m, n) get the norms `columns` (n,), then the rows the norms `rows` (m,)."""
    inner = weight_decomposed(w, delta, columns, axis=0)
    return weight_decomposed(inner, np.zeros_like(inner), rows)


@X3_11(walks=2)
@rf.kernel
def drop_low_scores(score: rf.Row) -> Any:
    """The scores of at least mean - 2 std, 0 elsewhere. A row."""
    return np.where(score >= np.mean(score) - 2.0 * np.std(score), score, 0.0)


@X3_11(walks=2, parts=(softmax, sum, drop_low_scores))
def attention_scores(query: Any, content_free: Any, documents: Any) -> Any:
    """Score of each document: attention that its tokens get beyond that of a content-free query.

    Logits (q, tokens) each; documents (d, tokens) of bool; result (d,).
    """
    score = sum(softmax(query), axis=0) - sum(softmax(content_free), axis=0)
    kept = drop_low_scores(score)
    return sum(np.broadcast_to(kept, documents.shape), where=documents)


@X3_14(walks=2, parts=(softmax,))
def segmented_softmax(x: Any, bounds: Any) -> Any:
    """softmax of each segment of the last axis; `bounds` are the places where segments after the first begin."""
    return np.concatenate([softmax(part) for part in np.split(x, bounds, axis=-1)], axis=-1)


@X4_18(walks=1)
@rf.kernel
def gram_log_ratio(k: rf.Row, kernel: rf.Row) -> Any:
    """log(sum e^(k + l) / (sum e^k)^2) of one row of two Gram matrices, given by their logs k and l. A number."""
    return rf.logsumexp(k + kernel) - 2.0 * rf.logsumexp(k)


@X4_18(walks=1, parts=(gram_log_ratio, logsumexp))
def cauchy_schwarz_divergence(k: Any, l1: Any, l2: Any, l21: Any) -> Any:
    """log sum_j r_j(L1) + log sum_j r_j(L2) - 2 log sum_j r_j(L21), r_j = sum_i K L / (sum_i K)^2; from logs."""
    a, b, c = (logsumexp(gram_log_ratio(k, gram)) for gram in (l1, l2, l21))
    return a + b - 2.0 * c


@X4_18(walks=1)
@rf.kernel
def gram_sums(k: rf.Row, kernel: rf.Row) -> Any:
    """(sum K L, sum K, sum L) of one row of two Gram matrices. Three numbers."""
    return np.dot(k, kernel), np.sum(k), np.sum(kernel)


@X4_18(walks=1, parts=(gram_sums,))
def quadratic_mutual_information(k: Any, kernel: Any) -> Any:
    """tr(K L) / n^2 + sum K sum L / n^4 - 2 1'K L 1 / n^3 of two symmetric Gram matrices (n, n), Euclidean."""
    n = len(k)
    both, left, right = gram_sums(k, kernel)
    return sum(both) / n**2 + sum(left) * sum(right) / n**4 - 2.0 * np.dot(left, right) / n**3


@X4_18(walks=1, parts=(gram_sums,))
def cauchy_schwarz_mutual_information(k: Any, kernel: Any) -> Any:
    """log(tr(K L) sum K sum L / (1'K L 1)^2) of two symmetric Gram matrices (n, n)."""
    both, left, right = gram_sums(k, kernel)
    return np.log(sum(both) * sum(left) * sum(right) / np.dot(left, right) ** 2)


@X4_19(walks=2, parts=(l2_norm, proportional))
def column_row_probabilities(x: Any, y: Any) -> Any:
    """|x_:i| |y_i:| / sum of the same; x (m, k), y (k, n), result (k,)."""
    return proportional(l2_norm(x, axis=0) * l2_norm(y))


@X4_19(walks=1, k=16)
@rf.kernel
def certain_set(p: rf.Row, *, k: Annotated[int, rf.Between(1, 256)]) -> Any:
    """(positions of the k largest of p, how many of them to keep for sure, the tail's mass): of k draws, c are certain.

    c in 0 .. k - 1 has the least (1 - sum of the c largest) / (k - c), the most of those that have. A k-vector, two
    numbers; the other k - c draws, from the rest, are outside.
    """
    v, at = rf.topk(p, k)
    before = np.cumsum(v) - v
    c = np.cumsum(np.ones_like(v)) - 1.0
    loss = (1.0 - before) / (k - c)
    count = np.max(np.where(loss <= np.min(loss), c, 0.0))
    return at, count, 1.0 - np.sum(np.where(c < count, v, 0.0))


@X4_19(walks=2, parts=(l2_norm, proportional, certain_set), k=16)
def winner_take_all(x: Any, y: Any, *, k: int) -> Any:
    """(probabilities, positions, how many are certain, the tail's mass) of k column-row pairs; x (m, n), y (n, l)."""
    p = column_row_probabilities(x, y)
    return p, *certain_set(p, k=k)


@X2_8(walks=1, parts=(entropy,))
def information_maximization(logits: Any) -> Any:
    """mean entropy - marginal entropy over a batch (SHOT); logits (b, n), result a number."""
    return np.mean(entropy(logits)) - marginal_entropy(logits)
