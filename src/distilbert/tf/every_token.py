"""The Keras classes that read every token: labels of tokens, and answers as spans."""

from collections.abc import Mapping
from typing import Any

import keras

from distilbert.config import DistilBertConfig
from distilbert.outputs import QuestionAnsweringModelOutput, TokenClassifierOutput
from distilbert.tf import inputs, losses
from distilbert.tf.layers import dense
from distilbert.tf.model import Encoder
from distilbert.tf.tasks import TaskModel


@keras.saving.register_keras_serializable("distilbert")
class TFDistilBertForTokenClassification(TaskModel):
    """DistilBERT in Keras that labels every token: named entities, parts of speech.

    Args:
        config: shape of the network; `num_labels` or `id2label` is the size of the head.
        options: `name` and `dtype` of a Keras model.

    Example:
        >>> import numpy as np
        >>> from distilbert import DistilBertConfig, TFDistilBertForTokenClassification
        >>> config = DistilBertConfig(
        ...     vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64, num_labels=5
        ... )
        >>> model = TFDistilBertForTokenClassification(config)
        >>> model(np.array([[2, 7, 9, 3]])).logits.shape
        TensorShape([1, 4, 5])
    """

    output_class = TokenClassifierOutput

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        config, dtype = self.config, self.dtype_policy
        with keras.name_scope(self.name):
            self.distilbert = Encoder(config, dtype=dtype)
            self.classifier = dense(config.dim, config.num_labels, "classifier", config, dtype)
            self.dropout = keras.layers.Dropout(config.dropout, name="dropout", dtype=dtype)

    def check_labels(
        self, labels: Mapping[str, Any], batch: inputs.Size, length: inputs.Size
    ) -> None:
        """Check labels (B, T)."""
        losses.check_classes(labels["labels"], (batch, length), self.config.num_labels)

    def labels_that_count(self, labels: dict[str, Any], real: Any) -> dict[str, Any]:
        """Leave out labels of masked tokens."""
        return {"labels": losses.only_where(labels["labels"], real)}

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        labels: Any = None,
        training: bool = False,
        position_ids: Any = None,
        token_type_ids: Any = None,
    ) -> Any:
        """Return logits (B, T, num_labels).

        Args:
            labels: (B, T) label numbers; -100 is left out of the loss.

        The other arguments are those of `TFDistilBertModel.call`.
        """
        encoded = self.distilbert(
            input_ids=input_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            position_ids=position_ids,
            training=training,
        )
        logits = self.classifier(self.dropout(encoded.last_hidden_state, training=training))
        return self.finish(
            attention_mask,
            {"logits": losses.hide_masked(logits, self.real_tokens(attention_mask), 0.0)},
            {"labels": labels},
            encoded,
            output_attentions,
            output_hidden_states,
            return_dict,
        )


@keras.saving.register_keras_serializable("distilbert")
class TFDistilBertForQuestionAnswering(TaskModel):
    """DistilBERT in Keras that finds the answer to a question in a text, as a span of tokens.

    Args:
        config: shape of the network; the head always has two outputs, start and end.
        options: `name` and `dtype` of a Keras model.

    Example:
        >>> import numpy as np
        >>> from distilbert import DistilBertConfig, TFDistilBertForQuestionAnswering
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> model = TFDistilBertForQuestionAnswering(config)
        >>> output = model(np.array([[2, 7, 3, 9, 8, 3]]))
        >>> output.start_logits.shape, output.end_logits.shape
        (TensorShape([1, 6]), TensorShape([1, 6]))
    """

    output_class = QuestionAnsweringModelOutput
    label_names = ("start_positions", "end_positions")

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        config, dtype = self.config, self.dtype_policy
        with keras.name_scope(self.name):
            self.distilbert = Encoder(config, dtype=dtype)
            self.qa_outputs = dense(config.dim, 2, "qa_outputs", config, dtype)
            self.dropout = keras.layers.Dropout(config.qa_dropout, name="dropout", dtype=dtype)

    def check_labels(
        self, labels: Mapping[str, Any], batch: inputs.Size, length: inputs.Size
    ) -> None:
        """Check positions (B,)."""
        for positions in labels.values():
            losses.check_positions(positions, batch)

    def task_loss(self, output: Mapping[str, Any], labels: Mapping[str, Any]) -> Any:
        """Return the mean of the losses of start and end."""
        return losses.spans(
            output["start_logits"],
            output["end_logits"],
            labels["start_positions"],
            labels["end_positions"],
        )

    def predictions(self, output: Mapping[str, Any]) -> Any:
        """Return the logits under the names of the positions."""
        return {
            "start_positions": output["start_logits"],
            "end_positions": output["end_logits"],
        }

    def labels_that_count(self, labels: dict[str, Any], real: Any) -> dict[str, Any]:
        """Leave out positions of masked tokens."""
        return {n: losses.only_real_positions(p, real) for n, p in labels.items()}

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        start_positions: Any = None,
        end_positions: Any = None,
        training: bool = False,
        position_ids: Any = None,
        token_type_ids: Any = None,
    ) -> Any:
        """Return start and end logits, each (B, T).

        Args:
            start_positions, end_positions: (B,) token positions; those outside the sequence are
                left out of the loss.

        The other arguments are those of `TFDistilBertModel.call`.

        Raises:
            ValueError: only one of the two positions is given.
        """
        encoded = self.distilbert(
            input_ids=input_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            position_ids=position_ids,
            training=training,
        )
        logits = self.qa_outputs(
            self.dropout(encoded.last_hidden_state, training=training)
        )  # (B, T, 2)
        lowest = inputs.lowest(inputs.dtype_of(logits))
        logits = losses.hide_masked(logits, self.real_tokens(attention_mask), lowest)
        return self.finish(
            attention_mask,
            {"start_logits": logits[..., 0], "end_logits": logits[..., 1]},
            {"start_positions": start_positions, "end_positions": end_positions},
            encoded,
            output_attentions,
            output_hidden_states,
            return_dict,
        )
