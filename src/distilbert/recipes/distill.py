"""`distilbert distill`: a student learns from its teacher while both read the same masked text.

The paper's recipe (arXiv 1910.01108) by default: a student of half the layers, made of its
teacher's, and the triple loss. Interrupted, it continues when the same command is given again.
"""

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from distilbert.config import DistilBertConfig, student_config
from distilbert.distillation.corpus import Corpus
from distilbert.distillation.masking import Masking
from distilbert.distillation.randomness import torch_seed
from distilbert.distillation.step import DistillationStep, Weights
from distilbert.distillation.student import default_layers, from_teacher
from distilbert.inference.preparing import use_fast_stack
from distilbert.modeling.distilbert import DistilBertForMaskedLM
from distilbert.modeling.heads import MaskedLM
from distilbert.modeling.opening import open_masked_lm
from distilbert.recipes.given import given
from distilbert.recipes.job import refuse_replacing, size_of
from distilbert.recipes.loop import train
from distilbert.recipes.masked_lm import (
    MaskedLMJob,
    begin,
    check_vocabulary,
    longest_of,
    masked_lm_scores,
)
from distilbert.recipes.plan import BETAS, EPS
from distilbert.recipes.start import start_together
from distilbert.runtime import checkpoint
from distilbert.runtime import launch as launching

_logger = logging.getLogger("distilbert")

RECIPES: dict[str, dict[str, Any]] = {
    # The original training code's settings, where they have a name here. They repeat the defaults
    # on purpose: a default may change, the paper's recipe not.
    "paper-2019": {
        "start": "teacher",
        "layers": (),
        "ce": 5.0,
        "mlm": 2.0,
        "cos": 1.0,
        "temperature": 2.0,
        "ce_at": "all",
        "hidden": 0.0,
        "attention": 0.0,
        "relation": 0.0,
        "steps": 0,
        "epochs": 3.0,
        "sequences_per_step": 4000,
        "learning_rate": 5e-4,
        "warmup": 0.05,
        "weight_decay": 0.0,
        "mask_rate": 0.15,
        "mask_smoothing": 0.7,
        "dropout": 0.1,
    },
    # The best of docs/results.md, "What a student keeps": row (h).
    "combined-2026": {
        "ce": 2.0,
        "ce_at": "masked",
        "mlm": 1.0,
        "cos": 1.0,
        "hidden": 1.0,
        "relation": 1.0,
        "dropout": 0.0,
    },
}


