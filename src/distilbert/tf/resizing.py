"""Changes to a model's size: vocabulary and positions."""

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from distilbert.tf.layers import position_table, word_table

if TYPE_CHECKING:
    from distilbert.tf.pretrained import TFDistilBertPreTrainedModel


def resize_tokens(model: "TFDistilBertPreTrainedModel", count: int | None) -> Any:
    """Give the word embeddings and the decoder `count` rows."""
    old = model.get_input_embeddings()
    count = old.input_dim if count is None else count
    config = model.config
    least = 1 if config.pad_token_id is None else config.pad_token_id + 1
    if count < least:
        raise ValueError(f"new_num_tokens must be at least {least}, got {count}")
    if count == old.input_dim:
        return old
    fresh = word_table(count, config, old.dtype_policy)
    _take_rows(fresh.embeddings, old.embeddings)
    _replace(model.distilbert.embeddings, "word_embeddings", fresh)
    decoder = model.get_output_embeddings()
    if decoder is not None:
        decoder.resize(count)
    config.vocab_size = count
    return fresh


def resize_positions(model: "TFDistilBertPreTrainedModel", count: int) -> None:
    """Give the position embeddings `count` rows."""
    if count < 1:
        raise ValueError(f"new_num_position_embeddings must be at least 1, got {count}")
    old = model.get_position_embeddings()
    if count == old.input_dim:
        return
    fresh = position_table(count, model.config, old.dtype_policy)
    if not model.config.sinusoidal_pos_embds:
        _take_rows(fresh.embeddings, old.embeddings)
    _replace(model.distilbert.embeddings, "position_embeddings", fresh)
    model.config.max_position_embeddings = count


def _take_rows(fresh: Any, old: Any) -> None:
    """Copy the rows that both have."""
    kept = min(fresh.shape[0], old.shape[0])
    fresh.assign(ops.concatenate([old[:kept], fresh[kept:]], axis=0))


def _replace(layer: Any, name: str, fresh: keras.layers.Embedding) -> None:
    """Put another table in place of one, as frozen as it.

    It takes the old one's place in Keras's list too: an optimiser's file goes by the order.
    """
    old = getattr(layer, name)
    fresh.trainable = old.trainable and getattr(old.embeddings, "trainable", True)
    layer._tracker.replace_tracked_value("layers", old, fresh)
    setattr(layer, name, fresh)
