"""The fewest values from which others follow: a minimum vertex cut of a small graph, by augmenting paths."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..ir import Ref

End = tuple[Ref, bool]  # a value, and whether what leaves it is meant


def fewest(
    inside: Collection[Ref], below: Mapping[Ref, Sequence[Ref]], ends: Collection[Ref], allowed: Collection[Ref]
) -> list[Ref]:
    """The fewest `allowed` values that stand between those that nothing is below and the `ends`, nearest to the ends.

    Where no such cut exists, as the ends are not allowed themselves, nothing: all is to be computed again.
    """
    flow = _Flow(inside, below, ends, allowed)
    while flow.augment():
        if flow.count > len(inside):
            return []
    return sorted(flow.cut())


class _Flow:
    """Unit capacities in `allowed` values, none elsewhere; flow runs from the ends down to what has nothing below."""

    def __init__(
        self,
        inside: Collection[Ref],
        below: Mapping[Ref, Sequence[Ref]],
        ends: Collection[Ref],
        allowed: Collection[Ref],
    ) -> None:
        self.below, self.ends, self.allowed = below, sorted(ends), set(allowed)
        self.bottom = {r for r in inside if not below[r]}
        self.above: dict[Ref, list[Ref]] = {r: [] for r in inside}
        for r, under in below.items():
            for a in under:
                self.above[a].append(r)
        self.used: set[Ref] = set()  # allowed values with a path through them
        self.edges: dict[tuple[Ref, Ref], int] = {}
        self.count = 0
        self.reached: set[End] = set()

    def augment(self) -> bool:
        """One more path, if there is one."""
        came: dict[End, End | None] = {(r, False): None for r in self.ends}
        todo = list(came)
        while todo:
            here = todo.pop(0)
            if here[1] and here[0] in self.bottom:
                self._use(here, came)
                return True
            for there in self._next(here):
                if there not in came:
                    came[there] = here
                    todo.append(there)
        self.reached = set(came)
        return False

    def _next(self, here: End) -> list[End]:
        ref, leaving = here
        if leaving:
            found: list[End] = [(a, False) for a in self.below[ref]]
            return found + ([(ref, False)] if ref in self.used else [])
        found = [(r, True) for r in self.above[ref] if self.edges.get((r, ref), 0)]
        free = ref not in self.allowed or ref not in self.used
        return found + ([(ref, True)] if free else [])

    def _use(self, last: End, came: Mapping[End, End | None]) -> None:
        self.count += 1
        there, here = last, came[last]
        while here is not None:
            if here[0] == there[0]:
                (self.used.add if there[1] else self.used.discard)(here[0])
            elif here[1]:
                self.edges[here[0], there[0]] = self.edges.get((here[0], there[0]), 0) + 1
            else:
                self.edges[there[0], here[0]] -= 1
            there, here = here, came[here]

    def cut(self) -> list[Ref]:
        return [r for r in self.allowed if (r, False) in self.reached and (r, True) not in self.reached]
