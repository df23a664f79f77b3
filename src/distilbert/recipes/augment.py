"""The training table of a task with changed copies of its texts beside them."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from distilbert.modeling.opening import open_masked_lm
from distilbert.recipes.job import open_model_tokenizer, tokenizer_hashes
from distilbert.runtime import checkpoint
from distilbert.runtime.launch import Launch
from distilbert.tasks.augmentation import augment, augment_texts
from distilbert.tasks.classification import TextTask
from distilbert.tasks.tables import Table
from distilbert.tasks.tagging import Tagging
from distilbert.tasks.task import Task, require_texts

_logger = logging.getLogger("distilbert")
_FEW = 0.5  # of the copies
_REPLACED = (
    "words between spaces, of letters alone and of one piece to the augmenter, are replaced (each "
    "Chinese character is a word)"
)
SEED = 0  # one for all seeds of a run, which share their data


def augmented(
    launch: Launch | None,
    task: Task,
    table: Table,
    copies: int,
    augmenter: str | None,
    batch_tokens: int,
) -> tuple[Table, dict[str, str]]:
    """Return a table with so many changed copies of every row after its own rows.

    With it come hashes of the augmenter, for the record of the run.

    Args:
        augmenter: a masked LM, which proposes words.
        batch_tokens: tokens that are computed at a time.

    Raises:
        OSError: there is no such masked LM.
        ValueError: it is not said or has no head, the task has no texts whose words may change, a
            column is missing, or no text is changed.
    """
    if copies < 0:
        raise ValueError(f"augment must be 0 or more copies of each example, got {copies}")
    if not copies:
        if augmenter is not None:
            raise ValueError("an augmenter has nothing to do without augment: say how many copies")
        return table, {}
    assert launch is not None
    if augmenter is None:
        raise ValueError("augment needs a masked LM that proposes words: say which with augmenter")
    if not isinstance(task, TextTask | Tagging):
        raise ValueError(f"{task.name} has no augment: it is for tasks that label texts or words")
    model = open_masked_lm(augmenter, attn_implementation="varlen").to(launch.device).eval()
    tokenizer = open_model_tokenizer(augmenter, model.config)
    known = {"augmenter": checkpoint.fingerprint(model), **tokenizer_hashes("augmenter", tokenizer)}
    size = len(table)
    unchanged = np.ones(size * copies, bool)
    copied = table.take([*range(size), *(row for row in range(size) for _ in range(copies))])
    is_text = isinstance(task, TextTask)
    make: Callable[..., list[Any]] = augment_texts if is_text else augment
    seconds = [task.second_text_column] if isinstance(task, TextTask) else []
    for number, name in enumerate([task.text_column, *seconds]):
        if name is None:
            continue
        values = table.column(name, "text_column")
        if is_text:
            values = require_texts(table, name, values)
        changed = make(
            model, tokenizer, values, copies, seed=SEED + number, batch_tokens=batch_tokens
        )
        before = (value for value in values for _ in range(copies))
        unchanged &= [old == new for old, new in zip(before, changed, strict=True)]
        copied.columns[name][size:] = changed
    share = 1 - unchanged.mean()
    if not share:
        raise ValueError(
            f"augment changes no text of {table.path}: only {_REPLACED}. Leave augment out, or "
            "take another augmenter"
        )
    if share < _FEW:
        _logger.warning(
            "augment has changed %.1f%% of the copies of %s: only %s",
            100 * share,
            table.path,
            _REPLACED,
        )
    return copied, known
