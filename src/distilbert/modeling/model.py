"""The network, top to bottom: embeddings, attention, feed-forward, block, encoder.

DistilBERT (arXiv 1910.01108) is this with its own configuration; BERT (arXiv 1810.04805), as a
teacher, is the same with token types and a pooler.

Shapes, in every file of this folder: `B` batch, `T` tokens, `N` real (unpadded) tokens, `H` heads,
`D` head size, `C` width, `F` feed-forward width, `V` vocabulary. Hidden states are (B, T, C) on the
padded path and (N, C) on the unpadded one; everything but attention is the same on both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook
from torch.utils.checkpoint import checkpoint

from distilbert.config import PretrainedConfig
from distilbert.modeling import attention, inputs
from distilbert.modeling.dropout import Dropout
from distilbert.modeling.unpadding import Unpadding


def _tanh_gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


# All are functions, which stay the same objects in a copy of a model: `prepare` knows them by that.
ACTIVATION_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": _tanh_gelu,
    "gelu_pytorch_tanh": _tanh_gelu,
    "quick_gelu": _quick_gelu,
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
}


def sinusoids(positions: int, dim: int) -> Tensor:
    """Return fixed position embeddings (positions, dim): sines in even columns, cosines in odd."""
    column = torch.arange(dim, dtype=torch.float64)
    rate = 10000 ** (-2 * (column // 2) / dim)
    angle = torch.arange(positions, dtype=torch.float64)[:, None] * rate
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).float()


def _empty_table(rows: int, dim: int, padding_idx: int | None = None) -> nn.Embedding:
    """Return an embedding without values, which `initialize` gives.

    PyTorch's constructor would draw them first; on the meta device, where nothing is drawn, that
    takes 1.3 s, because it imports the compiler.
    """
    return nn.Embedding(rows, dim, padding_idx, _weight=torch.empty(rows, dim))


class PositionEmbedding(nn.Embedding):
    """One vector per position: learned, or fixed sinusoids."""

    def __init__(self, config: PretrainedConfig) -> None:
        rows, dim = config.max_position_embeddings, config.dim
        super().__init__(rows, dim, _weight=torch.empty(rows, dim))
        self.weight.requires_grad = not config.sinusoidal_pos_embds


class Embeddings(nn.Module):
    """Words + positions (+ token types in BERT), normalised."""

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.word_embeddings = _empty_table(config.vocab_size, config.dim, config.pad_token_id)
        self.position_embeddings = PositionEmbedding(config)
        self.token_type_embeddings = (
            _empty_table(config.type_vocab_size, config.dim) if config.type_vocab_size else None
        )
        self.LayerNorm = nn.LayerNorm(config.dim, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """Ids (B, T) or (N,), or embeddings (…, C) -> (…, C); positions from 0 unless given."""
        words = inputs_embeds
        if words is None:
            assert input_ids is not None
            words = _look_up(self.word_embeddings, "input_ids", input_ids)
        if position_ids is None:
            position_ids = torch.arange(words.shape[-2], device=words.device)
        x = words + _look_up(self.position_embeddings, "position_ids", position_ids)
        if self.token_type_embeddings is not None:
            if token_type_ids is None:
                # Looked up, not read: the table may be elsewhere until it is called (accelerate).
                x = x + self.token_type_embeddings(position_ids.new_zeros(()))
            else:
                x = x + _look_up(self.token_type_embeddings, "token_type_ids", token_type_ids)
        return self.dropout(self.LayerNorm(x))


def _look_up(embedding: nn.Embedding, name: str, ids: Tensor) -> Tensor:
    if not inputs.readable(ids):
        return embedding(ids)
    try:
        return embedding(ids)
    except IndexError:
        inputs.check_ids(name, ids, embedding.num_embeddings)
        raise


@dataclass(frozen=True)
class AttentionPlan:
    """How attention runs in this forward pass; the same for every layer, but for `first_only`.

    Attributes:
        layout: where the real tokens are; None on the padded path.
        mask: on the padded path, as `inputs.keep_mask` returns it.
        step_by_step: take the reference that shows the weights and can weigh heads.
        shows_weights: blocks return them as well.
        first_only: after keys and values the last block computes first tokens only; the stack gives
            the blocks before it a plan without. It is set where the stack's `can_shorten` allows.
    """

    layout: Unpadding | None
    mask: Tensor | None
    step_by_step: bool
    shows_weights: bool = False
    first_only: bool = False

    def lengths(self, x: Tensor) -> list[int]:
        """Tokens of each sequence of (B, T, C) or (N, C), in the order they lie in."""
        return [x.shape[1]] * len(x) if self.layout is None else self.layout.lengths

    def first(self, x: Tensor) -> Tensor:
        """Each sequence's first token: (B, T, C) -> (B, 1, C); (N, C) -> (B, C), as in `layout`."""
        return x[:, :1] if self.layout is None else self.layout.first(x)


