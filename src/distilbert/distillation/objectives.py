"""The terms between hidden states, attentions and relations, as functions that return sums.

Every sum has its count, named in the docstring; the recipe divides once by the count over the whole
optimiser step. Shapes: `N` real tokens of all sequences in a row, `C` student width, `E` teacher
width, `H` heads, `D` head size, `L` length of the sequences of a block.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

# Attention matrices of a block are made for so many numbers at a time.
_NUMBERS = 1 << 24

Blocks = Sequence[tuple[int, int]]


def cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """Sum over tokens of 1 - cos(student, teacher), (N, C) each: L_cos. Count: tokens."""
    return (1 - F.cosine_similarity(student.float(), teacher.float(), dim=-1)).sum()


def hidden_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Sum over tokens of the mean squared difference, (N, C) each. Count: tokens.

    TinyBERT's hidden-state transfer (arXiv 1909.10351, equation 8), for one pair of layers.
    """
    return (student.float() - teacher.float()).pow(2).mean(-1).sum()


def attention_mse(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], blocks: Blocks
) -> Tensor:
    """Sum over queries of the mean squared difference of attention scores. Count: tokens.

    TinyBERT's attention transfer (arXiv 1909.10351, equation 7), for one pair of layers: the scores
    before the softmax, with the mean over heads and keys.

    Args:
        student, teacher: queries and keys, (N, H, D) each; H is the same.
        blocks: (sequences, length) of the runs of sequences of equal length in N.

    Raises:
        ValueError: the numbers of heads differ.
    """
    if student[0].shape[1] != teacher[0].shape[1]:
        raise ValueError(
            f"attention transfer needs as many heads in the student as in the teacher, "
            f"got {student[0].shape[1]} and {teacher[0].shape[1]}; relations do not"
        )
    total = student[0].new_zeros((), dtype=torch.float32)
    for q, k, tq, tk in _by_block((*student, *teacher), blocks):
        total = total + checkpoint(_scores_mse, q, k, tq, tk, use_reentrant=False)
    return total


def _scores_mse(q: Tensor, k: Tensor, tq: Tensor, tk: Tensor) -> Tensor:
    difference = _scores(q, k) - _scores(tq, tk)  # (count, H, L, L)
    return difference.pow(2).mean((1, 3)).sum()


def relations(
    student: tuple[Tensor, Tensor, Tensor],
    teacher: tuple[Tensor, Tensor, Tensor],
    heads: int,
    blocks: Blocks,
) -> Tensor:
    """Sum over tokens of KL(R_teacher || R_student), over Q, K and V. Count: tokens.

    MiniLMv2 (arXiv 2012.15828, equations 2 to 5): R = softmax(A A^T / sqrt(d_r)) inside each
    sequence and relation head, A being queries, keys or values of all heads side by side, cut into
    `heads` relation heads of width d_r. The sum is over Q, K, V, the mean over relation heads.

    Args:
        student: queries, keys and values, (N, C) each.
        teacher: the same, (N, E) each.
        heads: relation heads; divides C and E.
        blocks: (sequences, length) of the runs of sequences of equal length in N.

    Raises:
        ValueError: `heads` does not divide a width.
    """
    for width in (student[0].shape[1], teacher[0].shape[1]):
        if width % heads:
            raise ValueError(f"relation_heads ({heads}) must divide the widths, got {width}")
    total = student[0].new_zeros((), dtype=torch.float32)
    for s, t in zip(student, teacher, strict=True):
        pair = (s.unflatten(1, (heads, -1)), t.unflatten(1, (heads, -1)))
        for own, goal in _by_block(pair, blocks):
            total = total + checkpoint(_relation_kl, own, goal, use_reentrant=False)
    return total


def _relation_kl(student: Tensor, teacher: Tensor) -> Tensor:
    own = F.log_softmax(_scores(student, student), -1)  # (count, heads, L, L)
    goal = F.log_softmax(_scores(teacher, teacher), -1)
    return F.kl_div(own, goal, log_target=True, reduction="sum") / student.shape[1]


def _scores(a: Tensor, b: Tensor) -> Tensor:
    """(count, H, L, D) twice -> A B^T / sqrt(D), (count, H, L, L), in float32."""
    return (a @ b.transpose(-1, -2)).float() / a.shape[-1] ** 0.5


def _by_block(tensors: Sequence[Tensor], blocks: Blocks) -> Iterator[tuple[Tensor, ...]]:
    """Cut (N, H, D) tensors into (count, H, L, D), few sequences at a time."""
    sizes = []
    shapes = []
    for count, length in blocks:
        most = max(1, _NUMBERS // max(1, tensors[0].shape[1] * length * length))
        while count > 0 and length > 0:
            part = min(count, most)
            sizes.append(part * length)
            shapes.append((part, length))
            count -= part
    for shape, *parts in zip(shapes, *(x.split(sizes) for x in tensors), strict=True):
        yield tuple(part.unflatten(0, shape).transpose(1, 2) for part in parts)
