"""Inside PyTorch a call keeps what its gradients need: eagerly, compiled, transformed, and for second derivatives."""

import numpy as np
import pytest

import rowfold as rf

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]
F = torch.nn.functional
TARGET = torch.tensor([3, -100, 0])


@pytest.fixture(scope="module")
def ours():
    """The module under test, imported once PyTorch is known to be there."""
    from rowfold.interop import torch as module

    return module


def rows(*shape, dtype=torch.float64, grad=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_(grad)


X, Z, W, B = rows(3, 5), rows(3, 5, seed=1), rows(5, seed=2), rows(5, seed=3)
SECOND = {
    "softmax": (lambda o, x: o.softmax(x, temperature=0.7), (X,)),
    "softmax of columns": (lambda o, x: o.softmax(x, dim=0), (X,)),
    "log_softmax": (lambda o, x: o.log_softmax(x), (X,)),
    "masked_softmax": (lambda o, x: o.masked_softmax(x, Z > -0.5), (X,)),
    "logsumexp": (lambda o, x: o.logsumexp(x), (X,)),
    "entropy": (lambda o, x: o.entropy(x), (X,)),
    "kl_div": (lambda o, x, z: o.kl_div(x, z), (X, Z)),
    "layer_norm": (lambda o, x, w, b: o.layer_norm(x, w, b), (X, W, B)),
    "layer_norm with a bias alone": (lambda o, x, b: o.layer_norm(x, bias=b), (X, B)),
    "rms_norm": (lambda o, x, w: o.rms_norm(x, w), (X, W)),
    "cross_entropy": (lambda o, x: o.cross_entropy(x, TARGET, label_smoothing=0.1, z_loss=0.01), (X,)),
    "sparsemax": (lambda o, x: o.sparsemax(x), (X,)),
    "entmax15": (lambda o, x: o.entmax15(x), (X,)),
}


@pytest.mark.parametrize("name", SECOND)
def test_first_derivatives(ours, name):
    """torch.autograd.gradcheck accepts the gradients from what was kept."""
    function, tensors = SECOND[name]
    assert torch.autograd.gradcheck(lambda *t: function(ours, *t), tensors)


@pytest.mark.parametrize("name", SECOND)
def test_second_derivatives(ours, name):
    """torch.autograd.gradgradcheck accepts the gradients of gradients, optional parameters included."""
    function, tensors = SECOND[name]
    assert torch.autograd.gradgradcheck(lambda *t: function(ours, *t), tensors)


@pytest.mark.parametrize("name", ["softmax", "layer_norm", "cross_entropy"])
def test_a_compiled_function_has_the_same_gradients(ours, name):
    """torch.compile(fullgraph=True) gives what the plain call gives, through the operators that keep."""
    function, tensors = SECOND[name]
    torch._dynamo.reset()
    compiled = torch.compile(lambda *t: function(ours, *t).square().sum(), fullgraph=True, backend="aot_eager")
    want = torch.autograd.grad(function(ours, *tensors).square().sum(), tensors)
    torch.testing.assert_close(torch.autograd.grad(compiled(*tensors), tensors), want)


def test_softmax_keeps_its_result_alone(ours):
    """The rows that went in can be freed: nothing of them is kept."""
    kept = ours.softmax(X).grad_fn.saved_tensors
    assert len(kept) == 1 and torch.equal(kept[0], ours.softmax(X))


@pytest.mark.parametrize("name", ["softmax", "layer_norm", "cross_entropy"])
def test_opcheck_of_the_operators_that_keep(ours, name):
    """torch.library.opcheck finds schema, fakes, autograd and dynamic shapes right."""
    getattr(ours, name)
    more = {"layer_norm": (W, None), "cross_entropy": (TARGET,)}.get(name, ())
    operator = getattr(torch.ops.rowfold, f"{name}_kept").default
    assert set(torch.library.opcheck(operator, (X, *more, -1)).values()) == {"SUCCESS"}


def test_shapes_stay_symbols(ours):
    """One dynamic graph serves rows of two lengths, gradients included."""
    compiled = torch.compile(lambda x, w: ours.layer_norm(x * 2, w), fullgraph=True, dynamic=True, backend="aot_eager")
    torch._dynamo.reset()
    for n in (7, 9):
        x, w = rows(3, n), rows(n, seed=1)
        got = torch.autograd.grad(compiled(x, w).square().sum(), (x, w))
        want = torch.autograd.grad(F.layer_norm(x * 2, (n,), w).square().sum(), (x, w))
        torch.testing.assert_close(got, want)


def test_a_batch_size_can_be_exported_as_a_symbol(ours):
    """torch.export with a dynamic batch, run on another batch."""

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(5))

        def forward(self, x):
            return ours.layer_norm(ours.softmax(x), self.weight)

    batch = {"x": {0: torch.export.Dim("batch")}}
    exported = torch.export.export(Model(), (rows(3, 5, dtype=torch.float32, grad=False),), dynamic_shapes=batch)
    assert exported.module()(rows(9, 5, dtype=torch.float32, grad=False)).shape == (9, 5)


