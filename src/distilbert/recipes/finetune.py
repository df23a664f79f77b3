"""`distilbert finetune`: a BERT or DistilBERT learns a task from labelled examples.

The best weights by the validation's metric are published. Interrupted, it continues when the same
command is given again.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from distilbert.distillation.randomness import torch_seed
from distilbert.modeling.bert import BertModel
from distilbert.modeling.opening import open_head
from distilbert.modeling.pretrained import PreTrainedModel
from distilbert.recipes.job import refuse_replacing
from distilbert.recipes.layer_rates import freeze, keep, rate_scale
from distilbert.recipes.loop import train
from distilbert.recipes.plan import Plan, steps_of
from distilbert.recipes.seeds import folder_of, refuse_fewer, sum_up
from distilbert.recipes.start import agree, start_together
from distilbert.recipes.task_data import Data, read_data, with_teacher
from distilbert.recipes.task_job import TaskJob
from distilbert.recipes.task_model import label_fields
from distilbert.runtime import checkpoint
from distilbert.runtime import launch as launching
from distilbert.runtime.launch import Launch
from distilbert.tasks.batches import TaskSource
from distilbert.tasks.step import TaskStep, Weights
from distilbert.tasks.words import UsedWords


@dataclass
class Settings:
    """Train a model for a task; interrupted, the same command goes on.

    Args:
        model: folder or hub id of a BERT or DistilBERT, with or without a head.
        train: training data: a CSV, TSV, JSON lines or Parquet file, or hf:NAME[:CONFIG[:SPLIT]];
            also files of CoNLL's columns, SQuAD's JSON, IMDb's folder.
        validation: validation data to choose the best weights by, in a format that train takes; or
            a share of the training rows to hold out, such as 0.1, drawn at random but always the
            same.
        out: folder of the run; the model is in its `model`.
        task: task to learn: one of GLUE's (cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli),
            imdb, conll2003, squad, squad2, swag; or for files of one's own classification,
            multi-label, regression, token-classification, question-answering, multiple-choice,
            embedding.
        text_column: column with the text; by default that of the task.
        second_text_column: column with the second text of a pair; by default that of the task, if
            it has one.
        label_column: column with what is to be predicted; by default that of the task.
        max_length: longest text in tokens, special ones included; longer ones are cut, and counted.
            0 is what the model has positions for, and a longer text an error. Contexts of questions
            are split into windows, sentences of words into parts.
        stride: question answering: tokens that consecutive windows of a context share; by default
            128.
        steps: optimiser steps; 0 trains for a number of epochs instead.
        epochs: passes over the training data, if steps is 0.
        batch_size: examples per optimiser step, over all processes.
        micro_tokens: tokens (padding does not count) that a process computes at a time; fewer take
            less memory. Pairs without labels are trained on a whole batch at a time.
        learning_rate: highest learning rate of AdamW, reached at the end of the warm-up.
        layers: layers of the model that are kept, counted from 0; by default all.
        layer_decay: factor on the learning rate of each layer against the one above it, above 0 and
            at most 1; 1 is the same rate for all.
        frozen_layers: number of the lowest layers that are not trained, nor the embeddings below
            them; 0 trains everything.
        warmup: share of the steps, from 0 to 1, in which the learning rate rises; then it falls
            linearly towards 0.
        weight_decay: weight decay of AdamW; 0 is none.
        max_norm: largest norm of the gradients, which are scaled down to it; 0 leaves them as they
            are.
        class_weights: weights of labels in the loss: balanced (by how rare they are), or
            NAME=WEIGHT of some; by default all have 1.
        teacher: folder or hub id of a model to distil from, fine-tuned for the task, with the same
            vocabulary (of embeddings, with the same width too); by default none.
        labels: with a teacher: weight of the task's own loss; 0 leaves it out.
        ce: with a teacher: weight of L_ce, the distillation loss between its outputs and the
            model's; 0 leaves it out.
        hidden: with a teacher: weight of the squared difference between hidden states in all layers
            (TinyBERT); 0 leaves it out.
        attention: with a teacher: weight of the squared difference between attention scores in all
            layers (TinyBERT); 0 leaves it out.
        temperature: with a teacher: softmax temperature T of the distillation loss L_ce.
        augment: number of copies of each training text, in which words are replaced by what the
            augmenter proposes (TinyBERT); 0 is none.
        augmenter: folder or hub id of a masked LM, which proposes words for the copies of augment.
        metric: score that chooses the best weights, such as f1, or loss; by default that of the
            task.
        patience: stop after so many validations without a better score; 0 never stops early.
        save_every: optimiser steps between two checkpoints, each after a validation; 0 is once per
            epoch.
        precision: number format of the computation: fp32, or mixed precision in bf16 or fp16.
        gradient_checkpointing: compute activations again in the backward pass instead of keeping
            them: less memory for a third more time.
        seeds: seeds of all random numbers: new weights, order, dropout. Several train one after the
            other, and the median score is reported.
        deterministic: use only operations that give the same bits in each run.
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
    layers: tuple[int, ...] = ()
    layer_decay: float = 1.0
    frozen_layers: int = 0
    warmup: float = 0.1
    weight_decay: float = 0.01
    max_norm: float = 1.0
    class_weights: tuple[str, ...] = ()
    teacher: str | None = None
    labels: float = 0.5
    ce: float = 0.5
    hidden: float = 0.0
    attention: float = 0.0
    temperature: float = 2.0
    augment: int = 0
    augmenter: str | None = None
    metric: str | None = None
    patience: int = 0
    save_every: int = 0
    precision: launching.Precision = "fp32"
    gradient_checkpointing: bool = False
    seeds: tuple[int, ...] = (0,)
    deterministic: bool = False


