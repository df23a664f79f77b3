"""What a pipeline can be told, and which options are those of transformers alone."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from distilbert.fields import Check, integer, optional
from distilbert.foreign_options import Table, without_foreign

_OF_FOLDERS = "say it where a folder or hub id is opened; a model has model.to(…)"
_FOREIGN: Table = {
    "batch_size": optional(integer(1)),  # any, as no answer depends on the batch
    "device": ((None,), "say it when the pipeline is made"),
    "dtype": ((None,), _OF_FOLDERS),
    "feature_extractor": ((None,), "leave it out, texts have none"),
    "framework": ((None, "pt"), "leave it out, the model says what it is"),
    "model_kwargs": ((None, {}), "open the model with them by from_pretrained, and pass it"),
    "num_workers": optional(integer(0)),  # inputs are read by the caller's own thread
    "padding": (
        (None, False, True, "longest", "max_length", "do_not_pad"),
        "leave it out, no answer depends on padding",
    ),
    "tokenize_kwargs": ((None, {}), "say truncation=True or max_length=… without it"),
    "tokenizer_kwargs": ((None, {}), "say truncation=True or max_length=… without it"),
    "torch_dtype": ((None,), _OF_FOLDERS),
    "use_fast": ((None, False, True), "leave it out, the slow tokenizer gives the same"),
}


@dataclass(frozen=True)
class Options:
    """What every pipeline can be told, when it is made or called.

    Args:
        max_length: tokens per row, special ones included; by default what the model takes.
    """

    max_length: int | None = None

    checks: ClassVar[dict[str, Check]] = {"max_length": optional(integer(1))}

    def __post_init__(self) -> None:
        for name, check in self.checks.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))


def replaced(before: Options, options: Mapping[str, Any], foreign: Table, task: str) -> Any:
    """Return options with some of them replaced, and checked each.

    Args:
        foreign: those of transformers that this task alone has not.
        task: for the error.

    Raises:
        TypeError, ValueError: one is unknown, or its value of a wrong type or impossible.
    """
    own = without_foreign(options, {**_FOREIGN, **foreign}, of=task)
    known = [field.name for field in fields(before)]
    unknown = [name for name in own if name not in known]
    if unknown:
        close = difflib.get_close_matches(unknown[0], known, 1)
        hint = f"did you mean {close[0]}? It" if close else "it"
        raise TypeError(
            f"{task} has no option {unknown[0]!r:.60}; {hint} has {', '.join(known)}, and "
            "when it is made batch_tokens, config, device and read_ahead"
        )
    return replace(before, **own)
