"""Rows along another axis: walked in tiles, with the bits of rows along the last one."""

from itertools import product

import numpy as np
import pytest
from slices import sliced

from rowfold import library as lib
from rowfold.codegen.loops import CHUNK
from rowfold.runtime import tiles
from rowfold.runtime.cpu import host_isas

KERNELS = ("softmax", "log_softmax", "layer_norm", "entropy", "logsumexp", "max", "var")
FEW = ("softmax", "log_softmax", "layer_norm", "max")
SHAPES = ((5, 9), (16, 16), (257, 17), (300, 64), (CHUNK + 700, 64), (40, 200))


def draw(shape, dtype="float32"):
    return (np.random.default_rng(shape[0]).standard_normal(shape) * 5).astype(dtype)


def unlike(kernel, x, *more, axis=0, **options):
    """Whether rows along the axis differ from the same rows along the last one."""
    there = kernel(np.ascontiguousarray(np.moveaxis(x, axis, -1)), *more, **options)
    here = kernel(x, *more, axis=axis, **options)
    return (
        np.moveaxis(here, axis, -1).tobytes() != there.tobytes() if here.ndim == x.ndim else bool(np.any(here != there))
    )


def quick(case):
    """The best instruction set, and softmax on AVX2, whose exponentials are others."""
    name, dtype, isa = case
    best = isa == host_isas()[0] and (name, dtype) in (
        ("softmax", "float32"),
        ("log_softmax", "float64"),
        ("max", "float32"),
    )
    return best or (name, dtype, isa) == ("softmax", "float32", "avx2")


@pytest.mark.parametrize(("name", "dtype", "isa"), sliced(product(KERNELS, ("float32", "float64"), host_isas()), quick))
def test_another_axis_has_the_same_bits(name, dtype, isa):
    """Whole tiles and parts of one, blocks and their ends, chunks: every row is as it is alone."""
    kernel = getattr(lib, name).using(isa=isa)
    assert [shape for shape in SHAPES if unlike(kernel, draw(shape, dtype))] == []


@pytest.mark.parametrize("name", FEW)
def test_rows_of_a_tile_that_part_meet_again(name):
    """Some columns need the walks of rare rows, others are not finite."""
    x = draw((500, 70))
    x[250, 3], x[9, 20:25], x[7, 40], x[8, 41], x[:, 66] = 300, -np.inf, np.nan, np.inf, x[:, 66] * 1e30
    there, here = (getattr(lib, name)(a, axis=k) for a, k in ((np.ascontiguousarray(x.T), -1), (x, 0)))
    assert np.array_equal(here.T, there, equal_nan=True)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "layer_norm"])
def test_columns_in_place(name):
    """The output may be the rows themselves."""
    x, kernel = draw((300, 64)), getattr(lib, name)
    expected = kernel(x, axis=0).tobytes()
    assert kernel(x, axis=0, out=x).tobytes() == expected


@pytest.mark.parametrize("axis", [1, (0, 1), (1, 2)])
def test_inner_axes_and_pairs_of_them(axis):
    """Any axis, and axes that can be seen as one, of an array of four."""
    x = draw((6, 50, 7, 40))
    rows = np.moveaxis(x, axis, range(-np.size(axis), 0))
    there = lib.softmax(rows.reshape(*rows.shape[: 4 - np.size(axis)], -1)).reshape(rows.shape)
    assert np.array_equal(np.moveaxis(lib.softmax(x, axis=axis), axis, range(-np.size(axis), 0)), there)


def test_a_mask_and_a_target_lie_beside():
    """A `where` of the array's shape, and one index for each column."""
    x, target = draw((300, 70)), np.arange(70) * 4
    keep = x > -3
    unlikes = (
        unlike(lib.cross_entropy, x, target),
        lib.softmax(x, axis=0, where=keep).T.tobytes()
        != lib.softmax(np.ascontiguousarray(x.T), where=np.ascontiguousarray(keep.T)).tobytes(),
    )
    assert unlikes == (False, False)


def test_a_weight_is_the_same_for_all_columns():
    """One weight for each element of a column."""
    x, weight = draw((300, 64)), draw((300,))
    assert not unlike(lib.layer_norm, x, weight)


@pytest.mark.parametrize("threads", [2, 3])
def test_columns_are_shared_out(threads):
    """Tiles go to threads."""
    x = draw((700, 200))
    assert lib.softmax(x, axis=0, threads=threads).tobytes() == lib.softmax(x, axis=0, threads=1).tobytes()


def test_a_call_that_comes_again_looks_where_its_rows_lie():
    """What was learnt of columns is not used for an array of another order."""
    x = draw((300, 64))
    expected = lib.softmax(np.ascontiguousarray(x.T)).T.tobytes()
    found = {lib.softmax(a, axis=0).tobytes() for _ in range(20) for a in (x, np.asfortranarray(x))}
    assert found == {expected}


def test_tiles_are_chosen_where_rows_have_gaps():
    """Contiguous rows and lone strided ones stay as they are."""
    x = draw((300, 64))
    assert [tiles.beside(a) for a in (x.T, x, x[:, ::2], x[:, :1].T)] == [True, False, False, False]
