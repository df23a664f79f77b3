"""`distilbert finetune`: a BERT or DistilBERT learns a task from labelled examples.

The best weights by the validation's metric are published. Interrupted, it continues when the same
command is given again.
"""

import dataclasses
import logging
import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path

import torch

from distilbert.config import BertConfig, DistilBertConfig
from distilbert.distillation.randomness import torch_seed
from distilbert.hub import staged, write_json
from distilbert.modeling.opening import is_bert, open_head
from distilbert.recipes.loop import Plan, steps_of, train
from distilbert.recipes.task_job import Reader, TaskJob, label_fields
from distilbert.runtime import launch as launching
from distilbert.runtime.launch import Launch
from distilbert.runtime.run import start_run
from distilbert.tasks.batches import TaskSource
from distilbert.tasks.catalog import make_task
from distilbert.tasks.labels import Labels
from distilbert.tasks.step import TaskStep
from distilbert.tasks.tables import fingerprint
from distilbert.tasks.task import Examples, Task
from distilbert.tokenization import DistilBertTokenizerFast

_logger = logging.getLogger("distilbert")


@dataclass
class Settings:
    """Which model learns what, and how.

    Args:
        model: folder or hub id of a BERT or DistilBERT, with or without a head.
        train: CSV, TSV, JSON lines or Parquet file, or hf:NAME[:CONFIG[:SPLIT]]; also files of
            CoNLL's columns, SQuAD's JSON, IMDb's folder.
        validation: the same, to choose the best weights by.
        out: folder of the run; the model is in its `model`.
        task: one of glue's (cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli), imdb, conll2003,
            squad, squad2, swag; or for files of one's own classification, multi-label, regression,
            token-classification, question-answering, multiple-choice.
        text_column: of the text; by default the task's.
        second_text_column: of the second text of a pair.
        label_column: of what is to be predicted; by default the task's.
        max_length: tokens of a text, special ones included; longer ones are cut, and counted. 0 is
            what the model has positions for, and a longer text an error. Contexts of questions are
            split into windows, sentences of words into parts.
        stride: question answering: pieces that two windows of a context share; by default 128.
        steps: optimiser steps; 0 goes by epochs.
        epochs: passes over the examples.
        batch_size: examples per optimiser step, over all processes.
        micro_tokens: real tokens that one process computes at a time.
        learning_rate: highest, after the warm-up.
        warmup: share of the steps in which the learning rate rises; then it falls linearly.
        weight_decay: of AdamW.
        max_norm: gradients are scaled down to this norm.
        metric: score that chooses the best weights; by default the task's.
        patience: stop after so many validations without a better score; 0 goes to the end.
        save_every: steps between checkpoints, each after a validation; 0 is an epoch.
        precision: no (fp32), bf16 or fp16.
        gradient_checkpointing: less memory for a third more time.
        seeds: of everything random; several train one after the other, and the median is reported.
        deterministic: only operations that give the same bits each time.
    """

    model: str
    train: str
    validation: str
    out: str
    task: str = "classification"
    text_column: str | None = None
    second_text_column: str | None = None
    label_column: str | None = None
    max_length: int = 0
    stride: int | None = None
    steps: int = 0
    epochs: float = 3.0
    batch_size: int = 32
    micro_tokens: int = 4096
    learning_rate: float = 5e-5
    warmup: float = 0.1
    weight_decay: float = 0.01
    max_norm: float = 1.0
    metric: str | None = None
    patience: int = 0
    save_every: int = 0
    precision: launching.Precision = "no"
    gradient_checkpointing: bool = False
    seeds: tuple[int, ...] = (0,)
    deterministic: bool = False


FREE = ("out",)
SEEDS_FILE = "seeds.json"


def main(settings: Settings) -> dict[str, float]:
    """Fine-tune, and return the scores of the published weights; of several seeds the medians.

    Raises:
        OSError: a file or folder cannot be read or written.
        ValueError: settings or data that cannot be, settings that differ from those of the run in
            the folder, or a training that diverges.
    """
    if not settings.seeds or len(set(settings.seeds)) < len(settings.seeds):
        raise ValueError(f"seeds must be one or more different numbers, got {settings.seeds}")
    launch = launching.start(
        settings.precision, seed=settings.seeds[0], deterministic=settings.deterministic
    )
    data = _read(settings)
    if len(settings.seeds) == 1:
        return _finetune(settings, launch, data, settings.seeds[0], Path(settings.out))
    scores = {
        seed: _finetune(settings, launch, data, seed, Path(settings.out) / f"seed-{seed}")
        for seed in settings.seeds
    }
    return _sum_up(settings, launch, data.metric, scores)