@dataclass
class Settings:
    """Make a student of a teacher while both read the same text; resumable by the same command.

    The loss is ce * L_ce + mlm * L_mlm + cos * L_cos, and what else has a weight. L_ce is T^2 times
    the KL divergence from the teacher's distribution over the vocabulary, softened by the
    temperature T, to the student's; L_mlm is the cross-entropy of the masked tokens; L_cos is 1
    minus the cosine of student's and teacher's last hidden states.

    Args:
        teacher: folder or hub id of a BERT or DistilBERT.
        corpus: folder that `distilbert prepare` wrote with the teacher's tokenizer.
        out: folder of the run; the student is in its `model`.
        recipe: named settings, which are printed: paper-2019 for all those of the original
            DistilBERT's training, combined-2026 for the terms of the loss that taught more.
        start: where the student's weights come from: teacher copies its embeddings and the chosen
            layers, random draws weights of the teacher's shape, a folder or hub id goes on from a
            model, a config.json draws weights of another shape.
        layers: layers of the teacher that the student keeps, counted from 0; by default one out of
            two, of twelve 0 2 4 7 9 11.
        ce: weight of L_ce, the distillation loss; 0 leaves it out.
        mlm: weight of L_mlm, the masked-LM loss; 0 leaves it out.
        cos: weight of L_cos, the cosine loss of the last hidden states; 0 leaves it out.
        hidden: weight of the squared difference between hidden states in all layers (TinyBERT); 0
            leaves it out.
        attention: weight of the squared difference between attention scores in all layers
            (TinyBERT); 0 leaves it out.
        relation: weight of the KL divergence between relations among queries, keys and values in
            one layer (MiniLMv2); 0 leaves it out.
        temperature: softmax temperature T of the distillation loss L_ce.
        ce_at: tokens at which L_ce is computed: all, or masked ones only, which costs less.
        relation_heads: number of relation heads (MiniLMv2); 0 is the teacher's width / 16.
        relation_layer: layer of the teacher, counted from 1, whose relations the student's last
            layer learns (MiniLMv2); 0 is the last.
        steps: optimiser steps; 0 trains for a number of epochs instead.
        epochs: passes over the training data, if steps is 0.
        sequences_per_step: sequences per optimiser step, over all processes: the batch size.
        micro_tokens: tokens (padding does not count) that a process computes at a time; fewer take
            less memory.
        learning_rate: highest learning rate of AdamW, reached at the end of the warm-up.
        warmup: share of the steps, from 0 to 1, in which the learning rate rises; then it falls
            linearly towards 0.
        weight_decay: weight decay of AdamW; 0 is none.
        mask_rate: share of the tokens, between 0 and 1, that are masked for the model to guess.
        mask_smoothing: a token is masked with a probability proportional to its frequency to the
            power of minus this, rare ones more often; 0 masks all alike.
        dropout: dropout probability in the student, of hidden states and attention.
        precision: number format of the computation: fp32, or mixed precision in bf16 or fp16; the
            teacher computes in it as well.
        seed: seed of all random numbers: new weights, order, masks, dropout.
        save_every: optimiser steps between two checkpoints, each after a validation.
        deterministic: use only operations that give the same bits in each run.
    """

    teacher: str
    corpus: str
    out: str
    recipe: str | None = None
    start: str = "teacher"
    layers: tuple[int, ...] = ()
    ce: float = 5.0
    mlm: float = 2.0
    cos: float = 1.0
    hidden: float = 0.0
    attention: float = 0.0
    relation: float = 0.0
    temperature: float = 2.0
    ce_at: Literal["all", "masked"] = "all"
    relation_heads: int = 0
    relation_layer: int = 0
    steps: int = 0
    epochs: float = 3.0
    sequences_per_step: int = 256
    micro_tokens: int = 4096
    learning_rate: float = 5e-4
    warmup: float = 0.05
    weight_decay: float = 0.0
    mask_rate: float = 0.15
    mask_smoothing: float = 0.7
    dropout: float = 0.1
    precision: launching.Precision = "fp32"
    seed: int = 0
    save_every: int = 500
    deterministic: bool = False


MAX_NORM = 5.0
# Paths may be spelled otherwise, since hashes of what they lead to are recorded; how many tokens
# are computed at a time is a matter of the machine.
FREE = ("save_every", "out", "recipe", "teacher", "corpus", "micro_tokens")
_TERMS = ("ce", "mlm", "cos", "hidden", "attention", "relation")


def main(settings: Settings) -> dict[str, float]:
    """Distil, say what is kept of the teacher, and return the student's loss and accuracy.

    Raises:
        OSError: a file or folder cannot be read or written.
        ValueError: settings that cannot be, that differ from those of the run in the folder, or a
            training that diverges.
    """
    settings = with_recipe(settings)
    refuse_replacing(Path(settings.out), teacher=settings.teacher, start=settings.start)
    launch, source, plan = begin(settings, max_norm=MAX_NORM)
    corpus = source.corpus
    weights = Weights(**{name: getattr(settings, name) for name in _TERMS})
    teacher = open_masked_lm(settings.teacher, needs_head=weights.ce > 0)
    check_vocabulary(settings.teacher, teacher, corpus)
    teacher_size = size_of(teacher)  # before layers are left out or prepared
    student, origin = make_student(settings, teacher, corpus)
    fingerprint = {"corpus": corpus.hash, "teacher": checkpoint.fingerprint(teacher)}
    if settings.start not in ("teacher", "random"):
        fingerprint["start"] = checkpoint.fingerprint(student)
    step = DistillationStep(
        student,
        teacher,
        weights,
        temperature=settings.temperature,
        ce_at_masked=settings.ce_at == "masked",
        relation_heads=settings.relation_heads,
        relation_layer=settings.relation_layer,
    )
    teacher.to(launch.device, launch.dtype)
    if launch.device.type == "cpu" and not (settings.attention or settings.relation):
        # Those terms read its queries and keys.
        use_fast_stack(teacher, settings.precision)
    with start_together(
        launch,
        Path(settings.out),
        dataclasses.asdict(settings),
        fingerprint=fingerprint,
        free=FREE,
    ) as run:
        note = f"student: {origin}, {student.num_parameters():,} parameters"
        job = MaskedLMJob(step, student, source)
        scores = train(launch, run, job, plan, "distill", [note])
    if weights.ce:  # then the teacher is whole, with its head
        accuracy = masked_lm_scores(launch, teacher, source)["accuracy"]
        share = {name: size / teacher_size[name] for name, size in size_of(student).items()}
        kept = f"{scores['accuracy'] / accuracy:.1%} of " if accuracy else ""
        _logger.info(
            "the student keeps %sthe teacher's %.1f%% masked-token accuracy, with %.0f%% of its "
            "parameters (%.0f%% in the layers)",
            kept,
            100 * accuracy,
            100 * share["parameters"],
            100 * share["encoder_parameters"],
        )
    return scores


