"""Memory that ends, or begins, where nobody may read or write."""

import ctypes
import mmap

import numpy as np

PAGE = mmap.PAGESIZE


class Guarded:
    """Some pages between two that nobody may touch."""

    def __init__(self, size):
        pages = -(-size // PAGE)
        self.map = mmap.mmap(-1, (pages + 2) * PAGE)
        self.start = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        libc = ctypes.CDLL(None, use_errno=True)
        for place in (0, (pages + 1) * PAGE):
            assert libc.mprotect(ctypes.c_void_p(self.start + place), PAGE, 0) == 0
        self.inside = pages * PAGE

    def array(self, shape, dtype, *, end):
        """An array that begins with the pages, or ends with them."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        offset = PAGE + (self.inside - size if end else 0)
        return np.frombuffer(self.map, np.uint8, size, offset).view(dtype).reshape(shape)
