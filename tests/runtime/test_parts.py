"""Rows in parts: states, merges in any tree, and what is refused."""

import itertools
import pickle

import numpy as np
import pytest

import rowfold as rf
from rowfold import library as lib
from rowfold.testing.ulp import exact_softmax, ulp_error

CUTS = (0, 1, 17, 300, 300, 900, 1003)
ROWS = [lib.softmax, lib.log_softmax, lib.layer_norm, lib.rms_norm]
NUMBERS = [lib.logsumexp, lib.entropy]


def draw(dtype, scale=5.0, seed=0):
    return (np.random.default_rng(seed).standard_normal((4, CUTS[-1])) * scale).astype(dtype)


def states(kernel, x, *more, **settings):
    return [kernel.partial(x[:, a:b], *more, offset=a, **settings) for a, b in itertools.pairwise(CUTS)]


def tree(kernel, parts):
    """Halves, each merged on its own: the last parts first."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return kernel.merge(tree(kernel, parts[half:]), tree(kernel, parts[:half]))


def chain(kernel, parts):
    merged = kernel.identity(parts[0].shape, "float64" if "_f64_" in parts[0].dtype.names[0] else "float32")
    for part in parts:
        merged = kernel.merge(merged, part)
    return merged


def finished(kernel, state, x):
    return np.concatenate([kernel.finish(state, x[:, a:b], offset=a) for a, b in itertools.pairwise(CUTS)], 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", ROWS, ids=lambda k: k.name)
def test_rows_from_parts_are_those_of_the_whole(kernel, dtype):
    """A row that is written part by part is as near to the row written at once as two roundings are."""
    x = draw(dtype)
    scale = np.abs(kernel(x)).max()
    apart = np.abs(finished(kernel, tree(kernel, states(kernel, x)), x) - kernel(x)).max()
    assert apart <= 4 * np.finfo(dtype).eps * scale


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", NUMBERS, ids=lambda k: k.name)
def test_numbers_need_the_state_alone(kernel, dtype):
    """A number a row comes from the merged state with no array at hand."""
    x = draw(dtype)
    assert np.allclose(kernel.finish(chain(kernel, states(kernel, x))), kernel(x), rtol=32 * np.finfo(dtype).eps)


@pytest.mark.parametrize("scale", [1e-3, 30.0, 1e7])
def test_the_tree_does_not_matter_to_a_softmax(scale):
    """However the parts are merged the row is within 4 ULP of the exact one."""
    x = draw("float32", scale)
    parts = states(lib.softmax, x)
    errors = [ulp_error(finished(lib.softmax, t(lib.softmax, parts), x), exact_softmax(x)).max() for t in (tree, chain)]
    assert max(errors) <= 4


def test_an_index_is_found_by_the_part_that_has_it():
    """Cross-entropy counts its target in the whole row, and ignores what it is told to."""
    x, target = draw("float32"), np.array([0, 1002, 299, -100])
    state = tree(lib.cross_entropy, states(lib.cross_entropy, x, target))
    assert np.array_equal(lib.cross_entropy.finish(state), lib.cross_entropy(x, target))


def test_settings_travel_in_the_state():
    """A temperature that partial was given is that of finish."""
    x = draw("float32")
    state = tree(lib.softmax, states(lib.softmax, x, temperature=3.0))
    assert np.allclose(finished(lib.softmax, state, x), lib.softmax(x, temperature=3.0), rtol=1e-6)


def test_top_k_of_parts_smaller_than_k():
    """The k best of a row are merged of parts with fewer elements than k; positions are those in the row."""
    x = draw("float32")
    parts = states(lib.softmax_topk, x, k=30)
    merged = tree(lib.softmax_topk, parts)
    assert np.array_equal(lib.softmax_topk.finish(merged)[1], lib.softmax_topk(x, k=30)[1])


@pytest.mark.parametrize("kernel", [lib.logsumexp, lib.entropy, lib.layer_norm, lib.softmax], ids=lambda k: k.name)
def test_the_identity_changes_nothing(kernel):
    """A part without elements, and the identity, merge to the same bits on either side."""
    x = draw("float32")
    state, nothing = kernel.partial(x), kernel.identity((4,), np.float32)
    sides = [kernel.merge(nothing, state), kernel.merge(state, nothing), kernel.merge(state, kernel.partial(x[:, :0]))]
    assert {s.tobytes() for s in sides} == {state.tobytes()}


def test_parts_of_minus_infinity_contribute_nothing():
    """A part that is -inf throughout is safe on either side of a merge."""
    x = draw("float32")
    x[:, :300] = -np.inf
    assert np.array_equal(lib.logsumexp.finish(tree(lib.logsumexp, states(lib.logsumexp, x))), lib.logsumexp(x))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_special_values_survive_the_merge(value):
    """One NaN or infinity decides the result as it does in a whole row."""
    x = draw("float32")
    x[:, 500] = value
    assert np.array_equal(
        lib.logsumexp.finish(tree(lib.logsumexp, states(lib.logsumexp, x))), lib.logsumexp(x), equal_nan=True
    )


def test_a_state_is_pickled_as_what_it_is():
    """A state is a plain structured array: another process merges it by the names of its fields."""
    state = lib.softmax.partial(draw("float32"))
    assert np.array_equal(lib.softmax.merge(pickle.loads(pickle.dumps(state)), state), lib.softmax.merge(state, state))


@rf.kernel
def about_the_mean(x):
    return np.sum(np.abs(x - np.mean(x)))


def test_walks_that_wait_take_rounds():
    """The mean deviation takes a round for the mean and one for the deviations from it."""
    x, state = draw("float32"), None
    for _ in range(about_the_mean.rounds):
        state = tree(about_the_mean, states(about_the_mean, x, given=state))
    assert about_the_mean.rounds == 2 and np.allclose(about_the_mean.finish(state), about_the_mean(x), rtol=1e-6)


@rf.kernel
def drawn(x, seed: rf.Scalar):
    return np.argmax(x + rf.gumbel(x, seed))


def test_noise_is_that_of_the_place_in_the_row():
    """A sample is the same whether its row comes whole or in parts that begin anywhere."""
    x, seed = draw("float32"), np.arange(4, dtype=np.uint64)
    assert np.array_equal(drawn.finish(tree(drawn, states(drawn, x, seed))), drawn(x, seed))


def test_a_predicate_selects_in_each_part():
    """The mean of what `where` selects, merged from parts."""
    x = draw("float32")
    chosen = x > 0
    parts = [lib.layer_norm.partial(x[:, a:b], where=chosen[:, a:b]) for a, b in itertools.pairwise(CUTS)]
    state = tree(lib.layer_norm, parts)
    last = lib.layer_norm.finish(state, x[:, 900:], where=chosen[:, 900:])
    assert np.allclose(last, lib.layer_norm(x, where=chosen)[:, 900:], rtol=1e-5, atol=1e-6)


def packed(kernel, parts):
    """The merged state of parts that were packed and unpacked."""
    return chain(kernel, [kernel.unpack(kernel.pack(p), like=parts[0]) for p in parts])


def special(scale):
    """Rows of all kinds, and targets: rows that their target dominates, infinities and NaN in one part or the other."""
    x = draw("float32", scale)[:, :996].reshape(12, 332).copy()
    x[0], x[1, :166], x[2, 3], x[3, 300], x[4, 5], x[5] = -np.inf, -np.inf, np.inf, np.inf, np.nan, 0
    target = np.full(len(x), 331)
    target[6:9], target[9] = np.argmax(x[6:9], axis=-1), -100
    return x, target


@pytest.mark.parametrize("scale", [0.1, 5.0, 1e6])
def test_three_floats_a_row_give_the_loss_within_a_unit(scale):
    """Packed states round each number once; infinities, NaN and ignored targets come through."""
    x, target = special(scale)
    parts = [lib.cross_entropy.partial(x[:, k : k + 166], target, offset=k) for k in (0, 166)]
    merged = packed(lib.cross_entropy, parts), chain(lib.cross_entropy, parts)
    found, whole = map(lib.cross_entropy.finish, merged)
    assert lib.cross_entropy.pack(parts[0]).shape == (len(x), 3)
    np.testing.assert_allclose(found, whole, rtol=1.3e-7, atol=0)


@pytest.mark.parametrize("kernel", [lib.logsumexp, lib.max, lib.softmax], ids=lambda k: k.name)
def test_packed_states_are_those_of_the_rows(kernel):
    """Other kernels that have a small form."""
    x, _ = special(5.0)
    parts = [kernel.partial(x[:, k : k + 166], offset=k) for k in (0, 166)]
    rows = (x,) if kernel is lib.softmax else ()
    found, whole = (kernel.finish(s, *rows) for s in (packed(kernel, parts), chain(kernel, parts)))
    np.testing.assert_allclose(found, whole, rtol=2.5e-7, atol=0)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_narrow_rows_in_parts_are_rounded_once(name):
    """A row of 16 bits has states of float32 rows, and results of its own dtype."""
    narrow = np.dtype(name) if name == "float16" else pytest.importorskip("ml_dtypes").bfloat16
    x = draw("float32").astype(narrow)
    got = finished(lib.softmax, tree(lib.softmax, states(lib.softmax, x)), x)
    assert got.dtype == x.dtype and np.allclose(got.astype("f4"), lib.softmax(x).astype("f4"), rtol=0.01)


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_every_backend_has_the_same_states(backend):
    """A state is the same bits whoever computed it."""
    x = draw("float32")
    assert lib.softmax.using(backend=backend).partial(x).tobytes() == lib.softmax.partial(x).tobytes()


def test_the_row_lies_on_any_axis():
    """Parts along axis 0 are states of the batch that is left."""
    x = draw("float32")
    assert np.array_equal(lib.softmax.partial(x.T, axis=0), lib.softmax.partial(x))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda s: lib.softmax.merge(s, lib.softmax.partial(draw("float64"))), rf.StateError, "differ in dtype"),
        (lambda s: lib.logsumexp.merge(s, s), rf.StateError, "another kernel"),
        (lambda s: lib.softmax.merge(s, np.zeros(4)), rf.StateError, "is no state"),
        (lambda s: lib.softmax.finish(s), TypeError, "arrays of the part"),
        (lambda s: lib.softmax.finish(s, draw("float64")), rf.StateError, "float32 rows"),
        (lambda s: lib.softmax.finish(s, draw("float32")[:3]), rf.StateError, "batch shape"),
        (lambda s: lib.softmax.partial(draw("float32"), offset=-1), ValueError, "0 or more"),
        (lambda s: lib.softmax.partial(draw("float32"), given=s), rf.StateError, "ready to finish"),
        (lambda s: lib.sparsemax.partial(draw("float32")), rf.PlanError, "no state to merge"),
        (lambda s: lib.layer_norm.pack(lib.layer_norm.partial(draw("float32"))), rf.StateError, "no small form"),
        (lambda s: lib.entropy.pack(lib.entropy.partial(draw("float32"))), rf.StateError, "may cancel"),
        (lambda s: lib.softmax.pack(lib.softmax.partial(draw("float64"))), rf.StateError, "float64 rows"),
        (lambda s: lib.logsumexp.pack(s), rf.StateError, "another kernel"),
        (lambda s: lib.softmax.unpack(np.zeros((4, 2), np.float32), like=s), rf.StateError, r"\(\.\.\., 3\)"),
        (lambda s: lib.softmax.unpack(np.zeros((3, 3), np.float32), like=s), rf.StateError, "differ"),
        (lambda s: lib.softmax.unpack("x", like=s), rf.StateError, "expected float32"),
    ],
)  # fmt: skip
def test_what_does_not_belong_together_is_refused(make, error, words):
    """The message says which states do not go together, and why."""
    with pytest.raises(error, match=words):
        make(lib.softmax.partial(draw("float32")))