def plan_of(plan: AttentionPlan | Tensor | None, x: Tensor) -> AttentionPlan:
    """Return a plan as it is; for a mask or None, with which other code calls a part, a padded one.

    Raises:
        ValueError, TypeError: `x` is not (B, T, C), or it is no mask for it.
    """
    if isinstance(plan, AttentionPlan):
        return plan
    return AttentionPlan(None, inputs.mask_of_states(plan, x), step_by_step=True)


class MultiHeadSelfAttention(nn.Module):
    """Every token looks at every token of its sequence."""

    def __init__(self, config: PretrainedConfig, layer: int) -> None:
        super().__init__()
        self.head_size = config.dim // config.n_heads
        self.pruned_heads = set(config.pruned_heads.get(layer, ()))
        self.n_heads = config.n_heads - len(self.pruned_heads)
        self.dim = self.n_heads * self.head_size  # of all heads together
        self.dropout = Dropout(config.attention_dropout)  # its rate is read, it is not called
        self.q_lin = nn.Linear(config.dim, self.dim)
        self.k_lin = nn.Linear(config.dim, self.dim)
        self.v_lin = nn.Linear(config.dim, self.dim)
        self.out_lin = nn.Linear(self.dim, config.dim)

    def forward(
        self, x: Tensor, plan: AttentionPlan | Tensor | None = None, head_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """(…, C) -> (…, C), and the weights (B, H, T, T) if the plan shows them.

        With `plan.first_only`, which never goes with weights, as `plan.first` returns them.
        """
        plan = plan_of(plan, x)
        device = x.device.type
        autocasts = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
        if autocasts and x.dtype != torch.float64:  # which autocast leaves alone
            x = x.to(torch.get_autocast_dtype(device))  # once instead of three times
        heads = (self.n_heads, self.head_size)
        query_input = plan.first(x) if plan.first_only else x
        q = self.q_lin(query_input).unflatten(-1, heads)  # (…, C) -> (…, H, D)
        k = self.k_lin(x).unflatten(-1, heads)
        v = self.v_lin(x).unflatten(-1, heads)
        # Somebody may have put an Identity there.
        dropout = getattr(self.dropout, "p", 0.0) if self.dropout.training else 0.0
        weights = None
        if plan.layout is not None:
            context = attention.unpadded(q, k, v, plan.layout, dropout, plan.first_only)
        else:
            q, k, v = (part.transpose(1, 2) for part in (q, k, v))  # (B, H, T, D)
            bias = inputs.attention_bias(plan.mask, q.dtype)
            if plan.first_only and bias is not None:
                bias = bias[:, :, :1]
            if plan.step_by_step:
                if head_mask is not None and self.pruned_heads:
                    kept = sorted(set(range(head_mask.shape[1])) - self.pruned_heads)
                    head_mask = head_mask[:, kept]
                context, weights = attention.eager(q, k, v, bias, dropout, head_mask)
            else:
                context = attention.sdpa(q, k, v, bias, dropout)
            context = context.transpose(1, 2)  # (B, T, H, D)
        return self.out_lin(context.flatten(-2)), weights


class FFN(nn.Module):
    """Two linear layers with an activation between them, token by token."""

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.chunk_size = config.chunk_size_feed_forward
        self.lin1 = nn.Linear(config.dim, config.hidden_dim)
        self.lin2 = nn.Linear(config.hidden_dim, config.dim)
        self.activation = ACTIVATION_FUNCTIONS[config.activation]
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(…, C) -> (…, C)."""
        if self.chunk_size:
            return torch.cat([self._all(part) for part in x.split(self.chunk_size, dim=-2)], dim=-2)
        return self._all(x)

    def _all(self, x: Tensor) -> Tensor:
        return self.dropout(self.lin2(self.activation(self.lin1(x))))


class TransformerBlock(nn.Module):
    """Attention and feed-forward, each added to its input and then normalised."""

    def __init__(self, config: PretrainedConfig, layer: int) -> None:
        super().__init__()
        self.attention = MultiHeadSelfAttention(config, layer)
        # BERT drops out here as well, after attention; DistilBERT does not, not even where other
        # code sets the rate of every Dropout.
        drops = bool(config.type_vocab_size)
        self.attention_dropout = Dropout(config.dropout) if drops else nn.Identity()
        self.sa_layer_norm = nn.LayerNorm(config.dim, eps=config.layer_norm_eps)
        self.ffn = FFN(config)
        self.output_layer_norm = nn.LayerNorm(config.dim, eps=config.layer_norm_eps)

    def forward(
        self, x: Tensor, plan: AttentionPlan | Tensor | None = None, head_mask: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor | None]:
        """(…, C) -> (…, C), and the weights (B, H, T, T) if the plan shows them.

        With `plan.first_only` as `plan.first` returns them.
        """
        plan = plan_of(plan, x)
        context, weights = self.attention(x, plan, head_mask)
        if plan.first_only:
            x = plan.first(x)
        x = self.sa_layer_norm(self.attention_dropout(context) + x)
        x = self.output_layer_norm(self.ffn(x) + x)
        return (x, weights) if plan.shows_weights else x


def is_hooked(*modules: nn.Module) -> bool:
    """Whether a hook looks at one of these modules, or at all there are."""
    return _has_any_global_hook() or any(
        module._forward_hooks or module._forward_pre_hooks
        or module._backward_hooks or module._backward_pre_hooks
        for module in modules
    )  # fmt: skip


class Transformer(nn.Module):
    """The stack of blocks."""

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.n_layers = config.n_layers
        self.layer = nn.ModuleList(TransformerBlock(config, i) for i in range(config.n_layers))
        # A field of older code, which `post_init` drops.
        self.gradient_checkpointing = bool(getattr(config, "gradient_checkpointing", False))

    def forward(
        self,
        x: Tensor,
        plan: AttentionPlan | Tensor | None = None,
        head_masks: Sequence[Tensor | None] | None = None,
        keep_hidden_states: bool = False,
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Return the last hidden state, all of them if kept, the weights if the plan shows them.

        All of them are n_layers + 1, the embeddings first.
        """
        plan = plan_of(plan, x)
        if head_masks is None:
            head_masks = [None] * len(self.layer)
        hidden_states, attentions = [x], []
        of_all = replace(plan, first_only=False)
        for number, (block, head_mask) in enumerate(zip(self.layer, head_masks, strict=True), 1):
            of_block = plan if number == len(self.layer) else of_all
            if self.gradient_checkpointing and self.training:
                output = checkpoint(block, x, of_block, head_mask, use_reentrant=False)
            else:
                output = block(x, of_block, head_mask)
            # A block that is not ours, or a hook, may give a tuple of one as well.
            x, *weights = output if isinstance(output, tuple) else (output,)
            if keep_hidden_states:
                hidden_states.append(x)
            attentions += [each for each in weights if each is not None]
        return x, hidden_states, attentions

    def can_shorten(self) -> bool:
        """Whether the last block may leave out all but first tokens.

        It is ours, and neither a hook nor the code of a subclass sees what it or the stack gives.
        """
        if type(self) is not Transformer or not self.layer:
            return False
        last = self.layer[-1]
        return is_own(last) and not is_hooked(self, *last.modules())

    def cut(self, layers: int) -> None:
        """Drop all but the first layers."""
        del self.layer[layers:]
        self.n_layers = len(self.layer)


BLOCK_PARTS: dict[str, type[nn.Module]] = {
    "": TransformerBlock,
    "attention": MultiHeadSelfAttention,
    "ffn": FFN,
    "sa_layer_norm": nn.LayerNorm,
    "output_layer_norm": nn.LayerNorm,
}


def is_own(block: nn.Module) -> bool:
    """Whether a block and its parts are of this file's classes."""
    return all(type(block.get_submodule(name)) is kind for name, kind in BLOCK_PARTS.items())


@dataclass(frozen=True)
class Encoded:
    """The encoder's result before it is padded again, which is what a head works on.

    Attributes:
        tokens: last hidden states, (B, T, C) or (N, C); with `first_only` those of first tokens,
            (B, 1, C) or, in the order of the layout, (B, C).
        layout: where the real tokens are; None on the padded path.
        layers: n_layers + 1 tensors like `tokens`, embeddings first, if asked for.
        attentions: n_layers tensors (B, H, T, T), if asked for.
        first_only: only first tokens are there.
    """

    tokens: Tensor
    layout: Unpadding | None
    layers: list[Tensor] | None
    attentions: tuple[Tensor, ...] | None
    first_only: bool = False

    def asked_for(self) -> dict[str, tuple[Tensor, ...] | None]:
        """`layers`, (B, T, C) each, and `attentions`, as every output has them."""
        layers = None if self.layers is None else tuple(self.pad(x) for x in self.layers)
        return {"hidden_states": layers, "attentions": self.attentions}

    def pad(self, x: Tensor, fill: float = 0.0) -> Tensor:
        """(B, T, …) or (N, …) -> (B, T, …), `fill` at masked positions of the unpadded path."""
        return x if self.layout is None else self.layout.pad(x, fill)

    def select_labels(self, labels: Tensor) -> Tensor:
        """Labels (B, T) -> the labels of `tokens`, (B, T) or (N,)."""
        if self.layout is None:
            return labels
        inputs.require_tensor("labels", labels)
        if tuple(labels.shape) != self.layout.shape:
            raise ValueError(f"labels must be {self.layout.shape}, got {tuple(labels.shape)}")
        return self.layout.unpad(labels)

    def first_token(self) -> Tensor:
        """(B, C), the hidden state of each sequence's first token."""
        if self.layout is None:
            return self.tokens[:, 0]
        first = self.tokens if self.first_only else self.layout.first(self.tokens)
        return self.layout.in_batch_order(first)
