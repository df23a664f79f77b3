"""What all seeds of a fine-tuning run share: the examples of both splits, a teacher's answers."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from distilbert.checkpoint import is_bert
from distilbert.config import BertConfig, DistilBertConfig
from distilbert.inference.preparing import use_fast_stack
from distilbert.modeling.pretrained import PreTrainedModel
from distilbert.recipes.augment import augmented
from distilbert.recipes.given import given
from distilbert.recipes.job import open_model_tokenizer, tokenizer_hashes
from distilbert.recipes.task_reading import Reader, require_labels, task_of
from distilbert.recipes.teacher import open_teacher, teach
from distilbert.runtime import checkpoint
from distilbert.runtime.launch import Launch
from distilbert.tasks.batches import check_contrast
from distilbert.tasks.class_weights import class_weights
from distilbert.tasks.classification import Classification
from distilbert.tasks.embedding import Embedding
from distilbert.tasks.labels import Labels
from distilbert.tasks.tables import fingerprint, held_out, share_of
from distilbert.tasks.tagging import Tagging
from distilbert.tasks.task import Examples, Task
from distilbert.tokenization import DistilBertTokenizerFast

if TYPE_CHECKING:
    from distilbert.recipes.finetune import Settings


@dataclass(frozen=True)
class Data:
    """What all seeds share."""

    dim: int
    labels: Labels
    task: Task
    metric: str
    tokenizer: DistilBertTokenizerFast
    training: Examples
    validation: Examples
    notes: tuple[str, ...]
    fingerprint: dict[str, str]
    class_weights: np.ndarray | None
    teacher: PreTrainedModel | None = None


def read_data(settings: "Settings", launch: Launch | None) -> Data:
    """Read the examples of both splits, with augmented texts where they are wanted.

    Args:
        launch: only augmenting needs one.

    Raises:
        OSError, ValueError: they cannot be read, or do not fit the task or the model.
    """
    task = task_of(settings)
    metric = settings.metric or task.metric
    _require_metric(metric, task.scores)
    kind = BertConfig if is_bert(settings.model) else DistilBertConfig
    config = kind.from_pretrained(settings.model)
    tokenizer = open_model_tokenizer(settings.model, config)
    table = task.read(settings.train)
    task = task.fitted(table)
    labels = task.learn(table)
    share = share_of(settings.validation)
    if share is None:
        other = task.read(settings.validation)
    else:
        table, other = held_out(table, share)
    table, augmenter = augmented(
        launch, task, table, settings.augment, settings.augmenter, settings.micro_tokens
    )
    tables = (table, other)
    if sorted(config.id2label.values()) == sorted(labels.names):
        labels = Labels(tuple(config.id2label.values()))  # their numbers stay as they are
    reader = Reader(task, labels, tokenizer, config.max_position_embeddings, settings.max_length)
    training, validation = (reader.read(table) for table in tables)
    if settings.teacher is None:
        require_labels(settings.train, training)
        require_labels(other.path, validation)
    metric = settings.metric or task.metric_of(validation)
    _require_metric(metric, validation.scores or task.scores)
    parts = zip(tables, (training, validation), strict=True)
    return Data(
        config.dim,
        labels,
        task,
        metric,
        tokenizer,
        training,
        validation,
        tuple(reader.note(table, examples) for table, examples in parts),
        {
            "train": _known(settings.train),
            "validation": _known(settings.validation) if share is None else str(share),
            **tokenizer_hashes("model", tokenizer),
            **augmenter,
        },
        _class_weights(settings, task, labels, training),
    )


def _require_metric(metric: str, scores: tuple[str, ...]) -> None:
    known = dict.fromkeys(("loss", *scores))
    if metric not in known:
        raise ValueError(f"metric must be one of {', '.join(known)}; got {metric!r}")


def _known(data: str) -> str:
    """Return what the record says of data; of a data set of the hub also its name."""
    return f"{data} {fingerprint(data)}" if data.startswith("hf:") else fingerprint(data)


def _class_weights(
    settings: "Settings", task: Task, labels: Labels, training: Examples
) -> np.ndarray | None:
    if settings.class_weights and not isinstance(task, Classification | Tagging):
        raise ValueError(f"{task.name} has no class_weights: its loss is not that of one label")
    return class_weights(settings.class_weights, labels, training.features.labels)


def with_teacher(settings: "Settings", launch: Launch, data: Data) -> Data:
    """Add the teacher, where there is one, its outputs for the training data and its scores.

    Validation data that are texts alone get them as well, to be scored by.

    Raises:
        OSError, ValueError: there is no such teacher, or it does not fit.
    """
    if settings.teacher is None:
        names = ("labels", "ce", "hidden", "attention", "temperature")
        for name in given(settings, names):
            raise ValueError(f"{name} needs a teacher: say which with teacher")
        return data
    training, validation = data.training, data.validation
    splits = [training] if validation.features.labels.size else [training, validation]
    is_embedding = isinstance(data.task, Embedding)
    if is_embedding and given(settings, ("temperature",)):
        raise ValueError("embedding has no temperature: its loss with a teacher has no softmax")
    if not training.features.labels.size and given(settings, ("labels",)) and settings.labels:
        raise ValueError(
            f"{settings.train} has texts alone, without labels that labels={settings.labels} could "
            "weigh: leave labels out"
        )
    if training.features.are_contrasted and settings.labels:  # before the teacher has read all
        check_contrast(settings.batch_size, launch.ranks)
    longest = max(int(examples.features.lengths.max()) for examples in splits)
    teacher = open_teacher(settings.teacher, data.task, data.labels, data.tokenizer, longest)
    if is_embedding and teacher.config.dim != data.dim:
        raise ValueError(
            f"the teacher {settings.teacher} has embeddings of width {teacher.config.dim}, the "
            f"student of {data.dim}: both must be of one width"
        )
    training, validation, said = teach(
        launch,
        settings.teacher,
        teacher,
        data.labels,
        training,
        validation,
        batch_tokens=settings.micro_tokens,
    )
    known = {**data.fingerprint, "teacher": checkpoint.fingerprint(teacher)}
    if launch.device.type == "cpu" and settings.hidden and not settings.attention:
        use_fast_stack(teacher, settings.precision)
    return dataclasses.replace(
        data,
        training=training,
        validation=validation,
        teacher=teacher,
        notes=(*data.notes, said) if said else data.notes,
        fingerprint=known,
    )
