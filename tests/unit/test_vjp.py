"""The derived program gives the gradients, in float64 and by an interpreter: no kernel is compiled here."""

import numpy as np
import pytest

import rowfold as rf
from rowfold import library
from rowfold.codegen.interpret import interpret
from rowfold.codegen.ir import Role
from rowfold.codegen.trace import parameters, trace
from rowfold.codegen.vjp import FLOAT_ROLES, gradient_names, vjp
from rowfold.testing import Case, Random, cases, load, random_source
from rowfold.testing.values import FINITE, row

STEP = 1e-6
SMOOTH = "square reciprocal sqrt exp exp2 expm1 log log2 log1p tanh sin cos arcsin arccos arctan absolute".split()
OURS = {"sigmoid": rf.sigmoid, "softplus": rf.softplus, "rsqrt": rf.rsqrt}
BINARY = "add subtract multiply divide maximum minimum".split()
LIBRARY = (
    "softmax log_softmax softmin masked_softmax logsumexp cross_entropy entropy kl_div layer_norm rms_norm "
    "max mean sum var"
).split()
REDUCTIONS = {
    "sum": lambda x, z, keep: np.sum(x * z),
    "prod": lambda x, z, keep: np.prod(x * z),
    "max": lambda x, z, keep: np.max(x - z),
    "min": lambda x, z, keep: np.min(x * z),
    "mean": lambda x, z, keep: np.mean(np.tanh(x) * z),
    "var": lambda x, z, keep: np.var(x * z, ddof=1),
    "dot": lambda x, z, keep: np.dot(x, z) / np.linalg.norm(x),
    "logsumexp": lambda x, z, keep: rf.logsumexp(x * z),
    "weighted": lambda x, z, keep: np.sum(np.exp(x) * z) / np.sum(np.exp(x)),
    "third_moment": lambda x, z, keep: np.mean((x * z - np.mean(x * z)) ** 3),
    "fourth_moment": lambda x, z, keep: np.mean((x - np.mean(x)) ** 4) * z,
    "covariance": lambda x, z, keep: np.mean((x - np.mean(x)) * (z - np.mean(z))),
    "weighted_variance": lambda x, z, keep: np.average((x - np.average(x, weights=z)) ** 2, weights=z),
    "sum_where": lambda x, z, keep: np.sum(x * z, where=keep),
    "max_where": lambda x, z, keep: np.max(x * z, where=keep, initial=-np.inf),
    "mean_where": lambda x, z, keep: np.mean(np.square(x) * z, where=keep),
    "var_where": lambda x, z, keep: np.var(x - z, where=keep),
    "logsumexp_where": lambda x, z, keep: rf.logsumexp(x * z, where=keep),
}


def settings_of(program):
    return {p.name: 0.75 for _, p in program.params}


def rows_for(program, shape=(3, 7), seed=0):
    """Arguments in (0.1, 0.9), where every function of the row language is smooth."""
    rng = np.random.default_rng(seed)
    makers = {
        Role.MASK: lambda: rng.random(shape) < 0.6,
        Role.INDEX: lambda: rng.integers(0, shape[-1], shape[:-1]),
        Role.SCALAR: lambda: rng.uniform(0.1, 0.9, shape[:-1]),
    }
    return {n.name: makers.get(n.role, lambda: rng.uniform(0.1, 0.9, shape))() for _, n in program.inputs}


def incoming(program, inputs, seed=1):
    """A random gradient for each result."""
    rng = np.random.default_rng(seed)
    results = interpret(program, inputs, settings_of(program))
    return {n: rng.normal(size=r.shape) for n, r in zip(gradient_names(program), results, strict=True)}


def derived(program, inputs, gradients):
    """The gradients by name."""
    found = interpret(vjp(program), {**inputs, **gradients}, settings_of(program))
    names = [n.name for _, n in program.inputs if n.role in FLOAT_ROLES]
    return dict(zip(names, found, strict=True))


def slope(program, inputs, gradients, name, way):
    """The change of the results along `way` in one argument, weighted by the gradients, by central differences."""

    def moved(step):
        results = interpret(program, {**inputs, name: inputs[name] + step * way}, settings_of(program))
        return sum(np.sum(r * g) for r, g in zip(results, gradients.values(), strict=True))

    return (moved(STEP) - moved(-STEP)) / (2 * STEP)


def errors(program, inputs, seed=2):
    """How far the derived gradients are from central differences, along a random direction in each argument."""
    rng, gradients = np.random.default_rng(seed), incoming(program, inputs)
    ways = {name: rng.normal(size=inputs[name].shape) for name in derived(program, inputs, gradients)}
    want = np.array([slope(program, inputs, gradients, name, way) for name, way in ways.items()])
    got = np.array([np.sum(g * ways[name]) for name, g in derived(program, inputs, gradients).items()])
    return np.abs(got - want) / (1 + np.abs(want))


