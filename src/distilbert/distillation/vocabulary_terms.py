"""The two terms over the vocabulary, L_mlm and L_ce, without a tensor of tokens x vocabulary.

Tokens are taken in chunks. A chunk's logits are made, its loss and gradient computed, and all of it
dropped: the gradient is known in the forward pass, since the terms are sums with known factors.
Both terms share the student's logits.

Shapes: `N` tokens, `n` tokens of a chunk, `C` width, `V` vocabulary.
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from distilbert.modeling.losses import IGNORED

# The weights' gradient is read and written once per chunk, which makes small chunks slow: 64 tokens
# took 4 times as long as 512 on two cores. 512 tokens and 30,522 entries are 62 MB.
CHUNK = {"cpu": 512, "cuda": 4096}
# On a CPU the logits of a chunk become its gradient so many numbers at a time, which stay in cache:
# a third of the time of a pass over all of them per operation (docs/log.md).
CACHED = 1 << 18


@dataclass(frozen=True)
class Decoder:
    """A masked-LM decoder and what goes into it.

    Attributes:
        states: (N, C), the head's states before the decoder.
        weight: (V, C).
        bias: (V,).
    """

    states: Tensor
    weight: Tensor
    bias: Tensor


def vocabulary_terms(
    student: Decoder,
    labels: Tensor,
    *,
    mlm: float,
    teacher: Decoder | None = None,
    ce: float = 0.0,
    temperature: float = 2.0,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return mlm * sum of L_mlm + ce * sum of L_ce, and the two sums by themselves.

    L_mlm is the cross-entropy at the tokens that have a label. L_ce is T^2 KL(softmax(t / T) ||
    softmax(s / T)) at all tokens (arXiv 1910.01108, section 3; Hinton et al., arXiv 1503.02531).

    Args:
        labels: (N,), -100 where a token has none.
        mlm, ce: what the sums are multiplied by: weight / count over the optimiser step. Only the
            first result carries a gradient, for the student's states, weight and bias.
        temperature: T.
        chunk: tokens at a time; by default what is fast on the device.
    """
    return _VocabularyTerms.apply(
        student.states,
        student.weight,
        student.bias,
        labels,
        mlm,
        teacher,
        ce,
        temperature,
        chunk or CHUNK.get(student.states.device.type, 1024),
    )


class _VocabularyTerms(Function):
    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        bias: Tensor,
        labels: Tensor,
        mlm: float,
        teacher: Decoder | None,
        ce: float,
        temperature: float,
        chunk: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        device = states.device.type
        dtype = states.dtype
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        with torch.autocast(device, enabled=False):
            x = states.to(dtype)
            w, b = _aligned(weight.to(dtype), bias.to(dtype))
            mlm_sum = torch.zeros((), dtype=torch.float32, device=states.device)
            ce_sum = torch.zeros_like(mlm_sum)
            x_grad = torch.zeros_like(x)
            w_grad = torch.zeros_like(w, dtype=torch.float32)
            b_grad = torch.zeros_like(b, dtype=torch.float32)
            if teacher is not None:
                t = teacher.states.to(dtype)
                tw, tb = _aligned(teacher.weight.to(dtype), teacher.bias.to(dtype))
            for start in range(0, len(x), chunk):
                rows = slice(start, start + chunk)
                gradient = F.linear(x[rows], w, b)  # (n, V), the logits so far
                mlm_term, ce_term = _to_gradient(
                    gradient,
                    labels[rows],
                    mlm=mlm,
                    target=None if teacher is None else F.linear(t[rows], tw, tb),
                    ce=ce,
                    temperature=temperature,
                )
                mlm_sum += mlm_term
                ce_sum += ce_term
                x_grad[rows] = gradient @ w
                if dtype == w_grad.dtype:
                    w_grad.addmm_(gradient.T, x[rows])
                else:
                    w_grad += gradient.T @ x[rows]
                b_grad += gradient.sum(0, dtype=torch.float32)
        entries = len(bias)
        ctx.gradients = (
            x_grad.to(states.dtype), w_grad[:entries].to(weight.dtype), b_grad[:entries]
        )  # fmt: skip
        ctx.mark_non_differentiable(mlm_sum, ce_sum)
        return mlm * mlm_sum + ce * ce_sum, mlm_sum, ce_sum

    @staticmethod
    def backward(ctx: Any, grad_total: Tensor, *_: Tensor) -> tuple[Any, ...]:
        if ctx.gradients is None:
            raise RuntimeError("the vocabulary terms have one backward pass; compute them again")
        # Scaled in place and let go of, so that nobody has to copy the large one.
        x, w, b = (gradient.mul_(grad_total.to(gradient.dtype)) for gradient in ctx.gradients)
        ctx.gradients = None
        return x, w, b, None, None, None, None, None, None


