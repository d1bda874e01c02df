"""What a part of a row adds to the words of a walk: numbers of a state, and where in the row the part begins."""

from __future__ import annotations

from collections.abc import Sequence

from ..loops import Arg, Port, Stmt
from .small import Small, each, small
from .values import INDEX, Builder, Place, Value


class StateWords:
    """Mixed into a walk, which has the builder and the ports."""

    b: Builder
    ports: dict[str, Port]
    place: Place | None

    def index(self, value: int) -> Value:
        return self.b.const(value, INDEX)

    def keep(self, port: Port, value: Value | Small, at: Arg) -> None:
        """Numbers of a state, from this place on."""
        assert isinstance(at, float)
        first = self.index(int(at))
        if isinstance(value, Value):
            self.b.result(port, value, first)
        else:
            each(self.b, value.size, lambda k: self.b.result(port, value.entry(k), first + k))

    def _field(self, s: Stmt) -> Value:
        assert isinstance(s.args[1], float)
        return self.b.field(self.ports[str(s.args[0])], self.index(int(s.args[1])))

    def _fields(self, s: Stmt) -> Small:
        assert isinstance(s.args[1], float)
        port, first = self.ports[str(s.args[0])], self.index(int(s.args[1]))
        made = small(self.b, s.results[0].name, s.results[0].size)
        each(self.b, made.size, lambda k: made.put(k, self.b.field(port, first + k)))
        return made

    def place_in_row(self, ports: Sequence[Arg]) -> Value:
        """Where the vectors are in the row; a part of a row tells where it begins."""
        assert self.place is not None
        here = self.place.start + self.place.at
        for port in ports:
            here = here + self.b.convert("to_int", self.b.number(self.ports[str(port)]), "index")
        return here
