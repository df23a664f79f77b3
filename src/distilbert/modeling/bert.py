"""BERT (arXiv 1810.04805) as a teacher: the same encoder with token types and a pooler.

Weights have DistilBERT's names in the modules and Google's in the files (`keymap.py`). There is no
next-sentence head and no decoder. `forward` takes its arguments in BERT's order, which a type
checker holds against the shared heads.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from distilbert.config import BertConfig
from distilbert.modeling.backbone import Backbone, to_result
from distilbert.modeling.dropout import Dropout
from distilbert.modeling.heads import (
    FirstTokenHead,
    Head,
    MaskedLM,
    MultipleChoice,
    QuestionAnswering,
    SequenceClassification,
    TokenClassification,
)
from distilbert.modeling.pretrained import BertPreTrainedModel
from distilbert.outputs import BaseModelOutputWithPooling


class Pooler(nn.Module):
    """tanh(dense(first token))."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.dim, config.dim)

    def forward(self, first: Tensor) -> Tensor:
        """(B, C) -> (B, C)."""
        return torch.tanh(self.dense(first))


class BertModel(BertPreTrainedModel, Backbone):
    """BERT's encoder and pooler, as a teacher.

    Args:
        config: shape of the network; weights are drawn anew. `from_pretrained` opens a checkpoint.
        add_pooling_layer: False leaves the pooler out, as the heads that do not read it do.

    Example:
        >>> import torch
        >>> from distilbert import BertConfig, BertModel
        >>> config = BertConfig(
        ...     vocab_size=100, num_hidden_layers=2, num_attention_heads=2, hidden_size=32,
        ...     intermediate_size=64,
        ... )
        >>> output = BertModel(config).eval()(torch.tensor([[2, 7, 9, 3]]))
        >>> output.last_hidden_state.shape, output.pooler_output.shape
        (torch.Size([1, 4, 32]), torch.Size([1, 32]))
    """

    def __init__(self, config: BertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.pooler = Pooler(config) if add_pooling_layer else None
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        lengths: Sequence[int] | None = None,
    ) -> BaseModelOutputWithPooling | tuple[Any, ...]:
        """Encode a batch of sequences.

        Args:
            token_type_ids: (B, T), the segment of each token; None is segment 0.

        The other arguments are those of `DistilBertModel.forward`.
        """
        encoded = self.encode(
            input_ids,
            attention_mask,
            head_mask,
            inputs_embeds,
            output_attentions,
            output_hidden_states,
            position_ids,
            token_type_ids,
            lengths,
            reads_first_token=self.pooler is not None,
        )
        output = BaseModelOutputWithPooling(
            last_hidden_state=encoded.pad(encoded.tokens),
            pooler_output=self.pooler(encoded.first_token()) if self.pooler else None,
            **encoded.asked_for(),
        )
        return to_result(self.config, output, return_dict)


class _Unpooled(BertModel):
    """The encoder without a pooler."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config, add_pooling_layer=False)


class _OnBert(BertPreTrainedModel, Head):
    """A head on the attribute `bert`."""

    backbone_class: ClassVar[type[Backbone]] = _Unpooled
    config: BertConfig

    @property
    def _dropout_rate(self) -> float:
        rate = self.config.classifier_dropout
        return self.config.dropout if rate is None else rate


class _Labelled(_OnBert):
    """BERT's order of arguments, for the tasks with labels."""

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        lengths: Any = None,
    ) -> Any:
        """Run the task's `forward` in `heads.py`, where the arguments are described."""
        return super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            labels=labels,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=return_dict,
            lengths=lengths,
        )


class _FirstToken(_Labelled, FirstTokenHead):
    """pooler, dropout, classifier."""

    backbone_class = BertModel

    def _add_classifier(self, outputs: int) -> None:
        self.classifier = nn.Linear(self.config.dim, outputs)
        self.dropout = Dropout(self._dropout_rate)
        self.post_init()

    def classify(self, first: Tensor) -> Tensor:
        """(B, C) -> (B, outputs)."""
        pooler = self.base_model.pooler
        assert isinstance(pooler, Pooler)
        return self.classifier(self.dropout(pooler(first)))


