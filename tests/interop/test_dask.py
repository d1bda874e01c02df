"""Kernels on Dask arrays: chunked along the batch, along the row, on real worker processes."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import rowfold as rf
from rowfold import library as lib

da = pytest.importorskip("dask.array")
pytestmark = pytest.mark.interop
apply = pytest.importorskip("rowfold.interop.dask").apply

CHUNKS = [(3, 500), (2, 120), (5, (17, 283, 200))]


def draw(shape=(5, 500), dtype="float32"):
    return (np.random.default_rng(0).standard_normal(shape) * 5).astype(dtype)


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("kernel", [lib.softmax, lib.layer_norm, lib.logsumexp, lib.entropy], ids=lambda k: k.name)
def test_any_chunks_give_the_array_of_the_call(kernel, chunks):
    """Rows and numbers, chunked along the batch or along the row as well."""
    x = draw()
    got = kernel(da.from_array(x, chunks=chunks))
    assert isinstance(got, da.Array) and np.allclose(got.compute(), kernel(x), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("chunks", [(4, 5, 6), (2, 2, 4), (1, 5, 3)])
def test_the_row_is_any_axis(axis, chunks):
    """The results have their axes where a call has them."""
    x = draw((4, 5, 6))
    got = apply(lib.log_softmax, da.from_array(x, chunks=chunks), axis=axis).compute()
    assert np.allclose(got, lib.log_softmax(x, axis=axis), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_weights_targets_and_predicates_are_chunked_along(chunks):
    """A weight row, a target a row, and a predicate meet the chunks that they belong to."""
    x, w, target = draw(), draw((500,)), np.array([0, 499, 250, 3, -100])
    lazy = da.from_array(x, chunks=chunks)
    normed = lib.rms_norm(lazy, w)
    loss = lib.cross_entropy(lazy, da.from_array(target, chunks=2))
    chosen = lib.softmax(lazy, where=x > 0)
    assert np.allclose(normed, lib.rms_norm(x, w), rtol=1e-5, atol=1e-6)
    assert np.allclose(loss, lib.cross_entropy(x, target), rtol=1e-6)
    assert np.allclose(chosen, lib.softmax(x, where=x > 0), rtol=1e-5)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_several_results_and_settings(chunks):
    """The k best of each row, with their positions in the whole row."""
    x = draw()
    values, places = lib.softmax_topk(da.from_array(x, chunks=chunks), k=3)
    expected = lib.softmax_topk(x, k=3)
    assert np.array_equal(places.compute(), expected[1]) and np.allclose(values.compute(), expected[0], rtol=2e-6)


@rf.kernel
def deviation(x):
    return np.sum(np.abs(x - np.mean(x))), np.max(x)


def test_rounds_go_over_the_chunks_again():
    """A kernel whose walks wait for each other."""
    x = draw()
    got = deviation(da.from_array(x, chunks=(2, 120)))
    assert all(np.allclose(g.compute(), w, rtol=1e-6) for g, w in zip(got, deviation(x), strict=True))


def test_what_has_no_state_has_to_be_rechunked():
    """A threshold needs whole rows, and says so before anything is computed."""
    with pytest.raises(rf.PlanError, match="no state to merge"):
        lib.sparsemax(da.from_array(draw(), chunks=(5, 100)))


def test_several_cut_axes_have_to_be_rechunked():
    """Rows of two axes have to be whole; the message shows how."""
    with pytest.raises(ValueError, match="rechunk"):
        apply(lib.softmax, da.ones((4, 4, 4), chunks=2), axis=(1, 2))


def _logits(block_info=None, columns=0):
    """A chunk of logits made on the worker: no process holds the array."""
    (start, stop), (left, right) = block_info[None]["array-location"]
    rows, cols = np.arange(start, stop, dtype=np.float32)[:, None], np.arange(left, right).astype(np.float32)
    return np.sin(cols * np.float32(0.001) + rows, dtype=np.float32) * 8


def _array(rows, columns, chunks):
    return da.map_blocks(
        _logits, dtype=np.float32, chunks=da.core.normalize_chunks(chunks, (rows, columns)), meta=np.empty((0, 0), "f4")
    )


@pytest.fixture
def cluster(monkeypatch):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as made,
        distributed.Client(made) as client,
    ):
        yield client


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_logical_array_of_4_gib_that_no_worker_holds(cluster):
    """16 rows of 2^26 logits in 64 chunks a row, made and reduced on two worker processes."""
    lazy = _array(16, 1 << 26, (16, 1 << 20))
    got = lib.logsumexp(lazy).compute()
    cols = np.arange(1 << 26).astype(np.float32)
    row = np.sin(cols * np.float32(0.001) + np.float32(3), dtype=np.float32) * 8
    assert lazy.nbytes == 4 << 30 and np.isclose(got[3], lib.logsumexp(row), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_is_killed_does_not_change_the_answer(cluster):
    """Its chunks are computed again elsewhere."""
    lazy = _array(8, 1 << 24, (8, 1 << 18))
    expected = lib.logsumexp(_array(8, 1 << 24, (8, 1 << 18))).compute(scheduler="threads")
    pid = next(iter(cluster.run(os.getpid).values()))
    killer = threading.Thread(target=lambda: (time.sleep(1.0), os.kill(pid, signal.SIGKILL)))
    killer.start()
    got = lib.logsumexp(lazy).compute()
    killer.join()
    assert np.array_equal(got, expected)


def _limit():
    os.environ["ROWFOLD_ISA"] = "avx2"


def _isa():
    from rowfold import config

    return config.resolve().isa


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.isa("avx512")
def test_workers_with_other_cpu_features_agree(cluster):
    """One worker is told that it has AVX2 alone: states of both kinds of CPU merge, and rows have the same bits."""
    cluster.run(_limit, workers=[min(cluster.run(os.getpid))])
    lazy = _array(64, 1 << 16, (4, 1 << 14))
    rows, sums = lib.softmax(lazy), lib.logsumexp(lazy)
    expected = [a.compute(scheduler="synchronous") for a in (rows, sums)]
    found = [a.compute() for a in (rows, sums)]
    assert sorted(cluster.run(_isa).values()) == ["auto", "avx2"]
    assert [np.array_equal(f, e) for f, e in zip(found, expected, strict=True)] == [True, True]


def _deadly(chunk):
    os._exit(1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_dies_is_named(cluster):
    """Work that takes its worker down again and again ends in Dask's own error, not in waiting."""
    distributed = pytest.importorskip("distributed")
    lazy = _array(4, 1 << 12, (4, 1 << 10)).map_blocks(_deadly, dtype=np.float32, meta=np.empty((0, 0), "f4"))
    with pytest.raises(distributed.KilledWorker):
        lib.logsumexp(lazy).compute()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_is_gone_is_named(cluster):
    """A scheduler that goes away in the middle of a run is an error that says so."""
    distributed = pytest.importorskip("distributed")
    future = cluster.compute(lib.logsumexp(_array(16, 1 << 26, (16, 1 << 20))))
    time.sleep(1.0)
    cluster.cluster.close()
    with pytest.raises((OSError, distributed.client.FutureCancelledError), match=r"(?i)closed|cancel|lost"):
        future.result(timeout=60)
