"""Modules: `rowfold.interop.torch.nn.LayerNorm` and others, each in place of the `torch.nn` module of its name.

They are `torch.nn`'s own modules with another forward: the same arguments, parameters, state dicts and printed forms,
so that a checkpoint of one loads into the other. `replace(model)` changes those that a model has.
"""

from __future__ import annotations

from typing import Any

import torch

from rowfold.compat import torch_functional as functional

__all__ = ["CrossEntropyLoss", "LayerNorm", "LogSoftmax", "RMSNorm", "Softmax", "Softmin", "replace"]


class Softmax(torch.nn.Softmax):
    """softmax along `dim`, within 4 ULP."""

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        return functional.softmax(input, self.dim, _stacklevel=5)


class LogSoftmax(torch.nn.LogSoftmax):
    """log_softmax along `dim`, within 3 ULP."""

    def forward(self, input: Any) -> Any:  # noqa: A002
        return functional.log_softmax(input, self.dim, _stacklevel=5)


class Softmin(torch.nn.Softmin):
    """softmax of -x along `dim`."""

    def forward(self, input: Any) -> Any:  # noqa: A002
        return functional.softmin(input, self.dim, _stacklevel=5)


class LayerNorm(torch.nn.LayerNorm):
    """(x - mean x) / sqrt(var x + eps) * weight + bias over the last axes."""

    def forward(self, input: Any) -> Any:  # noqa: A002
        return functional.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(torch.nn.RMSNorm):
    """x / sqrt(mean x^2 + eps) * weight over the last axes; `eps` None is the dtype's epsilon."""

    def forward(self, x: Any) -> Any:
        return functional.rms_norm(x, self.normalized_shape, self.weight, self.eps)


class CrossEntropyLoss(torch.nn.CrossEntropyLoss):
    """-log softmax(input)[target], classes on axis 1, within 3 ULP a row at any logit gap."""

    def forward(self, input: Any, target: Any) -> Any:  # noqa: A002
        return functional.cross_entropy(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )  # fmt: skip


_OURS: dict[type, type] = {
    kind.__bases__[0]: kind for kind in (Softmax, LogSoftmax, Softmin, LayerNorm, RMSNorm, CrossEntropyLoss)
}


def replace(model: Any) -> int:
    """Turns every module of `model` that has a counterpart here into it, in place; gives how many.

    Parameters, hooks and names stay what they are; subclasses of torch's modules are left alone.
    """
    found = [m for m in model.modules() if type(m) in _OURS]
    for module in found:
        module.__class__ = _OURS[type(module)]
    return len(found)
