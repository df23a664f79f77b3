"""How far a model's answers in a lower precision are from those in fp32, on some texts.

Not the score of a task, which needs labels: `distilbert evaluate` has that.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BATCH = 16
_ANSWERS = ("logits", "start_logits", "end_logits", "last_hidden_state")

Check = str | tuple[str, str]
Inputs = dict[str, NDArray[Any]]
Answers = Mapping[str, NDArray[Any]]
Model = Callable[..., Answers]


@dataclass(frozen=True)
class Harm:
    """How far answers are from those in fp32, on the texts of a check.

    Args:
        error: root mean square of the difference, relative to that of the answers (logits, or the
            hidden states of a model without a head), at real tokens.
        changed: share of decisions that change (the largest logit is elsewhere); nan where there
            is nothing to decide.
        exact: layers that were left out of int8 for it.
    """

    error: float
    changed: float
    exact: tuple[str, ...] = ()

    def __str__(self) -> str:
        changed = "" if math.isnan(self.changed) else f", {self.changed:.1%} decisions changed"
        return f"error {self.error:.1%}{changed}"


def encode(texts: Iterable[Check], tokenizer: Any, config: Any, choices: bool) -> list[Inputs]:
    """Return texts, or pairs of them, as batches for a model; long ones are cut to what it takes.

    Args:
        choices: the model takes (B, choices, T): each text becomes the only choice of a question.

    Raises:
        TypeError, ValueError: no tokenizer, no texts, or something else than texts.
    """
    if tokenizer is None:
        raise TypeError("check=… needs the tokenizer that reads the texts: tokenizer=…")
    given = [texts] if isinstance(texts, str) else list(texts)
    if not given:
        raise ValueError("check=… has no texts; a hundred typical ones are enough")
    wrong = [text for text in given if not isinstance(text, str | tuple)]
    if wrong:
        raise TypeError(f"check=… takes texts, or pairs (tuples) of them; got {wrong[0]!r:.60}")
    made = []
    for kind in (str, tuple):  # the tokenizer takes one kind at a time
        some = [text for text in given if isinstance(text, kind)]
        for at in range(0, len(some), _BATCH):
            encoded = tokenizer(
                some[at : at + _BATCH],
                padding=True,
                truncation=True,
                max_length=config.max_position_embeddings,
                padding_side="right",  # lengths say where texts end
                return_attention_mask=True,
                return_token_type_ids=config.type_vocab_size > 1,
                return_tensors="np",
            )
            made.append({k: v[:, None] if choices else v for k, v in encoded.items()})
    return made


class Reference:
    """Answers in fp32, to compare with.

    Args:
        model: in fp32, a function of arrays.
        inputs: as `encode` returns them.
    """

    def __init__(self, model: Model, inputs: Sequence[Inputs]) -> None:
        self.inputs = inputs
        self.answers = [_real(batch, model(**batch)) for batch in inputs]

    def harm(self, model: Model, exact: Sequence[str] = ()) -> Harm:
        """Compare a model with it."""
        known = zip(self.inputs, self.answers, strict=True)
        return _measure(
            ((answers, _real(batch, model(**batch))) for batch, answers in known), exact
        )


def compare(exact: Model, model: Model, inputs: Iterable[Inputs]) -> Harm:
    """Compare two models batch by batch, when only one comparison is to be made."""
    return _measure(
        (_real(batch, exact(**batch)), _real(batch, model(**batch))) for batch in inputs
    )


def _real(inputs: Inputs, answers: Answers) -> Answers:
    """Return the answers that are compared, without those at padding: rows of values."""
    keep = inputs["attention_mask"] != 0
    kept = {name: answers[name] for name in _ANSWERS if name in answers}
    return {name: value[keep] if value.ndim == 3 else value for name, value in kept.items()}


def _measure(batches: Iterable[tuple[Answers, Answers]], exact: Sequence[str] = ()) -> Harm:
    """Compare answers with those in fp32, which come first; batches are read one at a time."""
    squares = total = 0.0
    changed = decisions = 0
    for answers, others in batches:
        for name, wanted in answers.items():
            given = others[name]
            real = wanted > np.finfo(wanted.dtype).min  # not so at masked positions of spans
            with np.errstate(invalid="ignore", over="ignore"):  # inf and nan are told as such
                squares += _squares(given[real] - wanted[real])
                total += _squares(wanted[real])
            if name != "last_hidden_state" and wanted.shape[-1] > 1:
                changed += int((given.argmax(-1) != wanted.argmax(-1)).sum())
                decisions += len(wanted)
    share = changed / decisions if decisions else float("nan")
    return Harm((squares / max(total, 1e-30)) ** 0.5, share, tuple(exact))


def _squares(values: NDArray[Any]) -> float:
    return float(np.square(values).sum(dtype=np.float64))


def require_tolerance(tolerance: float) -> None:
    """Raise ValueError for a tolerance that is not a positive number."""
    if not 0 < tolerance < math.inf:
        raise ValueError(f"tolerance={tolerance} must be a positive number, such as 0.1")
