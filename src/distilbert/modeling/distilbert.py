"""The DistilBERT classes with a head: their layers, under the names their files use."""

import torch.nn.functional as F
from torch import Tensor, nn

from distilbert.config import DistilBertConfig
from distilbert.keymap import DECODER
from distilbert.modeling.backbone import DistilBertModel
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
from distilbert.modeling.pretrained import DistilBertPreTrainedModel


class _OnDistilBert(DistilBertPreTrainedModel, Head):
    """A head on the attribute `distilbert`."""

    backbone_class = DistilBertModel
    config: DistilBertConfig


class _FirstToken(_OnDistilBert, FirstTokenHead):
    """relu(pre_classifier(first token)), dropout, classifier."""

    def _add_classifier(self, outputs: int) -> None:
        self.pre_classifier = nn.Linear(self.config.dim, self.config.dim)
        self.classifier = nn.Linear(self.config.dim, outputs)
        self.dropout = Dropout(self.config.seq_classif_dropout)
        self.post_init()

    def classify(self, first: Tensor) -> Tensor:
        """(B, C) -> (B, outputs)."""
        return self.classifier(self.dropout(F.relu(self.pre_classifier(first))))


class DistilBertForMaskedLM(_OnDistilBert, MaskedLM):
    """DistilBERT that predicts the token at each position: pre-training, and filling masks.

    Args:
        config: shape of the network; weights are drawn anew. `from_pretrained` opens a checkpoint.

    Example:
        >>> import torch
        >>> from distilbert import DistilBertConfig, DistilBertForMaskedLM
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> model = DistilBertForMaskedLM(config).eval()
        >>> ids = torch.tensor([[2, 7, 4, 3]])
        >>> output = model(ids, labels=torch.tensor([[-100, -100, 9, -100]]))
        >>> output.logits.shape, output.loss.shape
        (torch.Size([1, 4, 100]), torch.Size([]))
    """

    mlm_loss_fct = nn.CrossEntropyLoss()  # for code that reads it; `forward` does not
    # Read by transformers' Trainer, which resumes from a file without the tied decoder.
    _keys_to_ignore_on_save = (DECODER,)


class DistilBertForSequenceClassification(_FirstToken, SequenceClassification):
    """DistilBERT that labels or scores a text, or a pair of texts.

    Args:
        config: shape of the network; `num_labels` or `id2label` is the size of the head.

    Example:
        >>> import torch
        >>> from distilbert import DistilBertConfig, DistilBertForSequenceClassification
        >>> config = DistilBertConfig(
        ...     vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64, num_labels=3
        ... )
        >>> model = DistilBertForSequenceClassification(config).eval()
        >>> output = model(torch.tensor([[2, 7, 9, 3]]), labels=torch.tensor([1]))
        >>> output.logits.shape, output.loss.shape
        (torch.Size([1, 3]), torch.Size([]))
    """

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self._add_classifier(self.config.num_labels)


class DistilBertForMultipleChoice(_FirstToken, MultipleChoice):
    """DistilBERT that picks one of several continuations or answers.

    Args:
        config: shape of the network.

    Example:
        >>> import torch
        >>> from distilbert import DistilBertConfig, DistilBertForMultipleChoice
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> model = DistilBertForMultipleChoice(config).eval()
        >>> two_choices = torch.tensor([[[2, 7, 9, 3], [2, 7, 8, 3]]])
        >>> model(two_choices, labels=torch.tensor([1])).logits.shape
        torch.Size([1, 2])
    """

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self._add_classifier(1)


class DistilBertForTokenClassification(_OnDistilBert, TokenClassification):
    """DistilBERT that labels every token: named entities, parts of speech.

    Args:
        config: shape of the network; `num_labels` or `id2label` is the size of the head.

    Example:
        >>> import torch
        >>> from distilbert import DistilBertConfig, DistilBertForTokenClassification
        >>> config = DistilBertConfig(
        ...     vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64, num_labels=5
        ... )
        >>> model = DistilBertForTokenClassification(config).eval()
        >>> model(torch.tensor([[2, 7, 9, 3]])).logits.shape
        torch.Size([1, 4, 5])
    """

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.classifier = nn.Linear(self.config.dim, self.config.num_labels)
        self.dropout = Dropout(self.config.dropout)
        self.post_init()


class DistilBertForQuestionAnswering(_OnDistilBert, QuestionAnswering):
    """DistilBERT that finds the answer to a question in a text, as a span of tokens.

    Args:
        config: shape of the network; the head always has two outputs, start and end.

    Example:
        >>> import torch
        >>> from distilbert import DistilBertConfig, DistilBertForQuestionAnswering
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> model = DistilBertForQuestionAnswering(config).eval()
        >>> output = model(torch.tensor([[2, 7, 3, 9, 8, 3]]))
        >>> output.start_logits.shape, output.end_logits.shape
        (torch.Size([1, 6]), torch.Size([1, 6]))
    """

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.qa_outputs = nn.Linear(self.config.dim, 2)
        self.dropout = Dropout(self.config.qa_dropout)
        self.post_init()
