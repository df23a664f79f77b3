"""What one micro-batch contributes to a step of fine-tuning.

The loss is the micro-batch's sum divided by the count of the whole optimiser step: adding up
micro-batches and ranks gives the loss of the batch, however it was split.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distilbert.distillation.masking import IGNORED
from distilbert.modeling.heads import Head, QuestionAnswering
from distilbert.modeling.losses import lowest
from distilbert.tasks.batches import Counts
from distilbert.tasks.features import Batch

Inputs = tuple[Tensor, Tensor, list[Any], Tensor]


def to_inputs(batch: Batch, device: torch.device) -> Inputs:
    """Return ids, token types, lengths and labels of a batch, on the device.

    Of several rows per example the first three are (E, rows, T) and a list per example.
    """
    ids, types, labels = (
        torch.from_numpy(x).to(device, non_blocking=True)
        for x in (batch.input_ids, batch.token_type_ids, batch.labels)
    )
    if batch.rows == 1:
        return ids, types, batch.lengths, labels
    shape = (-1, batch.rows, ids.shape[1])
    starts = range(0, len(batch), batch.rows)
    nested = [batch.lengths[start : start + batch.rows] for start in starts]
    return ids.view(shape), types.view(shape), nested, labels


def logits_of(model: Head, ids: Tensor, types: Tensor, lengths: list[Any]) -> Tensor:
    """Return logits as float32: (E, L) of examples; (B, T, L) of tokens.

    In question answering the last axis is start and end, and padding gets the lowest number.
    """
    options = {"token_type_ids": types} if model.config.type_vocab_size else {}
    output = model(input_ids=ids, lengths=lengths, return_dict=True, **options)
    if not isinstance(model, QuestionAnswering):
        return output.logits.float()
    logits = torch.stack([output.start_logits, output.end_logits], -1).float()
    is_real = torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None]
    return logits.masked_fill(~is_real.to(logits.device)[..., None], lowest(logits))


def loss_sum(
    model: Head, logits: Tensor, labels: Tensor, class_weights: Tensor | None = None
) -> Tensor:
    """Return the sum of the task's loss over the labels. Count: `Counts.weight`."""
    kind = model.config.problem_type
    if kind == "regression":
        return F.mse_loss(logits.flatten(), labels.float().flatten(), reduction="sum")
    if kind == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits, labels.float(), reduction="sum")
    if isinstance(model, QuestionAnswering):
        logits = logits.transpose(1, 2)  # (B, T, 2) -> (B, 2, T)
    return F.cross_entropy(
        logits.flatten(0, -2),
        labels.flatten(),
        weight=class_weights,
        ignore_index=IGNORED,
        reduction="sum",
    )


class TaskStep(nn.Module):
    """The task's own loss.

    Args:
        model: with the task's head.
        class_weights: (L,), of each label's loss.
    """

    def __init__(self, model: Head, class_weights: Tensor | None = None) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.class_weights: Tensor | None

    def forward(
        self, ids: Tensor, types: Tensor, lengths: list[Any], labels: Tensor, counts: Counts
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, a part of the whole batch's, and the sum of each term."""
        logits = logits_of(self.model, ids, types, lengths)
        total = loss_sum(self.model, logits, labels, self.class_weights)
        return total / max(counts.weight, 1e-12), {"task": total.detach()}
