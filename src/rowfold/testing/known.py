"""Random row functions whose fewest walks are known, because each step says what it costs to carry."""

from __future__ import annotations

from rowfold.testing.programs import Draws

from ..records import NamedTuple

BEFORE = ("x * 0.5", "x - z", "x + s", "x / t", "(1 / t) * x", "np.tanh(x)", "x")
SOFTMAX = (
    "p = np.exp(u) / np.sum(np.exp(u)); lp = np.log(p)",
    "e = np.exp(u - np.max(u)); p = e / np.sum(e); lp = np.log(p)",
    "lp = u - rf.logsumexp(u); p = np.exp(lp)",
    "p = np.exp(u - rf.logsumexp(u)); lp = u - np.log(np.sum(np.exp(u)))",
)
ROWS = ("u", "z", "np.tanh(z)", "u * z")
FIRST = (
    "np.sum(p * {r})",
    "np.sum(p**2)",
    "np.sum(p**3)",
    "np.sum(np.sqrt(p))",
    "np.sum(p**0.3)",
    "-np.sum(p * lp)",
    "np.max(p)",
    "np.max(lp)",
    "p[y]",
    "np.sum(p, where=keep)",
    "np.mean(lp)",
    "np.argmax(p)",
    "np.mean({r})",
    "np.var({r})",
    "np.max(np.abs({r}))",
    "np.sum({r}, where=x > x[y])",
    "np.sum((p - np.where(keep, 1.0, 0.0)) ** 2)",
    "rf.kth({r}, 3)",
    "np.sum(rf.topk(p, 3)[0])",
    "np.cumsum(rf.topk({r}, 3)[0])[2]",
    "np.max({r}, initial=0.5)",
    "np.sum({r}, where=keep, initial=1.0)",
    "np.sum(np.exp(u), initial=1.0) / np.sum(np.exp(u))",
    "np.argmin({r})",
    "np.average({r}, weights=np.exp(z))",
    "rf.threshold(lambda v, tau: np.maximum(v - tau, 0.0), 1.0, u, lo=-np.inf, hi=np.inf)",
)
CARRIED = (  # what can be carried while c is still changing
    "np.sum(p * ({r} - {c}) ** 2)",
    "np.sum(({r} - {c}) * p)",
    "np.sum({r} - {c})",
    "np.sum({c} * {r})",
    "np.max({r} - {c})",
    "np.min({r} * {c})",
    "np.max(np.abs({r} - {c}))",
    "np.mean(({r} - {c}) ** 3)",
    "np.mean(({r} - {c}) * (x - np.mean(x)))",
    "np.sum((p - {c} * z) ** 2)",
    "np.sum(p * np.log(p / {c} ** 2))",
)
WAITING = (  # what has to know c first
    "np.sum(np.abs({r} - {c}))",
    "np.sum(np.tanh({r} - {c}))",
    "np.sum({r}, where={r} > {c})",
    "np.max(np.minimum({r}, {c} * z))",
    "rf.logsumexp({r} * np.abs({c}))",
)
RESULTS = ("{c}", "{c}", "{r} - {c}", "p * ({r} - {c})", "lp + {c}")


class Known(NamedTuple):
    """The text of a row function `fuzzed`, and in how many walks an expert would compute it."""

    source: str
    walks: int


def known_source(draws: Draws) -> Known:
    """One to three reductions, each of the one before it, under a softmax."""
    lines = [f"u = {draws.pick(BEFORE)}", draws.pick(SOFTMAX), f"c0 = {_filled(draws, draws.pick(FIRST), '')}"]
    walks = 1
    for step in range(1, draws.pick((1, 2, 3))):
        waits = draws.pick((False, False, True))
        lines.append(f"c{step} = {_filled(draws, draws.pick(WAITING if waits else CARRIED), f'c{step - 1}')}")
        walks += waits
    result = draws.pick(RESULTS)
    lines.append(f"return {_filled(draws, result, f'c{len(lines) - 3}')}")
    body = "\n".join(f"    {line}" for line in lines)
    source = f"def fuzzed(x, z, s: rf.Scalar, y: rf.Index, keep: rf.Mask, *, t: rf.Positive = 0.75):\n{body}\n"
    return Known(source, walks + (result != "{c}"))


def _filled(draws: Draws, template: str, number: str) -> str:
    return template.format(r=draws.pick(ROWS), c=number)
