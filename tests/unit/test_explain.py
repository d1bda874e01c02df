"""An explanation says everything about a plan on one screen, and show_config everything about a machine."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import rowfold as rf
from rowfold import library
from rowfold.inspecting.explain import Explanation
from rowfold.inspecting.traffic import traffic
from rowfold.runtime import store

NAMES = "softmax log_softmax logsumexp entropy cross_entropy layer_norm rms_norm masked_softmax".split()
KERNELS = [getattr(library, name) for name in NAMES]


def many_sweeps(x: rf.Row):
    """Each step needs a mean of the step before, so that no two of them share a sweep."""
    for _ in range(12):
        x = np.tanh(x - np.mean(np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x)))))
    return x


def svg_of(explanation):
    """The picture, parsed as XML: an unescaped label would not parse."""
    return ET.fromstring(re.search(r"<svg.*</svg>", explanation._repr_html_(), re.DOTALL)[0])


@pytest.mark.parametrize("kernel", [*KERNELS, rf.kernel(many_sweeps)], ids=lambda k: k.name)
@pytest.mark.parametrize("n", [10, 1_000_000])
def test_an_explanation_fits_a_terminal(kernel, n):
    """At most 80 columns and fewer than 40 lines, whatever the program."""
    lines = str(kernel.explain((2, n))).split("\n")
    assert max(map(len, lines)) <= 80 and len(lines) < 40


def test_every_candidate_is_there():
    """The chosen strategy, and each rejected one with its reason or its price."""
    plan = library.softmax.plan((8, 1000))
    text = " ".join(str(library.softmax.explain((8, 1000))).split())
    said = [f"{name}: {reason}" in text for name, reason in plan.rejected]
    assert f"softmax: {plan.strategy}," in text and said == [True] * len(plan.rejected)


def test_the_price_is_there():
    """Nanoseconds and bytes an element, as the plan has them."""
    plan = library.softmax.plan((8, 1000))
    text = str(library.softmax.explain((8, 1000)))
    assert f"price: {plan.ns:.3f} ns an element, {plan.bytes_per_element:g} bytes an element" in text


@pytest.mark.parametrize(
    ("strategy", "said"),
    [("two_pass", "walks: 2, the fewest"), ("three_pass_recompute", "walks: fusion allows 2; this plan makes 3")],
)
def test_the_walks_are_there(strategy, said):
    """A plan of more sweeps than fusion needs is called that."""
    assert said in str(library.softmax.using(strategy=strategy).explain((8, 1000)))


def test_what_a_sweep_moves():
    """Reloading keeps the exponentials in the result and reads them back from there."""
    moved = traffic(library.softmax.using(strategy="three_pass_reload").plan((8, 1000)))
    kept, read = "the exponentials to the result", "the exponentials in the result"
    assert [(t.reads, t.writes) for t in moved] == [(("x",), ()), (("x",), (kept,)), ((read,), ("the result",))]


@pytest.mark.parametrize("n", [1000, 50_000_000])
def test_a_row_that_leaves_the_cache_comes_from_memory_again(n):
    """As many sweeps are said to go to memory as the plan has memory passes."""
    plan = library.softmax.using(strategy="three_pass_recompute").plan((2, n))
    assert sum(t.memory for t in traffic(plan)) == plan.memory_passes


def test_there_is_a_bar_for_what_a_sweep_reads_and_writes():
    """Two bars a sweep, in the colour of the text around them, for light and for dark pages."""
    explanation = library.softmax.explain((8, 1000))
    svg = svg_of(explanation)
    bars = svg.findall(".//{http://www.w3.org/2000/svg}rect")
    assert (len(bars), svg.get("fill")) == (2 * len(explanation.plan.sweeps), "currentColor")


def test_the_kernel_is_a_point_of_the_roofline():
    """One point, four roofs, and the share of the units that is busy in words."""
    svg = svg_of(library.softmax.explain((8, 1000)))
    found = [len(svg.findall(f".//{{http://www.w3.org/2000/svg}}{kind}")) for kind in ("circle", "polyline")]
    texts = " ".join(t.text for t in svg.iter("{http://www.w3.org/2000/svg}text"))
    assert (found, bool(re.search(r"softmax in (L1|L2|L3|memory): \d+%", texts))) == ([1, 4], True)


def test_what_would_change_a_plan_is_said():
    """Each length at which another strategy is taken is one at which the planner takes it."""
    lines = str(library.layer_norm.explain((1024, 512))).split("what would change it:")[1]
    said = {int(n): name for name, n in re.findall(r"(\w+) from (\d+)", lines)}
    rows = {n: max(1024 * 512 // n, 1) for n in said}
    assert said == {n: library.layer_norm.plan((rows[n], n)).strategy for n in said} and len(said) > 1


def test_what_changes_nothing_is_said():
    """A maximum is one walk everywhere."""
    text = " ".join(str(library.max.explain((8, 1000))).split())
    assert "no other length, dtype or instruction set changes the strategy" in text


def test_labels_are_escaped():
    """A kernel's name is text on a page, whatever is in it."""
    explanation = rf.kernel(library.softmax.__wrapped__, name="<script>&\"'").explain((8, 10))
    svg_of(explanation)
    assert "<script>" not in explanation._repr_html_()


