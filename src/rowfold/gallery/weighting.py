"""Exponential weights: particles, importance sampling, bandits, soft values. Each gives a number a row unless it says
otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import rowfold as rf

from ..library import cross_entropy, entropy, log_softmax, logsumexp, softmax
from .entries import Paper

X2_2 = Paper("2.2", "Learning Differentiable Particle Filter on the Fly")
X2_3 = Paper("2.3", "Robust and Scalable Bayesian Online Changepoint Detection")
X2_12 = Paper("2.12", "Audio-AdapterFusion")
X2_19 = Paper("2.19", "PFGM++: Unlocking the Potential of Physics-Inspired Generative Models")
X2_20 = Paper("2.20", "Efficient estimation of multiple expectations by adaptive importance sampling")
X2_21 = Paper("2.21", "Improved Techniques for Maximum Likelihood Estimation for Diffusion ODEs")
X3_1 = Paper("3.1", "On the convergence of the MLE as an estimator of the learning rate in the Exp3 algorithm")
X3_2 = Paper("3.2", "Fast Rates for Maximum Entropy Exploration")
X3_4 = Paper("3.4", "Q-Probe: A Lightweight Approach to Reward Maximization for Language Models")
X3_5 = Paper("3.5", "MaxInfoRL: Boosting exploration in reinforcement learning through information gain maximization")
X3_12 = Paper("3.12", "Mixture-of-Supernets; Weight-Entanglement Meets Gradient-Based Neural Architecture Search")
X3_15 = Paper("3.15", "WAGLE: Strategic Weight Attribution for Effective and Modular Unlearning in LLMs")
X3_16 = Paper("3.16", "Truncating Trajectories in Monte Carlo Policy Evaluation (POIS)")
X3_17 = Paper("3.17", "R-Learning and Inverse-Variance Weighting")
X4_3 = Paper("4.3", "Generalized Gaussian Temporal Difference Error for Uncertainty-aware Reinforcement Learning")
X4_4 = Paper("4.4", "MMR1: Variance-Aware Sampling")
X4_10 = Paper("4.10", "From Noisy Traces to Stable Gradients (BVPO)")
X4_16 = Paper("4.16", "Improving Multimodal Learning via Imbalanced Learning (ARL)")
X4_17 = Paper("4.17", "Weighted Conditional Flow Matching")
X4_23 = Paper("4.23", "Compressing Features for Learning with Noisy Labels")
X4_24 = Paper("4.24", "Ad-load Balancing via Off-policy Learning in a Content Marketplace")

X4_23(walks=1)(cross_entropy)
X2_2(walks=1)(logsumexp)
X2_2(walks=2)(softmax)


@X2_2(walks=1)
@rf.kernel
def effective_sample_size(w: rf.Row) -> Any:
    """(sum e^w)^2 / sum e^(2 w) = 1 / sum softmax(w)^2 for log-weights w."""
    return 1.0 / np.sum(np.square(softmax(w)))


@X2_2(walks=1)
@rf.kernel
def particle_statistics(w: rf.Row, state: rf.Row) -> Any:
    """(log evidence, effective sample size, mean state) of particles with log-weights w: three numbers of one walk."""
    p = softmax(w)
    return rf.logsumexp(w), 1.0 / np.sum(p * p), np.dot(p, state)


@X2_2(walks=2)
@rf.kernel
def soft_resampling(w: rf.Row, *, a: rf.Positive = 0.5) -> Any:
    """log(a p + (1 - a) / n), p = softmax(w), a in (0, 1): a row. Systematic resampling, a scan, is outside."""
    return np.log(a * softmax(w) + (1.0 - a) / w.size)


@X2_3(walks=2)
@rf.kernel
def run_length_posterior(log_p: rf.Row, predictive: rf.Row, hazard: rf.Scalar) -> Any:
    """(growth, changepoint) in logs: a row and the number that goes before it. H in (0, 1) is one a row.

    z = log_p + predictive; growth = z + log(1 - H) - L and changepoint = LSE(z) + log H - L, L = LSE(z) because H is
    constant along the row.
    """
    z = log_p + predictive
    return z - rf.logsumexp(z) + np.log1p(-hazard), np.log(hazard)


@X2_12(walks=1)
@rf.kernel
def softmax_average(x: rf.Row, v: rf.Row) -> Any:
    """sum softmax(x) v: one coordinate of a mixture of vectors; v along an axis gives them all."""
    return np.dot(softmax(x), v)


X3_12(walks=1)(softmax_average)
X3_12(walks=2)(softmax)


@X2_19(walks=2)
@rf.kernel
def power_law_weights(d: rf.Row, *, dim: rf.Static[float] = 128.0) -> Any:
    """(d_min / d)^(N + 1) / sum = softmax(-(N + 1) log d), distances d > 0: a row."""
    return softmax(-(dim + 1.0) * np.log(d))


@X2_19(walks=1)
@rf.kernel
def power_law_field(d: rf.Row, offset: rf.Row, *, dim: rf.Static[float] = 128.0) -> Any:
    """sum w offset for w = power_law_weights(d): one coordinate of the empirical field."""
    return np.dot(softmax(-(dim + 1.0) * np.log(d)), offset)


@X2_19(walks=1)
@rf.kernel
def augmented_norm(x: rf.Row, r: rf.Scalar) -> Any:
    """sqrt(|x|^2 + r^2)."""
    return np.sqrt(np.sum(np.square(x)) + np.square(r))


@X2_20(walks=1)
@rf.kernel
def control_variate_estimate(w: rf.Row, h: rf.Row, c: rf.Row, known: rf.Scalar) -> Any:
    """(E_w h - b (E_w c - known), b, effective sample size), b = Cov_w(h, c) / Var_w(c), p = softmax(w): three."""
    p = softmax(w)
    mean_h, mean_c = np.dot(p, h), np.dot(p, c)
    b = np.sum(p * (h - mean_h) * (c - mean_c)) / np.sum(p * np.square(c - mean_c))
    return mean_h - b * (mean_c - known), b, 1.0 / np.sum(p * p)


@X2_21(walks=1)
@rf.kernel
def log_mean_exp(w: rf.Row) -> Any:
    """logsumexp(w) - log n: the importance-weighted evidence."""
    return rf.logsumexp(w) - np.log(w.size)


@X2_21(walks=1)
@rf.kernel
def truncated_normal_log_density(x: rf.Row, mean: rf.Row, log_mass: rf.Row, *, sigma: rf.Positive = 1.0) -> Any:
    """sum of -((x - mean) / sigma)^2 / 2 - log sigma - log(2 pi) / 2 - log_mass, log_mass that of the kept interval."""
    z = (x - mean) / sigma
    return np.sum(-0.5 * np.square(z) - log_mass) - x.size * (np.log(sigma) + 0.9189385332046727)


@X3_1(walks=2)
@rf.kernel
def exp3_probabilities(gain: rf.Row, *, eta: rf.Static[float] = 0.1, gamma: rf.NonNegative = 0.0) -> Any:
    """(1 - gamma) softmax(eta G) + gamma / n, gamma in [0, 1]: a row."""
    return (1.0 - gamma) * softmax(eta * gain) + gamma / gain.size


@X3_1(walks=1)
@rf.kernel
def exp3_log_likelihood(gain: rf.Row, action: rf.Index, *, eta: rf.Static[float] = 0.1) -> Any:
    """(log p_a, its derivative G_a - E_p G) of softmax(eta G): two numbers."""
    logp = log_softmax(eta * gain)
    return logp[action], gain[action] - np.dot(np.exp(logp), gain)


@X3_2(walks=1)
@rf.kernel
def soft_value(q: rf.Row, *, tau: rf.Positive = 1.0) -> Any:
    """(tau logsumexp(q / tau), the entropy of softmax(q / tau)): two numbers."""
    return tau * rf.logsumexp(q / tau), entropy(q / tau)


@X3_2(walks=2)
@rf.kernel
def soft_bellman(q: rf.Row, *, tau: rf.Positive = 1.0) -> Any:
    """(softmax(q / tau), value, entropy): a row and the two numbers of soft_value."""
    return softmax(q / tau), tau * rf.logsumexp(q / tau), entropy(q / tau)


@X3_4(walks=2)
@rf.kernel
def probe_probabilities(q: rf.Row, *, beta: rf.Positive = 0.1) -> Any:
    """softmax(q / beta) over the candidates of a prompt: a row."""
    return softmax(q / beta)


@X3_4(walks=1)
@rf.kernel
def probe_policy_loss(q: rf.Row, reward: rf.Row, *, beta: rf.Positive = 0.1) -> Any:
    """-n times the mean of p r, p = softmax(q / beta): importance-weighted policy gradient over the candidates."""
    return -np.dot(softmax(q / beta), reward)


@X3_5(walks=2)
@rf.kernel
def boltzmann_policy(q: rf.Row, info: rf.Row, *, tau: rf.Positive = 1.0) -> Any:
    """softmax((q + info) / tau): a row."""
    return softmax((q + info) / tau)


@X3_5(walks=1)
@rf.kernel
def boltzmann_value(q: rf.Row, info: rf.Row, *, tau: rf.Positive = 1.0) -> Any:
    """tau logsumexp((q + info) / tau)."""
    return tau * rf.logsumexp((q + info) / tau)


@X3_5(walks=1)
@rf.kernel
def information_gain(var: rf.Row, *, noise: rf.Positive = 1.0) -> Any:
    """sum log(1 + var / noise) / 2, the variance over the ensemble (mean_and_var along its axis) for each dimension."""
    return 0.5 * np.sum(np.log1p(var / noise))


@X3_15(walks=1)
@rf.kernel
def npo(x: rf.Row, y: rf.Index, reference: rf.Scalar, *, beta: rf.Positive = 0.1) -> Any:
    """-(2 / b) log sigmoid(-b (log p_y - reference)) of one token, reference its log-probability before unlearning."""
    return 2.0 / beta * rf.softplus(beta * (log_softmax(x)[y] - reference))


@X3_15(walks=1)
@rf.kernel
def attribution(w: rf.Row, g: rf.Row) -> Any:
    """sum w g."""
    return np.dot(w, g)


@X3_16(walks=1)
@rf.kernel
def self_normalized_estimate(log_ratio: rf.Row, returns: rf.Row) -> Any:
    """(sum w r / sum w, (sum w)^2 / sum w^2) for w = e^log_ratio: the estimate and its effective sample size."""
    p = softmax(log_ratio)
    return np.dot(p, returns), 1.0 / np.sum(p * p)


@X3_16(walks=1)
@rf.kernel
def renyi2(log_ratio: rf.Row) -> Any:
    """log of the mean of w^2 for w = e^log_ratio: the exponent of Renyi's divergence of order 2."""
    return rf.logsumexp(2.0 * log_ratio) - np.log(log_ratio.size)


