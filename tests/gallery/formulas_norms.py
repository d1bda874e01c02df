"""The papers' formulas of norms and their gradients on one row, the gradients as products with whole Jacobians."""

import numpy as np


def layer_norm(x, eps=1e-5):
    return (x - x.mean()) / np.sqrt(x.var() + eps)


def rms_norm(x, eps=1e-6):
    return x / np.sqrt(np.mean(x**2) + eps)


weight_standardize = layer_norm


def mean_and_var(x):
    return x.mean(), x.var()


def affine(x, mean, var, weight, bias, eps=1e-5):
    return (x - mean) / np.sqrt(var + eps) * weight + bias


def layer_norm_backward(x, g, weight, eps=1e-5):
    n, r = len(x), 1 / np.sqrt(x.var() + eps)
    y = (x - x.mean()) * r
    return r * (np.eye(n) - np.ones((n, n)) / np.longdouble(n) - np.outer(y, y) / n) @ (g * weight)


def rms_norm_backward(x, g, weight, eps=1e-6):
    n, r = len(x), 1 / np.sqrt(np.mean(x**2) + eps)
    return (r * np.eye(n) - r**3 * np.outer(x, x) / n) @ (g * weight)


def residual_rms_norm(x, skip, weight):
    return rms_norm(x + skip) * weight, x + skip


def l2_norm(x):
    return np.sqrt(np.sum(x**2))


def l2_normalize(x):
    return x / l2_norm(x)


row_equilibrate = l2_normalize


def norm_loss(w):
    return (1 - l2_norm(w)) ** 2


def l2_normalize_with_constant(x, constant=3):
    longer = l2_normalize(np.append(x, constant))
    return longer[:-1], longer[-1]


def lerp_normalize(x, f, alpha):
    return l2_normalize((1 - alpha) * x + alpha * f)


def weight_norm(v, s):
    return s * l2_normalize(v)


def weight_norm_backward(v, dw, s):
    u = l2_normalize(v)
    return s / l2_norm(v) * (dw - u * (u @ dw)), dw @ u


def weight_decomposed(w, delta, m):
    return m * l2_normalize(w + delta)


def lawn_step(w, g, rate=0.1):
    u = l2_normalize(w)
    return l2_norm(w) * l2_normalize(w - rate * (g - u * (u @ g)))


def max_norm(w, limit=1):
    return w * min(1, limit / l2_norm(w))


def fisher_ratio(mean, within, count):
    share = count / count.sum()
    return np.sum(share * (mean - share @ mean) ** 2) / np.sum(share * within)