@dataclass(frozen=True)
class Data:
    """What all seeds share."""

    labels: Labels
    task: Task
    metric: str
    tokenizer: DistilBertTokenizerFast
    training: Examples
    validation: Examples
    notes: tuple[str, ...]
    fingerprint: dict[str, str]


def _read(settings: Settings) -> Data:
    task = make_task(
        settings.task,
        text_column=settings.text_column,
        second_text_column=settings.second_text_column,
        label_column=settings.label_column,
        stride=settings.stride,
    )
    metric, known = settings.metric or task.metric, ("loss", *task.scores)
    if metric not in known:
        raise ValueError(f"metric must be one of {', '.join(known)}; got {metric!r}")
    kind = BertConfig if is_bert(settings.model) else DistilBertConfig
    config = kind.from_pretrained(settings.model)
    tokenizer = DistilBertTokenizerFast.from_pretrained(settings.model)
    tables = task.read(settings.train), task.read(settings.validation)
    labels = task.learn(tables[0])
    if set(config.id2label.values()) == set(labels.names):
        labels = Labels(tuple(config.id2label.values()))  # their numbers stay as they are
    reader = Reader(task, labels, tokenizer, config.max_position_embeddings, settings.max_length)
    training, validation = (reader.read(table) for table in tables)
    parts = zip(tables, (training, validation), strict=True)
    return Data(
        labels,
        task,
        metric,
        tokenizer,
        training,
        validation,
        tuple(reader.note(table, examples) for table, examples in parts),
        {name: fingerprint(getattr(settings, name)) for name in ("train", "validation")},
    )


def _finetune(
    settings: Settings, launch: Launch, data: Data, seed: int, folder: Path
) -> dict[str, float]:
    """Train with one seed."""
    source = TaskSource(
        data.training.features,
        seed=seed,
        batch_size=settings.batch_size,
        micro_tokens=settings.micro_tokens,
        ranks=launch.ranks,
    )
    count = len(data.training.features)
    steps = steps_of(settings.steps, settings.epochs, count, settings.batch_size, "batch_size")
    plan = Plan(
        steps=steps,
        peak=settings.learning_rate,
        warmup=settings.warmup,
        weight_decay=settings.weight_decay,
        max_norm=settings.max_norm,
        seed=seed,
        save_every=settings.save_every or -(-count // settings.batch_size),
        betas=(0.9, 0.999),
        eps=1e-8,
        validates_first=False,
        metric=data.metric,
        patience=settings.patience,
    )
    torch.manual_seed(torch_seed(seed, "weights"))
    model = open_head(
        settings.model,
        data.task.head,
        attn_implementation="varlen",
        **label_fields(data.task, data.labels),
    )
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    with start_run(
        folder,
        dataclasses.replace(settings, seeds=(seed,)),
        fingerprint=data.fingerprint,
        free=FREE,
        machine=launch.describe(),
        is_main=launch.is_main,
    ) as run:
        launch.barrier()
        job = TaskJob(TaskStep(model), model, source, data.validation, data.tokenizer)
        return train(launch, folder, job, plan, "finetune", [*data.notes, *run.notes])


def _sum_up(
    settings: Settings, launch: Launch, metric: str, scores: dict[int, dict[str, float]]
) -> dict[str, float]:
    """Report the medians, and publish the model of the best seed."""
    medians = {
        name: statistics.median(each[name] for each in scores.values())
        for name in next(iter(scores.values()))
    }
    best = max(scores, key=lambda seed: (-1 if metric == "loss" else 1) * scores[seed][metric])
    folder = Path(settings.out)
    if launch.is_main:
        with staged(folder / "model") as scratch:
            for file in (folder / f"seed-{best}" / "model").iterdir():
                shutil.copyfile(file, scratch / file.name)
        record = {"scores": {str(s): each for s, each in scores.items()}, "median": medians}
        write_json(folder / SEEDS_FILE, {**record, "published": best})
        _logger.info(
            "%s of the seeds: %s; median %.4f; published is the model of seed %d",
            metric,
            ", ".join(f"{seed}: {each[metric]:.4f}" for seed, each in scores.items()),
            medians[metric],
            best,
        )
    launch.barrier()
    return medians