@X3_17(walks=1)
@rf.kernel
def inverse_variance_mean(y: rf.Row, var: rf.Row) -> Any:
    """sum y / var / sum 1 / var."""
    w = 1.0 / var
    return np.dot(w, y) / np.sum(w)


@X3_17(walks=1)
@rf.kernel
def residual_weighted_mean(y: rf.Row, treatment: rf.Row, propensity: rf.Row) -> Any:
    """sum w y / sum w with w = (treatment - propensity)^2: the R-learner."""
    w = np.square(treatment - propensity)
    return np.dot(w, y) / np.sum(w)


@X4_3(walks=1)
@rf.kernel
def generalized_gaussian_nll(d: rf.Row, a: rf.Scalar, log_gamma: rf.Scalar, *, b: rf.Static[float] = 1.5) -> Any:
    """sum of (|d| / a)^b - log(b / (2 a)) + log_gamma, log_gamma = log Gamma(1 / b), a > 0 one a row."""
    return np.sum(np.power(np.abs(d) / a, b)) + d.size * (np.log(2.0 * a / b) + log_gamma)


@X4_3(walks=2)
@rf.kernel
def inverse_variance_weights(var: rf.Row, *, xi: rf.NonNegative = 0.0) -> Any:
    """1 / (v + xi) / sum of the same: a row. The search for xi is outside."""
    w = 1.0 / (var + xi)
    return w / np.sum(w)


