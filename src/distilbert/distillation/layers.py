"""What a student's layers learn from a teacher's: hidden states and attention scores.

TinyBERT (arXiv 1909.10351, equations 7 to 9), with layers paired at even distances.
"""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor

from distilbert.distillation import objectives
from distilbert.distillation.taps import Taps
from distilbert.modeling.model import MultiHeadSelfAttention, Transformer


def layer_pairs(own: int, other: int) -> list[int]:
    """Return from which of the teacher's layers each of the student's learns; 0 is the embeddings.

    No layer learns from the embeddings, even in a student of more layers: they have no attention.

    >>> layer_pairs(3, 6), layer_pairs(4, 2)
    ([0, 2, 4, 6], [0, 1, 1, 2, 2])
    """
    return [0, *(max(1, round(i * other / own)) for i in range(1, own + 1))]


def check_heads(student: Transformer, teacher: Transformer, pairs: Sequence[int]) -> None:
    """Check that attention can be transferred between these layers.

    Raises:
        ValueError: a layer and the teacher's that it learns from have different numbers of heads.
    """
    for own, layer in enumerate(pairs[1:]):
        ours, theirs = _attention(student, own).n_heads, _attention(teacher, layer - 1).n_heads
        if ours != theirs:
            raise ValueError(
                f"attention transfer needs equal heads: layer {layer - 1} of the teacher has "
                f"{theirs}, layer {own} of the student {ours}. Leave attention out; relations "
                "and hidden states do not need them"
            )


def query_width(transformer: Transformer, layer: int) -> int:
    """Return the width of a layer's queries: the model's, less that of its pruned heads."""
    attention = _attention(transformer, layer)
    return attention.n_heads * attention.head_size


def _attention(transformer: Transformer, layer: int) -> MultiHeadSelfAttention:
    return cast(MultiHeadSelfAttention, transformer.layer[layer].attention)


def hidden_term(
    states: Sequence[Tensor],
    goals: Sequence[Tensor],
    pairs: Sequence[int],
    project: Callable[[Tensor], Tensor],
) -> Tensor:
    """Return the mean over layers of `objectives.hidden_mse`. Count: tokens.

    Args:
        states, goals: of the student's and the teacher's embeddings and layers, (N, C) each.
        project: from the student's width to the teacher's.
    """
    terms = [
        objectives.hidden_mse(project(state), goals[layer])
        for state, layer in zip(states, pairs, strict=True)
    ]
    return torch.stack(terms).mean()


def attention_term(
    student: Taps, teacher: Taps, pairs: Sequence[int], blocks: objectives.Blocks
) -> Tensor:
    """Return the mean over layers of `objectives.attention_mse`. Count: tokens.

    Args:
        blocks: (sequences, length) of the runs of sequences of equal length in what was tapped.
    """
    terms = []
    for own, layer in enumerate(pairs[1:]):
        terms.append(
            objectives.attention_mse(
                (student.heads(own, "q_lin"), student.heads(own, "k_lin")),
                (teacher.heads(layer - 1, "q_lin"), teacher.heads(layer - 1, "k_lin")),
                blocks,
            )
        )
    return torch.stack(terms).mean()
