"""Rows of unequal lengths, groups, and rows that come chunk by chunk."""

import itertools

import numpy as np
import pytest

import rowfold as rf
from rowfold import library as lib

OFFSETS = np.array([2, 2, 5, 8, 8, 300, 597, 1000])
LENGTHS = np.diff(OFFSETS)


def draw(dtype="float32"):
    return (np.random.default_rng(0).standard_normal(1010) * 5).astype(dtype)


def rows_of(x):
    return [x[a:b] for a, b in itertools.pairwise(OFFSETS)]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("kernel", [lib.softmax, lib.layer_norm], ids=lambda k: k.name)
def test_each_ragged_row_is_the_row_alone(kernel, dtype):
    """Rows of any length have the bits of a call on them; what is in no row is `masked`."""
    x = draw(dtype)
    whole = np.concatenate([[0, 0], *(kernel(r) for r in rows_of(x)), np.zeros(10)]).astype(dtype)
    assert kernel.ragged(x, OFFSETS).tobytes() == whole.tobytes()


def test_ragged_numbers_with_an_index_a_row():
    """Cross-entropy of rows of unequal lengths, each with a target in its own row."""
    x, offsets = draw(), OFFSETS[[1, 2, 3, 5, 6, 7]]
    target = np.array([0, 2, -100, 296, 5])
    parts = zip(offsets[:-1], offsets[1:], target, strict=True)
    assert np.array_equal(
        lib.cross_entropy.ragged(x, offsets, target), [lib.cross_entropy(x[a:b], t) for a, b, t in parts]
    )


def test_ragged_takes_where_and_settings():
    """A predicate lies as the values do."""
    x = draw()
    chosen = x > 0
    got = lib.logsumexp.ragged(x, OFFSETS, where=chosen)
    assert np.array_equal(got, [lib.logsumexp(r, where=c) for r, c in zip(rows_of(x), rows_of(chosen), strict=True)])


def test_segments_are_the_runs_of_sorted_numbers():
    """GRPO: the rewards of each prompt, normalized within its group."""
    x, ids = draw()[:1000], np.repeat([3, 7, 8, 90], [1, 400, 9, 590])
    got = lib.layer_norm.segmented(x, ids)
    assert np.array_equal(got, lib.layer_norm.ragged(x, [0, 1, 401, 410, 1000]))


def test_a_stream_gives_the_result_at_any_time():
    """Chunks of a batch, fed one by one; row results of the chunk that is given again."""
    x = draw()[:1000].reshape(2, 500)
    stream = lib.softmax.stream(temperature=2.0)
    for k in range(0, 500, 90):
        stream.feed(x[:, k : k + 90])
    assert np.allclose(stream.result(x[:, 90:180], offset=90), lib.softmax(x, temperature=2.0)[:, 90:180], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: lib.softmax.ragged(x, [0, 5, 3]), ValueError, r"offsets\[2\] = 3 is less than 5"),
        (lambda x: lib.softmax.ragged(x, [0, 2000]), ValueError, "0 to 1010, the number of values"),
        (lambda x: lib.softmax.ragged(x, [0.0, 1.0]), ValueError, "expected integers"),
        (lambda x: lib.softmax.ragged(x.reshape(2, -1), [0, 5]), ValueError, "one after another"),
        (lambda x: lib.softmax.segmented(x, np.arange(1010)[::-1]), ValueError, "sort the values"),
        (lambda x: lib.softmax.segmented(x, np.arange(4)), ValueError, "one integer for each"),
        (lambda x: lib.cross_entropy.ragged(x, [0, 5], [5]), IndexError, "5 at row 0; expected 0 to 4"),
        (lambda x: lib.softmax_topk.ragged(x, [0, 2], k=3), ValueError, "k is 3"),
        (lambda x: lib.softmax.stream().result(x), rf.StateError, "nothing was fed"),
    ],
)
def test_what_cannot_be_rows_is_refused(call, error, words):
    """The message names the place that is wrong."""
    with pytest.raises(error, match=words):
        call(draw())
