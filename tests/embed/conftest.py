"""A kernel as other programs get it: emitted, compiled, loaded."""

from pathlib import Path

import pytest
from toolchain import Embedded

from rowfold.inspecting.embed import NAMES


@pytest.fixture
def embedded(tmp_path):
    """A function that emits a kernel with the options of emit, compiles it and loads it."""

    def make(kernel, flags=("-O2",), compiler="gcc", dtype="float32", **options):
        folder = Path(tmp_path) / "emitted"
        kernel.emit(folder, dtypes=dtype, overwrite=True, **options)
        return Embedded(folder, kernel.name, flags, compiler, NAMES[dtype])

    return make
