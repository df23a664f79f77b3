"""The encoder as a model: inputs checked, the path chosen, outputs put back in shape."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from distilbert.config import PretrainedConfig
from distilbert.modeling import inputs
from distilbert.modeling.model import (
    AttentionPlan,
    Embeddings,
    Encoded,
    Transformer,
    is_hooked,
)
from distilbert.modeling.pretrained import (
    DistilBertPreTrainedModel,
    PreTrainedModel,
    require_grad,
)
from distilbert.outputs import BaseModelOutput, ModelOutput


class Backbone(PreTrainedModel):
    """The encoder that DistilBERT and BERT share; a model by itself and the first part of a head's.

    The two ways to run (padded, unpadded) meet here: `encode` chooses one and says which it took.
    """

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(self.config)
        self.transformer = Transformer(self.config)

    def encode(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        lengths: Sequence[int] | None = None,
        reads_first_token: bool = False,
        first_only: bool = False,
    ) -> Encoded:
        """Run the encoder and leave the result as it was computed, for a head to go on.

        Args:
            reads_first_token: the head reads the first token, which must then not be masked for
                the unpadded path to run.
            first_only: it reads nothing else, so that other tokens may be left out.
        """
        config = self.config
        batch, columns = shape = inputs.batch_shape(
            config, input_ids, inputs_embeds, position_ids, token_type_ids
        )
        if output_attentions is None:
            output_attentions = config.output_attentions
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        if isinstance(head_mask, list | tuple) and all(each is None for each in head_mask):
            head_mask = None  # [None] * n_layers, which older code passes
        # Not of the weights: a replica of DataParallel has none, an offloaded model none in place.
        given = input_ids if input_ids is not None else inputs_embeds
        assert given is not None
        device = given.device
        if token_type_ids is not None and not config.type_vocab_size:
            _warn_of_token_types()
            token_type_ids = None
        if position_ids is None:
            position_ids = torch.arange(columns, device=device)
        position_ids = position_ids.expand(batch, columns)

        heads = 1 if config.pruned_heads else config.n_heads  # pruned, layers differ in theirs
        mask = inputs.keep_mask(attention_mask, lengths, shape, device, heads)
        shows = output_attentions or head_mask is not None  # the weights, or changes them
        layout, mask = inputs.choose_unpadding(
            config,
            mask,
            lengths,
            device=device,
            needs_padding=shows or _are_watched(self.embeddings),
            reads_first_token=reads_first_token or first_only,
        )
        if layout is not None:
            input_ids, inputs_embeds, position_ids, token_type_ids = (
                None if x is None else layout.unpad(x)
                for x in (input_ids, inputs_embeds, position_ids, token_type_ids)
            )
        step_by_step = shows or config.attn_implementation == "eager"
        x = self.embeddings(input_ids, inputs_embeds, position_ids, token_type_ids)
        stack = self.transformer
        is_own = hasattr(stack, "can_shorten")  # somebody else's may know neither this nor layers
        shows_parts = output_hidden_states or step_by_step
        shortens = first_only and not shows_parts and is_own and stack.can_shorten()
        plan = AttentionPlan(layout, mask, step_by_step, output_attentions, shortens)
        layers = len(stack.layer) if is_own else config.n_layers
        tokens, hidden_states, attentions = stack(
            x,
            plan,
            inputs.head_weights(head_mask, layers, config.n_heads),
            output_hidden_states,
        )
        if first_only and not shortens:
            tokens = plan.first(tokens)
        return Encoded(
            tokens,
            layout,
            hidden_states if output_hidden_states else None,
            tuple(attentions) if output_attentions else None,
            first_only,
        )


def is_plain(encoder: nn.Module, kind: type[Backbone]) -> bool:
    """Whether an encoder does what its class does and nobody watches: it need not be called."""
    own = type(encoder) is kind and "forward" not in vars(encoder)
    return own and encoder._compiled_call_impl is None and not is_hooked(encoder)


def _are_watched(embeddings: nn.Module) -> bool:
    """Whether a hook sees what the embeddings or a part take or give: it expects (B, T, …)."""
    return any(
        hook is not require_grad
        for part in (embeddings, *embeddings.children())
        for hook in (*part._forward_pre_hooks.values(), *part._forward_hooks.values())
    )


def to_result(config: PretrainedConfig, output: ModelOutput, return_dict: bool | None) -> Any:
    """Return the output, or a tuple of it if that was asked for or configured."""
    if return_dict is None:
        return_dict = config.return_dict
    return output if return_dict else output.to_tuple()


def _warn_of_token_types() -> None:
    warnings.warn(
        "token_type_ids are ignored: DistilBERT has no token types, only [SEP] separates texts",
        stacklevel=6,  # through encode, forward and two of nn.Module's, to the caller
    )


class DistilBertModel(DistilBertPreTrainedModel, Backbone):
    """The encoder without a head: token ids in, hidden states out.

    Args:
        config: shape of the network; weights are drawn anew. `from_pretrained` opens a checkpoint.

    Example:
        >>> import torch
        >>> from distilbert import DistilBertConfig, DistilBertModel
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> model = DistilBertModel(config).eval()
        >>> model(torch.tensor([[2, 7, 9, 3]])).last_hidden_state.shape
        torch.Size([1, 4, 32])
    """

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        lengths: Sequence[int] | None = None,
    ) -> BaseModelOutput | tuple[Any, ...]:
        """Encode a batch of sequences.

        These arguments are the same for every DistilBERT class.

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
            position_ids: (B, T) or (1, T), positions other than 0 … T - 1.
            token_type_ids: accepted and ignored, with a warning; DistilBERT has none.
            lengths: real tokens of each right-padded sequence, known to the host: instead of a
                mask, or beside it so that the unpadded path need not wait for a device.

        Raises:
            ValueError, TypeError: inputs that do not fit together or the model.
            IndexError: an id outside the vocabulary or the positions (on CPU; elsewhere the device
                reports it).
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
        )
        output = BaseModelOutput(
            last_hidden_state=encoded.pad(encoded.tokens), **encoded.asked_for()
        )
        return to_result(self.config, output, return_dict)
