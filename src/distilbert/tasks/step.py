"""What one micro-batch contributes to a step of fine-tuning, with a teacher or without.

The loss is the micro-batch's sums divided by the counts of the whole optimiser step: adding up
micro-batches and ranks gives the loss of the batch, however it was split.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distilbert.distillation.layers import attention_term, check_heads, hidden_term, layer_pairs
from distilbert.distillation.masking import IGNORED
from distilbert.distillation.taps import Taps
from distilbert.loss_terms import check_temperature, check_weights
from distilbert.modeling.backbone import Backbone
from distilbert.modeling.heads import QuestionAnswering, TokenClassification
from distilbert.modeling.losses import lowest
from distilbert.modeling.pretrained import PreTrainedModel
from distilbert.outputs import ModelOutput
from distilbert.tasks import similarity
from distilbert.tasks.batches import Counts
from distilbert.tasks.features import Batch

Inputs = tuple[Tensor, Tensor, list[Any], Tensor, Tensor | None]


def to_inputs(batch: Batch, device: torch.device) -> Inputs:
    """Return ids, token types, lengths, labels and the teacher's outputs, on the device.

    Of several rows per example the first three are (E, rows, T) and a list per example.
    """
    ids, types, labels = (
        torch.from_numpy(x).to(device, non_blocking=True)
        for x in (batch.input_ids, batch.token_type_ids, batch.labels)
    )
    teacher_logits = (
        None if batch.teacher_logits is None else torch.from_numpy(batch.teacher_logits).to(device)
    )
    if batch.rows == 1:
        return ids, types, batch.lengths, labels, teacher_logits
    shape = (-1, batch.rows, ids.shape[1])
    starts = range(0, len(batch), batch.rows)
    nested = [batch.lengths[start : start + batch.rows] for start in starts]
    return ids.view(shape), types.view(shape), nested, labels, teacher_logits


def run(
    model: Any, ids: Tensor, types: Tensor, lengths: list[Any], hidden: bool = False
) -> ModelOutput:
    """Return what a model, prepared, exported or neither, gives; a BERT gets the token types.

    Never its attention weights, whatever its configuration says: nobody reads them here, and they
    cost the padded path.
    """
    options = {"token_type_ids": types} if model.config.type_vocab_size > 1 else {}
    return model(
        input_ids=ids,
        lengths=lengths,
        output_attentions=False,
        output_hidden_states=hidden,
        return_dict=True,
        **options,
    )


def logits_of(model: PreTrainedModel, output: ModelOutput, lengths: list[Any]) -> Tensor:
    """Return logits as float32: (E, L) of examples; (B, T, L) of tokens.

    In question answering the last axis is start and end, and padding gets the lowest number. Of a
    bare encoder it is the embeddings of texts, (B, C).
    """
    if isinstance(model, Backbone):
        return mean_pooled(output.last_hidden_state.float(), lengths)
    if not isinstance(model, QuestionAnswering):
        return output.logits.float()
    logits = torch.stack([output.start_logits, output.end_logits], -1).float()
    is_padding = ~real_tokens(lengths, logits.shape[1])
    return logits.masked_fill(
        is_padding.to(logits.device, non_blocking=True)[..., None], lowest(logits)
    )


def mean_pooled(states: Tensor, lengths: list[int]) -> Tensor:
    """(B, T, C) -> (B, C), the mean over all real tokens, [CLS] and [SEP] included."""
    is_real = real_tokens(lengths, states.shape[1]).to(states.device)
    return (states * is_real[..., None]).sum(1) / is_real.sum(1, keepdim=True)


def real_tokens(lengths: list[Any], columns: int) -> Tensor:
    """(B, T), or (E, rows, T) of a list per example, true where a token is real; on the CPU."""
    return torch.arange(columns) < torch.tensor(lengths)[..., None]


def loss_sum(
    model: PreTrainedModel, logits: Tensor, labels: Tensor, class_weights: Tensor | None = None
) -> Tensor:
    """Return the sum of the task's loss over the labels. Count: `Counts.weight`."""
    if isinstance(model, Backbone):
        return similarity.pair_sum(logits, labels)
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


def taught_sum(
    model: PreTrainedModel,
    logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    lengths: list[Any],
    temperature: float,
) -> Tensor:
    """Return the sum of T^2 KL(teacher || student) over the labels. Count: `Counts.targets`.

    Of several labels per text it is the KL of each yes or no; in regression the squared difference,
    of embeddings 1 - cos.

    Args:
        logits: of the student, as `logits_of` returns them.
        teacher_logits: of the teacher, (E, L), (R, C) or (n, L) of real tokens.
    """
    if isinstance(model, Backbone):
        return similarity.taught_sum(logits, teacher_logits)
    kind = model.config.problem_type
    if kind == "regression":
        return F.mse_loss(logits, teacher_logits, reduction="sum")
    if kind == "multi_label_classification":
        goal, own = teacher_logits / temperature, logits / temperature
        entropy = F.binary_cross_entropy_with_logits(goal, goal.sigmoid(), reduction="sum")
        cross = F.binary_cross_entropy_with_logits(own, goal.sigmoid(), reduction="sum")
        return temperature**2 * (cross - entropy)
    if isinstance(model, QuestionAnswering):
        padded = torch.full_like(logits, lowest(logits))
        padded[real_tokens(lengths, logits.shape[1]).to(logits.device)] = teacher_logits
        logits, teacher_logits = logits.transpose(1, 2), padded.transpose(1, 2)
    if isinstance(model, TokenClassification):
        is_real = real_tokens(lengths, logits.shape[1]).to(logits.device)
        labelled = labels[is_real] != IGNORED
        logits, teacher_logits = logits[is_real][labelled], teacher_logits[labelled]
    return temperature**2 * F.kl_div(
        F.log_softmax(logits / temperature, -1),
        F.log_softmax(teacher_logits / temperature, -1),
        log_target=True,
        reduction="sum",
    )


