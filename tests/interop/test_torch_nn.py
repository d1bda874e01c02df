"""Modules in place of torch.nn's: the same results, gradients, parameters and state."""

import pytest

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]
MODULES = {
    "Softmax": {"dim": -1},
    "LogSoftmax": {"dim": 1},
    "Softmin": {"dim": 0},
    "LayerNorm": {"normalized_shape": (4, 5)},
    "RMSNorm": {"normalized_shape": 5},
}


@pytest.fixture(scope="module")
def ours():
    """The module under test, imported once PyTorch is known to be there."""
    from rowfold.interop import torch as module

    return module.nn


def rows(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).requires_grad_()


def trained(module, *tensors):
    """The result, and the gradients in the rows and the parameters."""
    result = module(*tensors)
    return result, *torch.autograd.grad(result.square().sum(), [tensors[0], *module.parameters()])


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_torchs(ours, name):
    """Results and all gradients."""
    mine, theirs = (getattr(m, name)(**MODULES[name]) for m in (ours, torch.nn))
    torch.testing.assert_close(trained(mine, rows(3, 4, 5)), trained(theirs, rows(3, 4, 5)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"ignore_index": 2}, {"reduction": "none", "label_smoothing": 0.1}])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_are_torchs(ours, options, weighted):
    """Reductions, ignored targets, smoothing and class weights."""
    weight = torch.rand(5, generator=torch.Generator().manual_seed(1)) if weighted else None
    mine, theirs = (m.CrossEntropyLoss(weight, **options) for m in (ours, torch.nn))
    target = torch.tensor([2, 0, 4])
    torch.testing.assert_close(trained(mine, rows(3, 5), target), trained(theirs, rows(3, 5), target))


def test_a_model_is_changed_in_place(ours):
    """Every module that has a counterpart becomes it; its parameters are the same objects."""
    model = torch.nn.Sequential(torch.nn.LayerNorm(5), torch.nn.Linear(5, 5), torch.nn.Softmax(-1))
    weight, before = model[0].weight, model(rows(3, 5))
    assert ours.replace(model) == 2 and model[0].weight is weight
    torch.testing.assert_close(model(rows(3, 5)), before)


def test_a_loss_compiles_in_one_graph(ours):
    """torch.compile(fullgraph=True) of a weighted loss with an ignored class and its gradient."""
    loss = ours.CrossEntropyLoss(torch.ones(5), ignore_index=2)
    x, target = rows(3, 5), torch.tensor([2, 0, 4])
    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    got, want = (torch.autograd.grad(f(x, target), x) for f in (compiled, loss))
    torch.testing.assert_close(got, want)
