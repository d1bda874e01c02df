"""The papers' formulas of core, losses, divergences and margins on one row: no shift, no expansion, nothing saved."""

import numpy as np
from plain import cross_entropy, entropy, logp, lse, onehot, others, p_of, relu, softmax

softmax_two_pass = softmax_recompute = softmax_reload = softmax_online = softmax
logsumexp, log_softmax, unit_scaled_cross_entropy, tempered_cross_entropy = lse, logp, cross_entropy, cross_entropy


def softmin(x):
    return softmax(-x)


def masked_softmax(x, mask):
    p = np.zeros_like(x)
    p[mask] = softmax(x[mask])
    return p


def kl_div(x, z):
    p, q = softmax(x), softmax(z)
    return np.sum(p * np.log(p / q))


def softmax_backward(p, g):
    return (np.diag(p) - np.outer(p, p)) @ g


def log_softmax_backward(u, g):
    return g - np.exp(u) * g.sum()


def cross_entropy_backward(x, y, saved, s):
    return s * (np.exp(x - saved) - onehot(x, y))


def logsumexp_hvp(x, v):
    p = softmax(x)
    return np.diag(p) @ v - p * (p @ v)


def comp_sum_loss(x, y):
    return np.log(1 + np.sum(np.exp(others(x, y) - x[y])))


collapse_free_cross_entropy = comp_sum_loss


def noisy_cross_entropy(x, y, norm, noise, alpha=0.1):
    moved = x.copy()
    moved[y] -= alpha * norm * (1 - x[y] / norm) * abs(noise)
    return cross_entropy(moved, y)


def temperature_dro(h, tau, rho=1):
    p, mean = softmax(h / tau), np.log(np.mean(np.exp(h / tau)))
    return tau * mean + tau * rho, mean - p @ h / tau + rho


def poly1(x, y):
    return -np.log(p_of(x, y)) + (1 - p_of(x, y))


poly_n = poly1  # with its default coefficients


def focal(x, y, gamma=2):
    return -((1 - p_of(x, y)) ** gamma) * np.log(p_of(x, y))


def z_loss_2016(x, y, a=1, b=1):
    return np.log(1 + np.exp(a * (b - (x[y] - x.mean()) / x.std()))) / a


def palm_z_loss(x, weight=1e-4):
    return weight * lse(x) ** 2


def maxsup(x, y, alpha=0.1):
    return cross_entropy(x, y) + alpha * (x.max() - x.mean())


def label_smoothing(x, y, alpha=0.1):
    return cross_entropy(x, y) + alpha * (x[y] - x.mean())


def nce(x, y):
    return logp(x)[y] / np.sum(logp(x))


def _normalized_focal(x, y, gamma):
    losses = -((1 - softmax(x)) ** gamma) * logp(x)
    return losses[y] / losses.sum()


def nfl(x, y):
    return _normalized_focal(x, y, 2)


def nfl_real(x, y):
    return _normalized_focal(x, y, 0.5)


def mae(x, y):
    return np.sum(np.abs(softmax(x) - onehot(x, y)))


def rce(x, y):
    return -np.sum(softmax(x) * np.where(onehot(x, y) == 1, 0, -4))


def apl(x, y):
    return nce(x, y) + mae(x, y)


def dual_focal(x, y, gamma=5):
    p = softmax(x)
    below = p[p < p[y]].max() if np.any(p < p[y]) else 0
    return -((1 - p[y] + below) ** gamma) * np.log(p[y])


def psl_tanh(x, y):
    return np.log(np.sum((np.tanh(x - x[y]) + 1) ** 2))


def psl_relu(x, y):
    return np.log(np.sum(relu(x - x[y] + 1) ** 2))


def psl_atan(x, y):
    return np.log(np.sum(relu(np.arctan(x - x[y]) + 1) ** 2))


def energies(x, y):
    return -lse(x), -x[y], -x[y] + lse(x)


def weat(x, y):
    return cross_entropy(x, y) / np.log(1 + np.exp(abs(lse(x))))


def weighted_logsumexp(z, count):
    return np.log(np.sum(count * np.exp(z)))


def codebook_cross_entropy(z, count, code):
    return np.log(np.sum(count * np.exp(z))) - z[code]


def logit_normalized_cross_entropy(x, y, tau=0.1):
    return cross_entropy(x / (tau * np.sqrt(np.sum(x**2))), y)


def logit_adjusted_cross_entropy(x, log_prior, y):
    return cross_entropy(x + log_prior, y)


def class_balanced_cross_entropy(x, y, count, beta=0.999):
    return (1 - beta) / (1 - beta**count) * cross_entropy(x, y)


def multiclass_hinge(x, y):
    return np.sum(relu(1 + others(x, y) - x[y]))


def l2_svm(x, y):
    return np.sum(relu(1 - (2 * onehot(x, y) - 1) * x) ** 2)


