"""What fine-tuning and evaluation share: data and model of a task, outputs, scores."""

import logging
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from distilbert.checkpoint import read_config
from distilbert.hub import Source
from distilbert.inference import PreparedModel
from distilbert.modeling.backbone import Backbone
from distilbert.modeling.heads import MultipleChoice, QuestionAnswering
from distilbert.modeling.opening import class_for, open_head
from distilbert.modeling.pretrained import PreTrainedModel
from distilbert.recipes.exported import Exported
from distilbert.recipes.job import Job, open_model_tokenizer, publish
from distilbert.runtime.launch import Launch
from distilbert.runtime.optimisation import check_finite
from distilbert.runtime.progress import Progress
from distilbert.tasks.batches import TaskSource, count, in_order
from distilbert.tasks.catalog import make_task
from distilbert.tasks.features import Batch, Features
from distilbert.tasks.labels import Labels
from distilbert.tasks.step import (
    Inputs,
    TaskStep,
    logits_of,
    loss_sum,
    real_tokens,
    run,
    taught_sum,
    to_inputs,
)
from distilbert.tasks.tables import Table
from distilbert.tasks.task import Examples, Task
from distilbert.tasks.words import UsedWords
from distilbert.tokenization import DistilBertTokenizerFast

_logger = logging.getLogger("distilbert")
_ALIKE = 0.01  # of logits, or of the labels' range: outputs of models that learn differ by 0.1


class TaskSettings(Protocol):
    """Those settings of a recipe that say which task it is, and where its examples are."""

    task: str
    text_column: str | None
    second_text_column: str | None
    label_column: str | None
    stride: int | None


def task_of(settings: TaskSettings) -> Task:
    """Return the task of a recipe's settings.

    Raises:
        ValueError: as `make_task`.
    """
    return make_task(
        settings.task,
        text_column=settings.text_column,
        second_text_column=settings.second_text_column,
        label_column=settings.label_column,
        stride=settings.stride,
    )


@dataclass(frozen=True)
class Reader:
    """Makes examples for a model.

    Args:
        max_length: tokens of a row; 0 is as many as the model has positions, and a longer text
            an error where the task cannot split it.

    Raises:
        ValueError: `max_length` is more than the model has positions for.
    """

    task: Task
    labels: Labels
    tokenizer: DistilBertTokenizerFast
    positions: int
    max_length: int

    def __post_init__(self) -> None:
        if not 0 <= self.max_length <= self.positions:
            raise ValueError(
                f"max_length must be at most {self.positions}, the positions of the model, or 0 "
                f"for all of them; got {self.max_length}"
            )

    def read(self, table: Table) -> Examples:
        """Make examples of a table.

        Raises:
            ValueError: a column is missing, a row is empty, a label unknown, a text too long.
        """
        longest = self.max_length or self.positions
        examples = self.task.examples(table, self.labels, self.tokenizer, longest)
        if examples.cut and not self.max_length:
            raise ValueError(
                f"{table.path}: {examples.cut} of {examples.texts} texts have more than the "
                f"{longest} tokens that the model has positions for; say max_length={longest} to "
                "cut them there"
            )
        return examples

    def note(self, table: Table, examples: Examples) -> str:
        """Return what the examples are, in words."""
        features = examples.features
        cut = f"; {examples.cut:,} cut to {self.max_length} tokens" if examples.cut else ""
        kind = f"; {examples.kind}" if examples.kind else ""
        return (
            f"{table.path}: {examples.texts:,} texts, {len(features.tokens):,} tokens, the "
            f"longest {features.lengths.max():,}{cut}{kind}"
        )


