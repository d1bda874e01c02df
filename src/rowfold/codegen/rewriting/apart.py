"""Which exponentials keep their power of two apart until everything that multiplies them is in.

Beside the largest of its row an exponential is kept as a number of the computing type, and what is too small for one is
clamped: neither shows in a sum, nor in a softmax. It would show in a product with a row of 1e38, so the exponentials
that meet such factors are pairs of mantissa and exponent instead, joined last (docs/decisions/0012). Decided by the
program alone, so that every strategy agrees.
"""

from __future__ import annotations

from ..ir import Const, Input, Map, Node, Program, Reduce, Ref, Role, Type

TAME = 2.0**24  # factors up to here lift nothing that was clamped into sight, nor does 1 / sum become subnormal by one
BOUNDED = frozenset({"tanh", "sigmoid", "sin", "cos", "sign", "uniform", "exp"})  # of a second exponential: as rounded
Factors = dict[Ref, int]


def apart(program: Program) -> frozenset[Ref]:
    """The row-shaped exponentials that meet factors of any size before they are rounded."""
    users: dict[Ref, list[Ref]] = {}
    for i, node in enumerate(program.nodes):
        if isinstance(node, Map):
            for a in dict.fromkeys(node.args):
                users.setdefault(a, []).append(Ref(i))
    exponentials = (Ref(i) for i, n in enumerate(program.nodes) if isinstance(n, Map) and n.op == "exp")
    return frozenset(e for e in exponentials if program.is_row(e) and _meets(program, users, e))


def _meets(program: Program, users: dict[Ref, list[Ref]], e: Ref) -> bool:
    """Whether the exponential is rounded anywhere after it met a factor that may be large."""
    outputs = {o.ref for o in program.outputs}
    nothing: Factors = {}
    stack, seen = [(e, nothing)], set[tuple[Ref, frozenset[tuple[Ref, int]]]]()
    while stack:
        ref, met = stack.pop()
        if any(_divides(program.nodes[user], ref) for user in users.get(ref, ())):
            return True
        further = [(user, _further(program, program.nodes[user], ref)) for user in users.get(ref, ())]
        rounded = ref in outputs or not further or any(more is None for _, more in further)
        if rounded and not _tame(program, e, met):
            return True
        known = ref, frozenset(met.items())
        if known not in seen:
            seen.add(known)
            stack += [(user, _joined(met, more)) for user, more in further if more is not None]
    return False


def _joined(a: Factors, b: Factors) -> Factors:
    total = dict(a)
    for ref, power in b.items():
        total[ref] = total.get(ref, 0) + power
    return {ref: power for ref, power in total.items() if power}


def _divides(node: Node, ref: Ref) -> bool:
    return isinstance(node, Map) and (node.op == "reciprocal" or (node.op == "divide" and node.args[1] == ref))


def _further(program: Program, node: Node, ref: Ref) -> Factors | None:
    """What the node multiplies its operand by; None where it does anything else with it."""
    match node:
        case Map("multiply", (a, b)) if a != b:
            return _atoms(program, b if a == ref else a, 1)
        case Map("divide", (a, b)) if a == ref != b:
            return _atoms(program, b, -1)
        case Map("negative"):
            return {}
        case Map("where", (_, a, other)) if a == ref and program.nodes[other] == Const(0.0):
            return {}
        case _:
            return None


def _atoms(program: Program, ref: Ref, sign: int) -> Factors:
    """A row-constant product taken apart."""
    match program.nodes[ref]:
        case Map("multiply", (a, b)) if not program.is_row(ref):
            return _joined(_atoms(program, a, sign), _atoms(program, b, sign))
        case Map("divide", (a, b)) if not program.is_row(ref):
            return _joined(_atoms(program, a, sign), _atoms(program, b, -sign))
        case _:
            return {ref: sign}


def _tame(program: Program, e: Ref, factors: Factors) -> bool:
    """Nothing at all, or a softmax times what is known to be small."""
    sums = {ref: power for ref, power in factors.items() if _own_sum(program, e, ref)}
    rest = ((ref, power) for ref, power in factors.items() if ref not in sums)
    return not factors or (list(sums.values()) == [-1] and all(_small(program, ref, power) for ref, power in rest))


def _own_sum(program: Program, e: Ref, ref: Ref) -> bool:
    """Whether it is the sum of these exponentials."""
    match program.nodes[ref], program.nodes[e]:
        case Reduce("expsum", (weight, exponent)), Map(_, (own,)):
            return exponent == own and program.nodes[weight] == Const(1.0)
        case _:
            return False


def _small(program: Program, ref: Ref, power: int) -> bool:
    """Whether ref^power, for a power of 1 or -1, is at most 2^24; a number, which meets 1 / sum, at least 2^-24, too.

    A row of anything down to 0 does no harm: it meets what is a softmax already.
    """
    match program.nodes[ref]:
        case Const(value):
            return abs(power) == 1 and (value == 0.0 < power or 1 / TAME <= abs(value) <= TAME)
        case Reduce("count"):
            return power < 0
        case Map(op) if op in BOUNDED:
            return power > 0 and (op == "sign" or program.is_row(ref))
        case Map("where", (_, a, b)):
            return power == 1 and _small(program, a, 1) and _small(program, b, 1)
        case Input(_, Role.POSITIONS):
            return power == 1
        case _:
            return program.types[ref] is Type.BOOL and power > 0
