"""Tensors as arrays and arrays as tensors, on the same memory: bfloat16 too, where ml_dtypes is installed."""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any

import numpy as np
import torch

_float32, _bfloat16 = torch.float32, torch.bfloat16


@functools.cache
def _ml_dtypes() -> Any:
    try:
        return import_module("ml_dtypes")
    except ImportError:
        return None


def array(tensor: Any) -> Any:
    """The tensor's memory as an array. bfloat16 without ml_dtypes is a float32 copy.

    A conjugated or negated view is resolved, which copies.
    """
    if tensor.dtype is not _bfloat16:
        return tensor.numpy(force=True)
    if _ml_dtypes() is None:
        return tensor.detach().float().numpy()
    return tensor.view(torch.int16).numpy(force=True).view(_ml_dtypes().bfloat16)


def tensor(result: Any) -> Any:
    """A result as a tensor: the array's memory, or a number, which NumPy makes of an array without axes."""
    if not isinstance(result, np.ndarray):
        result = np.asarray(result)
    if result.dtype.num < _FIRST_OF_OTHERS:
        return torch.from_numpy(result)
    return torch.from_numpy(result.view(np.int16)).view(_bfloat16)


_FIRST_OF_OTHERS = np.dtype(np.float16).num + 1  # NumPy's own formats have the numbers below
