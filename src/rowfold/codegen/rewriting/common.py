"""Common factors of a sum: g e^x/S - (sum g e^x) e^x/S^2 is e^x/S (g - sum(g e^x)/S), whose factors stay in range."""

from __future__ import annotations

from ..ir import Const, Reduce, Ref
from .algebra import Product, Sum, is_map, product, total, write_product, write_sum
from .rewriter import Rewriter


def factored(r: Rewriter, terms: Sum) -> Ref | None:
    """The sum with the exponentials and their sums that its terms share taken out; None where they share none.

    Only for rows: a sum of row-constants is added over its largest power of two, and a term may be 0.
    """
    if not any(map(r.b.is_row, terms.terms)):
        return None
    parts = [product(r.b, atom).times(Product(coefficient, {})) for atom, coefficient in terms.terms.items()]
    scales = [part.only(r.scales) for part in parts]
    if terms.constant or len(parts) < 2 or not all(scale.powers for scale in scales):
        return None
    for common in sorted(scales, key=lambda scale: sum(map(abs, scale.powers.values()))):
        ratios = [scale.times(common, -1) for scale in scales]
        if all(_tame(r, ratio) for ratio in ratios):
            inside = [part.without(r.scales).times(ratio) for part, ratio in zip(parts, ratios, strict=True)]
            return r.b.map("multiply", write_product(r.b, common), _written(r, inside))
    return None


def _tame(r: Rewriter, ratio: Product) -> bool:
    """A row-constant ratio of one scale, over what is never 0: the mean under a softmax, or 1."""
    below = (atom for atom, power in ratio.powers.items() if power < 0)
    balanced = sum(ratio.powers.values()) == 0
    return balanced and not any(map(r.b.is_row, ratio.powers)) and all(_positive(r, atom) for atom in below)


def _positive(r: Rewriter, atom: Ref) -> bool:
    match r.b.nodes[atom]:
        case Reduce("expsum", (weight, _)):
            return r.b.nodes[weight] == Const(1.0)
        case _:
            return is_map(r.b, atom, "exp")


def _written(r: Rewriter, parts: list[Product]) -> Ref:
    """The sum of these products; a product that is itself a sum gives its terms, so that they cancel."""
    result = Sum(0.0, {})
    for part in parts:
        size = write_product(r.b, Product(abs(part.coefficient), part.powers))
        result = result.plus(total(r.b, size), 1.0 if part.coefficient > 0 else -1.0)
    return write_sum(r.b, result)
