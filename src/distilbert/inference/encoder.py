"""The stack of blocks, fast: one matrix of tokens, fused projections, slices that stay in cache.

It takes the place of `modeling.model.Transformer` in a prepared model and is called the same way.
Shapes as there: `B` batch, `T` tokens, `N` tokens in a row, `H` heads, `D` head size, `C` width.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distilbert.inference.linear import FastLinear
from distilbert.inference.slices import Part, Slice, slices
from distilbert.inference.workers import run_all
from distilbert.modeling.dropout import Dropout
from distilbert.modeling.model import (
    ACTIVATION_FUNCTIONS,
    BLOCK_PARTS,
    AttentionPlan,
    Transformer,
    TransformerBlock,
)

_Kind = TypeVar("_Kind", bound=nn.Module)
MakeLinear = Callable[..., FastLinear]
"""(name, layers, activation) -> a fast layer; several make one, side by side."""
DROPOUTS = (Dropout, nn.Dropout, nn.Identity)
"""Classes that may stand where a dropout does: out of training they change nothing."""


class FastBlock(nn.Module):
    """Attention and feed-forward; queries, keys and values are one product.

    Args:
        block: weights to copy.
        make: makes each linear layer.
        name: of the block, for `make`.
        dtype: of what it computes.
        for_first: may be asked for first tokens only, so queries are a product of their own.
    """

    def __init__(
        self,
        block: TransformerBlock,
        make: MakeLinear,
        name: str,
        *,
        dtype: torch.dtype,
        for_first: bool,
    ) -> None:
        super().__init__()
        own, ffn = block.attention, block.ffn
        self.heads = (own.n_heads, own.head_size)
        parts = {"query": own.q_lin, "key": own.k_lin, "value": own.v_lin}
        groups = (["query"], ["key", "value"]) if for_first else (["query", "key", "value"],)
        self.projections = nn.ModuleList(
            make(f"{name}.{'_'.join(group)}", [parts[each] for each in group]) for group in groups
        )
        self.out_lin = make(f"{name}.out_lin", [own.out_lin])
        self.lin1 = make(f"{name}.lin1", [ffn.lin1], _name_of(ffn.activation, f"{name}.ffn"))
        self.lin2 = make(f"{name}.lin2", [ffn.lin2])
        # On a GPU they have to be of the type of what they normalise.
        kind = dtype if ffn.lin1.weight.is_cuda else torch.float32
        self.norms = [
            (
                norm.weight.detach().to(kind, copy=True),
                norm.bias.detach().to(kind, copy=True),
                norm.eps,
            )
            for norm in (block.sa_layer_norm, block.output_layer_norm)
        ]

    def _split(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, parts * W) -> as many (N, H, D)."""
        return x.unflatten(-1, (-1, *self.heads)).unbind(-3)

    def _normalise(self, x: Tensor, number: int) -> Tensor:
        weight, bias, eps = self.norms[number]
        return F.layer_norm(x, weight.shape, weight, bias, eps)

    def forward(self, x: Tensor, part: Part, first_only: bool = False) -> Tensor:
        """(N, C) -> (N, C), or (B, C) if only the first token of each sequence is wanted."""
        if first_only:
            query, key_value = self.projections
            k, v = self._split(key_value(x))
            x = x[part.starts]
            (q,) = self._split(query(x))
        else:
            q, k, v = (each for layer in self.projections for each in self._split(layer(x)))
        context = part.attend(q, k, v, first_only)
        x = self._normalise(self.out_lin(context.flatten(-2), x), 0)
        return self._normalise(self.lin2(self.lin1(x), x), 1)


def require_own(module: nn.Module, kind: type[_Kind], name: str) -> _Kind:
    """Return a module, if it computes what those of its class do.

    Args:
        kind: the class that it has to be of; a subclass may differ.
        name: what it is called in the message.

    Raises:
        TypeError: it may not.
    """
    if type(module) is not kind:
        raise TypeError(
            f"{name} is a {_title(type(module))}; only {_title(kind)} can be prepared "
            "(adapters have to be merged into the weights first)"
        )
    if module._forward_hooks or module._forward_pre_hooks:
        raise TypeError(
            f"{name} has a hook, which a prepared model would not call: "
            "remove it first (of torch.nn.utils.prune by prune.remove)"
        )
    return module


