"""Tables: arguments with a length of their own, read at places that the row computes."""

import numpy as np
import pytest

import rowfold as rf
from rowfold.codegen.bounding.oracle import judge, oracle
from rowfold.codegen.machine import Machine
from rowfold.codegen.planner import make_plan
from rowfold.codegen.running.interpret_plan import interpret_plan

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=37).astype(np.float32)
PLACES = RNG.integers(0, 37, (5, 300))
BACKENDS = ("c", "llvm", "numpy")


@rf.kernel
def found(q: rf.Row[int], table: rf.Table):
    return rf.lookup(q, table)


@rf.kernel
def shuffled(x, q: rf.Row[int]):
    """A row read at other places of its own."""
    e = np.exp(x - np.max(x))
    return rf.lookup(q, x) * np.sum(e), np.sum(rf.lookup(q, x))


@rf.kernel
def plain(x, table):
    """A table that is no more than a parameter."""
    return rf.lookup(np.floor(np.abs(x)), table) + x


@rf.kernel
def numbers(x, table: rf.Table, y: rf.Index):
    """Tables at a number, at the places of a k-vector, and at an element."""
    places = rf.topk(x, 3)[1]
    return rf.lookup(places, table), rf.lookup(np.argmax(x), table), rf.lookup(rf.positions(x), table)[y]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_table_of_another_length_is_read(backend, dtype):
    """What NumPy gives for table[q]."""
    table = TABLE.astype(dtype)
    np.testing.assert_array_equal(found.using(backend=backend)(PLACES, table), table[PLACES])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("place", [-1, 37, 2**31, -(2**63), 2**63 - 1])
def test_a_place_that_the_table_does_not_have_gives_nan(backend, place):
    """Nothing outside of the table is read, whatever the integers are."""
    q = np.full((2, 20), 3)
    q[1, 17] = place
    want = np.where(q == 3, TABLE[3], np.nan)
    np.testing.assert_array_equal(found.using(backend=backend)(q, TABLE), want.astype(np.float32))


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_no_place_gives_nan(backend):
    """Fractions, infinities and NaN have no place in a table, and -0.0 is the first."""
    x = np.array([[0.0, 1.0, 0.5, np.nan, np.inf, -np.inf, -0.0, -1.0, 1e30, 36.0, 37.0]], np.float32)
    want = np.where(np.isin(x, [0, 1, 36]), TABLE[np.where(np.isin(x, [0, 1, 36]), x, 0).astype(int)], np.nan)
    kernel = rf.kernel(lambda x, t: rf.lookup(x, t), name="read").using(backend=backend)
    np.testing.assert_array_equal(kernel(x, TABLE), want)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_plain_parameter_that_is_only_looked_up_has_any_length(backend):
    """Without an annotation the row function tells that it is a table."""
    x = RNG.normal(size=(4, 50)).astype(np.float32) * 5
    assert plain.using(backend=backend).check(x, TABLE)
    assert plain.using(backend=backend).check(x, np.resize(TABLE, 50))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_row_can_be_read_at_places_of_its_own(backend):
    """The row that is looked up is one like the others, in every strategy."""
    x, q = RNG.normal(size=(4, 300)).astype(np.float32), RNG.integers(0, 300, (4, 300))
    assert shuffled.using(backend=backend).check(x, q)