@pytest.mark.parametrize("op", [*SMOOTH, *OURS])
def test_every_elementwise_function_has_its_slope(op):
    """The gradient of f(x) z agrees with central differences."""
    function = OURS.get(op) or getattr(np, op)
    program = trace(lambda x, z: function(x) * z)
    assert max(errors(program, rows_for(program))) < 1e-8


@pytest.mark.parametrize("op", BINARY)
def test_every_operation_has_its_slopes(op):
    """The gradients of an operation in both operands agree with central differences."""
    program = trace(lambda x, z: getattr(np, op)(x, z) * x)
    assert max(errors(program, rows_for(program))) < 1e-8


@pytest.mark.parametrize("exponent", [-2.5, -1, 0.5, 1.7, 2, 3, 5])
def test_powers_have_their_slope(exponent):
    """The gradient of x^p agrees with central differences."""
    program = trace(lambda x: np.power(x, exponent))
    assert max(errors(program, rows_for(program))) < 1e-7


@pytest.mark.parametrize("name", REDUCTIONS)
def test_every_reduction_has_its_slopes(name):
    """The gradients of a reduction, with a predicate or without, agree with central differences."""

    def fn(x, z, keep: rf.Mask):
        return REDUCTIONS[name](x, z, keep) * x

    program = trace(fn)
    assert max(errors(program, rows_for(program))) < 1e-8


@pytest.mark.parametrize("name", LIBRARY)
def test_the_library_has_its_gradients(name):
    """Every kernel of the library, with its optional parameters, agrees with central differences."""
    kernel = getattr(library, name)
    program = trace(kernel.__wrapped__, given=frozenset(p.name for p in kernel.parameters if p.optional))
    assert max(errors(program, rows_for(program))) < 1e-7


@pytest.mark.parametrize("kind", ["normal", "normal_x5", "normal_plus_1e4", "all_equal", "alternating", "sorted_up"])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp", "entropy", "layer_norm"])
def test_rows_of_the_zoo_have_their_gradients(name, kind):
    """Wherever central differences can be taken, the gradients agree with them."""
    program = trace(getattr(library, name).__wrapped__)
    x = np.stack([row(kind, np.float64, 9, np.random.default_rng(i)) for i in range(3)])
    assert max(errors(program, {"x": x})) < 1e-5


@pytest.mark.parametrize("kind", FINITE)
def test_the_gradient_of_softmax_is_finite_for_every_finite_row(kind):
    """No exponential of a finite row overflows on the way to a gradient."""
    program = vjp(trace(library.softmax.__wrapped__))
    x = row(kind, np.float64, 100, np.random.default_rng(0))
    (got,) = interpret(program, {"x": x, "gradient": np.sin(np.arange(100))}, {"temperature": 1.0})
    assert np.isfinite(got).all()


@pytest.mark.parametrize("seed", range(0, 200, 20))
def test_random_programs_have_their_gradients(seed):
    """Programs that nobody wrote agree with central differences wherever their results are finite."""
    wrong = []
    for one in range(seed, seed + 20):
        fn = load(random_source(Random(one)))
        program = trace(fn)
        inputs = cases.arrays(Case(seed=one, batch=(2,), width=6, dtype="float64"), parameters(fn))
        finite = all(np.isfinite(r).all() for r in interpret(program, inputs, settings_of(program)))
        if finite and max(errors(program, inputs)) > 1e-5:
            wrong.append(one)
    assert wrong == []


def gradients_of(fn, *arrays, **by_name):
    """The gradients of a row function at one row, all incoming gradients being 1."""
    program = trace(fn)
    names = [n.name for _, n in program.inputs]
    inputs = dict(zip(names, map(np.asarray, arrays), strict=False)) | by_name
    ones = {n: np.ones_like(r) for n, r in zip(gradient_names(program), interpret(program, inputs, {}), strict=True)}
    return list(derived(program, inputs, ones).values())


def test_tied_maxima_share_the_gradient():
    """Two elements that are the maximum get half of its gradient each."""
    assert gradients_of(lambda x: np.max(x), [1.0, 3.0, 3.0])[0].tolist() == [0.0, 0.5, 0.5]


def test_tied_operands_share_the_gradient():
    """np.maximum of two equal values gives half to each."""
    found = gradients_of(lambda x, z: np.maximum(x, z), [1.0, 2.0], [1.0, 5.0])
    assert [g.tolist() for g in found] == [[0.5, 0.0], [0.5, 1.0]]


def test_a_product_with_one_zero_has_a_slope_there_only():
    """The product of the others is the slope of the element that is 0."""
    assert gradients_of(lambda x: np.prod(x), [2.0, 0.0, 5.0])[0].tolist() == [0.0, 10.0, 0.0]


def test_a_product_with_two_zeros_has_no_slope():
    """With two zeros every product of the others is 0."""
    assert gradients_of(lambda x: np.prod(x), [2.0, 0.0, 0.0])[0].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("hidden", [np.inf, -np.inf, np.nan, 1e300, -1e300, 0.0])
