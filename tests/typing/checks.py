"""What a user writes and a type checker accepts. Read by mypy in tests/test_typing.py; nothing runs it."""

from typing import Any

import numpy as np

import rowfold as rf


@rf.kernel
def softmax(x: rf.Row, *, temperature: rf.Positive = 1.0) -> Any:
    e = np.exp((x - np.max(x)) / temperature)
    return e / np.sum(e)


@rf.kernel(name="nll")
def nll(x: rf.Row, target: rf.Index) -> Any:
    return rf.logsumexp(x) - x[target]


x = np.zeros((3, 4), dtype=np.float32)
y = softmax(x, axis=-1, temperature=0.5)
softmax(x, out=y, where=x > 0)
reference = softmax.reference(x)
text: str = str(softmax.explain(x.shape, "float32"))
walks: int = softmax.plan(shape=x.shape, dtype="float32").walks
same = softmax.using(strategy="online", threads=1)
with rf.options(backend="llvm"):
    loss = nll(x, np.zeros(3, dtype=np.int64))
gradient = nll.vjp
ready = rf.library.softmax(x)
