"""A pipeline over a model that waits to be let through, and counts."""

import threading

import numpy as np
import pytest

import distilbert

LABELS = {0: "a", 1: "b", 2: "c"}


class GatedModel:
    """Logits that depend on the ids alone; while it is held, calls wait to be let through.

    Args:
        config: of a classifier.
    """

    def __init__(self, config):
        self.config = config
        self.batches = []
        self.begun = threading.Semaphore(0)  # released by each call
        self._free = threading.Event()
        self._free.set()
        self._passes = threading.Semaphore(0)

    def hold(self):
        self._free.clear()

    def let_through(self):
        """Let one call through; the others still wait."""
        self._passes.release()

    def release(self):
        self._free.set()
        self._passes.release()

    def __call__(self, input_ids, attention_mask):
        self.begun.release()
        if not self._free.is_set():
            assert self._passes.acquire(timeout=30)
        self.batches.append(len(input_ids))
        if (input_ids == WORDS.index("poison")).any():
            raise ArithmeticError("the model cannot")
        sums = (input_ids * attention_mask).sum(1)
        return np.stack([np.sin(sums), np.cos(sums), np.sin(2.0 * sums)], 1)


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "poison", *map(str, range(100))]


@pytest.fixture
def model():
    return GatedModel(distilbert.DistilBertConfig(vocab_size=len(WORDS), id2label=LABELS))


@pytest.fixture
def pipe(model):
    """Classifies numbers from 0 to 99; 32 tokens are a batch."""
    tokenizer = distilbert.DistilBertTokenizerFast({word: i for i, word in enumerate(WORDS)})
    return distilbert.pipeline("text-classification", model, tokenizer, batch_tokens=32)
