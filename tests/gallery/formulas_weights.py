"""The papers' formulas of attention's variants, selection and exponential weights on one row, written plainly."""

import numpy as np
from plain import cross_entropy, entropy, logp, lse, onehot, softmax

import rowfold as rf


def sqrt_softmax(x):
    return np.sqrt(softmax(x))


def sqrt_softmax_backward(y, g):
    return np.diag(y) @ g / 2 - np.outer(y * y, y) @ g / 2


def unit_scaled_softmax(x):
    return softmax(x) * len(x) / 1.31


def unit_scaled_softmax_backward(p, g):
    return (np.diag(p) - np.outer(p, p)) @ g * len(p) / 1.65


def mup_attention(x):
    return softmax(x / 64)


mup_cross_entropy = cross_entropy


def _minmax(x):
    return (x - x.min()) / (x.max() - x.min())


def parameter_competition(t, total):
    return _minmax(np.exp(len(t) * _minmax(np.abs(t)) ** 2) * np.tanh(t * total))


def intra_balancing(t):
    return softmax(len(t) * t**2 / np.max(t**2))


def surrogate_gradient(z, z_t, y):
    return softmax(z) - onehot(z, y) + z - z_t


def proximal_gradient(z, z_t, g):
    return g + softmax(z) - softmax(z_t)


def reinforce_loss(a, choice, reward, baseline):
    return -(reward - baseline) * logp(a)[choice]


def reinforce_gradient(a, choice, reward, baseline):
    return (reward - baseline) * (onehot(a, choice) - softmax(a))


def source_weighted_loss(lam, loss):
    return softmax(lam) @ loss


def source_weight_gradient(lam, loss):
    p = softmax(lam)
    return (np.diag(p) - np.outer(p, p)) @ loss


def _sparse(x, power):
    """relu(x - tau)^power of sum 1, by bisection."""
    low, high = x.min() - len(x), x.max()
    for _ in range(200):
        tau = (low + high) / 2
        above = np.sum(np.maximum(x - tau, 0) ** power) > 1
        low, high = (tau, high) if above else (low, tau)
    return np.maximum(x - low, 0) ** power, low


def sparsemax(x):
    return _sparse(x, 1)[0]


def entmax15(x):
    return _sparse(x / 2, 2)[0]


def entmax(x, alpha=1.25):
    z = (alpha - 1) * x
    low, high = z.max() - 1, z.max()  # at low the largest weight alone is 1
    for _ in range(80):
        tau = (low + high) / 2
        low, high = (tau, high) if np.sum(np.maximum(z - tau, 0) ** (1 / (alpha - 1))) > 1 else (low, tau)
    return np.maximum(z - tau, 0) ** (1 / (alpha - 1))


def sparsemax_loss(x, y):
    p, tau = _sparse(x, 1)
    return -x[y] + np.sum(np.where(p > 0, x**2 - tau**2, 0)) / 2 + 1 / 2


def sigmoid_sum(x, t):
    return np.sum(1 / (1 + np.exp(-x - t)))


def _order(x, k):
    return np.argsort(-x, kind="stable")[:k]


def softmax_topk(x, k):
    return softmax(x)[_order(x, k)], _order(x, k)


def topk_softmax(x, k):
    return softmax(x[_order(x, k)]), _order(x, k)


def topk_softmax_dense(x, k):
    p = np.zeros_like(x)
    p[_order(x, k)] = softmax(x[_order(x, k)])
    return p


def sparse_softmax_loss(x, y, k):
    return lse(x[_order(x, k)]) - x[y]


def softmax_loss_at_k(x, y, k):
    return np.log(np.sum(np.exp(x - x[y]))) / (1 + np.exp(np.sort(x)[-k] - x[y]))


def bregman_topk(x, k):
    p, at = softmax_topk(x, k)
    return p + (1 - p.sum()) / k, at


def _noisy(x, seed):
    return x + rf.gumbel(x.astype(np.float64), np.asarray(seed))


def gumbel_softmax(x, seed):
    return softmax(_noisy(x, seed))


def gumbel_onehot(x, seed):
    return onehot(x, np.argmax(_noisy(x, seed)))


def categorical(x, seed):
    return np.argmax(_noisy(x, seed))


def probe_sample(q, seed, beta=0.1):
    return np.argmax(_noisy(q / beta, seed))


def gumbel_topk(x, seed, k):
    at = _order(_noisy(x, seed), k)
    return _noisy(x, seed)[at], at


def rejection_candidates(x, seed, k):
    return _order(_noisy(x, seed), k), lse(x), x.max()


def effective_sample_size(w):
    return np.sum(np.exp(w)) ** 2 / np.sum(np.exp(w) ** 2)


def particle_statistics(w, state):
    return lse(w), effective_sample_size(w), np.sum(softmax(w) * state)


def soft_resampling(w, a=0.5):
    return np.log(a * softmax(w) + (1 - a) / len(w))


def run_length_posterior(log_p, predictive, hazard):
    growth = log_p + predictive + np.log(1 - hazard)
    changepoint = lse(log_p + predictive + np.log(hazard))
    total = lse(np.append(growth, changepoint))
    return growth - total, changepoint - total


def softmax_average(x, v):
    return np.sum(softmax(x) * v)