def emma(x, k, y, epsilon=0.1):
    e = np.clip((x[y] - x) / k, 0, epsilon)
    e[y] = 0
    return cross_entropy(x + e * k, y)


def unit_scaled_cross_entropy_backward(x, y):
    return (softmax(x) - onehot(x, y)) * len(x) / np.sqrt(len(x) - np.longdouble(1))


def temperature_kl(z, x, teacher=4, student=4):
    return student**2 * kl_div(z / teacher, x / student)


def soft_label_cross_entropy(x, q):
    return -np.sum(q * logp(x))


def partial_label_cross_entropy(x, q, given):
    labels = np.where(given, q, (1 - q[given].sum()) / np.sum(~given))
    return -np.sum(labels * logp(x))


def distillation_backward(x, z, x_saved, z_saved):
    return np.exp(x - x_saved) - np.exp(z - z_saved)


def affinity_mimicking(t, s):
    return -np.sum(softmax(t) * np.log(softmax(s)))


def affinity_mimicking_backward(t, s):
    return softmax(s) - softmax(t)


def weighted_soft_cross_entropy(x, z, weight):
    return -np.sum(weight * softmax(z) * np.log(softmax(x)))


def pointwise_mutual_information(x, y, log_marginal):
    return np.log(softmax(x)[y]) - log_marginal[y]


def alpha_divergence(x, z, alpha=2):
    p, q = softmax(x), softmax(z)
    return (np.sum(p**alpha * q ** (1 - alpha)) - 1) / (alpha * (alpha - 1))


def clipped_alpha_divergence(x, z, alpha=2, limit=5):
    p, q = softmax(x), softmax(z)
    return (np.sum(q * np.minimum((p / q) ** alpha, limit)) - 1) / (alpha * (alpha - 1))


def jensen_shannon(x, z):
    p, q = softmax(x), softmax(z)
    m = (p + q) / 2
    return (np.sum(p * np.log(p / m)) + np.sum(q * np.log(q / m))) / 2


def softmax_squared_distance(x, z):
    return np.sum((softmax(x) - softmax(z)) ** 2)


softmax_squared_distance_exact = softmax_squared_distance


def kl_to_prior(x, log_prior):
    return np.sum(softmax(x) * (np.log(softmax(x)) - log_prior))


def _sums(p, t):
    return np.sum(p + t), np.sum(np.abs(p - t)), np.sum(p * t)


def jaccard_metric1(p, t):
    a, d, _ = _sums(p, t)
    return 1 - (a - d) / (a + d)


def jaccard_metric2(p, t):
    _, d, i = _sums(p, t)
    return 1 - i / (i + d)


def dice_metric1(p, t):
    a, d, _ = _sums(p, t)
    return 1 - (a - d) / a


def dice_metric2(p, t):
    _, d, i = _sums(p, t)
    return 1 - 2 * i / (2 * i + d)


def softmax_with_entropy(x):
    return softmax(x), entropy(x)


def entropy_penalty(x, theta=1):
    return abs(entropy(x) - theta)


def log_prob_squared_error(x, z):
    return np.sum((logp(x) - logp(z)) ** 2)


def decoupled_softmax(x, positives, y):
    return np.log(np.exp(x[y]) + np.sum(np.exp(x[~positives]))) - x[y]


def _margin(logits, y, target):
    moved = logits.copy()
    moved[y] = target
    return cross_entropy(moved, y)


def sampled_margin_softmax(c, sampled, y, s=64, margin=0.4):
    kept = sampled | (np.arange(len(c)) == y)
    return _margin((s * c)[kept], np.sum(kept[:y]), s * (c[y] - margin))


def normalized_softmax(c, y, s=30):
    return cross_entropy(s * c, y)


def am_softmax(c, y, s=30, margin=0.35):
    return _margin(s * c, y, s * (c[y] - margin))


def aam_softmax(c, y, s=30, m2=0.2):
    return _margin(s * c, y, s * np.cos(np.arccos(c[y]) + m2))


def adaptive_margin_softmax(c, margin, y, s=30):
    return _margin(s * c, y, s * (c[y] - margin[y]))


def wcdas(c, rho, y, s=30):
    pi = np.arccos(np.longdouble(-1))
    return cross_entropy(s * (1 - rho**2) / (1 + rho**2 - 2 * rho * c) / (2 * pi), y)


def circle_loss(c, positives, gamma=80, m=0.4):
    n, p = c[~positives], c[positives]
    away, near = relu(n + m) * (n - m), relu(1 + m - p) * (p - (1 - m))
    return np.log(1 + np.sum(np.exp(gamma * away)) * np.sum(np.exp(-gamma * near)))


def sphereface2(c, y, r=30, m=0.4, b=0.3, lam=0.7, t=3):
    g = 2 * ((c + 1) / 2) ** t - 1
    negatives = np.sum(np.log(1 + np.exp(r * (others(g, y) + m) + b)))
    return lam / r * np.log(1 + np.exp(-r * (g[y] - m) - b)) + (1 - lam) / r * negatives
