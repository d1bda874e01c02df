"""Arguments for every kernel of the gallery: rows of the zoo, drawn into the domain that a parameter's name has."""

import numpy as np

from rowfold.codegen.ir import Role
from rowfold.testing.values import row

TAME = ("normal", "normal_x5", "sorted_up", "alternating")
# What a row or a scalar of this name means; others are any numbers.
PROBABILITY = "p q t".split()
COSINES = {"inverted_weights": "s"}
SHARE = "rho iou u hazard alpha kept correct propensity treatment margin".split()
POSITIVE = "tau var count within norm column row lipschitz d weight a m r log_gamma".split()
LOG_SHARE = "log_prior log_marginal log_mass log_a".split()
DISTANCE = ("distance_weighted_probabilities", "power_law_weights", "power_law_field")
ABOVE_0 = {"proportional": "x", "edge_weights": "w", "ips": "w", "snips": "w", "doubly_robust": "w", "sdm": "qd",
           "sdm_loss": "qd"}  # fmt: skip
ANY = {  # kernels whose parameter of such a name is any number
    "generalized_gaussian_nll": "d", "dominance": "m", "parameter_competition": "t", "intra_balancing": "t",
    "reinforce_loss": "a", "reinforce_gradient": "a", "affinity_mimicking": "t", "affinity_mimicking_backward": "t",
    "probe_probabilities": "q", "probe_policy_loss": "q", "probe_sample": "q", "soft_value": "q", "soft_bellman": "q",
    "boltzmann_policy": "q", "boltzmann_value": "q", "block_dequantize": "q", "inhibited_softmax": "c",
    "control_variate_estimate": "c", "sigmoid_sum": "t",
}  # fmt: skip


def quickly(kernel, place):
    """Every fourth kernel as C, the others through LLVM, which compiles them in a quarter of the time.

    The bits are the same (tests/kernels/test_backends.py), and the long run takes every kernel as C.
    """
    return kernel if place % 4 == 0 else kernel.using(backend="llvm")


def within(name, parameter, z):
    """Numbers z as numbers of the domain that the parameter of this kernel has."""
    if parameter in ANY.get(name, ""):
        return z
    if parameter in ABOVE_0.get(name, "") or parameter in POSITIVE:
        share = np.abs(z) / (1 + np.abs(z))
        return 0.6 + 1.2 * share if name in DISTANCE else 0.25 + 4 * share
    if parameter in COSINES.get(name, "c"):
        return 0.99 * np.tanh(z / 4)
    if parameter in SHARE:
        return 0.02 + 0.96 / (1 + np.exp(-z / 4))
    if parameter in LOG_SHARE:
        return -0.1 - np.abs(z)
    if parameter in PROBABILITY:
        e = np.exp(z - np.max(z, axis=-1, keepdims=True))
        return e / np.sum(e, axis=-1, keepdims=True)
    return z


def arguments(name, kernel, n, dtype, kinds=TAME, seed=0):
    """Arrays for the parameters without a default: a row of every kind for each of them, other kinds side by side."""
    rng = np.random.default_rng(seed)
    return [_argument(name, p, k, n, dtype, kinds, rng) for k, p in enumerate(kernel.parameters) if not p.optional]


def _argument(name, parameter, k, n, dtype, kinds, rng):
    count = len(kinds)
    if parameter.name == "seed":
        return rng.integers(0, 2**63, count).astype(np.uint64)
    match parameter.role:
        case Role.INDEX:
            return rng.integers(0, n, count)
        case Role.MASK:
            return (rng.random((count, n)) < 0.6) & (np.arange(n) < n - 1) | (np.arange(n) == 0)
        case Role.TABLE:
            return np.sort(rng.uniform(-1, 1, (count, 200)), axis=-1).astype(dtype)
        case Role.INT_ROW if name == "codebook_dequantize":
            return rng.integers(0, 200, (count, n))
        case Role.SCALAR:
            return np.asarray(within(name, parameter.name, rng.normal(size=count)), dtype)
        case _:
            z = np.array([row(kinds[(i + k) % count], dtype, n, rng) for i in range(count)])
            with np.errstate(all="ignore"):
                return np.asarray(within(name, parameter.name, z.astype(np.float64)), dtype)
