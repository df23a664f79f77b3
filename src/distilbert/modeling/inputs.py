"""Checks on the inputs of a forward pass, the mask in one form, and the choice of the path.

Nothing here waits for a device: values are looked at only where they are in the host's memory, and
not under compile, trace or export.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch._subclasses import FakeTensor

from distilbert.config import PretrainedConfig
from distilbert.modeling.unpadding import Unpadding


def is_traced() -> bool:
    """Whether PyTorch is recording the computation instead of running it."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def has_values(x: Tensor) -> bool:
    """Whether code may branch on the values of `x`.

    Not while PyTorch records, nor on the meta device, on fake tensors (which only have a shape),
    or inside `torch.func` (where one tensor may stand for many).
    """
    real = not x.is_meta and not isinstance(x, FakeTensor)
    return real and not is_traced() and not torch._C._functorch.is_functorch_wrapped_tensor(x)


def readable(x: Tensor) -> bool:
    """Whether the values of `x` may be looked at without waiting for a device."""
    return x.device.type == "cpu" and has_values(x)


def batch_shape(
    config: PretrainedConfig,
    input_ids: Tensor | None,
    inputs_embeds: Tensor | None,
    position_ids: Tensor | None,
    token_type_ids: Tensor | None,
) -> tuple[int, int]:
    """Return (B, T).

    Raises:
        ValueError: both or neither of ids and embeddings, a wrong shape, or a sequence longer
            than the model has positions for.
        TypeError: ids that are not integers, or no tensor.
    """
    has_sizes = not torch.jit.is_tracing()  # there they are tensors: to branch on them warns
    if (input_ids is None) == (inputs_embeds is None):
        given = "neither was" if input_ids is None else "both were"
        raise ValueError(f"give either input_ids or inputs_embeds; {given} given")
    if input_ids is not None:
        _check_integers("input_ids", input_ids)
        if input_ids.dim() != 2:
            raise ValueError(f"input_ids must be (batch, tokens), got {tuple(input_ids.shape)}")
        batch, length = input_ids.shape
    else:
        assert inputs_embeds is not None
        require_tensor("inputs_embeds", inputs_embeds)
        fits = inputs_embeds.dim() == 3
        if not fits or (has_sizes and inputs_embeds.shape[2] != config.dim):
            raise ValueError(
                f"inputs_embeds must be (batch, tokens, {config.dim}), "
                f"got {tuple(inputs_embeds.shape)}"
            )
        batch, length = inputs_embeds.shape[:2]
    if not is_traced() and length == 0:
        raise ValueError("the sequences have no token; every text has at least [CLS] and [SEP]")
    if position_ids is None:
        if has_sizes and length > config.max_position_embeddings:
            raise ValueError(
                f"the sequences have {length} tokens, the model has positions for "
                f"{config.max_position_embeddings}: cut them (tokenizer(…, truncation=True, "
                f"max_length={config.max_position_embeddings})) or give the model more "
                f"(model.resize_position_embeddings({length}))"
            )
    else:
        _check_integers("position_ids", position_ids)
        if has_sizes and position_ids.shape not in ((batch, length), (1, length), (length,)):
            raise ValueError(
                f"position_ids must be ({batch}, {length}) or (1, {length}), "
                f"got {tuple(position_ids.shape)}"
            )
    if token_type_ids is not None and config.type_vocab_size:
        _check_integers("token_type_ids", token_type_ids)
        if has_sizes and token_type_ids.shape != (batch, length):
            raise ValueError(
                f"token_type_ids must be ({batch}, {length}), got {tuple(token_type_ids.shape)}"
            )
    return batch, length


def check_choices(inputs: Tensor, **others: Tensor | None) -> None:
    """Check that other tensors begin as inputs (B, choices, …) do; positions may be (1, T) or (T,).

    Raises:
        ValueError: one does not.
    """
    if torch.jit.is_tracing():
        return
    for name, x in others.items():
        if x is None or (x.dim() > 2 and x.shape[:2] == inputs.shape[:2]):
            continue
        is_position = name == "position_ids"
        if not (is_position and x.shape[:-1] in ((), (1,))):
            batch, choices, length = inputs.shape[:3]
            raise ValueError(
                f"{name} must be ({batch}, {choices}, {length})"
                f"{f' or (1, {length})' if is_position else ''}, got {tuple(x.shape)}"
            )


