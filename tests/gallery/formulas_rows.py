"""The papers' formulas of normalizers, scores, sampling and gates on one row, written plainly."""

import numpy as np
from plain import cross_entropy, entropy, logp, lse, onehot, p_of, relu, softmax


def softpick(x, eps=1e-8):
    m = max(x.max(), 0)
    d = np.exp(x - m) - np.exp(-m)
    return relu(d) / (np.sum(np.abs(d)) + eps)


def ssmax(x, s=0.43):
    power = np.longdouble(len(x)) ** (s * x)
    return power / power.sum()


def sa_softmax(x):
    return x * softmax(x)


def sa_softmax_scaled(x):
    low, high = min(x.min(), 0), max(0, x.max())
    return (x - low) / (high - low) * softmax(x)


def adaptive_softmax(x):
    h = entropy(x)
    poly = -0.037 * h**4 + 0.481 * h**3 - 2.3 * h**2 + 4.917 * h - 1.791
    return softmax(x * (max(poly, 1) if h > 0.5 else 1))


def _stable(x):
    return np.array([v + 1 if v >= 0 else 1 / (1 - v) for v in x])


def stablemax(x):
    return _stable(x) / _stable(x).sum()


def log_stablemax(x):
    return np.log(stablemax(x))


def stablemax_cross_entropy(x, y):
    return -np.log(stablemax(x)[y])


def sparse_noisy_softmax(x, noise, temperature=0.1, floor=0.01):
    p = softmax((x + noise) / temperature)
    return np.where(p >= floor, p, 0)


def finite_masked_softmax(x, mask):
    return softmax(np.where(mask, x, -1e4))


def split_softmax(x, mask, k=0.9):
    a = softmax(x)
    w = a[mask].sum()
    return np.where(mask, a * w**k / w, a * (1 - w**k) / (1 - w))


def sdm(x, q, d):
    power = (2 + q) ** (d * (x - x.max()))
    return power / power.sum()


def sdm_loss(x, y, q, d):
    return -np.log(sdm(x, q, d)[y]) / np.log(2 + q)


def softmax_off_by_one(x):
    return np.exp(x) / (1 + np.exp(x).sum())


def inhibited_softmax(x, c):
    return np.exp(x) / (np.exp(x).sum() + np.exp(c))


def clipped_softmax(x, low=-0.03, high=1.03):
    return np.clip((high - low) * softmax(x) + low, 0, 1)


def spherical_softmax(x, eps=1e-8):
    return (x**2 + eps) / np.sum(x**2 + eps)


def taylor_softmax(x):
    s = 1 + x + x**2 / 2
    return s / s.sum()


def quantized_softmax(x):
    return np.clip(np.rint(softmax(x) * 255), 0, 255)


def softmax_bias(x):
    return np.mean(softmax(x)) - np.mean(quantized_softmax(x) / np.longdouble(255))


def distance_to_uniform(x):
    return np.sum(np.abs(softmax(x) - 1 / np.longdouble(len(x))))


def max_softmax_probability(x):
    return softmax(x).max()


def odin_score(x, temperature=1000):
    return softmax(x / temperature).max()


def energy_score(x):
    return -lse(x)


def weighted_entropy(x, advantage):
    return abs(advantage) * entropy(x)


def least_confidence(x):
    return 1 - softmax(x).max()


def margin_score(x):
    p = np.sort(softmax(x))
    return p[-1] - p[-2]


def early_exit_by_probability(x, theta=0.9):
    return softmax(x).max() >= theta


def early_exit_by_entropy(x, theta=0.5):
    return entropy(x) <= theta


def lac_score(x, y):
    return 1 - p_of(x, y)


def aps_score(x, y, u):
    p = softmax(x)
    return p[p > p[y]].sum() + u * p[y]


def target_rank(x, y):
    return 1 + sum(v > x[y] for v in x)


def topk_hit(x, y, k=5):
    return target_rank(x, y) <= k


def dcg(x, y):
    return 1 / np.log2(np.longdouble(1 + target_rank(x, y)))


def true_class_probability(x, y):
    return p_of(x, y)


def focal_regression(x, y, predicted, gamma=2):
    d = predicted - p_of(x, y)
    return abs(d) ** gamma * d**2


def selective_log_softmax(x, y):
    return logp(x)[y]


def eata_weight(x, margin=0.4):
    h = entropy(x)
    return np.exp(-(h - margin)) * (h < margin)


def entropy_backward(x):
    p = softmax(x)
    return -p * (np.log(p) + entropy(x))


def logit_lens(x):
    return lse(x), logp(x).max(), int(np.argmax(x))


def dominance(v, m):
    return abs(m) * np.sqrt(np.sum(v**2))


def reliable_entropy(x):
    return entropy(x), entropy(x) < 0.4 * np.log(len(x))


def reliable_entropy_backward(x, kept, count):
    return entropy_backward(x) * kept / count


def el2n(x, y):
    return np.sqrt(np.sum((softmax(x) - onehot(x, y)) ** 2))


