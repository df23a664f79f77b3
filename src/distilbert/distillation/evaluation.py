"""How well a masked LM guesses: loss and accuracy at masked tokens."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distilbert.distillation.batches import Micro
from distilbert.distillation.masking import IGNORED
from distilbert.distillation.step import encode, flat
from distilbert.modeling.heads import MaskedLM

_ROWS = 1024  # masked tokens whose logits are made at a time


def to_tensors(micro: Micro, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return input ids and labels of a micro-batch, (B, T) each, on the device."""
    return _move(micro.input_ids, device), _move(micro.labels, device)


def _move(array: np.ndarray, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def masked_lm_sums(model: MaskedLM, batches: Iterable[Micro]) -> Tensor:
    """Return the sum of the cross-entropy, the right guesses and the masked tokens, float64 (3,).

    The head runs only at masked tokens. The model is put back into the mode it was in.
    """
    sums = torch.zeros(3, dtype=torch.float64, device=model.device)
    for right, losses in _guesses(model, batches):
        sums += torch.stack([losses.double().sum(), right.sum(), sums.new_tensor(len(right))])
    return sums


def masked_lm_hits(model: MaskedLM, batches: Iterable[Micro]) -> np.ndarray:
    """Return whether each masked token was guessed, in order: to compare models in pairs."""
    hits = [right.cpu().numpy() for right, _ in _guesses(model, batches)]
    return np.concatenate([np.zeros(0, dtype=bool), *hits])


@torch.no_grad()
def _guesses(model: MaskedLM, batches: Iterable[Micro]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield whether each masked token was guessed, and its loss."""
    was_training = model.training
    model.eval()
    for micro in batches:
        ids, labels = to_tensors(micro, model.device)
        encoded = encode(model, ids, micro.lengths)
        tokens, labels, _ = flat(encoded, labels)
        rows = (labels != IGNORED).nonzero().squeeze(1)
        for part in rows.split(_ROWS):
            logits = model.vocab_projector(model.decoder_states(tokens[part])).float()
            goal = labels[part]
            yield logits.argmax(-1) == goal, F.cross_entropy(logits, goal, reduction="none")
    model.train(was_training)
