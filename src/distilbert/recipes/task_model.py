"""A model of a task: opened, its labels, and its outputs for all examples."""

from contextlib import nullcontext
from typing import Any

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
from distilbert.recipes.job import open_model_tokenizer
from distilbert.runtime.launch import Launch
from distilbert.runtime.progress import Progress
from distilbert.tasks.batches import count, in_order
from distilbert.tasks.features import Features
from distilbert.tasks.labels import Labels
from distilbert.tasks.step import logits_of, loss_sum, real_tokens, run, taught_sum, to_inputs
from distilbert.tasks.task import Task
from distilbert.tokenization import DistilBertTokenizerFast


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


def _width(model: PreTrainedModel, features: Features) -> int:
    if isinstance(model, MultipleChoice):
        return features.rows
    if isinstance(model, Backbone):
        return model.config.dim
    return 2 if isinstance(model, QuestionAnswering) else model.config.num_labels


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


def in_words(scores: dict[str, float]) -> str:
    """Return scores with their names."""
    return ", ".join(f"{name} {score:.4f}" for name, score in scores.items())
