"""What pre-training and distillation share besides the loop: corpus, validation, publishing."""

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from distilbert.distillation.batches import Micro, StepSource
from distilbert.distillation.corpus import Corpus
from distilbert.distillation.dealing import check_budget
from distilbert.distillation.evaluation import masked_lm_sums, to_tensors
from distilbert.distillation.masking import Masking
from distilbert.distillation.step import DistillationStep, MaskedLMStep
from distilbert.modeling.heads import MaskedLM
from distilbert.recipes.job import Job, publish, tokenizer_difference
from distilbert.recipes.plan import Plan, steps_of
from distilbert.runtime import launch as launching
from distilbert.runtime.launch import Launch, Precision
from distilbert.runtime.optimisation import check_finite
from distilbert.tokenization import DistilBertTokenizerFast

_VALIDATION_SEQUENCES = 2000  # the most that are looked at, the first of the validation split

_logger = logging.getLogger("distilbert")


class MaskedLMJob(Job):
    """A masked LM that learns from a corpus.

    Args:
        module: turns a micro-batch into its parts of the loss and its terms.
        model: the part of it that is validated and published.
        source: of its batches.
    """

    module: MaskedLMStep | DistillationStep
    source: StepSource

    def __init__(
        self, module: MaskedLMStep | DistillationStep, model: MaskedLM, source: StepSource
    ) -> None:
        self.module, self.model, self.source = module, model, source

    def inputs(self, micro: Micro, device: torch.device) -> tuple[Tensor, Tensor, list[int]]:
        """Return ids, labels and lengths."""
        return *to_tensors(micro, device), micro.lengths

    def validate(self, launch: Launch, done: int) -> dict[str, float]:
        """Return the validation's loss and accuracy at masked tokens."""
        scores = masked_lm_scores(launch, self.model, self.source)
        check_finite(scores["loss"], "the validation loss", done)
        return scores

    def describe(self, scores: dict[str, float]) -> str:
        """Return both in words."""
        return (
            f"validation loss {scores['loss']:.4f}, masked-token accuracy {scores['accuracy']:.2%}"
        )

    def publish(self, launch: Launch, folder: Path) -> None:
        """Write the model, and the tokenizer of the corpus."""
        launch.on_main(lambda: publish(self.model, self.source.corpus.tokenizer_folder, folder))


def masked_lm_scores(launch: Launch, model: MaskedLM, source: StepSource) -> dict[str, float]:
    """Return loss and accuracy at the masked tokens of the validation split, of all ranks.

    Args:
        model: weights in fp32 are computed with in the run's precision; others, as a teacher's, in
            their own.
    """
    with launch.autocast() if model.dtype == torch.float32 else nullcontext():
        sums = masked_lm_sums(model, validation_batches(source, launch.rank))
    if launch.ranks > 1:
        sums = launch.reduce_sum(sums)
    loss, right, count = sums.tolist()
    return {"loss": loss / max(count, 1), "accuracy": right / max(count, 1)}


def validation_batches(source: StepSource, rank: int = 0) -> Iterator[Micro]:
    """Return a rank's share of that part of the validation split which is looked at."""
    return source.validation(source.micro_tokens, rank=rank, max_sequences=_VALIDATION_SEQUENCES)


class CorpusSettings(Protocol):
    """What pre-training and distillation are both told about a run; see either's `Settings`."""

    corpus: str
    steps: int
    epochs: float
    sequences_per_step: int
    micro_tokens: int
    learning_rate: float
    warmup: float
    weight_decay: float
    mask_rate: float
    mask_smoothing: float
    precision: Precision
    seed: int
    save_every: int
    deterministic: bool


