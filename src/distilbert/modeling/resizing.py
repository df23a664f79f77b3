"""Changes to a model's size: vocabulary, positions, heads."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from distilbert.config import PretrainedConfig
from distilbert.fields import heads_by_layer
from distilbert.modeling.initialization import initialize
from distilbert.modeling.model import MultiHeadSelfAttention, PositionEmbedding, TransformerBlock
from distilbert.modeling.reparametrized import require_own_weights

if TYPE_CHECKING:
    from distilbert.modeling.pretrained import PreTrainedModel


def configure(model: "PreTrainedModel", **fields: Any) -> None:
    """Set fields of the configuration, and of the encoder's where that is another.

    An encoder that was put into a head by hand has its own, which it reads.
    """
    for config in (model.config, getattr(model.base_model, "config", None)):
        if isinstance(config, PretrainedConfig):
            for name, value in fields.items():
                setattr(config, name, value)


def learn_sizes(model: "PreTrainedModel") -> None:
    """Let a head's configuration say the sizes of its encoder, which another head may have changed.

    Those are the sizes that the functions of this file change.
    """
    encoder = getattr(model.base_model, "config", None)
    if isinstance(encoder, PretrainedConfig):
        for name in ("vocab_size", "max_position_embeddings", "pruned_heads"):
            setattr(model.config, name, getattr(encoder, name))


def resize_tokens(
    model: "PreTrainedModel", count: int | None, multiple: int | None, mean: bool
) -> nn.Embedding:
    """Give the word embeddings and the decoder `count` rows, rounded up to `multiple`.

    Args:
        mean: new rows are the mean of the old ones.
    """
    words = model.get_input_embeddings()
    count = words.num_embeddings if count is None else count
    if multiple is not None:
        if multiple < 1:
            raise ValueError(f"pad_to_multiple_of must be at least 1, got {multiple}")
        count = -(-count // multiple) * multiple
    least = 1 if words.padding_idx is None else words.padding_idx + 1
    if count < least:
        raise ValueError(f"new_num_tokens must be at least {least}, got {count}")
    decoder = model.get_output_embeddings()
    of_decoder = getattr(decoder, "out_features", count)
    if count == words.num_embeddings == of_decoder == model.config.vocab_size:
        return words
    require_own_weights(words, decoder)
    # Modules stay: they may have hooks and settings of their own.
    words.weight = _resized(words, "weight", count, model, mean)
    words.num_embeddings = count
    if decoder is not None:
        if decoder.bias is not None:
            decoder.bias = _resized(decoder, "bias", count, model, mean)
        if not model.config.tie_word_embeddings:
            decoder.weight = _resized(decoder, "weight", count, model, mean)
        decoder.out_features = count
    model.set_input_embeddings(words)
    return words


@torch.no_grad()
def keep_tokens(model: "PreTrainedModel", ids: Sequence[int]) -> None:
    """Leave the word embeddings and the decoder only these rows, in this order.

    Ids of tokens in the configuration follow.

    Raises:
        ValueError: the padding token is not among them, or a table is computed from others.
    """
    words, decoder = model.get_input_embeddings(), model.get_output_embeddings()
    require_own_weights(words, decoder)
    config = model.config
    new_id = {old: new for new, old in enumerate(ids)}
    if config.pad_token_id is not None and config.pad_token_id not in new_id:
        raise ValueError(f"pad_token_id={config.pad_token_id} must be among the tokens that stay")
    for name in [name for name in config.to_dict() if name.endswith("_token_id")]:
        configure(model, **{name: new_id.get(getattr(config, name))})
    tables: list[tuple[nn.Module, str]] = [(words, "weight")]
    if decoder is not None:
        tables += [(decoder, "weight"), (decoder, "bias")]
        decoder.out_features = len(ids)
    for module, name in tables:
        old = getattr(module, name)
        if old is not None:
            rows = nn.Parameter(old[list(ids)], requires_grad=old.requires_grad)
            setattr(module, name, rows)
    words.num_embeddings, words.padding_idx = len(ids), config.pad_token_id
    model.set_input_embeddings(words)


def resize_positions(model: "PreTrainedModel", count: int) -> None:
    """Give the position embeddings `count` rows."""
    if count < 1:
        raise ValueError(f"new_num_position_embeddings must be at least 1, got {count}")
    positions = model.get_position_embeddings()
    if count == positions.num_embeddings == model.config.max_position_embeddings:
        return
    require_own_weights(positions)
    configure(model, max_position_embeddings=count)
    positions.weight = _resized(positions, "weight", count, model)
    positions.num_embeddings = count


def _resized(
    module: nn.Module, name: str, rows: int, model: "PreTrainedModel", mean: bool = False
) -> nn.Parameter:
    """Return a parameter with `rows` rows: the old ones, then new ones or the old ones' mean."""
    old = getattr(module, name)
    if rows == len(old):
        return old
    fresh = old.new_empty(rows, *old.shape[1:])
    initialize(module, name, fresh, model.config)
    kept = min(rows, len(old))
    if not (isinstance(module, PositionEmbedding) and model.config.sinusoidal_pos_embds):
        fresh[:kept] = old.detach()[:kept]
    if mean:
        fresh[kept:] = old.detach().float().mean(0).to(old.dtype)
    return nn.Parameter(fresh, requires_grad=old.requires_grad)


def prune_heads(model: "PreTrainedModel", heads_to_prune: Mapping[int, list[int]]) -> None:
    """Cut heads, numbered as in the full model, out of the projections."""
    require_own_weights(model.base_model.transformer)
    config = model.base_model.config
    count = config.n_layers
    merged = dict(config.pruned_heads)
    for layer, heads in heads_by_layer("heads_to_prune", heads_to_prune).items():
        number = layer + count if -count <= layer < 0 else layer
        merged[number] = merged.get(number, []) + heads
    config.update({"pruned_heads": {layer: heads for layer, heads in merged.items() if heads}})
    configure(model, pruned_heads=config.pruned_heads)
    for number, pruned in config.pruned_heads.items():
        block = model.base_model.transformer.layer[number]
        assert isinstance(block, TransformerBlock)
        _keep_heads(block.attention, set(pruned))


@torch.no_grad()
def _keep_heads(attention: MultiHeadSelfAttention, pruned: set[int]) -> None:
    total = attention.n_heads + len(attention.pruned_heads)
    here = [head for head in range(total) if head not in attention.pruned_heads]
    kept = [i for i, head in enumerate(here) if head not in pruned]
    if len(kept) == len(here):
        return
    for linear in (attention.q_lin, attention.k_lin, attention.v_lin):
        for name in ("weight", "bias"):
            old = getattr(linear, name)
            rows = old.unflatten(0, (attention.n_heads, -1))[kept].flatten(0, 1)
            setattr(linear, name, nn.Parameter(rows.clone(), requires_grad=old.requires_grad))
        linear.out_features = len(linear.weight)
    out = attention.out_lin
    columns = out.weight.unflatten(1, (attention.n_heads, -1))[:, kept].flatten(1, 2)
    out.weight = nn.Parameter(columns.clone(), requires_grad=out.weight.requires_grad)
    out.in_features = out.weight.shape[1]
    attention.n_heads, attention.dim = len(kept), out.in_features
    attention.pruned_heads = pruned
