"""Calls that are answered in C: as fast as promised, with the bits and the refusals of the careful path."""

from __future__ import annotations

import gc
import pickle
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import rowfold as rf
from rowfold.errors import DTypeError, OutputError
from rowfold.runtime import quick

RNG = np.random.default_rng(11)
X = RNG.normal(size=(6, 40)).astype("f4")
TARGET = np.array([0, 39, 3, -100, 7, 8])

pytestmark = pytest.mark.skipif(not quick.usable(), reason="calls in C need a C compiler and CPython with its GIL")


def taught(kernel: Any, *arrays: Any, **options: Any) -> Any:
    """A new kernel that answers such calls in C."""
    fresh = kernel.using()
    for _ in range(20):
        fresh(*arrays, **options)
    assert recipes(fresh) == 1
    return fresh


def recipes(kernel: Any) -> int:
    book = vars(type(kernel)).get("quick_book")
    return int(book[0][7]) if book else 0


def behind(kernel: Any, *arrays: Any, **options: Any) -> bool:
    """Whether this call goes on to Python."""
    seen: list[object] = []
    sys.setprofile(lambda frame, event, arg: seen.append(frame) if event == "call" else None)
    try:
        kernel(*arrays, **options)
    finally:
        sys.setprofile(None)
    return bool(seen)


CALLS: list[tuple[str, Any, tuple[Any, ...], dict[str, Any]]] = [
    ("row", rf.library.softmax, (X,), {}),
    ("number", rf.library.logsumexp, (X,), {}),
    ("one row", rf.library.logsumexp, (X[0],), {}),
    ("three axes", rf.library.softmax, (X.reshape(2, 3, 40),), {}),
    ("other axis", rf.library.softmax, (X,), {"axis": 0}),
    ("all axes", rf.library.softmax, (X,), {"axis": None}),
    ("keepdims", rf.library.logsumexp, (X,), {"keepdims": True}),
    ("setting", rf.library.softmax, (X,), {"temperature": 2.0}),
    ("integer setting", rf.library.softmax, (X,), {"temperature": 2}),
    ("index", rf.library.cross_entropy, (X, TARGET), {}),
    ("index by name", rf.library.cross_entropy, (X,), {"target": TARGET}),
    ("specialized", rf.library.cross_entropy, (X, TARGET), {"label_smoothing": 0.25}),
    ("mask", rf.library.softmax, (X,), {"where": X > 0}),
    ("shared row", rf.library.layer_norm, (X, X[0]), {}),
    ("absent row", rf.library.layer_norm, (X, None, X[1]), {}),
    ("several results", rf.library.softmax_topk, (X,), {"k": 5}),
    ("double", rf.library.softmax, (X.astype("f8"),), {}),
    ("gradient", rf.library.softmax.vjp, (X, X), {}),
]


@pytest.mark.parametrize(("kernel", "arrays", "options"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS])
def test_the_answer_is_the_same(kernel: Any, arrays: tuple[Any, ...], options: dict[str, Any]) -> None:
    """Type, dtype, shape and bits of every result are those of the careful path, and no Python runs."""
    fresh = taught(kernel, *arrays, **options)
    assert not behind(fresh, *arrays, **options)
    assert told(fresh(*arrays, **options)) == told(kernel.using()(*arrays, **options))


@pytest.mark.parametrize(("kernel", "arrays", "options"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS])
def test_out_is_filled_and_returned(kernel: Any, arrays: tuple[Any, ...], options: dict[str, Any]) -> None:
    """A given out holds the same, and comes back itself."""
    fresh = taught(kernel, *arrays, **options)
    want = kernel.using()(*arrays, **options)
    many = isinstance(want, tuple)
    out = tuple(np.full_like(w, 7) for w in want) if many else np.full_like(want, 7)
    got = fresh(*arrays, out=out, **options)
    same = all(a is b for a, b in zip(got, out, strict=True)) if many else got is out
    assert same and told(tuple(map(np.asarray, out)) if many else out[()]) == told(want)


def told(result: Any) -> object:
    if isinstance(result, tuple):
        return tuple(map(told, result))
    return type(result), result.dtype, result.shape, result.tobytes()


