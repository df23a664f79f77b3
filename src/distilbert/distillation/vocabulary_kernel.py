"""L_mlm and L_ce of a chunk of logits on a GPU: two passes over them, the gradient in their place.

Written step by step in PyTorch the same numbers take some twenty passes over (n, V) in float32,
which is most of the time of a distillation step. Here each row of logits is read twice and written
once, in its own type; all arithmetic is float32.

Shapes: `n` tokens of the chunk, `V` vocabulary.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 4096  # entries of the vocabulary at a time


def terms_in_place(
    logits: Tensor,
    labels: Tensor,
    *,
    mlm: float,
    target: Tensor | None,
    ce: float,
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """Return the sums of L_mlm and L_ce, and put the gradient in the place of `logits`.

    The gradient is that of mlm * L_mlm + ce * L_ce; the sums are without those factors.

    Args:
        logits: (n, V), the student's; contiguous.
        labels: (n,), -100 where a token has none.
        target: (n, V), the teacher's logits, contiguous; None leaves L_ce out.
    """
    rows, entries = logits.shape
    sums = torch.empty(2, rows, dtype=torch.float32, device=logits.device)
    _terms[(rows,)](
        logits,
        logits if target is None else target,
        labels,
        sums[0],
        sums[1],
        mlm,
        ce,
        1 / temperature,
        entries,
        has_target=target is not None,
        block=_BLOCK,
        num_warps=8,
    )
    mlm_sum, ce_sum = sums.sum(1)
    return mlm_sum, ce_sum


@triton.jit
def _terms(  # type: ignore[no-untyped-def]
    logits,
    target,
    labels,
    mlm_out,
    ce_out,
    mlm,
    ce,
    cooling,  # 1 / temperature
    entries: tl.constexpr,
    has_target: tl.constexpr,
    block: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    logits += row * entries
    target += row * entries
    label = tl.load(labels + row)
    columns = tl.arange(0, block)

    # First pass: the sums of exponentials, each relative to the largest logit so far.
    top = tl.full((), float("-inf"), tl.float32)  # the student's largest logit
    total = tl.zeros((), tl.float32)  # of exp(s - top)
    cool_total = tl.zeros((), tl.float32)  # of exp((s - top) / T)
    target_top = tl.full((), float("-inf"), tl.float32)
    target_total = tl.zeros((), tl.float32)  # of exp((t - target_top) / T)
    gap = tl.zeros((), tl.float32)  # of exp((t - target_top) / T) * (t - s) / T
    for start in range(0, entries, block):
        inside = start + columns < entries
        s = tl.load(logits + start + columns, mask=inside, other=float("-inf")).to(tl.float32)
        new_top = tl.maximum(top, tl.max(s))
        total = total * tl.exp(top - new_top) + tl.sum(tl.exp(s - new_top))
        if has_target:
            cool_total = cool_total * tl.exp((top - new_top) * cooling) + tl.sum(
                tl.exp((s - new_top) * cooling)
            )
            t = tl.load(target + start + columns, mask=inside, other=float("-inf")).to(tl.float32)
            new_target_top = tl.maximum(target_top, tl.max(t))
            shrink = tl.exp((target_top - new_target_top) * cooling)
            weight = tl.exp((t - new_target_top) * cooling)
            target_total = target_total * shrink + tl.sum(weight)
            difference = tl.where(inside, (t - s) * cooling, 0.0)
            gap = gap * shrink + tl.sum(weight * difference)
            target_top = new_target_top
        top = new_top

    is_labelled = label >= 0
    right = tl.load(logits + tl.maximum(label, 0)).to(tl.float32)
    tl.store(mlm_out + row, tl.where(is_labelled, tl.log(total) + top - right, 0.0))
    if has_target:
        divergence = (
            gap / target_total
            - (tl.log(target_total) + target_top * cooling)
            + (tl.log(cool_total) + top * cooling)
        )
        tl.store(ce_out + row, divergence / (cooling * cooling))
    else:
        tl.store(ce_out + row, 0.0)

    # Second pass: the gradient.
    factor = tl.where(is_labelled, mlm, 0.0)
    for start in range(0, entries, block):
        inside = start + columns < entries
        s = tl.load(logits + start + columns, mask=inside, other=float("-inf")).to(tl.float32)
        gradient = tl.exp(s - top) / total - tl.where(start + columns == label, 1.0, 0.0)
        gradient = gradient * factor
        if has_target:
            t = tl.load(target + start + columns, mask=inside, other=float("-inf")).to(tl.float32)
            own = tl.exp((s - top) * cooling) / cool_total
            goal = tl.exp((t - target_top) * cooling) / target_total
            gradient += (own - goal) * (ce / cooling)
        tl.store(logits + start + columns, gradient, mask=inside)