def _aligned(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Return the decoder with entries that no token has, up to a multiple of 64, on a GPU.

    Rows of 30,522 half-precision logits are not aligned, and matrix products with them slow. The
    bias of the new entries makes their probability 0.
    """
    more = -len(bias) % 64 if weight.is_cuda else 0
    if not more:
        return weight, bias
    return F.pad(weight, (0, 0, 0, more)), F.pad(bias, (0, more), value=-1e4)


def _to_gradient(
    logits: Tensor,
    labels: Tensor,
    *,
    mlm: float,
    target: Tensor | None,
    ce: float,
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """Return the sums of L_mlm and L_ce; the logits become the gradient of mlm and ce times them.

    Args:
        logits: (n, V).
        target: the teacher's, (n, V); they are spoilt.
    """
    if logits.is_cuda and _has_triton():
        from distilbert.distillation.vocabulary_kernel import terms_in_place

        factors = {"mlm": mlm, "ce": ce, "temperature": temperature}
        return terms_in_place(logits, labels, target=target, **factors)
    most = max(len(logits) if logits.is_cuda else CACHED // logits.shape[1], 1)
    mlm_sum = logits.new_zeros((), dtype=torch.float32)
    ce_sum = torch.zeros_like(mlm_sum)
    for start in range(0, len(logits), most):
        rows = slice(start, start + most)
        part = logits[rows].float()  # the logits themselves, if they are float32
        labelled, own, mlm_term = _masked_lm(part, labels[rows], mlm)
        mlm_sum += mlm_term
        if target is None:
            part.zero_()
        else:
            ce_sum += _distillation(part, target[rows].float(), ce, temperature)
        part.index_add_(0, labelled, own)
        if part.dtype != logits.dtype:
            logits[rows] = part
    return mlm_sum, ce_sum


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


def _masked_lm(logits: Tensor, labels: Tensor, factor: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows with a label, `factor` times the gradient in them, and the sum of L_mlm."""
    rows = (labels != IGNORED).nonzero().squeeze(1)
    log_probabilities = F.log_softmax(logits[rows], -1)  # (labelled, V)
    entries = labels[rows, None]
    term = -log_probabilities.gather(1, entries).sum()
    gradient = log_probabilities.exp_()
    gradient.scatter_add_(1, entries, gradient.new_full(entries.shape, -1.0))
    return rows, gradient.mul_(factor), term


def _distillation(logits: Tensor, target: Tensor, factor: float, temperature: float) -> Tensor:
    """Return the sum of L_ce, T^2 KL(target || logits); the logits become `factor` its gradient."""
    log_student = F.log_softmax(logits.div_(temperature), -1)
    log_teacher = F.log_softmax(target.div_(temperature), -1)
    teacher = torch.exp(log_teacher, out=target)
    kl = log_teacher.sub_(log_student).mul_(teacher).sum()
    torch.exp(log_student, out=logits).sub_(teacher).mul_(factor * temperature)
    return kl * temperature**2
