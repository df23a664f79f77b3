"""`distilbert pretrain`: a BERT or DistilBERT that learns to guess masked tokens.

From random weights, or from a checkpoint whose vocabulary is that of the corpus. Interrupted, it
continues when the same command is given again.
"""

import dataclasses
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
from distilbert.recipes.start import start_together
from distilbert.runtime import checkpoint
from distilbert.runtime import launch as launching


@dataclass
class Settings:
    """Train a BERT or DistilBERT to guess masked tokens; interrupted, the same command goes on.

    Args:
        corpus: folder that `distilbert prepare` wrote.
        out: folder of the run; the model is in its `model`.
        model: folder or hub id of a model to go on with; by default a new one with random weights.
        kind: architecture of a new model, bert or distilbert.
        layers: number of layers of a new model.
        dim: width (hidden size) of a new model.
        heads: attention heads per layer of a new model.
        hidden_dim: feed-forward width of a new model; 0 is four times dim.
        dropout: dropout probability in the model, new or not, of hidden states and attention.
        initializer_range: standard deviation of the random weights of a new model.
        sinusoidal_start: start the positions of a new model as sinusoids; they are trained all the
            same.
        steps: optimiser steps; 0 trains for a number of epochs instead.
        epochs: passes over the training data, if steps is 0.
        sequences_per_step: sequences per optimiser step, over all processes: the batch size.
        micro_tokens: tokens (padding does not count) that a process computes at a time; fewer take
            less memory.
        learning_rate: highest learning rate of AdamW, reached at the end of the warm-up.
        warmup: share of the steps, from 0 to 1, in which the learning rate rises; then it falls
            linearly towards 0.
        weight_decay: weight decay of AdamW; 0 is none.
        max_norm: largest norm of the gradients, which are scaled down to it; 0 leaves them as they
            are.
        mask_rate: share of the tokens, between 0 and 1, that are masked for the model to guess.
        mask_smoothing: a token is masked with a probability proportional to its frequency to the
            power of minus this, rare ones more often; 0 masks all alike.
        precision: number format of the computation: fp32, or mixed precision in bf16 or fp16.
        gradient_checkpointing: compute activations again in the backward pass instead of keeping
            them: less memory for a third more time.
        seed: seed of all random numbers: new weights, order, masks, dropout.
        save_every: optimiser steps between two checkpoints, each after a validation.
        deterministic: use only operations that give the same bits in each run.
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
    precision: launching.Precision = "fp32"
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
    with start_together(
        launch,
        Path(settings.out),
        dataclasses.asdict(settings),
        fingerprint=fingerprint,
        free=FREE,
    ) as run:
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
