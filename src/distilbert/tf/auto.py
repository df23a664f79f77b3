"""The Auto classes in Keras: always a DistilBERT class, which converts the files of a BERT."""

from distilbert.auto import AutoModelClass
from distilbert.tf.backbone import TFDistilBertModel
from distilbert.tf.every_token import (
    TFDistilBertForQuestionAnswering,
    TFDistilBertForTokenClassification,
)
from distilbert.tf.first_token import (
    TFDistilBertForMultipleChoice,
    TFDistilBertForSequenceClassification,
)
from distilbert.tf.masked_lm import TFDistilBertForMaskedLM


class TFAutoModel(AutoModelClass[TFDistilBertModel]):
    """A DistilBERT in Keras without a head.

    Example:
        >>> from distilbert import DistilBertConfig, TFAutoModel
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> type(TFAutoModel.from_config(config)).__name__
        'TFDistilBertModel'
    """

    for_distilbert = for_bert = TFDistilBertModel


class TFAutoModelForMaskedLM(AutoModelClass[TFDistilBertForMaskedLM]):
    """A DistilBERT in Keras that predicts the token at each position.

    Example:
        >>> from distilbert import DistilBertConfig, TFAutoModelForMaskedLM
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> type(TFAutoModelForMaskedLM.from_config(config)).__name__
        'TFDistilBertForMaskedLM'
    """

    for_distilbert = for_bert = TFDistilBertForMaskedLM


class TFAutoModelForSequenceClassification(AutoModelClass[TFDistilBertForSequenceClassification]):
    """A DistilBERT in Keras that labels or scores a text, or a pair of texts.

    Example:
        >>> from distilbert import DistilBertConfig, TFAutoModelForSequenceClassification
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> type(TFAutoModelForSequenceClassification.from_config(config)).__name__
        'TFDistilBertForSequenceClassification'
    """

    for_distilbert = for_bert = TFDistilBertForSequenceClassification


class TFAutoModelForMultipleChoice(AutoModelClass[TFDistilBertForMultipleChoice]):
    """A DistilBERT in Keras that picks one of several continuations or answers.

    Example:
        >>> from distilbert import DistilBertConfig, TFAutoModelForMultipleChoice
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> type(TFAutoModelForMultipleChoice.from_config(config)).__name__
        'TFDistilBertForMultipleChoice'
    """

    for_distilbert = for_bert = TFDistilBertForMultipleChoice


class TFAutoModelForTokenClassification(AutoModelClass[TFDistilBertForTokenClassification]):
    """A DistilBERT in Keras that labels every token.

    Example:
        >>> from distilbert import DistilBertConfig, TFAutoModelForTokenClassification
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> type(TFAutoModelForTokenClassification.from_config(config)).__name__
        'TFDistilBertForTokenClassification'
    """

    for_distilbert = for_bert = TFDistilBertForTokenClassification


class TFAutoModelForQuestionAnswering(AutoModelClass[TFDistilBertForQuestionAnswering]):
    """A DistilBERT in Keras that finds the answer to a question in a text.

    Example:
        >>> from distilbert import DistilBertConfig, TFAutoModelForQuestionAnswering
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> type(TFAutoModelForQuestionAnswering.from_config(config)).__name__
        'TFDistilBertForQuestionAnswering'
    """

    for_distilbert = for_bert = TFDistilBertForQuestionAnswering
