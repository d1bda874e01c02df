"""Hand-written for Numba: three passes over each row, with a polynomial exponential that LLVM vectorizes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from problem import Problem

from .base import Job, Peer

LOG2E, LN2_HI, LN2_LO = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
POLYNOMIAL = tuple(map(np.float32, (1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0)))


def numba_three_pass(p: Problem) -> Job | None:
    """softmax and logsumexp of float32 rows; the maths is fastmath, the result is checked as any other."""
    if p.operator not in ("softmax", "logsumexp") or p.dtype != np.float32:
        return None
    softmax, logsumexp = _functions()
    y = np.empty_like(p.x) if p.operator == "softmax" else np.empty(p.shape[0], np.float32)
    function = softmax if p.operator == "softmax" else logsumexp
    return Job(lambda: function(p.x, y), lambda: y)


@cache
def _functions() -> tuple[Any, Any]:
    import numba

    c0, c1, c2, c3, c4, c5, c6 = POLYNOMIAL
    fast = {"fastmath": True, "error_model": "numpy"}
    rest, lowest, shift = np.int32(0x7FFFFFFF), np.int32(-(2**31)), np.int32(23)

    @numba.njit(inline="always", **fast)
    def largest(row: Any, kept: Any) -> Any:
        """The maximum by the order of the bits: LLVM vectorizes the maximum of integers, not that of floats."""
        bits, m = row.view(np.int32), lowest
        for j in range(row.size):
            b = bits[j]
            m = max(m, b ^ ((b >> np.int32(31)) & rest))
        kept.view(np.int32)[0] = m ^ ((m >> np.int32(31)) & rest)
        return kept[0]

    @numba.njit(inline="always", **fast)
    def exp(x: Any) -> Any:
        x = max(x, np.float32(-87.0))
        n = np.floor(x * LOG2E + np.float32(0.5))
        r = (x - n * LN2_HI) - n * LN2_LO
        q = (((((c0 * r + c1) * r + c2) * r + c3) * r + c4) * r + c5) * r + c6
        return q * np.int32((np.int32(n) + np.int32(127)) << shift).view(np.float32)

    @numba.njit(**fast)
    def softmax(x: Any, y: Any) -> None:
        kept = np.empty(1, np.float32)
        for i in range(x.shape[0]):
            m, s = largest(x[i], kept), np.float32(0)
            for j in range(x.shape[1]):
                e = exp(x[i, j] - m)
                y[i, j] = e
                s += e
            s = np.float32(1) / s
            for j in range(x.shape[1]):
                y[i, j] *= s

    @numba.njit(**fast)
    def logsumexp(x: Any, y: Any) -> None:
        kept = np.empty(1, np.float32)
        for i in range(x.shape[0]):
            m, s = largest(x[i], kept), np.float32(0)
            for j in range(x.shape[1]):
                s += exp(x[i, j] - m)
            y[i] = m + np.log(s)

    return softmax, logsumexp


PEERS = (Peer("numba", "numba", numba_three_pass),)