def test_an_explanation_shows_itself():
    """At a prompt there is no need to print it."""
    explanation = library.softmax.explain((8, 10))
    assert isinstance(explanation, Explanation) and repr(explanation) == str(explanation)


def test_text_needs_no_template():
    """Jinja is imported when HTML is asked for, and not before."""
    code = "import sys, rowfold as rf; str(rf.library.softmax.explain()); print('jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# show_config


def shown(capsys):
    rf.show_config()
    return capsys.readouterr().out


def test_show_config_names_what_it_found(capsys):
    """Version, instruction sets, caches, compilers, the kernel cache and every option."""
    from rowfold import config

    text = shown(capsys)
    wanted = (f"rowfold {rf.__version__}", "portable", "L1 ", "compilers", "ziglang", "kernel cache", *config.NAMES)
    assert [w for w in wanted if w not in text] == []


def test_show_config_says_why_a_compiler_was_refused(capsys, monkeypatch):
    """A compiler that is not there is listed with the reason, and nothing else is used in its place."""
    monkeypatch.setenv("ROWFOLD_CC", "no-such-compiler")
    text = shown(capsys)
    assert "none: 'no-such-compiler' is not a program on PATH" in text and ", used: " not in text


def test_show_config_says_where_a_value_comes_from(capsys, monkeypatch):
    """From a variable, or from rf.options, which wins."""
    monkeypatch.setenv("ROWFOLD_DEBUG", "1")
    with rf.options(strategy="online"):
        lines = [line.split() for line in shown(capsys).splitlines()]
    assert ["debug", "1", "from", "ROWFOLD_DEBUG"] in lines and ["strategy", "'online'", "from", "rf.options"] in lines


def test_show_config_survives_a_value_that_is_wrong(capsys, monkeypatch):
    """The one call that has to work when nothing does names the wrong value."""
    monkeypatch.setenv("ROWFOLD_DEBUG", "loud")
    assert "ROWFOLD_DEBUG = 'loud' is not an integer from 0 to 4" in shown(capsys)


def test_show_config_says_why_a_cache_is_not_used(capsys, monkeypatch, tmp_path):
    """A directory that others can write to is refused, in words."""
    (tmp_path / str(store.SCHEMA)).mkdir(mode=0o777)
    (tmp_path / str(store.SCHEMA)).chmod(0o777)
    monkeypatch.setenv("ROWFOLD_CACHE_DIR", str(tmp_path))
    assert re.search(r"kernel cache  not used: .* is open to others", shown(capsys))
