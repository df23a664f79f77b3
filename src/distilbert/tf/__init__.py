"""The network in Keras 3: DistilBERT, on TensorFlow or JAX; PyTorch is not needed."""

from distilbert.extras import said_how

with said_how():
    import keras as keras

from distilbert.tf import pytrees
from distilbert.tf.auto import (
    TFAutoModel,
    TFAutoModelForMaskedLM,
    TFAutoModelForMultipleChoice,
    TFAutoModelForQuestionAnswering,
    TFAutoModelForSequenceClassification,
    TFAutoModelForTokenClassification,
)
from distilbert.tf.backbone import TFDistilBertModel
from distilbert.tf.distillation import TFDistiller
from distilbert.tf.every_token import (
    TFDistilBertForQuestionAnswering,
    TFDistilBertForTokenClassification,
)
from distilbert.tf.first_token import (
    TFDistilBertForMultipleChoice,
    TFDistilBertForSequenceClassification,
)
from distilbert.tf.masked_lm import TFDistilBertForMaskedLM
from distilbert.tf.pretrained import TFDistilBertPreTrainedModel

__all__ = [
    "TFAutoModel",
    "TFAutoModelForMaskedLM",
    "TFAutoModelForMultipleChoice",
    "TFAutoModelForQuestionAnswering",
    "TFAutoModelForSequenceClassification",
    "TFAutoModelForTokenClassification",
    "TFDistilBertForMaskedLM",
    "TFDistilBertForMultipleChoice",
    "TFDistilBertForQuestionAnswering",
    "TFDistilBertForSequenceClassification",
    "TFDistilBertForTokenClassification",
    "TFDistilBertModel",
    "TFDistilBertPreTrainedModel",
    "TFDistiller",
]

pytrees.register()