def require_tensor(name: str, x: Tensor, hint: str = "") -> None:
    """Raise TypeError for anything else, such as a list or an array."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(x).__name__}{hint}")


def _check_integers(name: str, x: Tensor) -> None:
    require_tensor(name, x, ' (from a tokenizer: return_tensors="pt")')
    if x.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"{name} must be int64 or int32, got {x.dtype}")


def keep_mask(
    mask: Tensor | None,
    lengths: Sequence[int] | None,
    shape: tuple[int, int],
    device: torch.device,
    heads: int,
) -> Tensor | None:
    """Bring a mask to one of two forms: boolean (B, T), or whatever it is in 3-D and 4-D.

    Args:
        heads: how many a 4-D mask may tell apart.

    Raises:
        ValueError: a shape that does not fit, or lengths that do not fit a mask that can be read
            without waiting.
        TypeError: the mask is no tensor.
    """
    batch, length = shape
    if mask is not None:
        require_tensor("attention_mask", mask)
        if not torch.jit.is_tracing():
            _check_mask(mask, heads, shape)
    if lengths is not None:
        if len(lengths) != batch or not all(0 <= n <= length for n in lengths):
            raise ValueError(
                f"lengths must be {batch} numbers from 0 to {length}, got {list(lengths)}"
            )
        is_full = all(n == length for n in lengths)
        # A mask on a device cannot be compared without waiting for it: the lengths are believed.
        if is_full and (mask is None or (mask.dim() == 2 and _is_away(mask))):
            return None
        if mask is None:
            return _from_lengths(lengths, length, device)
        is_read = mask.dim() == 2 and readable(mask)
        if is_read and not torch.equal(mask != 0, _from_lengths(lengths, length, device)):
            raise ValueError("lengths and attention_mask do not say the same; give one of them")
    return mask != 0 if mask is not None and mask.dim() == 2 else mask


def _is_away(x: Tensor) -> bool:
    return has_values(x) and not readable(x)


def _from_lengths(lengths: Sequence[int], columns: int, device: torch.device) -> Tensor:
    """Return the mask (B, T) of right-padded sequences; nothing waits for the device."""
    ends = torch.tensor(lengths, device="cpu").to(device, non_blocking=True)
    return torch.arange(columns, device=device) < ends[:, None]


def _check_mask(mask: Tensor, heads: int, shape: tuple[int, int]) -> None:
    batch, length = shape
    full = (batch, length) if mask.dim() == 2 else (batch, length, length)
    fits = tuple(mask.shape) == full
    if mask.dim() == 4:
        sizes = zip(mask.shape, (batch, heads, length, length), strict=True)
        fits = all(given in (1, size) for given, size in sizes)
    if mask.dim() not in (2, 3, 4) or not fits:
        one_or_all = "1" if heads == 1 else f"1 or {heads}"
        raise ValueError(
            f"attention_mask must be ({batch}, {length}), ({batch}, {length}, {length}) or "
            f"({batch}, {one_or_all}, {length}, {length}), got {tuple(mask.shape)}"
        )


def mask_of_states(mask: Tensor | None, x: Tensor) -> Tensor | None:
    """Bring a mask for hidden states (B, T, C) to one form, as `keep_mask` does.

    Raises:
        ValueError: hidden states of another shape, or a mask that does not fit them.
        TypeError: the mask is no tensor.
    """
    if x.dim() != 3:
        raise ValueError(
            f"hidden states must be (batch, tokens, width), got {tuple(x.shape)}; a block returns "
            "them by themselves: block(x, mask), without [0]"
        )
    return keep_mask(mask, None, (x.shape[0], x.shape[1]), x.device, 1)


def choose_unpadding(
    config: PretrainedConfig,
    mask: Tensor | None,
    lengths: Sequence[int] | None,
    *,
    device: torch.device,
    needs_padding: bool,
    reads_first_token: bool,
) -> tuple[Unpadding | None, Tensor | None]:
    """Decide between the two ways to run: where the real tokens are, or None for the padded path.

    The mask is returned as well, where attention still needs one: on the padded path, unless its
    values say that nothing is masked.

    The padded path runs unless the model was set to `varlen`; where there is no padding to drop;
    for a mask per query (3-D, 4-D), attention weights or `head_mask` (`needs_padding`); where a
    head reads a first token that is masked; and where the mask has no values to decide by.

    Args:
        mask: as `keep_mask` returns it.
        lengths: the lengths of right-padded sequences, if the caller knows them; then nothing is
            read from the device.
    """
    if config.attn_implementation != "varlen" or mask is None or mask.dim() != 2 or needs_padding:
        return None, mask
    if not has_values(mask) or mask.numel() == 0:
        return None, mask
    if lengths is None:
        layout = Unpadding.from_mask(mask)
        first_is_real = not reads_first_token or bool(mask[:, 0].all())
    else:
        layout = Unpadding.from_lengths(lengths, mask.shape[1], device)
        first_is_real = not reads_first_token or min(lengths) > 0
    if layout.total == mask.numel():
        return None, None
    if layout.total == 0 or not first_is_real:
        return None, mask
    return layout, None


def attention_bias(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Return what is added to the scores, broadcastable to (B, H, T, T); None for nothing.

    A masked score gets the smallest finite number of `dtype`, so that a row of which everything is
    masked stays finite (all its tokens weigh the same).
    """
    if mask is None:
        return None
    lowest = torch.finfo(dtype).min
    if mask.dim() == 3:
        mask = mask[:, None]  # (B, T, T) -> (B, 1, T, T)
    if mask.is_floating_point():
        return mask.to(dtype).clamp(min=lowest)
    keep = mask != 0
    if keep.dim() == 2:
        if readable(keep) and bool(keep.all()):
            return None
        keep = keep[:, None, None]  # (B, T) -> (B, 1, 1, T)
    return torch.zeros_like(keep, dtype=dtype).masked_fill(~keep, lowest)


def head_weights(head_mask: Tensor | None, layers: int, heads: int) -> list[Tensor | None]:
    """Return one factor per layer, broadcastable to (B, H, T, T), from (H,) or (layers, H).

    Raises:
        ValueError: another shape.
        TypeError: no tensor.
    """
    if head_mask is None:
        return [None] * layers
    require_tensor("head_mask", head_mask)
    if head_mask.shape not in ((heads,), (layers, heads)):
        raise ValueError(
            f"head_mask must be ({heads},) or ({layers}, {heads}), got {tuple(head_mask.shape)}"
        )
    per_layer = head_mask.expand(layers, heads)
    return [layer[None, :, None, None] for layer in per_layer]


def check_ids(name: str, ids: Tensor, count: int) -> None:
    """Name the first id outside 0 … count - 1, after a lookup has failed.

    Raises:
        IndexError: there is one.
    """
    outside = ids[(ids < 0) | (ids >= count)]
    if len(outside):
        raise IndexError(f"{name} holds {outside[0].item()}; the model knows 0 to {count - 1}")