X4_16(walks=2)(inverse_variance_weights)


@X4_3(walks=1)
@rf.kernel
def effective_batch_size(var: rf.Row, *, xi: rf.NonNegative = 0.0) -> Any:
    """(sum w)^2 / sum w^2 for w = 1 / (v + xi)."""
    w = 1.0 / (var + xi)
    return np.square(np.sum(w)) / np.sum(w * w)


@X4_3(walks=1)
@rf.kernel
def kurtosis(x: rf.Row) -> Any:
    """mean (x - mu)^4 / (mean (x - mu)^2)^2, mu the mean."""
    d = x - np.mean(x)
    return np.mean(np.square(np.square(d))) / np.square(np.mean(np.square(d)))


@X4_4(walks=2)
@rf.kernel
def group_advantage(reward: rf.Row, *, eps: rf.NonNegative = 1e-6) -> Any:
    """(r - mean r) / (std r + eps): GRPO's, a group a row. A row."""
    return (reward - np.mean(reward)) / (np.std(reward) + eps)


@X4_4(walks=1)
@rf.kernel
def clipped_ratio_loss(x: rf.Row, y: rf.Index, old: rf.Scalar, advantage: rf.Scalar, *, clip: rf.NonNegative = 0.2
) -> Any:  # fmt: skip
    """-min(r A, clip(r, 1 - c, 1 + c) A), r = e^(log p_y - old), for one token."""
    ratio = np.exp(log_softmax(x)[y] - old)
    return -np.minimum(ratio * advantage, np.clip(ratio, 1.0 - clip, 1.0 + clip) * advantage)