class TaskJob(Job):
    """A model that learns a task.

    Args:
        module: turns a micro-batch into its parts of the loss and its terms; its model is
            validated and published.
        source: of its batches.
        validation: what it is scored on.
        tokenizer: folder or hub id of the one that is published with it.
    """

    module: TaskStep
    source: TaskSource

    def __init__(
        self, module: TaskStep, source: TaskSource, validation: Examples, tokenizer: str
    ) -> None:
        self.module, self.model, self.source = module, module.model, source
        self.validation, self.tokenizer = validation, tokenizer

    def inputs(self, micro: Batch, device: torch.device) -> Inputs:
        """Return ids, token types, lengths, labels and the teacher's outputs."""
        return to_inputs(micro, device)

    def validate(self, launch: Launch, done: int) -> dict[str, float]:
        """Return the loss and the task's scores."""
        features = self.validation.features
        outputs, loss = outputs_of(launch, self.model, features, self.source.micro_tokens)
        check_finite(loss, "the validation loss", done)  # before a score of NaN is an error
        if launch.is_main and self._is_collapsed(outputs):
            _logger.warning(
                "step %d: the model answers nearly the same to every text: it has not begun to "
                "learn, or has collapsed; if this stays so, take a lower learning_rate or more "
                "warmup",
                done,
            )
        return {"loss": loss, **self.validation.score(outputs)}

    def _is_collapsed(self, outputs: np.ndarray) -> bool:
        """Whether the outputs for all examples are nearly the same."""
        features = self.validation.features
        if len(features) < 2:
            return False
        scale = 1.0
        if self.model.config.problem_type == "regression":
            scale = float(np.ptp(features.labels))
        # Of a choice's endings one is as good as another: they are compared with each other too.
        spread = np.ptp(outputs) if features.rows > 1 else np.ptp(outputs, axis=0).max()
        return bool(spread < _ALIKE * scale)

    def describe(self, scores: dict[str, float]) -> str:
        """Return the scores in words."""
        return f"validation {in_words(scores)}"

    def publish(self, launch: Launch, folder: Path) -> None:
        """Write the model and its tokenizer."""
        words = self.model.get_input_embeddings()
        if isinstance(words, UsedWords):
            self.model.set_input_embeddings(words.whole())
        launch.on_main(lambda: publish(self.model, self.tokenizer, folder))


def in_words(scores: dict[str, float]) -> str:
    """Return scores with their names."""
    return ", ".join(f"{name} {score:.4f}" for name, score in scores.items())


@torch.no_grad()
def outputs_of(
    launch: Launch,
    model: PreTrainedModel,
    features: Features,
    batch_tokens: int,
    runner: PreparedModel | Exported | None = None,
    description: str = "",
) -> tuple[np.ndarray, float]:
    """Return the outputs for all examples, float32, (E, L), (R, C) or (N, L), and their mean loss.

    Every rank computes a part and returns the whole. The model is put back into the mode it was in.
    The loss of texts without labels is the teacher's.

    Args:
        model: on the device of the run; without weights, if there is a runner.
        batch_tokens: real tokens that are computed at a time.
        runner: computes in the place of the model that it was made from.
        description: what is waited for; without it nothing is shown.

    Raises:
        ValueError: an example is longer than `batch_tokens`.
    """
    was_training = model.training
    model.eval()
    shape = (features.outputs, _width(model, features))
    outputs = torch.zeros(shape, device=launch.device)
    total = torch.zeros((), dtype=torch.float64, device=launch.device)
    examples = len(features)
    progress = Progress(
        total=examples, description=description, is_main=launch.is_main and bool(description)
    )
    done = 0
    with progress:
        for batch in in_order(features, batch_tokens, rank=launch.rank, ranks=launch.ranks):
            ids, types, lengths, labels, goals = to_inputs(batch, launch.device)
            with nullcontext() if runner else launch.autocast():
                logits = logits_of(model, run(runner or model, ids, types, lengths), lengths)
            if goals is not None and not labels.numel():
                total += taught_sum(model, logits, goals, labels, lengths, 1.0).double()
            elif labels.numel() and not features.are_contrasted:
                total += loss_sum(model, logits, labels).double()
            places = torch.from_numpy(batch.places).to(launch.device)
            if features.has_outputs_per_token:
                logits = logits[real_tokens(batch.lengths, logits.shape[1]).to(logits.device)]
            outputs[places] = logits
            done = min(done + launch.ranks * len(batch.labels), examples)
            progress.advance(done, launch.ranks * int(sum(batch.lengths)))
    model.train(was_training)
    if launch.ranks > 1:
        outputs, total = launch.reduce_sum(outputs), launch.reduce_sum(total)
    if features.are_contrasted:  # with all others, whatever was computed together
        labels = torch.from_numpy(features.labels).to(launch.device)
        total = loss_sum(model, outputs, labels).double()
    labelled = count(features.labels.ravel(), 0).weight or len(features)
    return outputs.cpu().numpy(), float(total) / max(labelled, 1)


