"""Rows in parts in C that stands alone: the states, their merges and the results of k.partial, k.merge and k.finish."""

import ctypes

import numpy as np
import pytest

import rowfold as rf
from rowfold import library

RNG = np.random.default_rng(6)
ROWS, N, CUTS = 5, 700, (0, 300, 300, 512, 700)


@rf.kernel
def deviation(x):
    """Two rounds: the mean first."""
    return np.mean(np.abs(x - np.mean(x)))


@rf.kernel
def many(x, w):
    """A state of every other kind."""
    return np.prod(x / 3), np.min(x), np.argmax(x), np.count_nonzero(x > 0), np.average(x, weights=w), np.dot(x, w)


@rf.kernel
def noisy(x, seed: rf.Scalar):
    """Random numbers, by their places in the whole row."""
    return np.max(x + rf.gumbel(x, seed))


def values(kind, dtype):
    x = RNG.normal(size=(ROWS, N)) * 5
    x += {"plain": 0, "far": 80000}.get(kind, 0)
    if kind == "special":
        x[:, 400] = [np.nan, np.inf, -np.inf, 1e30, -0.0]
    return x.astype(dtype)


class Parts:
    """The functions for parts of a kernel's rows, called with NumPy arrays (1-d: a number each row), floats, sizes."""

    def __init__(self, made, kernel, dtype):
        self.c, self.symbol = made.c, made.symbol
        self.layout = kernel
        self.dtype = np.dtype(dtype)

    def __call__(self, name, *arguments):
        passed = []
        for a in arguments:
            if isinstance(a, np.ndarray) and a.dtype.names is None:
                steps = [ctypes.c_ssize_t(s // a.itemsize) for s in a.strides]
                passed += [ctypes.c_void_p(a.ctypes.data), *steps]
            elif isinstance(a, np.ndarray):
                passed.append(ctypes.c_void_p(a.ctypes.data))
            else:
                passed.append(ctypes.c_double(a) if isinstance(a, float) else ctypes.c_ssize_t(a))
        return self.c[f"{self.symbol}_{name}"](*passed)


def chunks(arrays, i):
    low, high = CUTS[i], CUTS[i + 1]
    return [a[:, low:high] if isinstance(a, np.ndarray) and a.ndim == 2 else a for a in arrays]


def blank(like):
    return np.zeros_like(like)


CASES = {
    "softmax": (library.softmax, {}, lambda d, kind: (values(kind, d), 1.25), ("x",)),
    "log_softmax": (library.log_softmax, {}, lambda d, kind: (values(kind, d), 1.0), ("x",)),
    "logsumexp": (library.logsumexp, {}, lambda d, kind: (values(kind, d),), ()),
    "entropy": (library.entropy, {}, lambda d, kind: (values(kind, d),), ()),
    "cross_entropy": (library.cross_entropy, {}, lambda d, kind: (values(kind, d), np.arange(ROWS) * 130), ()),
    "layer_norm": (library.layer_norm, {}, lambda d, kind: (values(kind, d), 1e-5), ("x",)),
    "softmax_topk": (library.softmax_topk, {"k": 5}, lambda d, kind: (values(kind, d), 1.0), ()),
    "deviation": (deviation, {}, lambda d, kind: (values(kind, d),), ()),
    "many": (many, {}, lambda d, kind: (values(kind, d), np.abs(values("plain", d))), ()),
    "noisy": (noisy, {}, lambda d, kind: (values(kind, d), np.arange(ROWS, dtype=np.uint64) + 7), ()),
}
QUICK = ("softmax", "many", "deviation", "cross_entropy")
EVERY = [
    pytest.param(name, dtype, marks=() if name in QUICK and dtype == "float32" else pytest.mark.slow)
    for name in CASES
    for dtype in ("float32", "float64")
]


def called(kernel, arrays, static):
    """The arguments as Python takes them: settings by name."""
    floats = [s.name for s in kernel.settings if not s.static]
    numbers = [a for a in arrays if isinstance(a, float)]
    return [a for a in arrays if not isinstance(a, float)], {**dict(zip(floats, numbers, strict=False)), **static}


@pytest.mark.isa("avx2")
@pytest.mark.parametrize("kind", ["plain", "far", "special"])
@pytest.mark.parametrize(("name", "dtype"), EVERY)
def test_parts_have_the_bits_of_python(name, dtype, kind, embedded):
    """Each state, each merge in either order, and what is finished from them, at cuts that leave a part empty."""
    kernel, static, make, rows = CASES[name]
    kernel = kernel.using(isa="avx2")
    arrays = make(dtype, kind)
    made = Parts(embedded(kernel, dtype=dtype, isas=["avx2"], states=True, shape=(ROWS, N), **static), kernel, dtype)
    merged = None
    for done in range(kernel.rounds if not static else 1):
        given, merged = merged, kernel.identity((ROWS,), dtype, **static)
        for i in range(len(CUTS) - 1):
            part = chunks(arrays, i)
            plain, settings = called(kernel, part, static)
            wanted = kernel.partial(*plain, offset=CUTS[i], given=given, **settings)
            state, joined = blank(wanted), blank(wanted)
            n = CUTS[i + 1] - CUTS[i]
            between = [given if given is not None else 0] if made_rounds(kernel, static) > 1 else []
            assert made("partial_rows", ROWS, n, *part, CUTS[i], *between, state) == 0
            assert state.tobytes() == wanted.tobytes(), (done, i)
            first, second = (merged, wanted) if i % 2 else (wanted, merged)
            assert made("merge", ROWS, first, second, joined) == 0
            merged = kernel.merge(first, second)
            same(joined, merged)
    compare_results(made, kernel, arrays, static, merged, rows, dtype)


def made_rounds(kernel, static):
    return 1 if static else kernel.rounds


def same(got, wanted):
    """The same bits, whichever NaN."""
    a, b = (np.ascontiguousarray(s).view(np.float64) for s in (got, wanted))
    assert np.where(np.isnan(a), 0.5, a).tobytes() == np.where(np.isnan(b), 0.5, b).tobytes()


def compare_results(made, kernel, arrays, static, state, rows, dtype):
    if rows:
        part = chunks(arrays[:1], 3)[0]
        wanted, out = kernel.finish(state, part, offset=CUTS[3], **static), np.empty_like(part)
        assert made("finish_rows", ROWS, part.shape[1], part, CUTS[3], state, out) == 0
        assert out.tobytes() == wanted.tobytes()
        return
    wanted = kernel.finish(state, **static)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    outs = [np.empty_like(w) for w in wanted]
    assert made("finish_rows", ROWS, state, *outs) == 0
    assert [o.tobytes() for o in outs] == [w.tobytes() for w in wanted]


def test_bad_states_are_refused(embedded):
    """Null pointers, negative sizes, and states of different rounds: a status, and nothing is written."""
    made = Parts(embedded(deviation, isas=["portable"], states=True, shape=(1, 64)), deviation, "float32")
    x = np.ones((1, 64), np.float32)
    first = deviation.partial(x)
    second = deviation.partial(x, given=first)
    out, joined = np.full(1, 7, np.float32), blank(first)
    said = [
        made("merge", 1, first, second, joined),
        made("finish_rows", 1, first, out),
        made("partial_rows", 1, 64, x, 0, second, joined),
        made("partial_rows", 1, -1, x, 0, 0, joined),
        made("partial_rows", 1, 64, x, -3, 0, joined),
        made("partial_rows", 1, 64, x, 0, 0, 0),
        made("identity", 0),
    ]
    assert (said, out[0], joined.tobytes()) == ([6, 6, 6, 2, 2, 1, 1], 7, blank(first).tobytes())


def test_what_leaves_no_state_has_no_such_functions(tmp_path):
    """A threshold has to see its whole row: it is written without, and with `states=` the error says why."""
    library.sparsemax.emit(tmp_path, isas=["portable"])
    assert "_partial(" not in (tmp_path / "rowfold_sparsemax.h").read_text()
    with pytest.raises(rf.PlanError, match="threshold"):
        library.sparsemax.emit(tmp_path, isas=["portable"], states=True, overwrite=True)