@pytest.mark.parametrize("backend", BACKENDS)
def test_numbers_and_k_vectors_are_places_too(backend):
    """np.take of the table at what top-k, argmax and an index name."""
    x = RNG.normal(size=(6, 30)).astype(np.float32)
    y = np.arange(6) * 4
    order = np.argsort(-x, axis=-1)[:, :3]
    want = (TABLE[order], TABLE[order[:, 0]], TABLE[y])
    for got, expected in zip(numbers.using(backend=backend)(x, TABLE, y), want, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("kernel", [shuffled, plain, numbers], ids=lambda k: k.name)
def test_plans_of_tables_run_in_numpy(kernel, dtype):
    """The interpreter of plans keeps the oracle's bound."""
    number = {"f32": np.float32, "f64": np.float64}[dtype]
    x = RNG.normal(size=(3, 70)).astype(number) * 5
    more = {"table": TABLE.astype(number), "q": RNG.integers(0, 70, (3, 70)), "y": np.array([1, 2, 3])}
    program = kernel.program({}, frozenset(), frozenset())
    inputs = {"x": x} | {i.name: more[i.name] for _, i in program.inputs if i.name != "x"}
    plan = make_plan(program, dtype=dtype, isa="avx2", n=70, rows=3, strategy="auto", machine=Machine())
    wanted = oracle(program, inputs, {}, number)
    results = interpret_plan(plan, inputs, {})
    assert max(judge(g, w).worst for g, w in zip(results, wanted, strict=True)) <= 1


def test_every_backend_has_the_same_bits():
    """Looking up rounds nothing."""
    x, q = RNG.normal(size=(4, 300)).astype(np.float32), RNG.integers(0, 300, (4, 300))
    c, llvm = (shuffled.using(backend=b)(x, q) for b in ("c", "llvm"))
    assert [a.tobytes() for a in c] == [a.tobytes() for a in llvm]


def test_a_table_for_each_row():
    """The batch shape of a table broadcasts as that of a row does."""
    tables = RNG.normal(size=(5, 1, 37)).astype(np.float32)
    q = PLACES.reshape(5, 3, 100)
    want = np.take_along_axis(np.broadcast_to(tables, (5, 3, 37)), q, -1)
    np.testing.assert_array_equal(found(q, tables), want)


def test_another_axis_and_strides():
    """`axis` counts in the first row; a table of lower rank lies along its last axis."""
    want = TABLE[::2][np.minimum(PLACES, 18)].T
    np.testing.assert_array_equal(found(np.minimum(PLACES, 18).T, TABLE[::2], axis=0), want)


def test_selected_elements_and_the_table_as_a_whole():
    """`where` selects elements of rows; a table has none of them."""
    where = RNG.random(PLACES.shape) < 0.5
    np.testing.assert_array_equal(found(PLACES, TABLE, where=where), np.where(where, TABLE[PLACES], 0))


def test_in_place_a_row_is_read_before_it_is_written():
    """The output may be the memory of the row that is looked up."""
    x, q = RNG.normal(size=(4, 300)).astype(np.float32), np.tile(np.arange(300)[::-1], (4, 1))
    want, out = shuffled(x, q)[0], x.copy()
    for _ in range(20):  # from the eighth on, calls are answered in C
        out = x.copy()
        shuffled(out, q, out=(out, np.empty(4, np.float32)))
    np.testing.assert_array_equal(out, want)


def test_threads_change_no_bit():
    """Rows are handed out with their tables."""
    q, tables = RNG.integers(0, 37, (64, 4096)), RNG.normal(size=(64, 37)).astype(np.float32)
    np.testing.assert_array_equal(found(q, tables, threads=2), np.take_along_axis(tables, q, -1))


def test_a_table_without_elements_has_no_place():
    """Every place gives NaN."""
    assert np.isnan(found(PLACES, np.empty(0, np.float32))).all()


def test_narrow_tables_are_widened():
    """A float16 table beside float16 rows; the result is rounded once."""
    x, table = np.arange(20, dtype=np.float16)[None] % 5, RNG.normal(size=5).astype(np.float16)
    np.testing.assert_array_equal(plain(x, table), (table[x.astype(int)].astype(np.float32) + x).astype(np.float16))


def test_a_row_of_another_length_that_is_no_table_is_refused():
    """The error is the one of every kernel."""
    with pytest.raises(ValueError, match=r"'z' of shape .* has rows of 3 elements; expected 4"):
        rf.kernel(lambda x, z: rf.lookup(x, x) + z, name="k")(np.zeros((2, 4)), np.zeros(3))


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda x, t: rf.lookup(x, t * 2), "a table that is not a parameter of floats"),
        (lambda x: rf.lookup(x, [1.0, 2.0]), "a table that is not a parameter of floats"),
    ],
)
def test_what_is_no_table_is_told_with_advice(fn, message):
    """Only parameters are tables."""
    with pytest.raises(rf.TraceError, match=message):
        rf.kernel(fn, name="k")(np.zeros((2, 4)), *[np.zeros(4)] * (fn.__code__.co_argcount - 1))


def test_an_annotated_table_is_no_row():
    """What is declared a table has no elements beside those of the row."""

    def fn(x, t: rf.Table):
        return rf.lookup(x, t) + t

    with pytest.raises(rf.TraceError, match="uses the table 't' as a row or a number"):
        rf.kernel(fn)(np.zeros((2, 4)), np.zeros(4))


def test_gradients_of_what_is_looked_up_are_refused_by_name():
    """A table's gradient would be a sum over the elements that read each place."""
    with pytest.raises(rf.NotDifferentiableError, match="lookup"):
        found.vjp(PLACES, TABLE, np.ones(PLACES.shape, np.float32))


def test_states_and_unequal_rows_are_refused_by_name():
    """What is not there yet says so."""
    with pytest.raises(rf.PlanError, match="no state to merge"):
        found.partial(PLACES, TABLE)
    with pytest.raises(TypeError, match="'table' is a table"):
        found.ragged(PLACES[0], [0, 100, 300])
    with pytest.raises(rf.RowfoldError, match="no C that stands alone"):
        found.emit("unused")
    assert "rf.lookup has no MLIR yet" in str(found.stages((2, 20))["mlir"])


def test_a_codebook_is_searched_and_read_back():
    """B1: the places are those of the nearest codes, and reading them gives the nearest codes."""
    code = np.sort(RNG.uniform(-1, 1, 200)).astype(np.float32)
    x = RNG.normal(size=(3, 2, 2048)).astype(np.float32)
    q, c = rf.gallery.codebook_quantize(x, code)
    got = rf.gallery.codebook_dequantize(q, code, c)
    nearest = np.min(np.abs(x[..., None] / c[..., None, None] - code), axis=-1) * c[..., None]
    assert q.dtype == np.uint8
    np.testing.assert_allclose(np.abs(got - x), nearest, atol=1e-6 * float(c.max()))


@pytest.mark.parametrize("n", [5, 16, 64, 4096])
def test_a_row_is_looked_up_as_a_whole(n):
    """Not in groups of short rows, tiles of another axis or parts for threads: all of the row is at hand."""
    x = RNG.normal(size=(64, n)).astype(np.float32)
    back = rf.kernel(lambda x: rf.lookup(x.size - 1.0 - rf.positions(x), x) + np.max(x), name="back")
    want = x[:, ::-1] + x.max(axis=-1, keepdims=True)
    np.testing.assert_array_equal(back(x, threads=2), want)
    np.testing.assert_array_equal(back(x.T.copy(), axis=0), want.T)