# As for `distill`: hashes of what the paths lead to are recorded.
FREE = ("out", "model", "train", "validation", "teacher", "augmenter", "micro_tokens")


def main(settings: Settings) -> dict[str, float]:
    """Fine-tune, and return the scores of the published weights; of several seeds the medians.

    Raises:
        OSError: a file or folder cannot be read or written.
        ValueError: settings or data that cannot be, settings that differ from those of the run in
            the folder, or a training that diverges.
    """
    if not settings.seeds or len(set(settings.seeds)) < len(settings.seeds):
        raise ValueError(f"seeds must be one or more different numbers, got {settings.seeds}")
    out = Path(settings.out)
    folders = {seed: folder_of(out, seed) for seed in settings.seeds}
    names = ("model", "teacher", "augmenter")
    for folder in (out, *folders.values()):
        refuse_replacing(folder, **{name: getattr(settings, name) for name in names})
    launch = launching.start(
        settings.precision, seed=settings.seeds[0], deterministic=settings.deterministic
    )
    data = read_data(settings, launch)
    known = dataclasses.asdict(settings)
    agree(launch, known, fingerprint=data.fingerprint, free=FREE)  # before all ask the teacher
    data = with_teacher(settings, launch, data)
    if len(settings.seeds) == 1:
        return fit(settings, launch, data, settings.seeds[0], out)
    known["seeds"] = "several"  # more may follow
    with start_together(launch, out, known, fingerprint=data.fingerprint, free=FREE):
        launch.on_main(lambda: refuse_fewer(out, settings.seeds))
        scores = {
            seed: fit(settings, launch, data, seed, folder) for seed, folder in folders.items()
        }
        return sum_up(launch, out, data.metric, scores)


def fit(
    settings: Settings,
    launch: Launch,
    data: Data,
    seed: int,
    folder: Path,
    *,
    checkpoints: bool = True,
) -> dict[str, float]:
    """Train with one seed, publish the best weights and return their scores.

    Args:
        folder: of the run.
        checkpoints: write them; without, a run that is stopped starts anew.

    Raises:
        OSError, ValueError: as `main`.
    """
    weights = _weights(settings, data)
    source = TaskSource(
        data.training.features,
        seed=seed,
        batch_size=settings.batch_size,
        micro_tokens=settings.micro_tokens,
        ranks=launch.ranks,
        class_weights=data.class_weights,
        contrasts=data.training.features.are_contrasted and weights.labels > 0,
    )
    count = len(data.training.features)
    steps = steps_of(settings.steps, settings.epochs, count, settings.batch_size, "batch_size")
    torch.manual_seed(torch_seed(seed, "weights"))
    model = open_head(
        settings.model,
        data.task.head,
        attn_implementation="varlen",
        **label_fields(data.task, data.labels),
    )
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    start = checkpoint.fingerprint(model)
    keep(model, settings.layers)
    freeze(model, settings.frozen_layers)
    if isinstance(model, BertModel) and model.pooler is not None:
        model.pooler.requires_grad_(False)  # embeddings do not read it
    if not settings.frozen_layers:
        known = [examples.features.tokens for examples in (data.training, data.validation)]
        used = UsedWords(model.get_input_embeddings(), np.concatenate(known))
        model.base_model.embeddings.word_embeddings = used  # the vocabulary stays the same
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
        scale_of=rate_scale(model, settings.layer_decay),
        checkpoints=checkpoints,
    )
    step = _step(settings, model, data, weights)
    with start_together(
        launch,
        folder,
        {**dataclasses.asdict(settings), "seeds": (seed,)},
        fingerprint={**data.fingerprint, "model": start},
        free=FREE,
    ) as run:
        job = TaskJob(step, source, data.validation, settings.model)
        return train(launch, run, job, plan, "finetune", data.notes)


def _weights(settings: Settings, data: Data) -> Weights:
    """Return the weights of the terms; without labels theirs is 0."""
    if data.teacher is None:
        return Weights()
    terms = ("labels", "ce", "hidden", "attention")
    chosen = {name: getattr(settings, name) for name in terms}
    if not data.training.features.labels.size:
        chosen["labels"] = 0.0
    return Weights(**chosen)


def _step(settings: Settings, model: PreTrainedModel, data: Data, weights: Weights) -> TaskStep:
    by_class = None if data.class_weights is None else torch.from_numpy(data.class_weights)
    if data.teacher is None:
        return TaskStep(model, by_class)
    inner = weights.hidden or weights.attention
    if inner and settings.gradient_checkpointing:
        raise ValueError("gradient_checkpointing does not go with the terms hidden and attention")
    teacher = data.teacher if inner else None
    return TaskStep(model, by_class, weights, settings.temperature, teacher)
