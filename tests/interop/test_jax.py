"""jax.grad of a program, interpreted with jax.numpy, is what the derived program gives; kernels run inside JAX."""

import numpy as np
import pytest

import rowfold as rf
from rowfold import library
from rowfold.codegen.interpret import interpret
from rowfold.codegen.trace import trace
from rowfold.codegen.vjp import gradient_names, vjp
from rowfold.testing.values import row

jax = pytest.importorskip("jax")
pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("float64")]
jnp = jax.numpy
KINDS = ("normal", "normal_x5", "normal_plus_1e4", "alternating", "sorted_up", "outlier_up")
ROWS = (
    "softmax log_softmax softmin logsumexp entropy kl_div layer_norm rms_norm masked_softmax cross_entropy var"
).split()


@pytest.fixture(scope="module")
def ours():
    """The module under test, imported once JAX is known to be there."""
    from rowfold.interop import jax as module

    return module


def arguments(program, kind):
    """Rows of one kind of the zoo, a mask and targets."""
    rng = np.random.default_rng(0)
    makers = {"mask": lambda: rng.random((3, 9)) < 0.6, "index": lambda: rng.integers(0, 9, 3)}
    make = {"row": lambda: np.stack([row(kind, np.float64, 9, rng) for _ in range(3)])}
    return {n.name: (makers | make)[n.role.value]() for _, n in program.inputs}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ROWS)
def test_the_derived_program_gives_what_jax_derives(name, kind):
    """The gradients in all float rows, masks and targets included, from the program as traced."""
    program = trace(getattr(library, name).__wrapped__)
    inputs, settings = arguments(program, kind), {p.name: 0.75 for _, p in program.params}
    floats = [n.name for _, n in program.inputs if n.role.value == "row"]
    result = interpret(program, inputs, settings)[0]
    incoming = np.random.default_rng(1).normal(size=result.shape)

    def weighted(*rows):
        return jnp.sum(
            interpret(program, inputs | dict(zip(floats, rows, strict=True)), settings, xp=jnp)[0] * incoming
        )

    want = jax.grad(weighted, argnums=tuple(range(len(floats))))(*(jnp.asarray(inputs[f]) for f in floats))
    got = interpret(vjp(program), inputs | {gradient_names(program)[0]: incoming}, settings)
    scale = max(np.abs(w).max() for w in want)
    np.testing.assert_allclose(np.stack(got), np.stack(want), rtol=1e-7, atol=1e-9 * (1 + scale))


X = np.random.default_rng(0).normal(size=(4, 50)).astype(np.float32)


def test_a_kernel_runs_under_jit(ours):
    """A jitted function gives what the kernel gives."""
    np.testing.assert_array_equal(jax.jit(ours.softmax)(X), library.softmax(X))


def test_a_kernel_has_gradients(ours):
    """jax.grad goes through the kernel's own gradients, from what the call kept."""
    got = jax.grad(lambda x: jnp.sum(ours.softmax(x) * X[::-1]))(jnp.asarray(X))
    _, saved = library.softmax.with_saved(X)
    np.testing.assert_array_equal(got, library.softmax.vjp.from_saved(saved, np.ascontiguousarray(X[::-1]))[0])


def test_second_derivatives_are_there_too(ours):
    """The Hessian-vector product of logsumexp is the gradient of softmax."""
    push = jax.grad(lambda x: jnp.vdot(jax.grad(lambda z: jnp.sum(ours.logsumexp(z)))(x), X[::-1]))
    np.testing.assert_allclose(push(jnp.asarray(X)), library.softmax.vjp(X, X[::-1].copy())[0], atol=1e-7)


def test_vmap_maps_over_rows(ours):
    """vmap over the leading axis is the batch."""
    np.testing.assert_array_equal(jax.vmap(ours.softmax)(X), library.softmax(X))


def test_targets_have_no_gradient(ours):
    """The gradient of a cross-entropy in its logits, by integer targets."""
    target = np.array([3, 0, 49, 7])
    got = jax.grad(lambda x: jnp.sum(ours.cross_entropy(x, target)))(jnp.asarray(X))
    want = library.cross_entropy.vjp(X, target, np.ones(4, np.float32))[0]
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-9)


def test_a_shared_weight_gets_a_gradient_of_its_shape(ours):
    """A layer norm's weight is summed over the batch."""
    got = jax.grad(lambda w: jnp.sum(ours.layer_norm(X, w)))(jnp.asarray(X[0]))
    want = library.layer_norm.vjp(X, np.ones_like(X), weight=X[0])[1]
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_a_kernel_of_ones_own_runs(ours):
    """A wrapped kernel takes settings and another axis."""
    scaled = ours.wrap(rf.kernel(lambda x, *, by=2.0: x * by, name="scaled"))
    np.testing.assert_allclose(scaled(X, by=3.0, axis=0), X * 3.0, rtol=2e-7)


def test_errors_reach_python(ours):
    """A target out of range is an error where the result is used."""
    with pytest.raises(Exception, match="expected 0 to 49"):
        np.asarray(ours.cross_entropy(X, np.array([3, 0, 50, 7])))