def require_labels(path: str, examples: Examples) -> None:
    """Check that examples can be scored.

    Raises:
        ValueError: they are texts alone, which only a teacher's embeddings score.
    """
    if not examples.features.labels.size:
        raise ValueError(
            f"{path} has texts alone, and no teacher to compare their embeddings with: pairs need "
            "a column of second texts, which second_text_column names"
        )


def refuse_not_finite(name: str, outputs: np.ndarray | float) -> None:
    """Check what a model has answered.

    Args:
        name: where the model was opened.

    Raises:
        ValueError: some of it is no number.
    """
    if not np.isfinite(outputs).all():
        raise ValueError(
            f"{name} gives outputs that are NaN or infinite: its weights are damaged, its training "
            "has diverged, or precision fp16 is too narrow for it"
        )


def _width(model: PreTrainedModel, features: Features) -> int:
    if isinstance(model, MultipleChoice):
        return features.rows
    if isinstance(model, Backbone):
        return model.config.dim
    return 2 if isinstance(model, QuestionAnswering) else model.config.num_labels


def open_trained(name: str, task: Task) -> tuple[PreTrainedModel, DistilBertTokenizerFast]:
    """Open a model that was fine-tuned for a task, and its tokenizer.

    Raises:
        OSError: it cannot be found.
        ValueError: it has no head for the task, a regression's with several outputs, or its
            tokenizer does not fit it.
    """
    model = open_head(name, task.head, is_trained=True, attn_implementation="varlen")
    return model, _fit(name, model, task)


def open_exported(
    name: str, task: Task
) -> tuple[PreTrainedModel, DistilBertTokenizerFast, Exported]:
    """Open the export of such a model: the model without its weights, tokenizer, and what computes.

    Raises:
        ImportError: onnxruntime is not installed.
        OSError, ValueError: as `open_trained`.
    """
    source = Source(name)
    cls: type[Any] = class_for(source, task.head)
    with torch.device("meta"):
        model = cls(read_config(source, cls.config_class, {}))
    runner = Exported(name)
    wanted = {"Model": "last_hidden_state", "ForQuestionAnswering": "start_logits"}
    if wanted.get(task.head, "logits") not in runner.outputs:
        raise ValueError(
            f"{name} is the export of another head (it gives {', '.join(runner.outputs)}), not of "
            f"one for {task.name}: export the model with --head {task.head}"
        )
    return model, _fit(name, model, task), runner


def _fit(name: str, model: PreTrainedModel, task: Task) -> DistilBertTokenizerFast:
    """Set what the model is for, and return its tokenizer."""
    outputs = model.config.num_labels
    if task.problem_type == "regression" and outputs != 1:
        raise ValueError(
            f"{name} has {outputs} labels, {', '.join(labels_of(model).names)}: the task "
            f"{task.name} needs one, a number; choose the task that the model is for"
        )
    model.config.problem_type = task.problem_type
    return open_model_tokenizer(name, model.config)


def label_fields(task: Task, labels: Labels) -> dict[str, Any]:
    """Return the fields of a configuration that a task sets."""
    fields: dict[str, Any] = {"problem_type": task.problem_type}
    if len(labels):
        fields["id2label"] = dict(enumerate(labels.names))
    return fields


def labels_of(model: PreTrainedModel) -> Labels:
    """Return the labels that a model knows."""
    return Labels(tuple(model.config.id2label.values()))
