"""Reviews that are good or bad by one word, and tiny models that read them."""

import csv

import numpy as np
import torch

import distilbert as d

GOOD, BAD = ["good", "great", "fine", "nice"], ["bad", "poor", "awful", "sad"]
OTHER = ["film", "movie", "actor", "plot", "the", "a", "is", "was"]
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *OTHER]


def save_model(folder, kind="distilbert", head="MaskedLM", **options):
    shape = {"vocab_size": len(VOCAB), "max_position_embeddings": 24, "n_layers": 2, "n_heads": 2,
             "dim": 32, "hidden_dim": 64, **options}  # fmt: skip
    torch.manual_seed(0)
    if kind == "bert":
        model = getattr(d, f"BertFor{head}")(d.BertConfig(**shape))
    else:
        model = getattr(d, f"DistilBertFor{head}")(d.DistilBertConfig(**shape))
    model.save_pretrained(folder)
    d.DistilBertTokenizerFast({word: i for i, word in enumerate(VOCAB)}).save_pretrained(folder)
    return str(folder)


def write_reviews(path, count, seed, pair=False):
    """A review is good or bad by one word; a pair by that of its second text."""
    draw = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "second", "label"])
        for _ in range(count):
            first, second = draw.integers(0, 2, 2)
            words = list(draw.choice(OTHER, draw.integers(2, 12)))
            words.insert(draw.integers(0, len(words)), draw.choice([BAD, GOOD][first]))
            label = ["neg", "pos"][second if pair else first]
            writer.writerow([" ".join(words), draw.choice([BAD, GOOD][second]), label])
    return str(path)