def begin(settings: CorpusSettings, *, max_norm: float) -> tuple[Launch, StepSource, Plan]:
    """Join the run that this process was started for, open its corpus and lay out its steps.

    Raises:
        OSError: the corpus cannot be read.
        ValueError: settings that cannot be, or that do not fit the corpus.
    """
    launch = launching.start(
        settings.precision, seed=settings.seed, deterministic=settings.deterministic
    )
    source = open_source(
        launch,
        settings.corpus,
        seed=settings.seed,
        sequences_per_step=settings.sequences_per_step,
        micro_tokens=settings.micro_tokens,
        masking=Masking(settings.mask_rate, settings.mask_smoothing),
    )
    sequences, per_step = len(source.corpus), settings.sequences_per_step
    plan = Plan(
        steps=steps_of(settings.steps, settings.epochs, sequences, per_step),
        peak=settings.learning_rate,
        warmup=settings.warmup,
        weight_decay=settings.weight_decay,
        max_norm=max_norm,
        seed=settings.seed,
        save_every=settings.save_every,
    )
    return launch, source, plan


def open_source(
    launch: Launch,
    corpus: str,
    *,
    seed: int,
    sequences_per_step: int,
    micro_tokens: int,
    masking: Masking,
) -> StepSource:
    """Open both splits of a corpus, and find out whether they can be dealt as wanted.

    Raises:
        OSError: a shard is missing, truncated or unreadable.
        ValueError: a split is empty, or a sequence longer than `micro_tokens`.
    """
    source = StepSource(
        Corpus.open(corpus),
        seed=seed,
        sequences_per_step=sequences_per_step,
        micro_tokens=micro_tokens,
        ranks=launch.ranks,
        masking=masking,
    )
    check_budget(Corpus.open(corpus, "validation").longest, 1, micro_tokens, 1)
    return source


def check_vocabulary(name: str, model: MaskedLM, corpus: Corpus) -> None:
    """Check that a model reads the text and the ids of a corpus.

    It may have more entries than its tokenizer has tokens: many are padded to a round number.

    Args:
        name: where it was opened: its tokenizer, if it has one, is compared entry by entry.

    Raises:
        ValueError: its vocabulary is another, its tokenizer cuts text otherwise, or it has too few
            positions.
    """
    known, needed = model.config.vocab_size, corpus.vocab_size
    remedy = f"prepare the corpus with --tokenizer {name}"
    sizes = (
        f"{name} has a vocabulary of {known} entries, the corpus {corpus.folder} one of {needed}"
    )
    if known < needed:
        raise ValueError(f"{sizes}: {remedy}")
    positions, longest = model.config.max_position_embeddings, longest_of(corpus)
    if positions < longest:
        raise ValueError(
            f"{name} has {positions} positions, the corpus {corpus.folder} sequences of "
            f"{longest} tokens: prepare it with --max_length {positions}"
        )
    try:
        theirs = DistilBertTokenizerFast.from_pretrained(name)
    except OSError:
        if known != needed:
            raise ValueError(
                f"{sizes}, and there is no tokenizer in {name} to compare them by: save the "
                "tokenizer it was trained with there"
            ) from None
        _logger.warning(
            "%s has no tokenizer: only the size of its vocabulary was compared with the corpus",
            name,
        )
        return
    ours = DistilBertTokenizerFast.from_pretrained(corpus.tokenizer_folder)
    vocab, other_vocab = ours.get_vocab(), theirs.get_vocab()
    other = [token for token, entry in vocab.items() if other_vocab.get(token) != entry]
    if other:
        raise ValueError(
            f"{name} has another vocabulary than the corpus {corpus.folder}: {len(other)} of "
            f"{len(vocab)} entries differ, such as {min(other, key=vocab.__getitem__)!r}; {remedy}"
        )
    difference = tokenizer_difference(theirs, ours)
    if difference is not None:
        option, their_value, value = difference
        raise ValueError(
            f"the tokenizer of {name} has {option} {their_value}, that of the corpus "
            f"{corpus.folder} {value}: {remedy}; or, if {value} is right, say so in "
            "tokenizer_config.json beside the model"
        )


def longest_of(corpus: Corpus) -> int:
    """Return the tokens of the longest sequence of both splits."""
    return max(Corpus.open(corpus.folder, split).longest for split in ("train", "validation"))
