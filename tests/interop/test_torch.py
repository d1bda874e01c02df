"""Kernels as PyTorch operators agree with PyTorch's own, and with its checks of an operator."""

import numpy as np
import pytest

import rowfold as rf

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]
F = torch.nn.functional


@pytest.fixture(scope="module")
def ours():
    """The module under test, imported once PyTorch is known to be there."""
    from rowfold.interop import torch as module

    return module


def rows(*shape, dtype=None, grad=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_(grad)


X = rows(4, 50)
TARGET = torch.tensor([3, 0, 49, 7])
SAME = {
    "softmax": (lambda o: o.softmax(X), lambda: F.softmax(X, -1)),
    "softmax_dim": (lambda o: o.softmax(X, dim=0), lambda: F.softmax(X, 0)),
    "log_softmax": (lambda o: o.log_softmax(X), lambda: F.log_softmax(X, -1)),
    "logsumexp": (lambda o: o.logsumexp(X), lambda: torch.logsumexp(X, -1)),
    "layer_norm": (lambda o: o.layer_norm(X, X[0], X[1]), lambda: F.layer_norm(X, (50,), X[0], X[1])),
    "rms_norm": (lambda o: o.rms_norm(X, X[0], eps=1e-6), lambda: F.rms_norm(X, (50,), X[0], eps=1e-6)),
    "cross_entropy": (lambda o: o.cross_entropy(X, TARGET), lambda: F.cross_entropy(X, TARGET, reduction="none")),
}


@pytest.mark.parametrize("name", SAME)
def test_results_are_torchs(ours, name):
    """The same numbers as PyTorch's function, within float32."""
    mine, theirs = SAME[name]
    torch.testing.assert_close(mine(ours), theirs(), rtol=2e-6, atol=2e-6)


def gradients(function, *tensors):
    result = function(*tensors)
    return torch.autograd.grad(result, tensors, rows(*result.shape, seed=9))


def test_the_gradients_of_a_layer_norm_are_torchs(ours):
    """Rows, weight and bias get the gradients that PyTorch gives them."""
    tensors = [rows(4, 50, grad=True), rows(50, grad=True, seed=1), rows(50, grad=True, seed=2)]
    want = gradients(lambda x, w, b: F.layer_norm(x, (50,), w, b), *tensors)
    torch.testing.assert_close(gradients(ours.layer_norm, *tensors), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp", "entropy", "rms_norm", "layer_norm"])
def test_gradcheck(ours, name):
    """torch.autograd.gradcheck accepts the gradients."""
    assert torch.autograd.gradcheck(getattr(ours, name), rows(3, 5, dtype=torch.float64, grad=True))


@pytest.mark.parametrize("name", ["softmax", "logsumexp", "entropy"])
def test_gradgradcheck(ours, name):
    """torch.autograd.gradgradcheck accepts the second derivatives."""
    assert torch.autograd.gradgradcheck(getattr(ours, name), rows(3, 5, dtype=torch.float64, grad=True))


@pytest.mark.parametrize("name", ["softmax", "logsumexp", "rms_norm"])
def test_opcheck(ours, name):
    """torch.library.opcheck finds schema, fakes, autograd and dynamic shapes right."""
    getattr(ours, name)
    operator, missing = getattr(torch.ops.rowfold, name).default, {"rms_norm": [None]}.get(name, [])
    found = torch.library.opcheck(operator, (rows(4, 6, grad=True), *missing, -1))
    assert set(found.values()) == {"SUCCESS"}


@pytest.mark.slow
def test_a_compiled_function_sees_one_graph_for_all_shapes(ours):
    """torch.compile(fullgraph=True, dynamic=True) takes the operator, and two lengths give the right rows."""
    compiled = torch.compile(lambda x: ours.softmax(x * 2) + 1, fullgraph=True, dynamic=True)
    got = [compiled(rows(3, n)) for n in (7, 9)]
    torch.testing.assert_close(got, [F.softmax(rows(3, n) * 2, -1) + 1 for n in (7, 9)])


def test_an_exported_program_holds_the_operator(ours):
    """torch.export keeps the operator as one node."""

    class Model(torch.nn.Module):
        def forward(self, x):
            return ours.softmax(x)

    assert "rowfold.softmax" in str(torch.export.export(Model(), (X,)).graph)


def test_vmap_maps_over_rows_and_weights(ours):
    """A batched axis anywhere gives what a loop over it gives."""
    x, w = rows(4, 3, 50), rows(3, 50, seed=1)
    got = torch.func.vmap(lambda a, b: ours.layer_norm(a, b), in_dims=(1, 0))(x, w)
    torch.testing.assert_close(got, torch.stack([ours.layer_norm(x[:, i], w[i]) for i in range(3)]))


def test_memory_is_shared(ours):
    """A float32 tensor reaches the kernel as the array at the same address."""
    from rowfold.interop.torch_arrays import array

    assert array(X).ctypes.data == X.data_ptr()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_tensors_are_rounded_once(ours, dtype):
    """bfloat16 and float16 give the float32 result, rounded."""
    x = rows(4, 50).to(dtype)
    torch.testing.assert_close(ours.softmax(x), ours.softmax(x.float()).to(dtype), rtol=0, atol=0)


def test_integer_results_have_no_gradient(ours):
    """Beside a position, the value keeps its gradient."""
    best = ours.wrap(rf.kernel(lambda x: (np.max(x), np.argmax(x)), name="best"))
    value, place = best(rows(4, 50, grad=True))
    assert (value.requires_grad, place.requires_grad, place.dtype) == (True, False, torch.int64)


def test_a_kernel_of_ones_own_can_be_trained(ours):
    """A wrapped kernel has gradients as the library's have."""
    squared = ours.wrap(rf.kernel(lambda x: x / np.sum(np.square(x)), name="squared"))
    assert torch.autograd.gradcheck(squared, rows(3, 5, dtype=torch.float64, grad=True))


def test_an_array_is_refused(ours):
    """NumPy arrays have their own call."""
    with pytest.raises(TypeError, match="expected a tensor, not ndarray"):
        ours.softmax(np.ones(3))
