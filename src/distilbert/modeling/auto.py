"""The Auto classes in PyTorch: the DistilBERT class or the BERT class, as the checkpoint says."""

from distilbert.auto import AutoModelClass
from distilbert.modeling.backbone import DistilBertModel
from distilbert.modeling.bert import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)
from distilbert.modeling.distilbert import (
    DistilBertForMaskedLM,
    DistilBertForMultipleChoice,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
)


class AutoModel(AutoModelClass[DistilBertModel | BertModel]):
    """A DistilBERT or a BERT without a head.

    Example:
        >>> from distilbert import AutoModel, DistilBertConfig
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> type(AutoModel.from_config(config)).__name__
        'DistilBertModel'
    """

    for_distilbert = DistilBertModel
    for_bert = BertModel


class AutoModelForMaskedLM(AutoModelClass[DistilBertForMaskedLM | BertForMaskedLM]):
    """A DistilBERT or a BERT that predicts the token at each position.

    Example:
        >>> from distilbert import AutoModelForMaskedLM, DistilBertConfig
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> type(AutoModelForMaskedLM.from_config(config)).__name__
        'DistilBertForMaskedLM'
    """

    for_distilbert = DistilBertForMaskedLM
    for_bert = BertForMaskedLM


class AutoModelForSequenceClassification(
    AutoModelClass[DistilBertForSequenceClassification | BertForSequenceClassification]
):
    """A DistilBERT or a BERT that labels or scores a text, or a pair of texts.

    Example:
        >>> from distilbert import AutoModelForSequenceClassification, DistilBertConfig
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> type(AutoModelForSequenceClassification.from_config(config)).__name__
        'DistilBertForSequenceClassification'
    """

    for_distilbert = DistilBertForSequenceClassification
    for_bert = BertForSequenceClassification


class AutoModelForMultipleChoice(
    AutoModelClass[DistilBertForMultipleChoice | BertForMultipleChoice]
):
    """A DistilBERT or a BERT that picks one of several continuations or answers.

    Example:
        >>> from distilbert import AutoModelForMultipleChoice, DistilBertConfig
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> type(AutoModelForMultipleChoice.from_config(config)).__name__
        'DistilBertForMultipleChoice'
    """

    for_distilbert = DistilBertForMultipleChoice
    for_bert = BertForMultipleChoice


class AutoModelForTokenClassification(
    AutoModelClass[DistilBertForTokenClassification | BertForTokenClassification]
):
    """A DistilBERT or a BERT that labels every token.

    Example:
        >>> from distilbert import AutoModelForTokenClassification, DistilBertConfig
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> type(AutoModelForTokenClassification.from_config(config)).__name__
        'DistilBertForTokenClassification'
    """

    for_distilbert = DistilBertForTokenClassification
    for_bert = BertForTokenClassification


class AutoModelForQuestionAnswering(
    AutoModelClass[DistilBertForQuestionAnswering | BertForQuestionAnswering]
):
    """A DistilBERT or a BERT that finds the answer to a question in a text.

    Example:
        >>> from distilbert import AutoModelForQuestionAnswering, DistilBertConfig
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> type(AutoModelForQuestionAnswering.from_config(config)).__name__
        'DistilBertForQuestionAnswering'
    """

    for_distilbert = DistilBertForQuestionAnswering
    for_bert = BertForQuestionAnswering
