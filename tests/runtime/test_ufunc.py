"""The ufunc made of a pointer, and the plain way to call the same loop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rowfold.runtime import cache, ufunc
from rowfold.runtime.ufunc import PlainLoop

X = np.random.default_rng(5).normal(size=(4, 3, 7)).astype("f4") * 10
VIEWS = [X, X[::2, :, ::-1], X.transpose(2, 0, 1), X[0, 0], np.broadcast_to(X[0, 0], (3, 7)), X[:0], X[..., :1]]


def test_is_a_ufunc(loaded: Callable[..., cache.Loaded]) -> None:
    """What is loaded is one of NumPy's own ufuncs."""
    made = loaded("softmax").ufunc
    assert (type(made), made.signature, made.types) == (np.ufunc, "(n),()->(n)", ["fd->f"])


@pytest.mark.parametrize("x", VIEWS)
def test_plain_loop_has_the_same_bits(loaded: Callable[..., cache.Loaded], x: np.ndarray) -> None:
    """The plain path gives the bits of the ufunc."""
    kernel = loaded("softmax")
    assert kernel.plain(x, 1.5).tobytes() == np.ascontiguousarray(kernel.ufunc(x, 1.5)).tobytes()


def test_plain_loop_overlap(loaded: Callable[..., cache.Loaded]) -> None:
    """The plain path resolves overlap as NumPy does."""
    one, other = (np.arange(40, dtype="f4") % 7 for _ in range(2))
    kernel = loaded("softmax")
    kernel.plain(one[:32].reshape(4, 8), 1.0, one[8:].reshape(4, 8))
    kernel.ufunc(other[:32].reshape(4, 8), 1.0, other[8:].reshape(4, 8))
    assert np.array_equal(one, other)


def test_plain_loop_refuses(loaded: Callable[..., cache.Loaded]) -> None:
    """The plain path refuses shapes that do not fit."""
    with pytest.raises(ValueError, match="dimension n is 7 and 6"):
        loaded("weigh").plain(X, X[..., 1:])


def test_without_the_capsule(loaded: Callable[..., cache.Loaded], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where NumPy's capsule is missing the plain path takes over."""
    monkeypatch.setattr(ufunc, "usable", lambda: False)
    kernel = loaded("softmax")
    made = ufunc.make(kernel.pointer, kernel.symbol, kernel.signature, kernel.types)
    assert isinstance(made, PlainLoop)


def test_abi_is_up_to_date(tmp_path: object) -> None:
    """The checked-in declarations are those that abi_build generates."""
    from pathlib import Path

    from rowfold.runtime import abi_build

    abi_build.generate(f"{tmp_path}/abi.py")
    assert Path(f"{tmp_path}/abi.py").read_text() == Path(abi_build.__file__).with_name("_abi.py").read_text()