def _title(kind: type[nn.Module]) -> str:
    # Quantised layers are called as PyTorch's own are, and differ in this.
    return f"{kind.__module__}.{kind.__qualname__}"


def _name_of(activation: Callable[[Tensor], Tensor], where: str) -> str:
    """Return what an activation function is called in a configuration.

    Raises:
        TypeError: it is none of them.
    """
    for name, function in ACTIVATION_FUNCTIONS.items():
        if activation is function:
            return name
    raise TypeError(
        f"{where}.activation is {activation!r}, which is not prepared: build the model with one of "
        f"{', '.join(ACTIVATION_FUNCTIONS)} as activation in its configuration"
    )


def _require_own_block(block: nn.Module, name: str) -> TransformerBlock:
    """Return a block, if it and its parts compute what this package's do.

    The classes of linear layers are left to what makes the fast ones.

    Raises:
        TypeError: they may not.
    """
    for path, part in block.named_modules():
        where = f"{name}.{path}" if path else name
        kind = BLOCK_PARTS.get(path, type(part))
        # Attention's own is not called.
        if path in ("attention_dropout", "ffn.dropout") and kind not in DROPOUTS:
            kind = Dropout
        require_own(part, kind, where)
        if isinstance(part, nn.LayerNorm) and (part.weight is None or part.bias is None):
            raise TypeError(f"{where} has no weight or no bias")
    return cast(TransformerBlock, block)


class FastTransformer(nn.Module):
    """The stack of blocks.

    Args:
        transformer: weights to copy.
        make: makes each linear layer.
        dtype: of everything between the linear layers.
        for_first: first tokens alone may be asked for, so the last block is made for that.

    Raises:
        TypeError: it, a block, or a part of one, is of another class or has a hook, or an
            activation is of no name, and it may compute something else.
    """

    def __init__(
        self,
        transformer: Transformer,
        make: MakeLinear,
        *,
        dtype: torch.dtype,
        for_first: bool,
    ) -> None:
        super().__init__()
        require_own(transformer, Transformer, "the stack of blocks")
        self.layer = nn.ModuleList()
        for i, block in enumerate(transformer.layer):
            is_last = i == len(transformer.layer) - 1
            self.layer.append(
                FastBlock(
                    _require_own_block(block, f"layer.{i}"),
                    make,
                    f"layer.{i}",
                    dtype=dtype,
                    for_first=for_first and is_last,
                )
            )
        self.dtype, self.for_first = dtype, for_first

    def forward(
        self,
        x: Tensor,
        plan: AttentionPlan,
        head_masks: Sequence[Tensor | None],
        keep_hidden_states: bool,
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Return the last hidden state and, if kept, all of them, like `x` and of its type.

        With `plan.first_only` the last one is as `plan.first` returns it.

        Raises:
            ValueError: attention weights or `head_mask` are asked for.
        """
        if plan.step_by_step:
            raise ValueError(
                "a prepared model neither shows attention weights (output_attentions) nor weighs "
                "heads (head_mask): call the model that it was made from"
            )
        y, states = self._encode(x, plan, keep_hidden_states)
        if plan.first_only:
            y = plan.first(y)
        return y, [x, *states] if keep_hidden_states else [], []

    def can_shorten(self) -> bool:
        """Whether the last block was made for that; only single linear layers are hooked here."""
        return self.for_first

    def _encode(
        self, x: Tensor, plan: AttentionPlan, keep_hidden_states: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the last hidden state, and one per layer if they are kept, like `x`."""
        rows = x.flatten(0, -2)  # (N, C)
        states = [torch.empty_like(rows) for _ in self.layer] if keep_hidden_states else []
        result = torch.empty_like(rows)  # with `first_only` nothing is written but first tokens

        def compute(part: Slice) -> None:
            y = rows[part.tokens].to(self.dtype)
            for i, block in enumerate(self.layer):
                y = block(y, part, plan.first_only and i == len(self.layer) - 1)
                if keep_hidden_states:
                    states[i][part.tokens] = y
            if plan.first_only:
                result[part.tokens][part.starts] = y.to(x.dtype)
            else:
                result[part.tokens] = y

        parts = slices(plan, x)
        if len(parts) > 1 and torch.get_num_threads() > 1:
            # The last have the longest sequences, which take the most time: they come first.
            run_all([partial(compute, part) for part in reversed(parts)])
        else:
            for part in parts:
                compute(part)
        return result.view_as(x), [state.view_as(x) for state in states]
