"""The selected elements of a row, as an array that knows where in the row they are: `where=` moves nothing."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Selected(np.ndarray[Any, np.dtype[Any]]):
    """What a reference gets for a row of which `where=` selects some elements."""

    places: Array | None

    def __array_finalize__(self, obj: object) -> None:
        self.places = getattr(obj, "places", None)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """NumPy's own result, which still knows its places if it is as long as the row."""
        result = super().__array_function__(func, types, args, kwargs)
        plain = type(result) is np.ndarray and self.places is not None and result.shape == self.places.shape
        return selected(result, self.places) if plain else result

    def argmax(self, *args: Any, **kwargs: Any) -> Any:
        """The position in the whole row."""
        return self._placed(super().argmax(*args, **kwargs))

    def argmin(self, *args: Any, **kwargs: Any) -> Any:
        """The position in the whole row."""
        return self._placed(super().argmin(*args, **kwargs))

    def _placed(self, found: Any) -> Any:
        return found if self.places is None or len(self.places) != self.size else self.places[found]


def selected(elements: Any, places: Any) -> Selected:
    """The elements, of shape (k,), that are at these places of their row."""
    row = cast(Selected, np.asarray(elements).view(Selected))
    row.places = places
    return row
