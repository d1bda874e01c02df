"""The signature that a kernel shows, to `inspect` and to editors."""

from __future__ import annotations

import inspect
from typing import Any


class Signature:
    """The signature of the row function, read when somebody asks for it."""

    def __get__(self, kernel: Any, owner: type | None = None) -> inspect.Signature:
        if kernel is None:
            raise AttributeError("__signature__")  # the class has the signature of its __init__
        found = vars(kernel)["__signature__"] = inspect.signature(vars(kernel)["_fn"])
        return found
