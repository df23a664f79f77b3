"""Task losses. A batch in which nothing is labelled has loss 0, with a gradient graph.

They are computed in float32 at least: a sum of many terms has no place in half precision.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from distilbert.config import PretrainedConfig
from distilbert.modeling.inputs import require_tensor

IGNORED = -100


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of (…, K) logits and (…) labels, those equal to -100 left out.

    Raises:
        ValueError: shapes that do not fit, or a label outside 0 … K - 1 (on CPU).
    """
    require_tensor("labels", labels)
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"labels must be {tuple(logits.shape[:-1])}, got {tuple(labels.shape)} "
            f"(logits are {tuple(logits.shape)})"
        )
    if labels.is_floating_point():
        raise TypeError(f"labels must be integers, got {labels.dtype}")
    logits, labels = _exact(logits).flatten(0, -2), labels.flatten().long()
    try:
        total = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    except IndexError:
        classes = logits.shape[-1]
        wrong = labels[(labels != IGNORED) & ((labels < 0) | (labels >= classes))]
        raise ValueError(
            f"labels hold {wrong[0].item()}; there are {classes} classes, 0 to {classes - 1} "
            f"({IGNORED} is left out)"
        ) from None
    return total / (labels != IGNORED).sum().clamp(min=1)


def classification(logits: Tensor, labels: Tensor, config: PretrainedConfig) -> Tensor:
    """Regression, single-label or multi-label loss of (B, num_labels) logits.

    Which one `config.problem_of` says.

    Raises:
        ValueError: labels of a shape that does not fit, or a single label of one class.
    """
    require_tensor("labels", labels)
    kind = config.problem_of(floating=labels.is_floating_point())
    if kind == "single_label_classification":
        if labels.numel() != len(logits):
            raise ValueError(
                f"labels must be ({len(logits)},), one class per text, got {tuple(labels.shape)}; "
                "several classes per text are floating zeros and ones, or say "
                'config.problem_type = "multi_label_classification"'
            )
        return cross_entropy(logits, labels.flatten())
    if labels.numel() != logits.numel() or len(labels) != len(logits):
        raise ValueError(f"labels must be {tuple(logits.shape)}, got {tuple(labels.shape)}")
    logits = _exact(logits)
    targets = labels.reshape(logits.shape).to(logits.dtype)
    if kind == "regression":
        total = F.mse_loss(logits, targets, reduction="sum")
    else:
        total = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
    return total / max(logits.numel(), 1)


def spans(
    start_logits: Tensor, end_logits: Tensor, starts: Tensor, ends: Tensor, keep: Tensor | None
) -> Tensor:
    """Mean of the cross-entropies of start and end positions; those outside are left out.

    Args:
        start_logits, end_logits: (B, T).
        starts, ends: (B,) or (B, 1).
        keep: (B, T), true where a token is real; positions elsewhere are left out too.
    """
    return (_position(start_logits, starts, keep) + _position(end_logits, ends, keep)) / 2


def _position(logits: Tensor, positions: Tensor, keep: Tensor | None) -> Tensor:
    require_tensor("positions", positions)
    if positions.numel() != len(logits):
        raise ValueError(f"positions must be ({len(logits)},), got {tuple(positions.shape)}")
    positions = positions.flatten().long()
    outside = (positions < 0) | (positions >= logits.shape[1])
    if keep is not None:
        inside = positions.clamp(0, logits.shape[1] - 1)
        outside = outside | ~keep.gather(1, inside[:, None]).squeeze(1)
    return cross_entropy(logits, positions.masked_fill(outside, IGNORED))


def _exact(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def lowest(x: Tensor) -> float:
    """Return the smallest finite number of a tensor's type: the logit of what cannot be."""
    return torch.finfo(x.dtype).min