@X4_4(walks=1)
@rf.kernel
def variance_promotion(correct: rf.Row, diversity: rf.Scalar, *, alpha: rf.NonNegative = 0.8) -> Any:
    """alpha p (1 - p) + (1 - alpha) diversity, p the mean of outcomes 0 and 1."""
    p = np.mean(correct)
    return alpha * p * (1.0 - p) + (1.0 - alpha) * diversity


@X4_10(walks=1)
@rf.kernel
def mixing_coefficient(g1: rf.Row, g2: rf.Row, bias: rf.Scalar) -> Any:
    """a that minimizes bias^2 a^2 + Var(a g1 + (1 - a) g2): a closed form of their moments (confirm)."""
    d1, d2 = g1 - np.mean(g1), g2 - np.mean(g2)
    v1, v2, cov = np.mean(d1 * d1), np.mean(d2 * d2), np.mean(d1 * d2)
    return (v2 - cov) / (v1 + v2 - 2.0 * cov + np.square(bias))


@X4_17(walks=1)
@rf.kernel
def transport_weight(x: rf.Row, y: rf.Row, *, eps: rf.Positive = 1.0) -> Any:
    """e^(-|x - y|^2 / eps): one pair's weight (confirm the batch's normalization)."""
    return np.exp(-np.sum(np.square(x - y)) / eps)


@X4_17(walks=2)
@rf.kernel
def normalized_transport_weights(cost: rf.Row, *, eps: rf.Positive = 1.0) -> Any:
    """e^(-c / eps) / sum: a batch of costs as a row."""
    return softmax(-cost / eps)


@X4_17(walks=1)
@rf.kernel
def sinkhorn_half_step(cost: rf.Row, g: rf.Row, log_a: rf.Scalar, *, eps: rf.Positive = 1.0) -> Any:
    """f_i = -eps logsumexp((g - C_i) / eps) + eps log a_i: a row of the cost matrix; along axis 0 the other half."""
    return eps * (log_a - rf.logsumexp((g - cost) / eps))


X2_2(walks=1)(sinkhorn_half_step)


@X4_24(walks=1)
@rf.kernel
def ips(w: rf.Row, reward: rf.Row, *, limit: rf.Positive = 10.0) -> Any:
    """mean of min(w, limit) r."""
    return np.mean(np.minimum(w, limit) * reward)


@X4_24(walks=1)
@rf.kernel
def snips(w: rf.Row, reward: rf.Row, *, limit: rf.Positive = 10.0) -> Any:
    """sum w r / sum w, w clipped to `limit`."""
    clipped = np.minimum(w, limit)
    return np.dot(clipped, reward) / np.sum(clipped)


@X4_24(walks=1)
@rf.kernel
def doubly_robust(w: rf.Row, reward: rf.Row, predicted: rf.Row, *, limit: rf.Positive = 10.0) -> Any:
    """mean of q + min(w, limit) (r - q), q the predicted reward."""
    return np.mean(predicted + np.minimum(w, limit) * (reward - predicted))
