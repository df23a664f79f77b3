"""What one micro-batch contributes to an optimiser step: masked-LM pre-training, and distillation.

A step is a module, so that it can be wrapped for distributed training as a whole. Its loss is the
micro-batch's sums divided by the counts of the whole optimiser step: adding up micro-batches and
ranks gives the loss of the global batch, however it was split.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distilbert.distillation import objectives
from distilbert.distillation.batches import Counts
from distilbert.distillation.layers import (
    attention_term,
    check_heads,
    hidden_term,
    layer_pairs,
    query_width,
)
from distilbert.distillation.masking import IGNORED
from distilbert.distillation.taps import Taps
from distilbert.distillation.vocabulary_terms import Decoder, vocabulary_terms
from distilbert.loss_terms import check_temperature, check_weights
from distilbert.modeling.heads import MaskedLM
from distilbert.modeling.model import Encoded
from distilbert.modeling.pretrained import PreTrainedModel


@dataclass(frozen=True)
class Weights:
    """The weight of each term; the defaults are the original code's triple loss.

    Attributes:
        ce: L_ce, the teacher's distribution over the vocabulary.
        mlm: L_mlm, the masked tokens.
        cos: L_cos, the direction of the last hidden state.
        hidden: hidden states of all layers (TinyBERT).
        attention: attention scores of all layers (TinyBERT).
        relation: relations among queries, keys and values (MiniLMv2).
    """

    ce: float = 5.0
    mlm: float = 2.0
    cos: float = 1.0
    hidden: float = 0.0
    attention: float = 0.0
    relation: float = 0.0


class MaskedLMStep(nn.Module):
    """L_mlm alone; the head runs only where a label is."""

    def __init__(self, model: MaskedLM) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, labels: Tensor, lengths: Sequence[int], counts: Counts
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, a part of the global batch's, and each term, a part as well.

        Args:
            input_ids, labels: (B, T), right-padded; -100 where a token is not masked.
        """
        encoded = encode(self.model, input_ids, lengths)
        tokens, labels, _ = flat(encoded, labels)
        rows = (labels != IGNORED).nonzero().squeeze(1)
        loss, _, _ = vocabulary_terms(
            decoder_of(self.model, tokens[rows]), labels[rows], mlm=1 / max(counts.masked, 1)
        )
        return loss, {"mlm": loss.detach()}


