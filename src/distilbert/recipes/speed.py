"""How fast models are beside one another, in one run: timings of different runs do not compare."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from distilbert.modeling.pretrained import PreTrainedModel

_ROUNDS = 15
_TOGETHER = 32  # sequences of a batch


@dataclass(frozen=True)
class Speed:
    """Medians of one model.

    Args:
        latency_ms: of one sequence alone.
        sequences_per_s: in batches of 32.
    """

    latency_ms: float
    sequences_per_s: float


@torch.no_grad()
def speeds(models: Mapping[str, PreTrainedModel], lengths: Sequence[int]) -> dict[str, Speed]:
    """Return the speed of each model on sequences of these lengths, taken in turns.

    Args:
        models: by name; they are put into evaluation mode and run unpadded.
        lengths: tokens of real sequences, at least one; of each batch's share of them.
    """
    alone: dict[str, list[float]] = {name: [] for name in models}
    together: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(_ROUNDS + 1):
        one = [lengths[turn % len(lengths)]]
        many = [lengths[(turn * _TOGETHER + i) % len(lengths)] for i in range(_TOGETHER)]
        for name, model in models.items():
            model.eval()
            model.set_attn_implementation("varlen")
            alone[name].append(_seconds(model, _batch(model, one)) / 1)
            together[name].append(_seconds(model, _batch(model, many)) / _TOGETHER)
    return {  # the first turn warms up
        name: Speed(
            1000 * statistics.median(alone[name][1:]),
            1 / statistics.median(together[name][1:]),
        )
        for name in models
    }


def _batch(model: PreTrainedModel, lengths: Sequence[int]) -> dict[str, Any]:
    width = max(lengths)
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long().to(model.device)
    ids = torch.randint(5, model.config.vocab_size, mask.shape, device=model.device)
    return {"input_ids": ids * mask, "attention_mask": mask}


def _seconds(model: Callable[..., Any], inputs: dict[str, Any]) -> float:
    _wait()
    start = time.perf_counter()
    model(**inputs)
    _wait()
    return time.perf_counter() - start


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
