"""The interpreter gives every operation NumPy's meaning, and keeps exponentials from overflowing."""

import numpy as np
import pytest

from rowfold.codegen.interpret import interpret
from rowfold.codegen.ir import BINARY, PREDICATES, UNARY, Builder, Input, Output, Param, Role

ROWS = np.array([[0.25, -0.5, 0.75, 0.125], [1.0, 0.0, -1.0, 0.5]])
BEYOND_NUMPY = {
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "stop_gradient": lambda x: x,
}


def one_node(op, roles, *, reduce=False, where=None):
    """The program of a single operation on inputs of these roles."""
    b = Builder(op)
    refs = [b.add(Input(f"x{i}", role)) for i, role in enumerate(roles)]
    mask = None if where is None else b.add(Input("keep", Role.MASK))
    result = b.reduce(op, *refs, where=mask) if reduce else b.map(op, *refs)
    return b.finish([Output(result)])


def expsum(*, over=None):
    """The program of log(sum exp x), or of exp(x) over it."""
    b = Builder("expsum")
    x = b.add(Input("x", Role.ROW))
    total = b.reduce("expsum", b.const(1.0), x)
    return b.finish([Output(b.map("log", total) if over is None else b.map("divide", b.map("exp", x), total))])


@pytest.mark.parametrize("op", sorted(UNARY))
def test_unary_operations_are_numpys(op):
    """A unary operation is the NumPy function of its name, or the row language's own."""
    with np.errstate(all="ignore"):
        want = BEYOND_NUMPY.get(op, getattr(np, op, None))(ROWS)
    (got,) = interpret(one_node(op, [Role.ROW]), {"x0": ROWS}, {})
    np.testing.assert_allclose(got, want, rtol=1e-15, atol=1e-300)


@pytest.mark.parametrize("op", sorted(BINARY | (PREDICATES - {"isnan", "isfinite", "logical_not"})))
def test_binary_operations_are_numpys(op):
    """A binary operation is the NumPy function of its name."""
    other = np.roll(ROWS, 1, axis=0)
    with np.errstate(all="ignore"):
        want = getattr(np, op)(ROWS, other)
    (got,) = interpret(one_node(op, [Role.ROW, Role.ROW]), {"x0": ROWS, "x1": other}, {})
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("op", ["sum", "prod", "max", "min", "any", "all", "argmax", "argmin", "mean"])
def test_reductions_are_numpys(op):
    """A reduction is the NumPy function of its name along the last axis."""
    (got,) = interpret(one_node(op, [Role.ROW], reduce=True), {"x0": ROWS}, {})
    np.testing.assert_allclose(got, getattr(np, op)(ROWS, axis=-1))


def test_m2_is_the_variance_times_the_length():
    """m2 sums squared distances from the mean."""
    (got,) = interpret(one_node("m2", [Role.ROW], reduce=True), {"x0": ROWS}, {})
    np.testing.assert_allclose(got, np.var(ROWS, axis=-1) * 4)


def test_dot_is_a_sum_of_products():
    """dot sums the products of two rows, one of them shared by the batch."""
    (got,) = interpret(one_node("dot", [Role.ROW, Role.ROW], reduce=True), {"x0": ROWS, "x1": ROWS[0]}, {})
    np.testing.assert_allclose(got, ROWS @ ROWS[0])


@pytest.mark.parametrize(
    ("op", "identity"), [("sum", 0), ("prod", 1), ("max", -np.inf), ("min", np.inf), ("argmax", -1), ("m2", 0)]
)
def test_nothing_selected_gives_the_identity(op, identity):
    """A reduction over no element is the identity of its operation."""
    keep = np.zeros_like(ROWS, dtype=bool)
    (got,) = interpret(one_node(op, [Role.ROW], reduce=True, where=True), {"x0": ROWS, "keep": keep}, {})
    np.testing.assert_array_equal(got, np.full(2, identity))