class DistillationStep(nn.Module):
    """The triple loss (arXiv 1910.01108), and what came after it, freely weighted.

    Args:
        student: trained.
        teacher: a masked LM; or a bare encoder where no term needs its head. Put in evaluation
            mode, and cut to the layers that the terms need.
        weights: of the terms.
        temperature: of L_ce.
        ce_at_masked: L_ce only at masked tokens instead of all.
        relation_heads: relation heads of MiniLMv2; 0 is the teacher's width / 16.
        relation_layer: teacher layer (from 1) whose relations are taught; 0 is the last.

    Raises:
        ValueError: terms that this teacher and this student do not allow, or a weight below 0 or
            not finite.
    """

    def __init__(
        self,
        student: MaskedLM,
        teacher: PreTrainedModel,
        weights: Weights,
        *,
        temperature: float = 2.0,
        ce_at_masked: bool = False,
        relation_heads: int = 0,
        relation_layer: int = 0,
    ) -> None:
        super().__init__()
        check_weights(vars(weights))
        check_temperature(temperature)
        _check_pair(student, teacher, weights, relation_layer)
        own, other = student.config, teacher.config
        self.student = student
        # Not a submodule: it is neither trained, saved nor synchronised.
        self._teacher = (teacher,)
        self.weights = weights
        self.temperature = temperature
        self.ce_at_masked = ce_at_masked
        self.relation_heads = relation_heads or other.dim // 16
        self.relation_layer = (relation_layer or other.n_layers) - 1
        self.pairs = layer_pairs(own.n_layers, other.n_layers)
        self._check_heads()
        needs_last = bool(weights.ce or weights.cos or weights.hidden or weights.attention)
        self._uses_teacher = needs_last or bool(weights.relation)
        student.set_attn_implementation("varlen")
        teacher.set_attn_implementation("varlen")
        teacher.requires_grad_(False).eval()
        if not needs_last:
            teacher.base_model.transformer.cut(self.relation_layer + 1)
            other.n_layers = self.relation_layer + 1
        widths_differ = own.dim != other.dim and bool(weights.cos or weights.hidden)
        self.projection = nn.Linear(own.dim, other.dim) if widths_differ else None
        self._student_taps, self._teacher_taps = self._make_taps()
        self._freeze_untaught()

    @property
    def teacher(self) -> PreTrainedModel:
        """The model that teaches."""
        return self._teacher[0]

    def forward(
        self, input_ids: Tensor, labels: Tensor, lengths: Sequence[int], counts: Counts
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, a part of the global batch's, and each term, a part as well.

        Args:
            input_ids, labels: (B, T), right-padded; -100 where a token is not masked.
        """
        with self._student_taps, self._teacher_taps:
            return self._loss(input_ids, labels, lengths, counts)

    def _loss(
        self, input_ids: Tensor, labels: Tensor, lengths: Sequence[int], counts: Counts
    ) -> tuple[Tensor, dict[str, Tensor]]:
        weights = self.weights
        per_token = 1 / max(counts.tokens, 1)
        encoded = self._encode(self.student, input_ids, lengths)
        tokens, labels, blocks = flat(encoded, labels)
        taught, goal = self._teach(input_ids, lengths)

        loss = tokens.new_zeros((), dtype=torch.float32)
        terms: dict[str, Tensor] = {}

        def add(name: str, weight: float, term: Tensor) -> None:
            nonlocal loss
            loss = loss + weight * per_token * term
            terms[name] = per_token * term.detach()

        if weights.ce or weights.mlm:
            loss, terms["mlm"], terms["ce"] = self._vocabulary(tokens, goal, labels, counts)
        if weights.cos:
            add("cos", weights.cos, objectives.cosine(self._project(tokens), goal))
        if weights.hidden:
            assert encoded.layers is not None
            assert taught is not None
            assert taught.layers is not None
            states = [x.flatten(0, -2) for x in encoded.layers]
            goals = [x.flatten(0, -2) for x in taught.layers]
            add("hidden", weights.hidden, hidden_term(states, goals, self.pairs, self._project))
        if weights.attention:
            taps = self._student_taps, self._teacher_taps
            add("attention", weights.attention, attention_term(*taps, self.pairs, blocks))
        if weights.relation:
            add("relation", weights.relation, self._relation(blocks))
        return loss, terms

    def _check_heads(self) -> None:
        """Raise ValueError where attention or relations cannot be compared head by head."""
        student, teacher = (m.base_model.transformer for m in (self.student, self.teacher))
        if self.weights.relation:
            last = self.student.config.n_layers - 1
            for transformer, layer in ((student, last), (teacher, self.relation_layer)):
                width = query_width(transformer, layer)
                if width % self.relation_heads:
                    raise ValueError(
                        f"relation_heads ({self.relation_heads}) must divide the widths, "
                        f"got {width}"
                    )
        if self.weights.attention:
            check_heads(student, teacher, self.pairs)

    def _make_taps(self) -> tuple[Taps, Taps]:
        """Return what reads the queries and keys that terms compare, of student and teacher."""
        layers = self.student.config.n_layers
        own: set[int] = set()
        other: set[int] = set()
        if self.weights.attention:
            own |= set(range(layers))
            other |= {layer - 1 for layer in self.pairs[1:]}
        if self.weights.relation:
            own.add(layers - 1)
            other.add(self.relation_layer)
        return (
            Taps(self.student.base_model.transformer, sorted(own)),
            Taps(self.teacher.base_model.transformer, sorted(other)),
        )

    def _freeze_untaught(self) -> None:
        """Leave out the student's weights that no term reaches."""
        weights, student = self.weights, self.student
        if not (weights.ce or weights.mlm):
            for name, parameter in student.named_parameters():
                if name.startswith("vocab_"):
                    parameter.requires_grad_(False)
        if weights.ce or weights.mlm or weights.cos or weights.hidden:
            return
        last = f"transformer.layer.{student.config.n_layers - 1}."
        trained = ("q_lin", "k_lin", "v_lin") if weights.relation else ("q_lin", "k_lin")
        for name, parameter in student.base_model.named_parameters():
            if name.startswith(last):
                parameter.requires_grad_(name.split(".")[-2] in trained)

    def _teach(self, input_ids: Tensor, lengths: Sequence[int]) -> tuple[Encoded | None, Tensor]:
        if not self._uses_teacher:
            return None, input_ids.new_zeros(0)
        with torch.no_grad(), torch.autocast(input_ids.device.type, enabled=False):
            taught = self._encode(self.teacher, input_ids, lengths)
        return taught, taught.tokens.flatten(0, -2)

    def _encode(self, model: PreTrainedModel, input_ids: Tensor, lengths: Sequence[int]) -> Encoded:
        encoded = encode(model, input_ids, lengths, hidden=bool(self.weights.hidden))
        if encoded.layout is None and min(lengths) < input_ids.shape[1]:
            raise ValueError(
                f"{type(model).__name__} computed padding as well, which would count as tokens: "
                'call set_attn_implementation("varlen"), as DistillationStep has done, on it'
            )
        return encoded

    def _vocabulary(
        self, tokens: Tensor, goal: Tensor, labels: Tensor, counts: Counts
    ) -> tuple[Tensor, Tensor, Tensor]:
        if self.ce_at_masked or not self.weights.ce:
            rows = (labels != IGNORED).nonzero().squeeze(1)
            tokens, labels = tokens[rows], labels[rows]
            goal = goal[rows] if self.weights.ce else goal
        taught = None
        if self.weights.ce:
            assert isinstance(self.teacher, MaskedLM)
            with torch.no_grad(), torch.autocast(tokens.device.type, enabled=False):
                taught = decoder_of(self.teacher, goal)
        masked = max(counts.masked, 1)
        taught_at = masked if self.ce_at_masked else max(counts.tokens, 1)
        loss, mlm, ce = vocabulary_terms(
            decoder_of(self.student, tokens),
            labels,
            mlm=self.weights.mlm / masked,
            teacher=taught,
            ce=self.weights.ce / taught_at,
            temperature=self.temperature,
        )
        return loss, mlm / masked, ce / taught_at

    def _project(self, x: Tensor) -> Tensor:
        return x if self.projection is None else self.projection(x)

    def _relation(self, blocks: objectives.Blocks) -> Tensor:
        last = self.student.config.n_layers - 1
        student = self._student_taps.queries_keys_values(last)
        teacher = self._teacher_taps.queries_keys_values(self.relation_layer)
        return objectives.relations(student, teacher, self.relation_heads, blocks)


def _check_pair(
    student: MaskedLM, teacher: PreTrainedModel, weights: Weights, relation_layer: int
) -> None:
    """Raise ValueError where the terms need another teacher, or another student."""
    own, other = student.config, teacher.config
    if weights.ce and not isinstance(teacher, MaskedLM):
        raise ValueError("L_ce needs a teacher with a masked-LM head; this one is an encoder")
    if weights.ce and own.vocab_size != other.vocab_size:
        raise ValueError(
            f"L_ce needs one vocabulary: the teacher has {other.vocab_size} entries, "
            f"the student {own.vocab_size}; start from a student that has as many"
        )
    if not 0 <= relation_layer <= other.n_layers:
        raise ValueError(
            f"relation_layer must be 1 to {other.n_layers}, or 0 for the last; got {relation_layer}"
        )


def decoder_of(model: MaskedLM, tokens: Tensor) -> Decoder:
    """Return the model's decoder with its states for these tokens, (N, C)."""
    projector = model.vocab_projector
    return Decoder(model.decoder_states(tokens), projector.weight, projector.bias)


def encode(
    model: PreTrainedModel, input_ids: Tensor, lengths: Sequence[int], hidden: bool = False
) -> Encoded:
    """Return what the encoder gives, whatever else the model's configuration wants shown."""
    return model.base_model.encode(
        input_ids, lengths=lengths, output_attentions=False, output_hidden_states=hidden
    )


def flat(encoded: Encoded, labels: Tensor) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
    """Return tokens (N, C), their labels (N,) and the blocks of sequences of equal length.

    On the padded path padding is among the tokens, without a label, and all is one block.
    """
    if encoded.layout is not None:
        return encoded.tokens, encoded.select_labels(labels), list(encoded.layout.blocks())
    batch, columns = labels.shape
    return encoded.tokens.flatten(0, 1), labels.flatten(), [(batch, columns)]
