"""How states merge is written once: each carry names the kinds that it leaves, and both printers follow one text."""

import importlib
import pkgutil
from inspect import getmembers, isclass

import numpy as np
import pytest

import rowfold as rf
from rowfold.codegen import lower
from rowfold.codegen.c.standalone_merging import merging_of
from rowfold.codegen.lower import merging as rules
from rowfold.codegen.lower.mergewords import HELPERS
from rowfold.codegen.running.statewords import FEW
from rowfold.codegen.states import layout_of
from rowfold.gallery import entries
from rowfold.kernels.merging import fields_of, identity, merge, state_dtype
from rowfold.kernels.parts import Parts
from rowfold.records import replace

LIFE = ("before", "body", "between", "block_end", "after")
STATELESS = {"Maximum", "Guess", "Endless", "Excess", "NewtonStep"}  # a shift is with its sums; a threshold has none
KERNELS = {k.name: (k, {}) for _, k in getmembers(rf.library, lambda k: isinstance(k, Parts))}
KERNELS |= {f"gallery.{e.name}": (e.made, e.settings) for e in entries() if isinstance(e.made, Parts)}


def carries():
    """Every class of lowering that lives over a sweep."""
    modules = (importlib.import_module(f"{lower.__name__}.{m.name}") for m in pkgutil.iter_modules(lower.__path__))
    found = {c for module in modules for _, c in getmembers(module, isclass) if all(hasattr(c, name) for name in LIFE)}
    return {c for c in found if not getattr(c, "_is_protocol", False)}


def layouts(name):
    """The states of a kernel in either dtype; none if it has to see whole rows."""
    kernel, settings = KERNELS[name]
    static = {s.name: settings.get(s.name, 3 if s.required else s.default) for s in kernel.settings if s.static}
    given = frozenset(p.name for p in kernel.parameters if not p.optional)
    try:
        return [layout_of(kernel.program(static, given, frozenset()), dtype) for dtype in ("f32", "f64")]
    except rf.PlanError:
        return []


def test_every_carry_says_how_its_states_merge():
    """A new carry has a kind of state, or a reason for none here; and no kind is left without a carry."""
    found = carries()
    assert {c.__name__ for c in found if not c.states} == STATELESS
    assert {state for c in found for state in c.states} == set(rules.STATES.values())


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_every_field_of_a_state_has_a_merge(name):
    """Whatever the kernels here leave of a part is merged to as many numbers, in NumPy as in C."""
    for layout in layouts(name):
        placed = list(rules.placed(layout.fields))
        assert [p.state.name for p in placed[1:]] == [unit.name for unit in layout.units]
        assert [len(p.state.identity) for p in placed[1:]] == [unit.size for unit in layout.units]
        none = identity((2,), state_dtype(layout.fields))
        assert merge(none, none).tobytes() == none.tobytes()
        assert merging_of(layout.fields, layout.dtype).lines


FIELDS = (("k_f32_0", (2,)), ("round1_0_sum", (1,)))
TOLD = (FIELDS[0], ("round1_0_exp", (5,)))


def state(fields, numbers):
    return np.array(numbers).view(state_dtype(fields)).reshape(())


def test_another_rule_is_another_merge_in_numpy_and_in_c(monkeypatch):
    """There is no second definition that would go on as before."""
    a, b = (state(FIELDS, [1.0, 1.0, x]) for x in (3.0, 5.0))
    told = [(merge(a, b)["round1_0_sum"][0], "m[2] = a[2] + b[2];" in "".join(merging_of(FIELDS, "f32").lines))]
    monkeypatch.setattr(rules.Added, "merge", lambda self, w, a, b: [a[0] - b[0]])
    told += [(merge(a, b)["round1_0_sum"][0], "m[2] = a[2] - b[2];" in "".join(merging_of(FIELDS, "f32").lines))]
    assert told == [(8.0, True), (-2.0, True)]


def test_another_helper_is_another_function_in_numpy_and_in_c(monkeypatch):
    """The same for what merges call."""
    a, b = (state(TOLD, [1.0, 1.0, n, 0.0, 1.0, 1.0, 1.0]) for n in (0.0, 1.0))
    text = "".join(merging_of(TOLD, "f32").functions)
    assert merge(a, b)["round1_0_exp"][-1] == 1.5 and "num_power(" in text
    other = replace(HELPERS["moved"], body=lambda w, *a: a[0] - a[0])
    monkeypatch.setitem(HELPERS, "moved", other)
    assert merge(a, b)["round1_0_exp"][-1] == 0.0 and "num_power(" not in "".join(merging_of(TOLD, "f32").functions)


def best(k, rng, places):
    """The k best of some elements, with ties, infinities and NaN, as a state; and the elements."""
    values = rng.choice([-np.inf, -1.0, 0.0, 1.0, 2.0, np.inf, np.nan], size=len(places))
    elements = list(zip(values, places, strict=True))
    return listed(k, elements), elements


def listed(k, elements):
    kept = sorted(elements, key=lambda e: (not np.isnan(e[0]), 0.0 if np.isnan(e[0]) else -e[0], e[1]))[:k]
    kept += [(-np.inf, -1.0)] * (k - len(kept))
    return state((FIELDS[0], ("round1_0_topk", (2, k))), [1.0, 1.0, *(v for v, _ in kept), *(p for _, p in kept)])


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 8, 9, 31])
def test_the_best_of_two_lists_are_those_of_all_elements(k):
    """By value, then by place, NaN first; from lists that are full, short or empty."""
    rng = np.random.default_rng(k)
    for _ in range(60):
        places = rng.permutation(3 * k).astype(float)
        cut, end = rng.integers(0, 2 * k, size=2)
        (a, some), (b, others) = (best(k, rng, p) for p in (places[:cut], places[cut : cut + end]))
        assert merge(a, b)["round1_0_topk"].tobytes() == listed(k, some + others)["round1_0_topk"].tobytes()


@pytest.mark.parametrize("k", [1, 5, 50])
def test_many_lists_merge_as_each_does_alone(k):
    """Few states are merged one after the other, many an entry of all at a time: to the same bits."""
    rng = np.random.default_rng(k)
    pairs = [[best(k, rng, rng.permutation(4 * k)[: 2 * k].astype(float))[0] for _ in range(2)] for _ in range(2 * FEW)]
    a, b = (np.stack(side) for side in zip(*pairs, strict=True))
    assert merge(a, b).tobytes() == b"".join(merge(*pair).tobytes() for pair in pairs)


def test_the_fields_of_a_dtype_are_what_it_was_made_of():
    """Names and shapes are all that a process needs of a state that it never made."""
    assert fields_of(state_dtype(TOLD)) == TOLD
