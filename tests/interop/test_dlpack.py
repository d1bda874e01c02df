"""Arrays of other libraries go in where they lie, and results come back as what the caller has."""

import gc

import numpy as np
import pytest

import rowfold as rf
from rowfold import library
from rowfold.interop import dlpack

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
X = np.random.default_rng(0).normal(size=(4, 50)).astype(np.float32)


class Owner:
    """An array of some library: its memory by `__dlpack__`, and a word on where that is."""

    def __init__(self, array, device=1):
        self.array, self.device = array, device

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device, 0


class OfTheArrayApi(Owner):
    """One whose library has a namespace with from_dlpack."""

    class Space:
        """The namespace."""

        @staticmethod
        def from_dlpack(x):
            return OfTheArrayApi(np.from_dlpack(x))

    def __array_namespace__(self):
        return self.Space


class Interface:
    """An object with `__array_interface__` alone."""

    def __init__(self, array):
        self.array, self.__array_interface__ = array, array.__array_interface__


class OfCuda:
    """An object with `__cuda_array_interface__` alone, as Numba's."""

    def __init__(self):
        self.__cuda_array_interface__ = {}


VIEWS = {"whole": X, "strided": X[::-1, ::2], "transposed": X.T, "empty": X[:0], "of no axes": np.array(X[0, 0])}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_memory_is_not_copied(view):
    """Shape, strides and address are the owner's."""
    got = dlpack.asarray(Owner(view))
    np.testing.assert_array_equal(got, view, strict=True)
    assert view.size == 0 or (got.ctypes.data, got.strides) == (view.ctypes.data, view.strides)


def test_the_owner_lives_as_long_as_the_array():
    """The memory is given back when the last view of it is gone, and not before."""
    base = np.arange(6.0)
    gone = []

    class Watched(np.ndarray):
        def __del__(self):
            gone.append(True)

    view = dlpack.asarray(Owner(base.view(Watched)))[1:]
    gc.collect()
    early, total = len(gone), view.sum()
    del view
    gc.collect()
    assert (early, total, len(gone)) == (0, 15.0, 1)


def test_memory_that_is_read_only_stays_so():
    """A result cannot go there, and nothing was written."""
    locked = np.zeros_like(X)
    locked.flags.writeable = False
    with pytest.raises(rf.OutputError, match="read-only"):
        dlpack.softmax(Owner(X), out=Owner(locked))


def test_out_is_written_where_it_lies():
    """The caller's own array is filled, and returned."""
    place = Owner(np.zeros_like(X))
    assert dlpack.softmax(Owner(X), out=place) is place
    np.testing.assert_array_equal(place.array, library.softmax(X))


def test_an_array_of_the_array_api_gets_its_kind():
    """Results pass through the namespace's from_dlpack."""
    got = dlpack.layer_norm(OfTheArrayApi(X), X[0])
    assert isinstance(got, OfTheArrayApi)
    np.testing.assert_array_equal(got.array, library.layer_norm(X, X[0]))


def test_an_array_interface_is_read():
    """Where a library has no way to make its arrays of others, the result is NumPy's."""
    np.testing.assert_array_equal(dlpack.softmax(Interface(X), axis=0), library.softmax(X, axis=0))


@pytest.mark.parametrize("array", [Owner(X, device=2), Owner(X, device=10), OfCuda()], ids="cupy rocm numba".split())
def test_an_array_of_a_gpu_is_refused(array):
    """The device is named, and what to do."""
    with pytest.raises(TypeError, match=r"softmax: the array is on (CUDA|ROCm); .*copy it there first"):
        dlpack.softmax(array)


def test_complex_numbers_are_the_kernels_to_refuse():
    """The dtype gets through, and the kernel names it."""
    with pytest.raises(rf.DTypeError, match="complex64"):
        dlpack.softmax(Owner(X + 1j))


def test_gradients_come_as_a_tuple_of_the_callers_kind():
    """A vjp is a kernel like any other."""
    got = dlpack.wrap(library.softmax.vjp)(OfTheArrayApi(X), OfTheArrayApi(X))
    np.testing.assert_array_equal(got[0].array, library.softmax.vjp(X, X)[0])


def test_numpy_stays_numpy():
    """Plain arrays go through."""
    np.testing.assert_array_equal(dlpack.softmax(X), library.softmax(X))


@pytest.mark.interop
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_tensors_of_torch(dtype):
    """Read in place, bfloat16 too, and given back as tensors."""
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(X).to(getattr(torch, dtype)).T
    got = dlpack.softmax(x, axis=0)
    assert dlpack.asarray(x).ctypes.data == x.data_ptr() and dlpack.asarray(x).flags.writeable
    assert type(got) is torch.Tensor and got.dtype == x.dtype
    torch.testing.assert_close(got.float(), torch.softmax(x.float(), 0), rtol=1e-2, atol=1e-2)


@pytest.mark.interop
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e4m3fn"])
def test_arrays_of_jax(dtype):
    """Read in place and never written, for JAX says of none that it may be."""
    jnp = pytest.importorskip("jax").numpy
    x = jnp.asarray(X, dtype)
    got = dlpack.softmax(x)
    assert not dlpack.asarray(x).flags.writeable
    assert isinstance(got, type(x)) and got.dtype == x.dtype
    np.testing.assert_array_equal(np.asarray(got), library.softmax(np.asarray(x)))
