"""What each task does with the encoder's result; DistilBERT's and BERT's classes share it.

The layers belong to the classes in `distilbert.py` and `bert.py`. A head works on the tokens as the
encoder left them, so that the unpadded path computes nothing at masked positions here either.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from distilbert.config import PretrainedConfig
from distilbert.modeling import inputs, losses
from distilbert.modeling.backbone import Backbone, is_plain, to_result
from distilbert.modeling.model import ACTIVATION_FUNCTIONS, Encoded
from distilbert.modeling.pretrained import PreTrainedModel
from distilbert.outputs import (
    MaskedLMOutput,
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)


class Head(PreTrainedModel):
    """An encoder, the attribute named `base_model_prefix`, and something on top."""

    backbone_class: ClassVar[type[Backbone]]
    base_model: Backbone

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        setattr(self, self.base_model_prefix, self.backbone_class(self.config))

    def encoder(self) -> Callable[..., Encoded]:
        """Return what runs the encoder and leaves tokens as it computed them.

        An encoder that a hook watches, that is compiled by itself or is somebody else's, is called
        as a module, so its outputs are whole.
        """
        base = self.base_model
        return base.encode if is_plain(base, self.backbone_class) else partial(_call, base)


def _call(encoder: Any, *, first_only: bool = False, **given: Any) -> Encoded:
    """Call an encoder; arguments are those of `Backbone.encode`. All tokens are always there."""
    named = {name: x for name, x in given.items() if x is not None}
    output = encoder(return_dict=True, **named)
    hidden_states, attentions = output.get("hidden_states"), output.get("attentions")
    layers = None if hidden_states is None else list(hidden_states)
    return Encoded(output["last_hidden_state"], None, layers, attentions)


class MaskedLM(Head):
    """Predict the token at every position."""

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        config = self.config
        self.activation = ACTIVATION_FUNCTIONS[config.activation]
        self.vocab_transform = nn.Linear(config.dim, config.dim)
        self.vocab_layer_norm = nn.LayerNorm(config.dim, eps=config.layer_norm_eps)
        self.vocab_projector = nn.Linear(config.dim, config.vocab_size)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        """Return the decoder, from width to vocabulary."""
        return self.vocab_projector

    def set_output_embeddings(self, value: nn.Linear) -> None:
        """Replace the decoder."""
        self.vocab_projector = value

    def decoder_states(self, tokens: Tensor) -> Tensor:
        """(…, C) -> (…, C), what the decoder reads."""
        return self.vocab_layer_norm(self.activation(self.vocab_transform(tokens)))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        lengths: Sequence[int] | None = None,
    ) -> MaskedLMOutput | tuple[Any, ...]:
        """Return logits (B, T, V).

        Args:
            labels: (B, T) token ids; -100 is left out of the loss.

        The other arguments are those of `DistilBertModel.forward`.
        """
        encoded = self.encoder()(
            input_ids=input_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            position_ids=position_ids,
            token_type_ids=token_type_ids,
            lengths=lengths,
        )
        logits = self.vocab_projector(self.decoder_states(encoded.tokens))
        loss = None
        if labels is not None:
            loss = losses.cross_entropy(logits, encoded.select_labels(labels))
        output = MaskedLMOutput(loss=loss, logits=encoded.pad(logits), **encoded.asked_for())
        return to_result(self.config, output, return_dict)


class TokenClassification(Head):
    """Label every token."""

    dropout: nn.Dropout
    classifier: nn.Linear

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        lengths: Sequence[int] | None = None,
    ) -> TokenClassifierOutput | tuple[Any, ...]:
        """Return logits (B, T, num_labels).

        Args:
            labels: (B, T) label numbers; -100 is left out of the loss.

        The other arguments are those of `DistilBertModel.forward`.
        """
        encoded = self.encoder()(
            input_ids=input_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            position_ids=position_ids,
            token_type_ids=token_type_ids,
            lengths=lengths,
        )
        logits = self.classifier(self.dropout(encoded.tokens))
        loss = None
        if labels is not None:
            loss = losses.cross_entropy(logits, encoded.select_labels(labels))
        output = TokenClassifierOutput(loss=loss, logits=encoded.pad(logits), **encoded.asked_for())
        return to_result(self.config, output, return_dict)


class QuestionAnswering(Head):
    """Score every token as the start and as the end of the answer."""

    dropout: nn.Module  # BERT has none here
    qa_outputs: nn.Linear

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        lengths: Sequence[int] | None = None,
    ) -> QuestionAnsweringModelOutput | tuple[Any, ...]:
        """Return start and end logits, each (B, T).

        On the unpadded path masked positions get the smallest finite number.

        Args:
            start_positions, end_positions: (B,) token positions; those outside the sequence are
                left out of the loss.

        The other arguments are those of `DistilBertModel.forward`.

        Raises:
            ValueError: only one of the two positions is given.
        """
        if (start_positions is None) != (end_positions is None):
            raise ValueError("give both start_positions and end_positions, or neither")
        encoded = self.encoder()(
            input_ids=input_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            position_ids=position_ids,
            token_type_ids=token_type_ids,
            lengths=lengths,
        )
        logits = self.qa_outputs(self.dropout(encoded.tokens))  # (B, T, 2) or (N, 2)
        logits = encoded.pad(logits, losses.lowest(logits))
        start_logits, end_logits = logits.unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            keep = encoded.layout.mask() if encoded.layout is not None else None
            loss = losses.spans(start_logits, end_logits, start_positions, end_positions, keep)
        output = QuestionAnsweringModelOutput(
            loss=loss, start_logits=start_logits, end_logits=end_logits, **encoded.asked_for()
        )
        return to_result(self.config, output, return_dict)


class FirstTokenHead(Head):
    """A head that reads each sequence's first token, [CLS]."""

    def classify(self, first: Tensor) -> Tensor:
        """(B, C) -> (B, outputs)."""
        raise TypeError(f"{type(self).__name__} does not say how it classifies")


