"""What the precisions of a prepared model do to its score and its outputs on a task."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from distilbert.distillation.masking import IGNORED
from distilbert.inference.preparing import build
from distilbert.modeling.pretrained import PreTrainedModel
from distilbert.recipes.task_model import labels_of, open_trained, outputs_of
from distilbert.recipes.task_reading import Reader, require_labels
from distilbert.runtime import launch as launching
from distilbert.tasks.catalog import make_task
from distilbert.tasks.classification import MultiLabel, Regression
from distilbert.tasks.embedding import Embedding
from distilbert.tasks.question_answering import QuestionAnswering
from distilbert.tasks.tagging import Tagging
from distilbert.tasks.task import Examples, Task

_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class TaskResult:
    """A model, prepared or not, on a task.

    Args:
        scores: the loss and the task's scores.
        kept: its main score, as a share of the model's; None where that is 0.
        error: root mean square of the difference to the model's outputs, relative to these.
        changed: share of decisions that are others than the model's; None where an output is no
            choice among labels.
    """

    scores: dict[str, float]
    kept: float | None
    error: float
    changed: float | None


class Trial(NamedTuple):
    """A model, and the labelled examples that it is scored on."""

    task: Task
    model: PreTrainedModel
    data: str
    examples: Examples


def open_trial(name: str, data: str, task_name: str, max_length: int) -> Trial:
    """Open a model and read labelled examples.

    Args:
        name: of a model with the task's head, and its tokenizer.
        data: a file, as for `distilbert evaluate`.
        max_length: as for `distilbert evaluate`.

    Raises:
        OSError, ValueError: the model has not the head, or the data do not fit it.
    """
    task = make_task(task_name)
    model, tokenizer = open_trained(name, task)
    positions = model.config.max_position_embeddings
    reader = Reader(task, labels_of(model), tokenizer, positions, max_length)
    examples = reader.read(task.read(data))
    require_labels(data, examples)
    return Trial(task, model, data, examples)


def task_results(trial: Trial, precisions: Sequence[str]) -> dict[str, object]:
    """Score the model and its prepared copies, on the CPU."""
    task, model, data, examples = trial
    launch = launching.start(cpu=True)
    labels, metric = examples.features.labels, task.metric_of(examples)
    expected, loss = outputs_of(launch, model, examples.features, _BATCH_TOKENS)
    scores = {"loss": loss, **examples.score(expected)}
    results = {"model": TaskResult(scores, 1.0, 0.0, _changed(task, labels, expected, expected))}
    for precision in precisions:
        prepared = build(model, precision)
        found, loss = outputs_of(launch, model, examples.features, _BATCH_TOKENS, prepared)
        own = {"loss": loss, **examples.score(found)}
        results[f"prepared {precision}"] = TaskResult(
            own,
            own[metric] / scores[metric] if scores[metric] else None,
            float(np.linalg.norm(found - expected)) / max(float(np.linalg.norm(expected)), 1e-30),
            _changed(task, labels, found, expected),
        )
    return {
        "task": task.name,
        "data": data,
        "metric": metric,
        "texts": examples.texts,
        "results": {key: asdict(result) for key, result in results.items()},
    }


def _changed(
    task: Task, labels: np.ndarray, found: np.ndarray, expected: np.ndarray
) -> float | None:
    if isinstance(task, Regression | QuestionAnswering | Embedding):  # numbers; ends of spans
        return None
    if isinstance(task, Tagging):  # of a word its first piece says what it is
        decides = labels != IGNORED
        found, expected = found[decides], expected[decides]
    if isinstance(task, MultiLabel):
        return float(((found > 0) != (expected > 0)).mean())
    return float((found.argmax(-1) != expected.argmax(-1)).mean())
