"""What a call accepts and gives back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rowfold.runtime.call import Caller

Make = Callable[[str], Caller]
RNG = np.random.default_rng(7)
CUBE = RNG.normal(size=(3, 4, 5)).astype("f4")


def softmax(x: np.ndarray, axis: object = -1, temperature: float = 1.0) -> np.ndarray:
    z = x.astype("f8") / temperature
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return (e / e.sum(axis=axis, keepdims=True)).astype(x.dtype)


@pytest.mark.parametrize("axis", [-1, 0, 1, 2, -3, (0, 1), (2, 0), (0, 1, 2), None, ()])
def test_axis(caller: Make, axis: object) -> None:
    """Any axis, tuple of axes or None makes the row."""
    assert np.allclose(caller("softmax")(CUBE, axis=axis), softmax(CUBE, axis), rtol=1e-6)


@pytest.mark.parametrize("axis", [-1, 0, 1, (0, 1), (2, 0), None])
def test_out_gives_the_same_bits(caller: Make, axis: object) -> None:
    """A given out holds exactly what a fresh result holds."""
    out = np.full_like(CUBE, np.nan)
    caller("softmax")(CUBE, axis=axis, out=out)
    assert np.array_equal(out, caller("softmax")(CUBE, axis=axis))


def test_out_is_returned(caller: Make) -> None:
    """The object given as out comes back, also in a tuple of one."""
    out = np.empty_like(CUBE)
    k = caller("softmax")
    assert all(k(CUBE, out=given) is out for given in (out, (out,), out))


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[::2, ::-1, ::-2],
        lambda x: x.transpose(2, 0, 1),
        lambda x: np.broadcast_to(x[0, 0], (6, 5)),
        lambda x: np.asfortranarray(x),
        lambda x: x.astype(">f4"),
        lambda x: x.astype("f8"),
        lambda x: np.frombuffer(b"\0" + x.tobytes(), "u1")[1:].view("f4").reshape(x.shape),
        lambda x: x[:, :, :1],
        lambda x: x[:0],
        lambda x: x[:, :, :0],
    ],
)
def test_memory_layout(caller: Make, view: Callable[[np.ndarray], np.ndarray]) -> None:
    """Strides of any sign, zero strides, misaligned and big-endian rows give the bits of a plain copy."""
    x = view(CUBE)
    plain = np.array(x, x.dtype.newbyteorder("="), order="C")
    assert caller("softmax")(x).tobytes() == caller("softmax")(plain).tobytes()


def test_in_place(caller: Make) -> None:
    """The input may be the output."""
    x = CUBE.copy()
    assert np.array_equal(caller("softmax")(x, out=x), caller("softmax")(CUBE))


def test_partial_overlap(caller: Make) -> None:
    """An out that overlaps the input in part does not disturb it."""
    memory = np.arange(40, dtype="f4") % 7
    expected = caller("softmax")(memory[:32].reshape(4, 8).copy())
    assert np.array_equal(caller("softmax")(memory[:32].reshape(4, 8), out=memory[8:].reshape(4, 8)), expected)


def test_zero_dimensional(caller: Make) -> None:
    """A number is a row of one element and gives a number."""
    y = caller("softmax")(np.float32(3), axis=None)
    assert isinstance(y, np.float32) and y == 1


def test_lists(caller: Make) -> None:
    """A list is taken as np.asarray takes it."""
    assert caller("softmax")([[1.0, 1.0], [2.0, 2.0]]).tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_matrix(caller: Make) -> None:
    """A matrix counts as the array that it is."""
    x = CUBE[0].view(np.matrix)
    assert type(caller("softmax")(x)) is np.ndarray


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_lower_rank_row(caller: Make, axis: int) -> None:
    """A weight row lies along the row axis, whichever that is."""
    w = np.arange(1, 1 + CUBE.shape[axis], dtype="f4")
    expected = CUBE * w.reshape([-1 if k == axis else 1 for k in range(3)])
    assert np.array_equal(caller("weigh")(CUBE, w, axis=axis), expected)


def test_higher_rank_row(caller: Make) -> None:
    """A second row of higher rank extends the batch."""
    w = RNG.normal(size=(2, 1, 5)).astype("f4")
    assert np.array_equal(caller("weigh")(CUBE[0], w), CUBE[0] * w)


def test_promotion(caller: Make) -> None:
    """Mixed floats promote as in NumPy."""
    assert caller("weigh")(CUBE, np.ones(5)).dtype == np.float64


def test_python_numbers_are_weak(caller: Make) -> None:
    """A Python number as a row of one does not promote."""
    assert caller("weigh")(CUBE[:, :, :1], 2.0).dtype == np.float32


def test_index(caller: Make) -> None:
    """An index picks one element a row, in any integer dtype, and an ignored row gives 0."""
    target = np.array([[0, 4, 2, 3]] * 3)
    target[1, 1] = -100
    expected = np.where(target == -100, 0, np.take_along_axis(CUBE, np.maximum(target, 0)[..., None], -1)[..., 0])
    assert np.array_equal(caller("pick")(CUBE, target), expected)


def test_unsigned_index(caller: Make) -> None:
    """uint64, which a ufunc refuses, is an index too."""
    assert np.array_equal(caller("pick")(CUBE, np.uint64(2)), CUBE[..., 2])


def test_keepdims(caller: Make) -> None:
    """keepdims leaves axes of length one in numbers and nothing in rows."""
    shapes = [y.shape for y in caller("center")(CUBE, axis=(0, 2), keepdims=True)]
    assert shapes == [(3, 4, 5), (1, 4, 1), (1, 4, 1)]


def test_several_outputs(caller: Make) -> None:
    """Several results come as a tuple, and out may leave one to be made."""
    row, mean = np.empty_like(CUBE), np.empty((3, 4), "f4")
    y = caller("center")(CUBE, out=(row, mean, None))
    assert y[0] is row and y[1] is mean and np.array_equal(y[2], CUBE.argmax(-1))


@pytest.mark.parametrize("axis", [-1, 0, (0, 2), None])
def test_several_outputs_any_axis(caller: Make, axis: object) -> None:
    """Every result has its place whichever axes make the row."""
    row, mean, _ = caller("center")(CUBE, axis=axis)
    expected = CUBE.mean(axis=axis, dtype="f8", keepdims=True)
    assert np.allclose(row, CUBE - expected, atol=1e-6) and np.allclose(mean, expected.squeeze(axis), atol=1e-6)


def test_mask_broadcasts_over_the_batch(caller: Make) -> None:
    """A lower-rank mask is shared by all rows."""
    mask = np.array([True, False, True, True, False])
    assert np.allclose(caller("total_where")(CUBE, mask), CUBE.sum(-1, where=mask), atol=1e-6)


def test_boolean_row_is_a_mask(loaded: Callable[..., object]) -> None:
    """A bool array for a row parameter is told to the api as a mask."""
    from rowfold.runtime.call import Argument, CallSpec, Result

    seen: list[object] = []

    def compiled(dtype: object, *rest: object) -> object:
        seen.append(rest)
        return loaded("total_where")

    spec = CallSpec("total", (Argument("x", "row"), Argument("chosen", "row")), results=(Result(False),))
    Caller(spec, compiled)(CUBE, CUBE > 0)
    assert seen == [(5, 12, frozenset(), False, frozenset({"chosen"}), ())]


@pytest.mark.parametrize("axis", [-1, 0, (0, 1), None])
def test_where(loaded: Callable[..., object], axis: object) -> None:
    """where broadcasts to the first row, along every axis."""
    from rowfold.runtime.call import Argument, CallSpec, Result

    spec = CallSpec("total", (Argument("x", "row"),), results=(Result(False),))
    where = CUBE[:, :1, :] > 0
    y = Caller(spec, lambda *_: loaded("total_where"))(CUBE, where=where, axis=axis)
    assert np.allclose(y, CUBE.sum(axis, where=where), atol=1e-5)


def test_absent_argument(loaded: Callable[..., object]) -> None:
    """An optional argument that is None is not given to the loop."""
    from rowfold.runtime.call import Argument, CallSpec, FloatSetting

    arguments = (Argument("x", "row"), Argument("weight", "row", optional=True))
    k = Caller(CallSpec("softmax", arguments, (FloatSetting("t", 1.0),)), lambda *_: loaded("softmax"))
    assert np.array_equal(k(CUBE, None), k(CUBE, weight=None))


@pytest.mark.parametrize("value", [2.0, 2, np.float32(2), np.array(2.0), np.int8(2)])
def test_setting(caller: Make, value: object) -> None:
    """A setting is any real number."""
    assert np.allclose(caller("softmax")(CUBE, temperature=value), softmax(CUBE, temperature=2.0), rtol=1e-6)


def test_scalar(caller: Make) -> None:
    """A scalar is one number for all rows, or one a row."""
    by = np.arange(12.0).reshape(3, 4)
    assert np.array_equal(caller("shift")(CUBE, by)[2, 3], caller("shift")(CUBE, 11)[2, 3])


def test_float16(caller: Make) -> None:
    """float16 is computed in float32 and rounded once."""
    x = CUBE.astype("f2")
    assert np.array_equal(caller("softmax")(x), caller("softmax")(x.astype("f4")).astype("f2"))


def test_float16_out(caller: Make) -> None:
    """A float16 out is written along any axis."""
    x = CUBE.astype("f2")
    out = np.empty_like(x)
    assert np.array_equal(caller("softmax")(x, out=out, axis=(1, 0)), caller("softmax")(x, axis=(0, 1)))


def test_bfloat16(caller: Make) -> None:
    """bfloat16 is taken where ml_dtypes is installed."""
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x = CUBE.astype(bfloat16)
    assert np.array_equal(caller("softmax")(x), caller("softmax")(x.astype("f4")).astype(bfloat16))


def test_dtype(caller: Make) -> None:
    """dtype= takes integers and decides what comes back."""
    y = caller("softmax")(np.arange(4), dtype="f4")
    assert y.dtype == np.float32 and np.array_equal(y, caller("softmax")(np.arange(4, dtype="f4")))


def test_no_warning_escapes(caller: Make) -> None:
    """Overflow in the cast to float16 and nan in the input are silent, even where errors are asked for."""
    x = np.array([[1e30, np.nan], [7e4, 1.0]])
    with np.errstate(all="raise"):
        y = caller("shift")(x, 0.0, dtype="f2")
    assert np.isinf(y[1, 0])


def test_fast_path_is_taken(caller: Make) -> None:
    """A call like one seen before needs the compiled callback no more."""
    k = caller("softmax")
    first = k(CUBE)
    k._compiled = None
    assert np.array_equal(k(CUBE), first)


def test_fast_path_knows_options(caller: Make) -> None:
    """An option of the surroundings that may change the kernel is no call seen before."""
    import rowfold.config

    k = caller("softmax")
    k(CUBE)
    with rowfold.config.options(strategy="online"):
        calls = len(k._ready)
        k(CUBE)
    assert len(k._ready) == calls + 1


def test_what_is_remembered_is_what_was_written() -> None:
    """A careful path that takes options out of its mapping does not make two calls one."""
    from rowfold.runtime.call import Remembering
    from rowfold.runtime.repeat import Repeat

    class Popping(Remembering):
        def careful(self, arrays: object, out: object, options: dict[str, object]) -> tuple[object, Repeat]:
            k = options.pop("k", 0)
            again = Repeat(lambda *_: k, 0, (), ())
            again.direct = True
            return k, again

    popping = Popping()
    assert [popping(CUBE, k=3), popping(CUBE), popping(CUBE, k=3)] == [3, 0, 3]


def test_threads_are_accepted(caller: Make) -> None:
    """threads changes no bit."""
    assert np.array_equal(caller("softmax")(CUBE, threads=2), caller("softmax")(CUBE))