class SequenceClassification(FirstTokenHead):
    """Label, or score, every sequence."""

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        lengths: Sequence[int] | None = None,
    ) -> SequenceClassifierOutput | tuple[Any, ...]:
        """Return logits (B, num_labels).

        Args:
            labels: (B,) label numbers, (B,) values for one label (regression), or
                (B, num_labels) zeros and ones. `config.problem_type` overrides what the type of
                the labels says.

        The other arguments are those of `DistilBertModel.forward`.
        """
        encoded = self.encoder()(
            input_ids=input_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            position_ids=position_ids,
            token_type_ids=token_type_ids,
            lengths=lengths,
            first_only=True,
        )
        logits = self.classify(encoded.first_token())
        loss = None
        if labels is not None:
            loss = losses.classification(logits, labels, self.config)
        output = SequenceClassifierOutput(loss=loss, logits=logits, **encoded.asked_for())
        return to_result(self.config, output, return_dict)


class MultipleChoice(FirstTokenHead):
    """Score every choice of a question."""

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        lengths: Sequence[Sequence[int]] | None = None,
    ) -> MultipleChoiceModelOutput | tuple[Any, ...]:
        """Return logits (B, choices).

        Args:
            input_ids, attention_mask, token_type_ids: (B, choices, T).
            position_ids: (B, choices, T), (1, T) or (T,).
            inputs_embeds: (B, choices, T, C).
            labels: (B,), the number of the right choice.
            lengths: per question, per choice.

        The other arguments are those of `DistilBertModel.forward`.
        """
        for name, x in {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "inputs_embeds": inputs_embeds,
            "position_ids": position_ids,
            "token_type_ids": token_type_ids,
            "labels": labels,
        }.items():
            if x is not None:
                inputs.require_tensor(name, x)
        given = input_ids if input_ids is not None else inputs_embeds
        expected = 3 if input_ids is not None else 4
        if given is not None and given.dim() != expected:
            form = "(batch, choices, tokens)" if expected == 3 else "(batch, choices, tokens, dim)"
            raise ValueError(f"the inputs must be {form}, got {tuple(given.shape)}")
        choices = given.shape[1] if given is not None else 1
        if given is not None:
            inputs.check_choices(
                given,
                attention_mask=attention_mask,
                position_ids=position_ids,
                token_type_ids=token_type_ids,
            )
        input_ids, attention_mask, inputs_embeds, position_ids, token_type_ids = (
            # (B, choices, …) -> (B * choices, …); fewer axes have positions for all rows.
            x if x is None or x.dim() < 3 else x.flatten(0, 1)
            for x in (input_ids, attention_mask, inputs_embeds, position_ids, token_type_ids)
        )
        encoded = self.encoder()(
            input_ids=input_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            position_ids=position_ids,
            token_type_ids=token_type_ids,
            lengths=None if lengths is None else [n for row in lengths for n in row],
            first_only=True,
        )
        logits = self.classify(encoded.first_token()).view(-1, choices)
        loss = None if labels is None else losses.cross_entropy(logits, labels.flatten())
        output = MultipleChoiceModelOutput(loss=loss, logits=logits, **encoded.asked_for())
        return to_result(self.config, output, return_dict)