def test_unselected_elements_are_no_operands():
    """NaN and infinity outside the selection do not show."""
    rows, keep = np.array([[1.0, np.nan, np.inf, 2.0]]), np.array([[True, False, False, True]])
    (got,) = interpret(one_node("mean", [Role.ROW], reduce=True), {"x0": rows}, {}, where=keep)
    assert got.tolist() == [1.5]


def test_row_outputs_are_masked_outside_the_selection():
    """Where nothing is selected a row output has the kernel's own value."""
    (got,) = interpret(one_node("negative", [Role.ROW]), {"x0": ROWS}, {}, where=ROWS > 0, masked=9.0)
    np.testing.assert_array_equal(got, np.where(ROWS > 0, -ROWS, 9.0))


def test_the_log_of_a_sum_of_large_exponentials_is_finite():
    """logsumexp does not overflow however large the row is."""
    (got,) = interpret(expsum(), {"x": np.full((1, 4), 1e5)}, {})
    np.testing.assert_allclose(got, [1e5 + np.log(4)])


@pytest.mark.parametrize("level", [-1e5, 0.0, 700.0, 1e5])
def test_the_ratio_of_large_exponentials_is_finite(level):
    """exp(a) / expsum does not overflow however large the row is."""
    (got,) = interpret(expsum(over=True), {"x": ROWS + level}, {})
    want = np.exp(ROWS) / np.sum(np.exp(ROWS), axis=-1, keepdims=True)
    np.testing.assert_allclose(got, want, rtol=1e-10)


def test_minus_infinity_contributes_nothing_whatever_multiplies_it():
    """sum x e^x leaves out the elements at -inf."""
    b = Builder("weighted")
    x = b.add(Input("x", Role.ROW))
    program = b.finish([Output(b.reduce("expsum", x, x))])
    (got,) = interpret(program, {"x": np.array([[0.0, -np.inf, 1.0]])}, {})
    np.testing.assert_allclose(got, [np.e])


def test_an_element_is_taken_at_its_index():
    """take picks one element a row."""
    index = np.array([2, 0])
    (got,) = interpret(one_node("take", [Role.ROW, Role.INDEX]), {"x0": ROWS, "x1": index}, {})
    assert got.tolist() == [0.75, 1.0]


def test_an_ignored_row_gives_zero():
    """Rows whose index is the one to ignore give 0."""
    b = Builder("taken")
    x, y = b.add(Input("x", Role.ROW)), b.add(Input("y", Role.INDEX, ignore=-100))
    program = b.finish([Output(b.map("take", x, y))])
    (got,) = interpret(program, {"x": ROWS, "y": np.array([-100, 3])}, {})
    assert got.tolist() == [0.0, 0.5]


def test_settings_scalars_and_positions_are_values():
    """Settings, one number a row, and 0..n-1 are operands like any other."""
    b = Builder("affine")
    x, s, t = b.add(Input("x", Role.ROW)), b.add(Input("s", Role.SCALAR)), b.add(Param("t"))
    place = b.add(Input("", Role.POSITIONS))
    program = b.finish([Output(b.map("add", b.map("add", b.map("multiply", x, t), s), place))])
    (got,) = interpret(program, {"x": ROWS, "s": np.array([10.0, 20.0])}, {"t": 2.0})
    np.testing.assert_array_equal(got, ROWS * 2 + [[10], [20]] + np.arange(4))


def test_a_cast_is_applied_at_the_return():
    """An output that ends in astype has that dtype."""
    b = Builder("cast")
    program = b.finish([Output(b.add(Input("x", Role.ROW)), "int64")])
    (got,) = interpret(program, {"x": np.array([[1.5, -2.5]])}, {})
    assert got.dtype == np.int64


def test_an_empty_row_is_a_row():
    """Rows of no elements give empty rows and identities."""
    (got,) = interpret(expsum(), {"x": np.zeros((3, 0))}, {})
    assert got.tolist() == [-np.inf] * 3