def test_gradients_of_each_sample(ours):
    """vmap of grad gives every element of the batch its own gradient of a shared weight."""
    x, w = rows(3, 4, 5, grad=False), rows(5, seed=1, grad=False)
    each = torch.func.vmap(torch.func.grad(lambda a, b: ours.layer_norm(a, b).square().sum(), argnums=1), (0, None))
    one = torch.func.grad(lambda b, a: F.layer_norm(a, (5,), b).square().sum())
    torch.testing.assert_close(each(x, w), torch.stack([one(w, a) for a in x]))


@pytest.mark.parametrize("transform", ["hessian", "jacrev", "jacfwd"])
def test_transforms_of_functions(ours, transform):
    """torch.func's own results for logsumexp, backward and forward."""
    change = getattr(torch.func, transform)
    x = X[0].detach()
    torch.testing.assert_close(change(ours.logsumexp)(x), change(lambda v: torch.logsumexp(v, -1))(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["softmax", "layer_norm", "cross_entropy"])
def test_narrow_gradients_are_those_of_float32_rounded(ours, name, dtype):
    """Within two units of the narrow format (a kept result was rounded once, the gradient once more)."""
    function, tensors = SECOND[name]
    narrow = [t.detach().to(dtype).requires_grad_() for t in tensors]
    wide = [t.detach().float().requires_grad_() for t in narrow]
    got, want = (torch.autograd.grad(function(ours, *t).sum(), t, retain_graph=True) for t in (narrow, wide))
    unit = torch.finfo(dtype).eps
    torch.testing.assert_close([g.float() for g in got], [*want], rtol=2 * unit, atol=2 * unit)


def test_a_loss_and_its_gradient_come_in_one_go(ours):
    """with_gradients(cross_entropy) gives what the loss and its backward pass give."""
    target, each = torch.tensor([3, 1, 0]), torch.full((3,), 1 / 3, dtype=torch.float64)
    loss, (gradient,) = ours.with_gradients(rf.library.cross_entropy)(X.detach(), target, each)
    want = F.cross_entropy(X, target)
    torch.testing.assert_close((loss.mean(), gradient), (want.detach(), *torch.autograd.grad(want, X)))


def test_memory_of_bfloat16_is_shared():
    """A bfloat16 tensor reaches the kernel as the array at the same address."""
    pytest.importorskip("ml_dtypes")
    from rowfold.interop.torch_arrays import array

    x = rows(3, 5, dtype=torch.bfloat16)
    assert array(x).ctypes.data == x.data_ptr()


def test_what_has_no_gradient_says_so_in_the_backward_pass(ours):
    """The reason is that of the kernel's vjp."""
    odd = ours.wrap(rf.kernel(lambda x: np.prod(rf.topk(x, 2)[0]), name="odd"))
    with pytest.raises(rf.NotDifferentiableError, match="small_prod"):
        odd(X).sum().backward()


REFUSED = {
    "a place out of range": (lambda o: o.softmax(X, dim=5), IndexError, "axis 5 is out of bounds"),
    "integers": (lambda o: o.softmax(torch.arange(3)), rf.DTypeError, "'x' has dtype int64"),
    "a target out of range": (lambda o: o.cross_entropy(X, TARGET + 5), IndexError, "'target' is 8 at row 0"),
    "a sparse tensor": (lambda o: o.softmax(X.detach().to_sparse()), TypeError, "layout is torch.sparse_coo"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_tensors_are_named(ours, case):
    """What was found and what is expected."""
    call, kind, words = REFUSED[case]
    with pytest.raises(kind, match=words):
        call(ours)


def test_a_tensor_of_a_gpu_is_refused(ours):
    """The message names the device and the way out. (A fake tensor: no GPU is needed.)"""
    with torch._subclasses.FakeTensorMode(), pytest.raises(TypeError, match=r"on cuda:0; .*pass tensor.cpu\(\)"):
        ours.softmax(torch.empty(3, 4, device="cuda"))