def power_law_weights(d, dim=128):
    w = (d.min() / d) ** (dim + 1)
    return w / w.sum()


def power_law_field(d, offset):
    return power_law_weights(d) @ offset


def augmented_norm(x, r):
    return np.sqrt(np.sum(np.append(x, r) ** 2))


def control_variate_estimate(w, h, c, known):
    p = softmax(w)
    b = p @ ((h - p @ h) * (c - p @ c)) / (p @ (c - p @ c) ** 2)
    return p @ h - b * (p @ c - known), b, effective_sample_size(w)


def log_mean_exp(w):
    return np.log(np.mean(np.exp(w)))


def truncated_normal_log_density(x, mean, log_mass):
    pi = np.arccos(np.longdouble(-1))
    return np.sum(np.log(np.exp(-((x - mean) ** 2) / 2) / np.sqrt(2 * pi)) - log_mass)


def exp3_probabilities(gain, eta=0.1):
    return softmax(eta * gain)


def exp3_log_likelihood(gain, action, eta=0.1):
    p = softmax(eta * gain)
    return np.log(p[action]), gain[action] - p @ gain


def soft_value(q):
    return lse(q), entropy(q)


def soft_bellman(q):
    return softmax(q), lse(q), entropy(q)


def probe_probabilities(q, beta=0.1):
    return softmax(q / beta)


def probe_policy_loss(q, reward, beta=0.1):
    return -softmax(q / beta) @ reward


def boltzmann_policy(q, info):
    return softmax(q + info)


def boltzmann_value(q, info):
    return lse(q + info)


def information_gain(var):
    return np.sum(np.log(1 + var)) / 2


def npo(x, y, reference, beta=0.1):
    return -2 / beta * np.log(1 / (1 + np.exp(beta * (logp(x)[y] - reference))))


def attribution(w, g):
    return w @ g


def self_normalized_estimate(log_ratio, returns):
    w = np.exp(log_ratio)
    return np.sum(w * returns) / np.sum(w), np.sum(w) ** 2 / np.sum(w**2)


def renyi2(log_ratio):
    return np.log(np.mean(np.exp(log_ratio) ** 2))


def inverse_variance_mean(y, var):
    return np.sum(y / var) / np.sum(1 / var)


def residual_weighted_mean(y, treatment, propensity):
    return np.average(y, weights=(treatment - propensity) ** 2)


def generalized_gaussian_nll(d, a, log_gamma, b=1.5):
    return np.sum((np.abs(d) / a) ** b - np.log(b / (2 * a)) + log_gamma)


def inverse_variance_weights(var):
    return 1 / var / np.sum(1 / var)


def effective_batch_size(var):
    return np.sum(1 / var) ** 2 / np.sum(1 / var**2)


def kurtosis(x):
    return np.mean((x - x.mean()) ** 4) / x.var() ** 2


def group_advantage(reward, eps=1e-6):
    return (reward - reward.mean()) / (reward.std() + eps)


def clipped_ratio_loss(x, y, old, advantage, clip=0.2):
    r = np.exp(logp(x)[y] - old)
    return -min(r * advantage, np.clip(r, 1 - clip, 1 + clip) * advantage)


def variance_promotion(correct, diversity, alpha=0.8):
    p = correct.mean()
    return alpha * p * (1 - p) + (1 - alpha) * diversity


def mixing_coefficient(g1, g2, bias):
    """The least of bias^2 a^2 + Var(a g1 + (1 - a) g2), from three of its values: it is a parabola."""
    f = [bias**2 * a**2 + np.var(a * g1 + (1 - a) * g2) for a in (0, 1, 2)]
    return 1 - (f[2] - f[0]) / 2 / (f[2] - 2 * f[1] + f[0])


def transport_weight(x, y):
    return np.exp(-np.sum((x - y) ** 2))


def normalized_transport_weights(cost):
    return softmax(-cost)


def sinkhorn_half_step(cost, g, log_a):
    return log_a - np.log(np.sum(np.exp(g - cost)))


def ips(w, reward, limit=10):
    return np.mean(np.minimum(w, limit) * reward)


def snips(w, reward, limit=10):
    return np.average(reward, weights=np.minimum(w, limit))


def doubly_robust(w, reward, predicted, limit=10):
    return np.mean(predicted + np.minimum(w, limit) * (reward - predicted))


def saved_softmax(x, saved):
    return np.exp(x - saved)


def inverted_weights(s, column, beta=20):
    return np.exp(beta * s - column)


def probability_entropy(p):
    return -np.sum(p * np.log(p))


def retrieve_adapter(x):
    return int(np.argmax(x)), softmax(x).max()


def mean_square(g, eps=1e-30):
    return np.mean(g**2 + eps)


def adafactor_update(g, column, row):
    u = g / np.sqrt(row * column)
    return u, np.mean(u**2)


def drop_low_scores(score):
    return np.where(score >= score.mean() - 2 * score.std(), score, 0)


def gram_log_ratio(k, kernel):
    return np.log(np.sum(np.exp(k) * np.exp(kernel)) / np.sum(np.exp(k)) ** 2)


def minmax_quantize(x):
    scale = (x.max() - x.min()) / 15
    return np.rint((x - x.min()) / scale), scale, x.min()


max, sum, mean, var = np.max, np.sum, np.mean, np.var  # noqa: A001 - the names of kernels
