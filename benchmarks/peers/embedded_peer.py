"""The emitted C, compiled by the C compiler at hand with -O3 and no machine flag, and called through ctypes."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from problem import Problem

from .base import Job, Peer

NAMES = ("softmax", "log_softmax", "logsumexp")
TYPES = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16"}
SIZE = ctypes.c_ssize_t


def emitted(p: Problem) -> Job | None:
    """Every plan for AVX-512 and AVX2, with the table that chooses among them."""
    return _job(p, None)


def emitted_for_shape(p: Problem) -> Job | None:
    """The one plan of this shape, in its small form."""
    return _job(p, p.shape)


def _job(p: Problem, shape: tuple[int, ...] | None) -> Job | None:
    if p.operator not in NAMES or p.x.dtype.name not in TYPES:
        return None
    call = _compiled(p.operator, p.x.dtype.name, shape)
    row = p.operator != "logsumexp"
    out: Any = np.empty(p.shape if row else p.shape[:-1], p.x.dtype)
    rows, n = p.shape
    given = [SIZE(rows), SIZE(n), ctypes.c_void_p(p.x.ctypes.data), SIZE(n), SIZE(1)]
    given += [ctypes.c_double(1.0)] if row else []
    given += [ctypes.c_void_p(out.ctypes.data), *((SIZE(n), SIZE(1)) if row else (SIZE(1),))]
    return Job(lambda: call(*given), lambda: out)


def _compiled(name: str, dtype: str, shape: tuple[int, ...] | None) -> Any:
    import rowfold as rf

    folder = Path(tempfile.mkdtemp(prefix="rowfold-emitted-"))
    source, *_ = getattr(rf.library, name).emit(folder, isas=("avx512", "avx2"), dtypes=dtype, shape=shape)
    shared = folder / "emitted.so"
    subprocess.run(["cc", "-O3", "-shared", "-fPIC", "-o", shared, source], check=True)
    return ctypes.CDLL(str(shared))[f"rowfold_{name}_{TYPES[dtype]}_rows"]


PEERS = (
    Peer("emitted C", "rowfold", emitted, slow=True),
    Peer("emitted for shape", "rowfold", emitted_for_shape, slow=True),
)
