"""A batch in slices: for Python to look in between at Ctrl-C, and for a pool of threads where there is no team."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .progress import Progress
from .spec import Array
from .ufunc import cores_of

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

SLICE = 1 << 24  # elements: 3 to 50 ms of work
Shape = tuple[int, ...]


class Sliced:
    """A loop that is called slice by slice, each of at most `SLICE` elements; a longer row is a slice of its own."""

    most = SLICE

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.signature, self.types, self.__name__ = loop.signature, loop.types, loop.__name__
        left, right = loop.signature.split("->")
        self.inputs, self.outputs = cores_of(left), cores_of(right)

    def __call__(self, *operands: Any) -> Any:
        count = len(self.inputs)
        arrays = [np.asarray(a) for a in operands[:count]]
        sizes, batch = self._sizes(arrays)
        results = list(operands[count:]) or self._empty(sizes, batch)
        slices = self.cut([*arrays, *results], batch, max(next(iter(sizes.values()), 1), 1))
        self.run(slices, math.prod(batch) * max(sizes.values(), default=1))
        values = [r if len(operands) > count else r[()] for r in results]
        return tuple(values) if len(values) > 1 else values[0]

    def run(self, slices: Iterator[list[Array]], elements: int) -> None:
        """All slices, one after the other."""
        progress = Progress(elements)
        for part in slices:
            self.loop(*part)
            progress.add(max(a.size for a in part))
        progress.end()

    def cut(self, arrays: list[Array], batch: Shape, n: int) -> Iterator[list[Array]]:
        """The operands of each slice, along the first axis that has more than one place."""
        rows = math.prod(batch)
        if rows * n <= self.most or rows <= 1:
            yield arrays
            return
        step = max(1, self.most * batch[0] // (rows * n))
        for start in range(0, batch[0], step):
            if step > 1:
                yield [self._part(a, k, len(batch), slice(start, start + step)) for k, a in enumerate(arrays)]
            else:
                yield from self.cut([self._part(a, k, len(batch), start) for k, a in enumerate(arrays)], batch[1:], n)

    def _part(self, array: Array, place: int, depth: int, where: int | slice) -> Array:
        core = (*self.inputs, *self.outputs)[place]
        if array.ndim - len(core) < depth:
            return array
        if array.shape[0] == 1:
            return array if isinstance(where, slice) else array[0, ...]
        part: Array = array[where, ...]
        return part

    def _sizes(self, arrays: list[Array]) -> tuple[dict[str, int], Shape]:
        sizes: dict[str, int] = {}
        for core, array in zip(self.inputs, arrays, strict=True):
            sizes |= zip(core, array.shape[array.ndim - len(core) :], strict=True)
        shapes = (a.shape[: a.ndim - len(c)] for c, a in zip(self.inputs, arrays, strict=True))
        return sizes, np.broadcast_shapes(*shapes)

    def _empty(self, sizes: dict[str, int], batch: Shape) -> list[Array]:
        dtypes = self.types[0].split("->")[1]
        shapes = ((*batch, *(sizes.get(s) or int(s) for s in core)) for core in self.outputs)
        return [np.empty(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]


class Pooled(Sliced):
    """Slices on a pool of threads: the team of those who cannot compile it."""

    def __init__(self, loop: Any, threads: int) -> None:
        super().__init__(loop)
        self.threads = threads

    def run(self, slices: Iterator[list[Array]], elements: int) -> None:
        progress = Progress(elements)
        for done in _pool(os.getpid(), self.threads).map(self._one, slices):
            progress.add(done)
        progress.end()

    def cut(self, arrays: list[Array], batch: Shape, n: int) -> Iterator[list[Array]]:
        self.most = max(1, min(SLICE, math.prod(batch) * n // (4 * self.threads)))
        return super().cut(arrays, batch, n)

    def _one(self, part: list[Array]) -> int:
        with np.errstate(all="ignore"):
            self.loop(*part)
        return max(a.size for a in part)


@functools.lru_cache(8)
def _pool(pid: int, threads: int) -> ThreadPoolExecutor:
    """One pool for each process: a forked child has none of its parent's threads."""
    from concurrent.futures import ThreadPoolExecutor  # 4 ms, which those with a team need not wait

    return ThreadPoolExecutor(threads, thread_name_prefix="rowfold")