class BertForMaskedLM(_Labelled, MaskedLM):  # type: ignore[misc]
    """BERT that predicts the token at each position: the teacher in pre-training.

    Example:
        >>> import torch
        >>> from distilbert import BertConfig, BertForMaskedLM
        >>> config = BertConfig(
        ...     vocab_size=100, num_hidden_layers=2, num_attention_heads=2, hidden_size=32,
        ...     intermediate_size=64,
        ... )
        >>> BertForMaskedLM(config).eval()(torch.tensor([[2, 7, 4, 3]])).logits.shape
        torch.Size([1, 4, 100])
    """


class BertForSequenceClassification(_FirstToken, SequenceClassification):  # type: ignore[misc]
    """BERT that labels or scores a text, or a pair of texts.

    Example:
        >>> import torch
        >>> from distilbert import BertConfig, BertForSequenceClassification
        >>> config = BertConfig(
        ...     vocab_size=100, num_hidden_layers=2, num_attention_heads=2, hidden_size=32,
        ...     intermediate_size=64, num_labels=3,
        ... )
        >>> model = BertForSequenceClassification(config).eval()
        >>> ids, segments = torch.tensor([[2, 7, 3, 9, 3]]), torch.tensor([[0, 0, 0, 1, 1]])
        >>> model(ids, token_type_ids=segments).logits.shape
        torch.Size([1, 3])
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self._add_classifier(self.config.num_labels)


class BertForMultipleChoice(_FirstToken, MultipleChoice):  # type: ignore[misc]
    """BERT that picks one of several continuations or answers.

    Example:
        >>> import torch
        >>> from distilbert import BertConfig, BertForMultipleChoice
        >>> config = BertConfig(
        ...     vocab_size=100, num_hidden_layers=2, num_attention_heads=2, hidden_size=32,
        ...     intermediate_size=64,
        ... )
        >>> two_choices = torch.tensor([[[2, 7, 9, 3], [2, 7, 8, 3]]])
        >>> BertForMultipleChoice(config).eval()(two_choices).logits.shape
        torch.Size([1, 2])
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self._add_classifier(1)


class BertForTokenClassification(_Labelled, TokenClassification):  # type: ignore[misc]
    """BERT that labels every token.

    Example:
        >>> import torch
        >>> from distilbert import BertConfig, BertForTokenClassification
        >>> config = BertConfig(
        ...     vocab_size=100, num_hidden_layers=2, num_attention_heads=2, hidden_size=32,
        ...     intermediate_size=64, num_labels=5,
        ... )
        >>> BertForTokenClassification(config).eval()(torch.tensor([[2, 7, 3]])).logits.shape
        torch.Size([1, 3, 5])
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.classifier = nn.Linear(self.config.dim, self.config.num_labels)
        self.dropout = Dropout(self._dropout_rate)
        self.post_init()


class BertForQuestionAnswering(_OnBert, QuestionAnswering):
    """BERT that finds the answer to a question in a text.

    Example:
        >>> import torch
        >>> from distilbert import BertConfig, BertForQuestionAnswering
        >>> config = BertConfig(
        ...     vocab_size=100, num_hidden_layers=2, num_attention_heads=2, hidden_size=32,
        ...     intermediate_size=64,
        ... )
        >>> model = BertForQuestionAnswering(config).eval()
        >>> model(torch.tensor([[2, 7, 3, 9, 3]])).start_logits.shape
        torch.Size([1, 5])
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.qa_outputs = nn.Linear(self.config.dim, 2)
        self.dropout = nn.Identity()
        self.post_init()

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        lengths: Any = None,
    ) -> Any:
        """Run the task's `forward` in `heads.py`, where the arguments are described."""
        return super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            start_positions=start_positions,
            end_positions=end_positions,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=return_dict,
            lengths=lengths,
        )