@dataclass(frozen=True)
class Weights:
    """The weight of each term.

    Attributes:
        labels: the task's own loss.
        ce: the teacher's outputs.
        hidden: its hidden states in all layers (TinyBERT).
        attention: its attention scores in all layers (TinyBERT).

    Raises:
        ValueError: one is below 0 or not finite, or neither labels nor outputs count: the head
            would not learn.
    """

    labels: float = 1.0
    ce: float = 0.0
    hidden: float = 0.0
    attention: float = 0.0

    def __post_init__(self) -> None:
        check_weights(vars(self))
        if not (self.labels or self.ce):
            raise ValueError(f"the weight of labels or that of ce must be above 0: {vars(self)}")


class TaskStep(nn.Module):
    """The loss of the task, and what a teacher adds to it.

    Args:
        model: with the task's head.
        class_weights: (L,), of each label's loss.
        weights: of the terms.
        temperature: of the teacher's outputs.
        teacher: for `hidden` and `attention`; its outputs come with the batches.

    Raises:
        ValueError: a temperature that is not above 0, or attention transfer between models with
            different numbers of heads.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        class_weights: Tensor | None = None,
        weights: Weights | None = None,
        temperature: float = 1.0,
        teacher: PreTrainedModel | None = None,
    ) -> None:
        super().__init__()
        check_temperature(temperature)
        self.model = model
        self.weights = weights or Weights()
        self.temperature = temperature
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.class_weights: Tensor | None
        # Not a submodule: it is neither trained, saved nor synchronised.
        self._teacher = (teacher,)
        self.projection: nn.Linear | None = None
        self._own_taps = self._other_taps = Taps(model.base_model.transformer, ())
        if teacher is not None:
            self._pair(model, teacher)

    def _pair(self, model: PreTrainedModel, teacher: PreTrainedModel) -> None:
        own, other = model.config, teacher.config
        teacher.requires_grad_(False).eval()
        self.pairs = layer_pairs(own.n_layers, other.n_layers)
        if self.weights.attention:
            check_heads(model.base_model.transformer, teacher.base_model.transformer, self.pairs)
        if self.weights.hidden and own.dim != other.dim:
            self.projection = nn.Linear(own.dim, other.dim)
        attends = bool(self.weights.attention)
        layers = sorted({layer - 1 for layer in self.pairs[1:]})
        self._own_taps = Taps(model.base_model.transformer, range(own.n_layers) if attends else ())
        self._other_taps = Taps(teacher.base_model.transformer, layers if attends else ())

    def forward(
        self,
        ids: Tensor,
        types: Tensor,
        lengths: list[Any],
        labels: Tensor,
        teacher_logits: Tensor | None,
        counts: Counts,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, a part of the whole batch's, and each term, a part as well."""
        with self._own_taps, self._other_taps:
            weights = self.weights
            output = run(self.model, ids, types, lengths, hidden=bool(weights.hidden))
            logits = logits_of(self.model, output, lengths)
            terms: dict[str, Tensor] = {}
            if weights.labels:
                total = loss_sum(self.model, logits, labels, self.class_weights)
                terms["labels"] = total / max(counts.weight, 1e-12)
            if weights.ce:
                assert teacher_logits is not None
                total = taught_sum(
                    self.model, logits, teacher_logits, labels, lengths, self.temperature
                )
                terms["ce"] = total / max(counts.targets, 1)
            if weights.hidden or weights.attention:
                terms |= self._inner(output, ids, types, lengths, counts)
            loss = torch.stack(
                [getattr(weights, name) * term for name, term in terms.items()]
            ).sum()
            return loss, {name: term.detach() for name, term in terms.items()}

    def _inner(
        self, output: ModelOutput, ids: Tensor, types: Tensor, lengths: list[Any], counts: Counts
    ) -> dict[str, Tensor]:
        """Return the terms between layers, over real tokens."""
        [teacher] = self._teacher
        assert teacher is not None
        weights = self.weights
        with torch.no_grad(), torch.autocast(ids.device.type, enabled=False):
            theirs = run(teacher, ids, types, lengths, hidden=bool(weights.hidden))
        nested = bool(lengths) and isinstance(lengths[0], list)
        rows: list[int] = list(chain.from_iterable(lengths)) if nested else lengths
        per_token = 1 / max(counts.tokens, 1)
        terms = {}
        if weights.hidden:
            is_real = real_tokens(rows, ids.shape[-1]).to(ids.device)
            states = [x[is_real] for x in output.hidden_states]
            goals = [x[is_real] for x in theirs.hidden_states]
            project = self.projection or nn.Identity()
            terms["hidden"] = per_token * hidden_term(states, goals, self.pairs, project)
        if weights.attention:
            # The unpadded path has the rows in order of length; the padded one, rows of one length.
            blocks = [(count, length) for length, count in sorted(Counter(rows).items())]
            total = attention_term(self._own_taps, self._other_taps, self.pairs, blocks)
            terms["attention"] = per_token * total
        return terms
