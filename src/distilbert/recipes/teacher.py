"""A fine-tuned teacher for fine-tuning: opened, compared with the student, asked once."""

import dataclasses

import numpy as np

from distilbert.inference.preparing import build
from distilbert.modeling.pretrained import PreTrainedModel
from distilbert.recipes.job import tokenizer_difference
from distilbert.recipes.task_model import (
    in_words,
    labels_of,
    open_trained,
    outputs_of,
    refuse_not_finite,
)
from distilbert.runtime.launch import Launch
from distilbert.tasks.features import Features
from distilbert.tasks.labels import Labels
from distilbert.tasks.task import Examples, Task
from distilbert.tokenization import DistilBertTokenizerFast


def open_teacher(
    name: str, task: Task, labels: Labels, tokenizer: DistilBertTokenizerFast, longest: int
) -> PreTrainedModel:
    """Open the teacher of a task.

    Args:
        labels: of the student; the teacher may have them in another order.
        tokenizer: of the student.
        longest: tokens of the longest row.

    Raises:
        OSError: it cannot be found.
        ValueError: it has no head for the task, other labels, another vocabulary, or too few
            positions.
    """
    teacher, own = open_trained(name, task)
    _order(name, teacher, labels)
    if own.get_vocab() != tokenizer.get_vocab():
        raise ValueError(
            f"the teacher {name} has another vocabulary than the student: both must read the same "
            "ids"
        )
    difference = tokenizer_difference(own, tokenizer)
    if difference is not None:
        option, their_value, value = difference
        raise ValueError(
            f"the tokenizer of the teacher {name} has {option} {their_value}, that of the "
            f"student {value}: both must read the same ids"
        )
    positions = teacher.config.max_position_embeddings
    if positions < longest:
        raise ValueError(
            f"the teacher {name} has {positions} positions, and there are rows of {longest} "
            f"tokens: say max_length={positions}"
        )
    return teacher


def _order(name: str, teacher: PreTrainedModel, labels: Labels) -> list[int]:
    """Return the teacher's number of each of the student's labels; empty with fewer than two."""
    known = labels_of(teacher)
    theirs = known.names
    if len(labels) < 2:  # a value, whatever its column is called
        return []
    if set(theirs) == set(labels.names):
        return [theirs.index(label) for label in labels.names]
    if known.are_placeholders and len(known) == len(labels):
        return list(range(len(labels)))  # without names: their order is taken to be the same
    raise ValueError(
        f"the teacher {name} has the labels {', '.join(theirs)}; the data have "
        f"{', '.join(labels.names)}"
    )


def teach(
    launch: Launch,
    name: str,
    teacher: PreTrainedModel,
    labels: Labels,
    training: Examples,
    validation: Examples,
    *,
    batch_tokens: int,
) -> tuple[Examples, Examples, str]:
    """Return the training data with the teacher's outputs, computed once for all epochs.

    With them come the validation data, which get its outputs as well if they have no labels to be
    scored by, and in words what it scores on them; nothing is said where these have longer rows
    than it has positions for.

    Args:
        batch_tokens: real tokens that are computed at a time.
    """
    teacher.to(launch.device, launch.dtype).eval()
    # A prepared model has no fp16: there the teacher answers as it is.
    prepared = None if launch.precision == "fp16" else build(teacher, launch.precision)
    order = _order(name, teacher, labels)

    def answers(features: Features, description: str) -> np.ndarray:
        # Its loss is none (the labels have the student's numbers), and contrasting takes long.
        if features.are_contrasted:
            none = np.empty((len(features), 0), np.float32)
            features = dataclasses.replace(features, labels=none)
        outputs, _ = outputs_of(launch, teacher, features, batch_tokens, prepared, description)
        refuse_not_finite(name, outputs)
        return np.ascontiguousarray(outputs[:, order]) if order else outputs

    def taught(examples: Examples) -> Examples:
        outputs = answers(examples.features, "answers of the teacher")
        features = dataclasses.replace(examples.features, teacher_logits=outputs)
        return dataclasses.replace(examples, features=features)

    said = ""
    if not validation.features.labels.size:
        validation = taught(validation)
    elif validation.features.lengths.max() <= teacher.config.max_position_embeddings:
        scores = validation.score(answers(validation.features, "score of the teacher"))
        said = f"teacher: validation {in_words(scores)}"
    return taught(training), validation, said
