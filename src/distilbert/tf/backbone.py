"""The encoder as a Keras model."""

from typing import Any

import keras

from distilbert.config import DistilBertConfig
from distilbert.outputs import BaseModelOutput, ModelOutput
from distilbert.tf.model import Encoder
from distilbert.tf.pretrained import TFDistilBertPreTrainedModel


@keras.saving.register_keras_serializable("distilbert")
class TFDistilBertModel(TFDistilBertPreTrainedModel):
    """The encoder without a head, in Keras: token ids in, hidden states out.

    Args:
        config: shape of the network; weights are drawn anew. `from_pretrained` opens a checkpoint.
        options: `name` and `dtype` of a Keras model.

    Example:
        >>> import numpy as np
        >>> from distilbert import DistilBertConfig, TFDistilBertModel
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> model = TFDistilBertModel(config)
        >>> model(np.array([[2, 7, 9, 3]])).last_hidden_state.shape
        TensorShape([1, 4, 32])
    """

    has_head = False

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        with keras.name_scope(self.name):
            self.distilbert = Encoder(self.config, dtype=self.dtype_policy)

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        training: bool = False,
        position_ids: Any = None,
        token_type_ids: Any = None,
    ) -> Any:
        """Encode a batch of sequences.

        Inputs are arrays or tensors, as keywords or in one dict, list or tuple. These arguments
        are the same for every Keras class.

        Args:
            input_ids: (B, T) ids of the vocabulary.
            attention_mask: (B, T), 1 where a token is real, in any pattern; or (B, T, T) or
                (B, 1, T, T): boolean (true keeps), integer (1 keeps) or floating (added to the
                attention scores). None keeps everything.
            head_mask: (H,) or (n_layers, H), a factor on each head's attention weights.
            inputs_embeds: (B, T, C), word embeddings instead of ids.
            output_attentions: return the attention weights.
            output_hidden_states: return the hidden states of all layers.
            return_dict: False returns a tuple of what is there.
            training: dropout acts.
            position_ids: (B, T) or (1, T), positions other than 0 … T - 1.
            token_type_ids: accepted and ignored, with a warning; DistilBERT has none.

        Returns:
            `BaseModelOutput`, or a tuple of its values.

        Raises:
            ValueError, TypeError: inputs that do not fit together or the model.
            IndexError: an id outside the vocabulary or the positions, if it is on the host.
        """
        encoded = self.distilbert(
            input_ids=input_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            position_ids=position_ids,
            training=training,
        )
        output = BaseModelOutput(
            last_hidden_state=encoded.last_hidden_state,
            **layers_asked_for(self.config, encoded, output_attentions, output_hidden_states),
        )
        return to_result(self.config, output, return_dict)


def asks_for_layers(
    config: Any, output_attentions: bool | None, output_hidden_states: bool | None
) -> tuple[bool, bool]:
    """Whether attentions, and hidden states, of all layers are asked for or configured."""
    return (
        config.output_attentions if output_attentions is None else output_attentions,
        config.output_hidden_states if output_hidden_states is None else output_hidden_states,
    )


def layers_asked_for(
    config: Any,
    encoded: BaseModelOutput,
    output_attentions: bool | None,
    output_hidden_states: bool | None,
) -> dict[str, Any]:
    """Return hidden states and attentions of all layers, each if asked for or configured."""
    weights, states = asks_for_layers(config, output_attentions, output_hidden_states)
    return {
        "hidden_states": encoded.hidden_states if states else None,
        "attentions": encoded.attentions if weights else None,
    }


def to_result(config: Any, output: ModelOutput, return_dict: bool | None) -> Any:
    """Return the output, or a tuple of it if that was asked for or configured."""
    if return_dict is None:
        return_dict = config.return_dict
    return output if return_dict else output.to_tuple()
