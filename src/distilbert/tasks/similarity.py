"""The losses of sentence embeddings, as sums: similarities, pairs that belong together, a teacher.

Rows of an example lie side by side: first texts are `[::2]`, second ones `[1::2]`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SCALE = 20.0  # of cosines before the softmax, as in sentence-transformers
_ROWS = 1024  # texts that are contrasted with all others at a time


def pair_sum(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Return the sum of the loss of pairs. Count: the values of the labels.

    Args:
        embeddings: (2 E, C).
        labels: (E,) float, what the cosine should be (Sentence-BERT, arXiv 1908.10084): squared
            errors. (E, 2) int, numbers of texts that belong together: `contrast`, either way.
    """
    first, second = F.normalize(embeddings[::2]), F.normalize(embeddings[1::2])
    if labels.is_floating_point():
        return F.mse_loss((first * second).sum(-1), labels, reduction="sum")
    with torch.autocast(embeddings.device.type, enabled=False):  # 20 x a cosine needs its digits
        return contrast(first, second, *labels.unbind(1)) + contrast(
            second, first, *labels.unbind(1)[::-1]
        )


def contrast(asked: Tensor, answers: Tensor, asked_ids: Tensor, answer_ids: Tensor) -> Tensor:
    """Return the sum of -log softmax(20 cos) of each text's answer among all (arXiv 1705.00652).

    What isn't a wrong answer isn't taken for one: an equal one, another one of the same text, and
    the text itself.

    Args:
        asked, answers: (E, C), of length 1.
        asked_ids, answer_ids: (E,), numbers of the texts.
    """
    total = asked.new_zeros(())
    for start in range(0, len(asked), _ROWS):
        part = slice(start, start + _ROWS)
        logits = SCALE * asked[part] @ answers.T  # (rows, E)
        own = torch.arange(len(logits), device=logits.device)
        right = own + start
        asks, answer = asked_ids[part, None], answer_ids[part, None]
        is_no_wrong = (asks == asked_ids) | (answer == answer_ids) | (asks == answer_ids)
        is_no_wrong[own, right] = False
        logits = logits.masked_fill(is_no_wrong, -torch.inf)
        total = total + F.cross_entropy(logits, right, reduction="sum")
    return total


def taught_sum(embeddings: Tensor, goals: Tensor) -> Tensor:
    """Return the sum of 1 - cos between embeddings and a teacher's, (R, C). Count: rows.

    It is half the squared error between them once they have length 1 (after arXiv 2004.09813).
    """
    return (1 - F.cosine_similarity(embeddings, goals, dim=-1)).sum()
