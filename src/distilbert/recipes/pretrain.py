"""`distilbert pretrain`: a BERT or DistilBERT that learns to guess masked tokens.

From random weights, or from a checkpoint whose vocabulary is that of the corpus. Interrupted, it
continues when the same command is given again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from distilbert.config import BertConfig, DistilBertConfig
from distilbert.distillation.corpus import Corpus
from distilbert.distillation.randomness import torch_seed
from distilbert.distillation.step import MaskedLMStep
from distilbert.modeling.bert import BertForMaskedLM
from distilbert.modeling.distilbert import DistilBertForMaskedLM
from distilbert.modeling.heads import MaskedLM
from distilbert.modeling.model import sinusoids
from distilbert.modeling.opening import open_masked_lm
from distilbert.recipes.given import given
from distilbert.recipes.job import refuse_replacing
from distilbert.recipes.loop import train
from distilbert.recipes.masked_lm import MaskedLMJob, begin, check_vocabulary
from distilbert.runtime import checkpoint
from distilbert.runtime import launch as launching
from distilbert.runtime.run import start_run


@dataclass
class Settings:
    """Train a BERT or DistilBERT to guess masked tokens; interrupted, the same command goes on.

    Args:
        corpus: folder that `distilbert prepare` wrote.
        out: folder of the run; the model is in its `model`.
        model: folder or hub id to start from; none starts from random weights.
        kind: of a new model.
        layers: of a new model.
        dim: width of a new model.
        heads: attention heads of a new model.
        hidden_dim: feed-forward width of a new model; 0 is four times dim.
        dropout: everywhere in the model, a started one as well.
        initializer_range: deviation of new weights.
        sinusoidal_start: a new model's positions start as sinusoids, and are trained.
        steps: optimiser steps; 0 goes by epochs.
        epochs: passes over the corpus.
        sequences_per_step: sequences per optimiser step, over all processes.
        micro_tokens: real tokens that one process computes at a time.
        learning_rate: highest, after the warm-up.
        warmup: share of the steps in which the learning rate rises; then it falls linearly.
        weight_decay: of AdamW.
        max_norm: gradients are scaled down to this norm.
        mask_rate: share of the tokens to guess.
        mask_smoothing: rare tokens are masked more often by their frequency to minus this.
        precision: no (fp32), bf16 or fp16.
        gradient_checkpointing: less memory for a third more time.
        seed: of everything random.
        save_every: steps between checkpoints, each after a validation.
        deterministic: only operations that give the same bits each time.
    """

    corpus: str
    out: str
    model: str | None = None
    kind: Literal["bert", "distilbert"] = "bert"
    layers: int = 12
    dim: int = 768
    heads: int = 12
    hidden_dim: int = 0
    dropout: float = 0.1
    initializer_range: float = 0.02
    sinusoidal_start: bool = False
    steps: int = 0
    epochs: float = 3.0
    sequences_per_step: int = 256
    micro_tokens: int = 4096
    learning_rate: float = 1e-4
    warmup: float = 0.06
    weight_decay: float = 0.01
    max_norm: float = 5.0
    mask_rate: float = 0.15
    mask_smoothing: float = 0.0
    precision: launching.Precision = "no"
    gradient_checkpointing: bool = False
    seed: int = 0
    save_every: int = 500
    deterministic: bool = False


FREE = ("save_every", "out", "model", "corpus", "micro_tokens")  # as for `distill`


def main(settings: Settings) -> dict[str, float]:
    """Train, and return the validation's loss and accuracy.

    Raises:
        OSError: a file or folder cannot be read or written.
        ValueError: settings that cannot be, that differ from those of the run in the folder, or a
            training that diverges.
    """
    refuse_replacing(Path(settings.out), model=settings.model)
    launch, source, plan = begin(settings, max_norm=settings.max_norm)
    corpus = source.corpus
    model = _make(settings, corpus)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    fingerprint = {"corpus": corpus.hash}
    if settings.model is not None:
        fingerprint["model"] = checkpoint.fingerprint(model)
    with start_run(
        settings.out,
        settings,
        fingerprint=fingerprint,
        free=FREE,
        machine={**launch.describe(), "micro_tokens": settings.micro_tokens},
        is_main=launch.is_main,
    ) as run:
        launch.barrier()
        job = MaskedLMJob(MaskedLMStep(model), model, source)
        return train(launch, run, job, plan, "pretrain")


_OF_NEW_MODELS = (
    "kind",
    "layers",
    "dim",
    "heads",
    "hidden_dim",
    "initializer_range",
    "sinusoidal_start",
)


def _make(settings: Settings, corpus: Corpus) -> MaskedLM:
    """Open the model to go on with, or make a new one."""
    dropouts = {"dropout": settings.dropout, "attention_dropout": settings.dropout}
    if settings.model is not None:
        for name in given(settings, _OF_NEW_MODELS):
            raise ValueError(
                f"{name} {getattr(settings, name)} is for new models: {settings.model} has its "
                "own. Leave out one of them"
            )
        model = open_masked_lm(
            settings.model, needs_head=False, attn_implementation="varlen", **dropouts
        )
        check_vocabulary(settings.model, model, corpus)
        return model
    shared: dict[str, Any] = {
        "vocab_size": corpus.vocab_size,
        "max_position_embeddings": max(corpus.max_length, 512),
        "initializer_range": settings.initializer_range,
        "pad_token_id": corpus.special_ids["pad"],
        "attn_implementation": "varlen",
        "n_layers": settings.layers,
        "dim": settings.dim,
        "n_heads": settings.heads,
        "hidden_dim": settings.hidden_dim or 4 * settings.dim,
        **dropouts,
    }
    torch.manual_seed(torch_seed(settings.seed, "weights"))
    made: MaskedLM
    if settings.kind not in ("bert", "distilbert"):
        raise ValueError(f"kind must be bert or distilbert, got {settings.kind!r}")
    if settings.kind == "bert":
        made = BertForMaskedLM(BertConfig(**shared))
    else:
        made = DistilBertForMaskedLM(DistilBertConfig(**shared))
    if settings.sinusoidal_start:
        positions = made.get_position_embeddings().weight
        scale = settings.initializer_range * 2**0.5  # the deviation of sinusoids is 1 / sqrt 2
        with torch.no_grad():
            positions.copy_(sinusoids(*positions.shape) * scale)
    return made