@pytest.mark.parametrize(
    "x",
    [
        X.astype("f8"), X[:3], X[:, ::2], X[::-1], X.astype(">f4"), X.T.copy().T, X.reshape(2, 3, 40), X.tolist(),
        X[:0], np.frombuffer(b"\0" + X.tobytes(), "u1")[1:].view("f4").reshape(X.shape), X.view(np.matrix),
        X.astype("f2"),
    ],
)  # fmt: skip
def test_what_does_not_fit_goes_on_to_python(x: Any) -> None:
    """Other dtypes, shapes, strides, byte orders, alignments and types are answered as ever."""
    fresh = taught(rf.library.softmax, X)
    assert told(fresh(x)) == told(rf.library.softmax.using()(x))


@pytest.mark.parametrize(
    ("arrays", "options", "error", "text"),
    [
        ((X, np.full(6, 40)), {}, IndexError, "'target' is 40 at row 0"),
        ((X, np.array([0, 1, 2, 3, 4, -1])), {}, IndexError, "'target' is -1 at row 5"),
        ((X, TARGET), {"out": np.empty(5, "f4")}, OutputError, "shape"),
        ((X, TARGET), {"out": np.empty(6, "f8")}, OutputError, "dtype"),
        ((X, TARGET), {"out": np.broadcast_to(np.float32(0), 6)}, OutputError, "read-only"),
        ((X, TARGET), {"out": [0] * 6}, TypeError, "out is a list"),
        ((X > 0, TARGET), {}, DTypeError, "bool"),
        ((X,), {}, TypeError, "'target' is missing"),
        ((X, TARGET), {"label": 3}, TypeError, "there is no 'label'"),
        ((X, TARGET, X), {}, TypeError, "takes 2 arrays"),
    ],
)
def test_what_is_refused(arrays: Any, options: Any, error: type[Exception], text: str) -> None:
    """Errors are those of the careful path."""
    fresh = taught(rf.library.cross_entropy, X, TARGET)
    with pytest.raises(error, match=text):
        fresh(*arrays, **options)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_a_setting_out_of_its_bounds(value: float) -> None:
    """A setting that is passed at run time is checked in C: infinity is a temperature, and the others are not."""
    fresh = taught(rf.library.softmax, X, temperature=2.0)
    if value == np.inf:
        assert np.allclose(fresh(X, temperature=value), 1 / 40)
        return
    with pytest.raises(ValueError, match="temperature"):
        fresh(X, temperature=value)


def test_another_value_of_a_setting_needs_no_python() -> None:
    """A temperature that changes from call to call is passed on."""
    fresh = taught(rf.library.softmax, X, temperature=2.0)
    assert not behind(fresh, X, temperature=3.5)
    assert told(fresh(X, temperature=3.5)) == told(rf.library.softmax.using()(X, temperature=3.5))


def test_a_number_in_an_array_is_read_every_time() -> None:
    """An array as a setting may hold another number next time."""
    number, kernel = np.array(2.0), rf.library.softmax.using()
    for _ in range(20):
        kernel(X, temperature=number)
    number[...] = 3.0
    assert told(kernel(X, temperature=number)) == told(rf.library.softmax.using()(X, temperature=3.0))


def test_zero_has_two_signs() -> None:
    """A setting of -0.0 is not the remembered 0.0."""

    @rf.kernel
    def over(x: Any, *, by: rf.Static[float]) -> Any:
        return x * by

    for _ in range(20):
        over(X, by=0.0)
    assert np.signbit(over(np.abs(X), by=-0.0)).all()


@pytest.mark.parametrize("shift", [0, 1, 40, 41])
def test_overlap(shift: int) -> None:
    """An out that lies on the input, or on a part of it, gets what an out of its own gets."""
    memory = np.tile(X.ravel(), 2)
    x, out = memory[:240].reshape(6, 40), memory[shift : shift + 240].reshape(6, 40)
    want = rf.library.softmax(x.copy())
    fresh = taught(rf.library.softmax, X)
    fresh(x, out=out)
    assert told(out) == told(want)


def test_outputs_apart() -> None:
    """Two outputs in one memory are refused."""
    values, places = np.empty((6, 5), "f4"), np.empty((6, 5), np.int64)
    fresh = taught(rf.library.softmax_topk, X, k=5)
    fresh(X, k=5, out=(values, places))
    with pytest.raises(OutputError):
        fresh(X, k=5, out=(places.view("f4")[:, :5], places))