def with_recipe(settings: Settings) -> Settings:
    """Return the settings with those of the named recipe, which are also said.

    Raises:
        ValueError: there is no such recipe, or a setting was given that it has otherwise.
    """
    if settings.recipe is None:
        return settings
    if settings.recipe not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}; got {settings.recipe!r}")
    recipe = RECIPES[settings.recipe]
    for name in given(settings, recipe):
        if (said := getattr(settings, name)) != recipe[name]:
            raise ValueError(
                f"{settings.recipe} has {name} {_show(recipe[name])}, and {_show(said)} was given: "
                f"leave out --recipe to choose {name} yourself"
            )
    masking = Masking()
    _logger.info(
        "%s: %s, gradients clipped at %s, AdamW betas %s, eps %s, of the masked tokens "
        "%.0f %% [MASK], %.0f %% random, %.0f %% kept",
        settings.recipe,
        ", ".join(f"{name} {_show(value)}" for name, value in recipe.items()),
        MAX_NORM,
        BETAS,
        EPS,
        100 * masking.mask,
        100 * masking.random,
        100 * (1 - masking.mask - masking.random),
    )
    return dataclasses.replace(settings, **recipe)


def _show(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "one out of two"
    return str(value)


def make_student(
    settings: Settings, teacher: MaskedLM, corpus: Corpus
) -> tuple[DistilBertForMaskedLM, str]:
    """Return the student, and in words what it is made of.

    Raises:
        OSError: there is nothing at `settings.start`.
        ValueError: layers that the teacher does not have, or a student that cannot be.
    """
    dropouts: dict[str, Any] = {
        "dropout": settings.dropout,
        "attention_dropout": settings.dropout,
    }
    count = teacher.config.n_layers
    layers = list(settings.layers) or default_layers(count)
    chosen = ", ".join(map(str, layers))
    if settings.start == "teacher":
        student = from_teacher(teacher, layers, **dropouts)
        return student, f"layers {chosen} of the teacher's {count}"
    torch.manual_seed(torch_seed(settings.seed, "weights"))
    # L_ce compares distributions over the teacher's entries, some of which may be no token.
    entries = teacher.config.vocab_size if settings.ce else corpus.vocab_size
    if settings.start == "random":
        config = student_config(
            teacher.config, layers, vocab_size=entries, pruned_heads={}, **dropouts
        )
        return DistilBertForMaskedLM(config), f"{len(layers)} layers of random weights"
    if settings.layers:
        raise ValueError(
            f"layers ({chosen}) are the teacher's; a student that starts from {settings.start} "
            "has its own. Leave out one of them"
        )
    path = Path(settings.start)
    if path.suffix == ".json":
        config = DistilBertConfig.from_json_file(path)
        config.update(dropouts)
        check_shape(path, config, entries=entries, positions=longest_of(corpus))
        student, origin = DistilBertForMaskedLM(config), f"random weights of the shape in {path}"
    else:
        student = DistilBertForMaskedLM.from_pretrained(settings.start, **dropouts)
        origin = f"the weights in {settings.start}"
        check_vocabulary(settings.start, student, corpus)
    return student, origin


def check_shape(path: Path, config: DistilBertConfig, *, entries: int, positions: int) -> None:
    """Check that a new student of this configuration has room for the corpus.

    Args:
        path: of its file.
        entries: that it must have in its vocabulary.
        positions: that it must have at least.

    Raises:
        ValueError: it has not.
    """
    if config.vocab_size != entries:
        raise ValueError(
            f"{path} gives the student a vocabulary of {config.vocab_size} entries: set vocab_size "
            f"to {entries} in {path.name}"
        )
    if config.max_position_embeddings < positions:
        raise ValueError(
            f"{path} gives the student {config.max_position_embeddings} positions, and the corpus "
            f"has sequences of {positions} tokens: set max_position_embeddings to {positions} or "
            f"more in {path.name}"
        )
