"""What a student's layers learn from a teacher's: hidden states and attention scores.

TinyBERT (arXiv 1909.10351, equations 7 to 9), with layers paired at even distances.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from distilbert.distillation import objectives
from distilbert.distillation.taps import Taps


def layer_pairs(own: int, other: int) -> list[int]:
    """Return from which of the teacher's layers each of the student's learns; 0 is the embeddings.

    >>> layer_pairs(3, 6)
    [0, 2, 4, 6]
    """
    return [round(i * other / own) for i in range(own + 1)]


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