def test_an_out_that_became_read_only() -> None:
    """Whether an out may be written is asked every time."""
    out = np.empty_like(X)
    fresh = taught(rf.library.softmax, X, out=out)
    out.flags.writeable = False
    with pytest.raises(OutputError, match="read-only"):
        fresh(X, out=out)


def test_options_of_the_surroundings() -> None:
    """Inside a block of options nothing is answered by what was learned outside."""
    fresh = taught(rf.library.softmax, X)
    with rf.options(strategy="online"):
        assert behind(fresh, X)
    assert not behind(fresh, X)


def test_many_shapes() -> None:
    """More shapes than there is room for take turns."""
    kernel = rf.library.softmax.using()
    for n in range(1, 40):
        for _ in range(9):
            kernel(X[:, :n].copy())
    assert recipes(kernel) == 16 and told(kernel(X)) == told(rf.library.softmax.using()(X))


def test_no_reference_is_kept_or_lost() -> None:
    """Calls leave the reference counts of arguments and results as they found them."""
    out = np.empty_like(X)
    fresh = taught(rf.library.softmax, X, out=out)
    before = sys.getrefcount(out), sys.getrefcount(X)
    for _ in range(100):
        fresh(X, out=out)
        fresh(X)
    assert (sys.getrefcount(out), sys.getrefcount(X)) == before


def test_results_are_freed() -> None:
    """A result that nobody keeps is gone."""
    gone = weakref.ref(taught(rf.library.softmax, X)(X))
    assert gone() is None


def test_an_unpickled_array_needs_no_python() -> None:
    """Its dtype is an object of its own, and one with a foreign byte order is not taken for it."""
    fresh = taught(rf.library.softmax, X)
    again = pickle.loads(pickle.dumps(X))
    foreign = X.astype(">f4")
    assert not behind(fresh, again) and told(fresh(again)) == told(fresh(X)) == told(fresh(foreign))


def test_a_kernel_is_still_a_kernel() -> None:
    """Its class, name, signature and pickle are what they were."""
    kernel = rf.library.softmax
    fresh = taught(kernel, X)
    again = pickle.loads(pickle.dumps(fresh))
    assert isinstance(fresh, rf.Kernel) and repr(fresh) == repr(kernel) and told(again(X)) == told(kernel(X))


def test_a_kernel_made_of_it_is_its_own() -> None:
    """The gradient kernel under other options does not answer with the loop of the first."""
    fresh = taught(rf.library.softmax.vjp, X, X)
    assert recipes(fresh.using(strategy="online")) == 0


def test_a_kernel_goes_when_nobody_has_it() -> None:
    """Nothing in the table holds the kernel."""
    fresh = taught(rf.library.softmax, X)
    gone = weakref.ref(fresh)
    del fresh
    gc.collect()
    assert gone() is None


def test_another_kernel_of_the_same_text_is_recognized() -> None:
    """A kernel that refers to one that has learned is known again, as it was before."""
    from rowfold.runtime.definition import definition

    inner = rf.library.softmax.using()
    outer = rf.kernel(lambda x: inner(x), name="outer")
    before = definition(outer)
    for _ in range(20):
        inner(X)
    assert recipes(inner) == 1 and definition(outer) == before


def test_threads_call_at_once() -> None:
    """Large rows are computed without the GIL; every thread gets its own result."""
    rows = [np.roll(RNG.normal(size=(8, 2000)).astype("f4"), k) for k in range(4)]
    fresh = taught(rf.library.softmax, rows[0])
    want = [rf.library.softmax(r).tobytes() for r in rows]
    wrong: list[int] = []

    def work(k: int) -> None:
        for _ in range(200):
            if fresh(rows[k]).tobytes() != want[k]:
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the C function cannot be had, calls go the old way."""
    monkeypatch.setattr(quick, "usable", lambda: False)
    kernel = rf.library.softmax.using()
    results = {kernel(X).tobytes() for _ in range(20)}
    assert recipes(kernel) == 0 and results == {rf.library.softmax(X).tobytes()}
