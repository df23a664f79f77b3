"""How long a model is trained, and by what AdamW."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

BETAS = (0.9, 0.98)
EPS = 1e-6


@dataclass(frozen=True)
class Plan:
    """How a model is trained, by AdamW.

    Attributes:
        steps: optimiser steps.
        peak: highest learning rate.
        warmup: share of the steps in which the rate rises to it; then it falls linearly.
        weight_decay: of matrices.
        max_norm: gradients are scaled down to this norm; 0 leaves them alone.
        seed: of dropout (order and masks have theirs in the source).
        save_every: steps between checkpoints, each after a validation.
        betas, eps: of AdamW.
        validates_first: look at the scores before the first step, too.
        metric: the score by which the best weights are chosen, the greater the better but for
            `loss`; none publishes the last.
        patience: stop after so many validations without a better score; 0 goes to the end.
        scale_of: from a parameter's name to a factor on its learning rate.
        checkpoints: write them; without, a run that is stopped starts anew.

    Raises:
        ValueError: a number is out of range.
    """

    steps: int
    peak: float
    warmup: float
    weight_decay: float
    max_norm: float
    seed: int
    save_every: int
    betas: tuple[float, float] = BETAS
    eps: float = EPS
    validates_first: bool = True
    metric: str | None = None
    patience: int = 0
    scale_of: Callable[[str], float] = lambda name: 1.0
    checkpoints: bool = True

    def __post_init__(self) -> None:
        for name, value, is_right, rule in (
            ("learning_rate", self.peak, 0 < self.peak < math.inf, "above 0"),
            ("warmup", self.warmup, 0 <= self.warmup <= 1, "a share, from 0 to 1"),
            ("weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "0 or more"),
            ("max_norm", self.max_norm, 0 <= self.max_norm < math.inf, "0 (off) or more"),
            ("save_every", self.save_every, self.save_every >= 1, "1 or more"),
            ("patience", self.patience, self.patience >= 0, "0 (off) or more"),
        ):
            if not is_right:
                raise ValueError(f"{name} must be {rule}, got {value}")


def gain(metric: str, scores: Mapping[str, float]) -> float:
    """Return what is the greater the better: the score, or the negative of the loss."""
    return -scores[metric] if metric == "loss" else scores[metric]


def steps_of(
    steps: int, epochs: float, sequences: int, per_step: int, setting: str = "sequences_per_step"
) -> int:
    """Return the steps of a run: as given, or so many passes over the corpus.

    Args:
        setting: that says how many sequences a step has.

    Raises:
        ValueError: neither is positive, or the passes are less than one step.
    """
    if steps < 0 or not 0 <= epochs < math.inf or (steps == 0 and epochs == 0):
        raise ValueError(f"give steps or epochs, not steps={steps} and epochs={epochs}")
    count = steps or int(epochs * sequences / per_step)
    if count < 1:
        raise ValueError(
            f"{epochs} epochs of {sequences} sequences are less than one step of {per_step}; "
            f"lower {setting} or give steps"
        )
    return count
