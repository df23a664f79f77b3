"""What a recipe brings to the training loop: a module, its batches, its scores, its files."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from distilbert.config import PretrainedConfig
from distilbert.distillation.vocabulary import identity_of, vocab_size_of
from distilbert.folders import staged
from distilbert.hub import Source
from distilbert.modeling.pretrained import PreTrainedModel
from distilbert.runtime.launch import Launch
from distilbert.tokenization import DistilBertTokenizerFast
from distilbert.tokenization.files import TOKENIZER_FILES, fit_to_model
from distilbert.tokenization.tokenizer import BertStyleTokenizer
from distilbert.weight_files import WEIGHTS


class Steps(AbstractContextManager[Any], Protocol):
    """Where the steps come from."""

    def step(self, number: int) -> tuple[Sequence[Sequence[Any]], Any]:
        """Return micro-batches as `[rank][micro]`, and the counts of all together.

        The first micro-batch of a rank may be empty. Counts say at least how many `tokens`.
        """


class Job(ABC):
    """What is trained, on what, and how it is judged.

    Attributes:
        module: turns a micro-batch into its parts of the step's loss and terms; its weights are
            kept in checkpoints.
        source: of its steps.
    """

    module: nn.Module
    source: Steps

    @abstractmethod
    def inputs(self, micro: Any, device: torch.device) -> tuple[Any, ...]:
        """Return what the module takes of a micro-batch, before the counts of the step."""

    @abstractmethod
    def validate(self, launch: Launch, done: int) -> dict[str, float]:
        """Return the scores after so many steps, `loss` among them, the same on every rank.

        Raises:
            ValueError: the loss is no number: training has diverged.
        """

    @abstractmethod
    def describe(self, scores: dict[str, float]) -> str:
        """Return the scores in words."""

    @abstractmethod
    def publish(self, launch: Launch, folder: Path) -> None:
        """Write the model and its tokenizer as a folder that `from_pretrained` opens."""


def open_model_tokenizer(name: str, config: PretrainedConfig) -> DistilBertTokenizerFast:
    """Open the tokenizer beside a model.

    Args:
        config: of the model.

    Raises:
        OSError: there is none.
        ValueError: it has ids that the model has no vectors for.
    """
    tokenizer = DistilBertTokenizerFast.from_pretrained(name)
    require_vectors(name, tokenizer, config)
    return tokenizer


def require_vectors(name: str, tokenizer: BertStyleTokenizer, config: PretrainedConfig) -> None:
    """Raise ValueError if the tokenizer of a model has ids that the model has no vectors for."""
    needed = vocab_size_of(tokenizer)
    if needed > config.vocab_size:
        raise ValueError(
            f"the tokenizer of {name} has {needed} entries, its model vectors for "
            f"{config.vocab_size}: call model.resize_token_embeddings({needed}) and save the model "
            "again"
        )


def refuse_replacing(folder: Path, **inputs: str | None) -> None:
    """Check that a run publishes its model over none that it starts from or is taught by.

    Args:
        folder: of the run.
        inputs: settings that name a model.

    Raises:
        ValueError: it would.
    """
    published = (folder / "model").resolve()
    for name, value in inputs.items():
        if value is not None and Path(value).resolve() == published:
            raise ValueError(
                f"{name} {value} would be replaced by the model of this run: give another folder "
                f"than {folder} as out"
            )


def tokenizer_hashes(owner: str, tokenizer: DistilBertTokenizerFast) -> dict[str, str]:
    """Return what the record of a run says of a tokenizer, by names for its messages."""
    return {f"{owner}'s {part}": value for part, value in identity_of(tokenizer).items()}


def tokenizer_difference(
    theirs: DistilBertTokenizerFast, ours: DistilBertTokenizerFast
) -> tuple[str, bool, bool] | None:
    """Return an option in which two tokenizers cut text differently, with both values, or None."""
    known = _normalisation(ours)
    for option, value in _normalisation(theirs).items():
        if value != known[option]:
            return option, value, known[option]
    return None


def _normalisation(tokenizer: DistilBertTokenizerFast) -> dict[str, bool]:
    """Return how text is cut before the vocabulary is asked; accents are stripped or kept."""
    strips = tokenizer.strip_accents
    return {
        "do_lower_case": tokenizer.do_lower_case,
        "strip_accents": tokenizer.do_lower_case if strips is None else strips,
        "tokenize_chinese_chars": tokenizer.tokenize_chinese_chars,
    }


def size_of(model: PreTrainedModel) -> dict[str, float]:
    """Return a model's parameters, those in its layers, and its megabytes."""
    return {
        "parameters": model.num_parameters(),
        "encoder_parameters": model.base_model.num_parameters(exclude_embeddings=True),
        "megabytes": model.get_memory_footprint() / 1e6,
    }


def publish(model: PreTrainedModel, tokenizer: str | Path, folder: Path) -> None:
    """Write a model and its tokenizer, which replace what is in the folder together.

    Args:
        tokenizer: folder or hub id of the one whose files are copied, and fitted to the model.

    Raises:
        OSError: they cannot be written (disk full); the folder is as it was.
    """
    try:
        with staged(folder, replaces=(*WEIGHTS, *TOKENIZER_FILES)) as scratch:
            model.save_pretrained(scratch)
            source = Source(tokenizer)
            for file in TOKENIZER_FILES:
                found = source.find(file)
                if found is not None:
                    shutil.copyfile(found, scratch / file)
            fit_to_model(scratch, model.config)
    except OSError as error:
        raise OSError(
            f"the model could not be written to {folder}: {error}. Checkpoints are intact: make "
            "room, then start the same command again"
        ) from error
