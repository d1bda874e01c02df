"""`rowfold.compat.torch_functional` on the inputs that PyTorch tests its own functions with, values and gradients."""

import warnings

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="PyTorch's samples need it")
pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore")]
F = torch.nn.functional
NAMES = {
    "softmax": "softmax",
    "log_softmax": "log_softmax",
    "cross_entropy": "nn.functional.cross_entropy",
    "layer_norm": "nn.functional.layer_norm",
    "rms_norm": "nn.functional.rms_norm",
    "kl_div": "nn.functional.kl_div",
}


@pytest.fixture(scope="module")
def ours():
    """The module under test, imported once torch is known to be there."""
    from rowfold.compat import torch_functional as module

    return module


def samples(name, dtype):
    """PyTorch's own inputs for a function."""
    from torch.testing._internal.common_methods_invocations import op_db

    for info in (op for op in op_db if op.name == NAMES[name]):
        yield from info.sample_inputs("cpu", dtype, requires_grad=True)


def with_gradients(function, sample):
    """The result, and its gradients in everything that has one."""
    tensors = [t for t in (sample.input, *sample.args, *sample.kwargs.values()) if isinstance(t, torch.Tensor)]
    inputs = [t for t in tensors if t.requires_grad]
    result = function(sample.input, *sample.args, **sample.kwargs)
    if not result.numel():
        return (result.detach(),)
    generator = torch.Generator().manual_seed(0)
    way = torch.rand(result.shape, generator=generator, dtype=result.dtype)
    return (result.detach(), *torch.autograd.grad(result, inputs, way, allow_unused=True))


def widened(sample):
    """The sample in float64."""

    def wide(t):
        return t.detach().double().requires_grad_(t.requires_grad) if t.is_floating_point() else t

    return sample.transform(lambda t: wide(t) if isinstance(t, torch.Tensor) else t)


def error(got, exact):
    """The largest distance, where NaN is nothing but NaN."""
    assert torch.equal(got.isnan(), exact.isnan())
    return float((got.double() - exact).nan_to_num(0.0).abs().max()) if got.numel() else 0.0


@pytest.mark.parametrize("name", NAMES)
def test_pytorchs_samples_give_pytorchs_results(ours, name):
    """Values, gradients, shapes and dtypes in float64, for every sample that PyTorch tests the function with."""
    warnings.simplefilter("ignore")
    for sample in samples(name, torch.float64):
        got, want = (with_gradients(getattr(module, name), sample) for module in (ours, F))
        torch.testing.assert_close(got, want, equal_nan=True, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_in_float32_we_are_as_close_as_pytorch(ours, name):
    """No further from the float64 result than four times PyTorch, and 4u of what is largest."""
    warnings.simplefilter("ignore")
    for sample in samples(name, torch.float32):
        got, theirs = (with_gradients(getattr(module, name), sample) for module in (ours, F))
        exact = with_gradients(getattr(F, name), widened(sample))
        for mine, other, right in zip(got, theirs, exact, strict=True):
            size = float(right.nan_to_num(0.0).abs().max()) if right.numel() else 0.0
            room = 4 * error(other, right) + 4 * 2.0**-24 * size
            assert (mine.dtype, mine.shape) == (other.dtype, other.shape)
            assert error(mine, right) <= room + 1e-6, sample


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_noise_is_pytorchs(ours, hard):
    """After the same seed, the same sample."""
    x = torch.randn(4, 50, generator=torch.Generator().manual_seed(1))
    results = []
    for module in (ours, F):
        torch.manual_seed(3)
        results.append(module.gumbel_softmax(x, tau=0.7, hard=hard))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("wrong", [{"reduction": "median"}, {"label_smoothing": 2.0}])
def test_what_pytorch_refuses_is_refused(ours, wrong):
    """A ValueError, as PyTorch's is (a RuntimeError for the smoothing)."""
    with pytest.raises(ValueError, match=r"reduction|label_smoothing"):
        ours.cross_entropy(torch.randn(3, 5), torch.tensor([0, 1, 2]), **wrong)


def test_integers_need_a_dtype(ours):
    """There is no softmax of integers."""
    with pytest.raises(TypeError, match=r"pass dtype=torch.float32"):
        ours.softmax(torch.arange(3), dim=0)
