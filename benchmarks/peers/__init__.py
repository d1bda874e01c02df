"""Every library that computes the same on this machine, behind one small interface.

A peer is prepared once for a problem and gives a `Job`: `run` computes into memory that the peer already holds, as far
as its API lets it, and `result` shows the output as NumPy. None: the peer has no such operator, or not in this dtype.
A library that is missing is reported, never a failure.
"""

from __future__ import annotations

from .base import Job, Peer
from .embedded_peer import PEERS as EMBEDDED
from .jax_peer import PEERS as JAX
from .litert_peer import PEERS as LITERT
from .numba_peer import PEERS as NUMBA
from .numpy_peers import PEERS as NUMPY
from .onnx_peers import PEERS as ONNX
from .rowfold_peer import PEERS as ROWFOLD
from .torch_peers import PEERS as TORCH

PEERS: tuple[Peer, ...] = (*ROWFOLD, *EMBEDDED, *ONNX, *LITERT, *TORCH, *JAX, *NUMBA, *NUMPY)

__all__ = ["PEERS", "Job", "Peer"]