@pytest.mark.parametrize(
    "fn",
    [
        lambda x, keep: np.where(keep, np.exp(x), 0.0),
        lambda x, keep: np.where(keep, np.log(x), 0.0),
        lambda x, keep: np.where(keep, np.sqrt(x) / x, 0.0),
        lambda x, keep: np.sum(np.square(x) * x, where=keep),
        lambda x, keep: rf.logsumexp(x, where=keep),
        lambda x, keep: np.var(x, where=keep),
        lambda x, keep: np.prod(x, where=keep),
        lambda x, keep: library.softmax(np.where(keep, x, -np.inf)),
        lambda x, keep: library.entropy(np.where(keep, x, -np.inf)),
    ],
    ids="exp log root sum logsumexp var prod softmax entropy".split(),
)
def test_what_a_mask_hides_gets_nothing_and_gives_nothing(fn, hidden):
    """Whatever stands behind the mask, its gradient is 0 and that of the others is as if it were 1."""

    def masked(x, keep: rf.Mask):
        return fn(x, keep)

    keep = np.array([True, False, True, True])
    got, want = (gradients_of(masked, np.array([0.5, value, 1.5, 2.0]), keep)[0] for value in (hidden, 1.0))
    np.testing.assert_array_equal(got, np.where(keep, want, 0.0))


def test_a_maximum_that_only_shifts_has_no_gradient():
    """No maximum is left in the gradient of softmax, however softmax was written."""
    assert "max(" not in str(vjp(trace(library.softmax.__wrapped__)))


def test_softmax_and_its_two_spellings_have_one_gradient():
    """The naive spelling and the one by logsumexp derive to the same nodes."""
    naive = vjp(trace(lambda x: np.exp(x) / np.sum(np.exp(x))))
    assert vjp(trace(lambda x: np.exp(x - rf.logsumexp(x)))).nodes == naive.nodes


def test_a_stopped_value_has_no_gradient():
    """x times a stopped x has the slope of x times a constant."""
    assert gradients_of(lambda x: x * rf.stop_gradient(np.square(x)), [3.0])[0].tolist() == [9.0]


def test_a_straight_through_estimate_has_the_slope_of_what_it_stands_for():
    """x + stop_gradient(rint(x) - x) is rint(x) with slope 1."""
    assert gradients_of(lambda x: x + rf.stop_gradient(np.rint(x) - x), [0.3, 1.7])[0].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("step", [np.sign, np.floor, np.rint, lambda x: np.where(x > 0.5, 1.0, 0.0)])
def test_a_step_has_no_slope(step):
    """Sign, floor, rint and comparisons pass no gradient on."""
    assert gradients_of(lambda x: step(x), [0.3, 1.7])[0].tolist() == [0.0, 0.0]


def test_the_position_of_a_maximum_is_not_differentiable():
    """A kernel that gives integers alone has no gradient, and says so."""
    with pytest.raises(rf.NotDifferentiableError, match="gives no floats"):
        vjp(trace(lambda x: np.argmax(x)))


SELECTIONS = {
    "sparsemax": library.sparsemax.__wrapped__,
    "entmax15": library.entmax15.__wrapped__,
    "kth": lambda x: rf.kth(x, 3) * x,
    "topk_sum": lambda x, z: np.sum(rf.topk(x * z, 3)[0]) * x,
    "topk_max": lambda x, z: np.max(np.square(rf.topk(x * z, 3)[0])) * x,
    "cumsum": lambda x, z: np.sum(np.square(np.cumsum(rf.topk(x * z, 4)[0]))) * x,
    "cumsum_of_equal_gradients": lambda x, z: np.sum(np.cumsum(rf.topk(x * z, 4)[0])) * x,
    "element": lambda x, z: rf.topk(x * z, 4)[0][1] * x,
    "probabilities": lambda x, z: np.sum(np.square(rf.topk(library.softmax(x * z), 4)[0])),
    "margin": lambda x: rf.topk(library.softmax(x), 2)[0][0] - rf.topk(library.softmax(x), 2)[0][1],
    "pooled": lambda x: np.sum(x * np.exp(x)) / np.sum(np.exp(x)),
    "gathered": lambda x, y: x[y] * x,
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_selections_have_their_slopes(name):
    """Thresholds, the k largest and what is computed of them agree with central differences."""

    def fn(x, y: rf.Index):
        return SELECTIONS["gathered"](x, y)

    program = trace(fn if name == "gathered" else SELECTIONS[name])
    assert max(errors(program, rows_for(program))) < 1e-8


def test_the_largest_stays_equal_to_the_maximum():
    """A factor that simplifying takes out of an exponent does not part an element from the maximum that it is."""
    program = trace(lambda x: np.exp(x.size * (np.square(x) - 1)) / np.max(np.exp(x.size * (np.square(x) - 1))))
    assert max(errors(program, rows_for(program, (20, 7)))) < 1e-7
