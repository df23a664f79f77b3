"""What a lower precision does to a model's answers, and which layers to spare for it.

Not the score of a task, which needs labels: `distilbert evaluate` has that.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from distilbert.inference.linear import FastLinear

_BATCH = 16
_ANSWERS = ("logits", "start_logits", "end_logits", "last_hidden_state")

Inputs = dict[str, Tensor]
Check = str | tuple[str, str]
Model = Callable[..., Mapping[str, Any]]


@dataclass(frozen=True)
class Harm:
    """How far answers are from those in fp32, on the texts of a check.

    Args:
        error: root mean square of the difference, relative to that of the answers (logits, or the
            hidden states of a model without a head), at real tokens.
        changed: share of decisions that are others (the largest logit elsewhere); nan where there
            is nothing to decide.
        exact: layers that were left out of int8 for it.
    """

    error: float
    changed: float
    exact: tuple[str, ...] = ()


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
                return_token_type_ids=config.type_vocab_size > 1,
                return_tensors="pt",
            )
            made.append({k: v[:, None] if choices else v for k, v in encoded.items()})
    return made


class Reference:
    """Answers in fp32, to compare with.

    Args:
        model: in fp32.
        inputs: as `encode` returns them.
    """

    def __init__(self, model: Model, inputs: Sequence[Inputs]) -> None:
        self.inputs = inputs
        self.answers = [list(_answers(model, batch)) for batch in inputs]

    def harm(self, model: Model, exact: Sequence[str] = ()) -> Harm:
        """Compare a model with it."""
        squares = total = changed = decisions = 0.0
        for batch, expected in zip(self.inputs, self.answers, strict=True):
            for (found, _), (wanted, decides) in zip(_answers(model, batch), expected, strict=True):
                real = wanted > torch.finfo(wanted.dtype).min  # not so at masked positions of spans
                squares += float((found - wanted)[real].square().sum())
                total += float(wanted[real].square().sum())
                if decides:
                    changed += float((found.argmax(-1) != wanted.argmax(-1)).sum())
                    decisions += len(wanted)
        share = changed / decisions if decisions else float("nan")
        return Harm((squares / max(total, 1e-30)) ** 0.5, share, tuple(exact))


def _answers(model: Model, batch: Inputs) -> Iterator[tuple[Tensor, bool]]:
    """Yield each output as (rows, values), and whether a row's largest value is a decision."""
    keep = batch["attention_mask"] != 0
    output = model(**batch, return_dict=True)
    for name in _ANSWERS:
        if name in output:
            value = output[name]
            rows = value[keep] if value.dim() == 3 else value
            yield rows, name != "last_hidden_state" and rows.shape[-1] > 1


class Linears(Protocol):
    """A prepared model, as far as is needed here."""

    linears: dict[str, FastLinear]

    def __call__(self, **inputs: Any) -> Any:
        """Compute its outputs."""


def most_harmful(exact: Linears, fast: Linears, inputs: Sequence[Inputs]) -> list[str]:
    """Return the layers that differ, the one with the largest error of its own first.

    Every layer of `fast` gets what its twin in `exact` gets. What is compared is the layer's
    output with the residual added, where one is.
    """
    squares: dict[str, float] = {}
    total: dict[str, float] = {}

    def watch(name: str, twin: FastLinear) -> Callable[..., None]:
        def hook(_: Any, given: tuple[Any, ...], wanted: Tensor) -> None:
            squares[name] = squares.get(name, 0.0) + float((twin(*given) - wanted).square().sum())
            total[name] = total.get(name, 0.0) + float(wanted.square().sum())

        return hook

    handles = [
        linear.register_forward_hook(watch(name, fast.linears[name]))
        for name, linear in exact.linears.items()
        if fast.linears[name].kind != linear.kind
    ]
    try:
        for batch in inputs:
            exact(**batch)
    finally:
        for handle in handles:
            handle.remove()
    return sorted(squares, key=lambda name: -squares[name] / max(total[name], 1e-30))
