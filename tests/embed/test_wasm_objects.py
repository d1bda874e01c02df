"""WebAssembly objects made by llvmlite, linked with a C library's fma and run by wasmtime on a memory of its own."""

import struct
from pathlib import Path

import numpy as np
import pytest
from toolchain import need, run

from rowfold import library

pytestmark = pytest.mark.slow
ROWS, N = 7, 333


def called(wasm, symbol, x, settings):
    """The loop on rows that lie in the instance's memory: pointers, sizes and steps are 32-bit words there."""
    wasmtime = pytest.importorskip("wasmtime")
    store = wasmtime.Store()
    instance = wasmtime.Instance(store, wasmtime.Module.from_file(store.engine, str(wasm)), [])
    exports = instance.exports(store)
    memory, size = exports["memory"], x.itemsize
    places, at = [], exports["__heap_base"].value(store) + 64
    memory.grow(store, 8)
    for data in (x.tobytes(), struct.pack(f"<{len(settings)}d", *settings), bytes(x.nbytes)):
        memory.write(store, data, at)
        places.append(at)
        at += -(-len(data) // 64) * 64 + 64
    args = [places[0], *(places[1] + 8 * k for k in range(len(settings))), places[2]]
    steps = [size * N, *[0] * len(settings), size * N, size, size]
    for words in (args, [ROWS, N], steps):
        memory.write(store, struct.pack(f"<{len(words)}i", *words), at)
        places.append(at)
        at += 64
    exports[symbol](store, *places[3:], 0)
    return np.frombuffer(memory.read(store, places[2], places[2] + x.nbytes), x.dtype).reshape(x.shape)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_wasm_object_gives_the_bits_of_portable_c(name, dtype, tmp_path):
    """What has no fused multiply-add calls that of the C library, which rounds once too."""
    pytest.importorskip("wasmtime")
    kernel = getattr(library, name)
    path, _ = map(Path, kernel.emit(tmp_path, lang="object", target="wasm32", shape=(ROWS, N), dtype=dtype))
    wasm = tmp_path / "kernel.wasm"
    flags = ("-nostartfiles", "-Wl,--no-entry", f"-Wl,--export={path.stem}", "-Wl,--export=__heap_base")
    run(need("clang-19"), "--target=wasm32-wasi", *flags, path, "-o", wasm, "-lm")
    x = (np.random.default_rng(3).normal(size=(ROWS, N)) * 5).astype(dtype)
    assert called(wasm, path.stem, x, [1.0]).tobytes() == kernel.using(isa="portable")(x).tobytes()