def proportional(x):
    return x / x.sum()


def calibration_metrics(x, y):
    brier = np.sum((softmax(x) - onehot(x, y)) ** 2)
    return cross_entropy(x, y), brier, softmax(x).max(), int(np.argmax(x)) == y, entropy(x)


def vector_scaled_softmax(x, weight, bias):
    return softmax(weight * x + bias)


def epsilon_filter(x, epsilon=3e-4):
    return np.where(softmax(x) >= epsilon, x, -np.inf)


def eta_filter(x, epsilon=3e-4):
    return np.where(softmax(x) >= min(epsilon, np.sqrt(epsilon) * np.exp(-entropy(x))), x, -np.inf)


def min_p_filter(x, base=0.1):
    return np.where(softmax(x) >= base * softmax(x).max(), x, -np.inf)


def nucleus_filter(x, mass=0.9):
    p = softmax(x)
    falling = np.sort(p)[::-1]
    last = falling[np.searchsorted(np.cumsum(falling), mass)]
    return np.where(p >= last, x, -np.inf)


nucleus = nucleus_filter


def soft_topk(x, k):
    low, high = x.min() - 100, x.max() + 100
    for _ in range(200):
        t = (low + high) / 2
        low, high = (t, high) if np.sum(1 / (1 + np.exp(t - x))) >= k else (low, t)
    return 1 / (1 + np.exp(low - x))


def nearest(s):
    return np.argmax(s)


def best_places(s, k):
    return np.argsort(-s, kind="stable")[:k]


def gram_sums(k, kernel):
    return np.sum(k * kernel), np.sum(k), np.sum(kernel)


def certain_set(p, k):
    at = np.argsort(-p, kind="stable")[:k]
    losses = [(1 - p[at[:c]].sum()) / (k - c) for c in range(k)]
    count = max(c for c in range(k) if losses[c] <= min(losses))
    return at, count, 1 - p[at[:count]].sum()


def entropy_adaptive_softmax(x, low=0.8, high=1.2):
    return softmax(x / (low + (high - low) * entropy(x) / np.log(len(x))))


def distance_weighted_probabilities(d, dim=128, cutoff=0.5):
    at = np.maximum(d, cutoff)
    return softmax(-(dim - 2) * np.log(at) - (dim - 3) / 2 * np.log(1 - at**2 / 4))


def is_peaked(x):
    return lse(x), softmax(x).max() >= 2 / 3


def resampling_weights(score, lam=10):
    return softmax(lam * score)


def history_potential(score, value):
    return value, value - score.mean(), score.sum(), score.max()


def acceptance(x, z, y):
    return min(1, softmax(x)[y] / softmax(z)[y])


def residual(x, z):
    r = relu(softmax(x) - softmax(z))
    return r / r.sum()


def greedy_match(x, y):
    return int(np.argmax(x)) == y


dense_gate = softmax


def activated_gate(x):
    return softmax(1 / (1 + np.exp(-x)))


def softpool(x):
    return np.sum(x * np.exp(x)) / np.sum(np.exp(x))


def soft_nms_linear(score, iou, threshold=0.3):
    s = np.where(iou >= threshold, score * (1 - iou), score)
    return s, int(np.argmax(s))


def soft_nms_gaussian(score, iou, sigma=0.5):
    s = score * np.exp(-(iou**2) / sigma)
    return s, int(np.argmax(s))


def block_quantize(x):
    c = np.abs(x).max()
    return np.rint(x / c * 127), c


def block_dequantize(q, c):
    return q * c / 127


def codebook_quantize(x, code):
    c = np.abs(x).max()
    return np.array([np.argmin(np.abs(code - v)) for v in x / c]), c


def codebook_dequantize(q, code, c):
    return code[q] * c


def biased_softmax(x, bias):
    return softmax(x + bias)


def edge_weights(w, mask):
    return np.where(mask, w / w[mask].sum(), 0)


def absmean_ternary(w, eps=1e-5):
    s = max(np.abs(w).mean(), eps)
    return np.clip(np.rint(w / s), -1, 1), s


def absmax_int8(x, eps=1e-5):
    s = max(np.abs(x).max(), eps)
    return np.clip(np.rint(127 * x / s), -128, 127), s


def rms_norm_int8(x, weight, eps=1e-6):
    y = x / np.sqrt(np.mean(x**2) + eps) * weight
    return np.rint(127 * y / np.abs(y).max()), np.abs(y).max()


def stats_quantize(w):
    s = 2 * np.abs(w).mean()
    return s * (np.rint(np.clip(w / s, -1, 1 - 1e-6) * 4 - 0.5) + 0.5) / 4


def gaussian_weight_sampling(w, noise):
    return w + np.rint(noise) * np.abs(w).max() * 2.0**-7


def sparsemax_backward(p, g):
    s = (p > 0).astype(p.dtype)
    return (np.diag(s) - np.outer(s, s) / s.sum()) @ g
