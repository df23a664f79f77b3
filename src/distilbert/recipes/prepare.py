"""`distilbert prepare`: text in, token shards out, ready to be distilled or pre-trained on.

Interrupted, it continues when the same command is given again.
"""

import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilbert.distillation.block_writer import clean, split_of
from distilbert.distillation.blocks import TextSource
from distilbert.distillation.corpus import MANIFEST_FILE, Corpus
from distilbert.distillation.preparation import Progress, write_blocks
from distilbert.distillation.sequences import Shape
from distilbert.distillation.sources import open_sources, times_of, warn_of_left_out
from distilbert.distillation.vocabulary import Sample, open_tokenizer, train_tokenizer
from distilbert.distillation.workplace import Workplace, settings_of
from distilbert.folders import read_json
from distilbert.runtime.lock import held
from distilbert.runtime.room import NO_ROOM
from distilbert.runtime.scratch import remove_scratch
from distilbert.tokenization import DistilBertTokenizerFast

_logger = logging.getLogger("distilbert")


@dataclass
class Settings:
    """Turn text into token shards to pre-train or distil on; interrupted, the same command goes on.

    Args:
        sources: text, JSON lines, Parquet, CSV or TSV files to read, folders of them, or
            hf:NAME[:CONFIG[:SPLIT]].
        out: folder of the corpus; made if missing.
        tokenizer: folder or hub id of a tokenizer, or a vocab.txt; by default a WordPiece
            vocabulary is learned from the texts.
        text_column: column or key with the text in JSON lines, Parquet, CSV, TSV and hub data sets.
        documents: what counts as a document in a text file: each "line", or the whole "file".
        vocab_size: number of tokens in a learned vocabulary; more, if its alphabet is larger.
        min_frequency: how often two pieces must meet in the texts to be joined in a learned
            vocabulary.
        lowercase: whether a learned vocabulary, or a bare vocab.txt, is of lower-cased text.
        vocab_sample_mb: megabytes of text, spread evenly over the sources, that a vocabulary is
            learned from.
        mode: "split" cuts every document by itself at max_length; "pack" joins documents to full
            sequences.
        max_length: longest sequence in tokens, special ones included.
        min_length: shortest sequence in tokens, special ones included; shorter ones are dropped.
        max_unknown: a sequence with at least this share of [UNK], above 0 and at most 1, is
            dropped.
        validation_fraction: share of the documents, from 0 to 1, that is kept for validation,
            chosen by their text.
        shard_mb: megabytes of text per shard of the corpus.
        workers: number of processes; 0 is one per core. The corpus is the same for any number.
    """

    sources: list[str]
    out: str
    tokenizer: str | None = None
    text_column: str = "text"
    documents: str = "line"
    vocab_size: int = 30_522
    min_frequency: int = 2
    lowercase: bool = True
    vocab_sample_mb: int = 256
    mode: str = "split"
    max_length: int = 512
    min_length: int = 12
    max_unknown: float = 0.5
    validation_fraction: float = 0.005
    shard_mb: float = 64
    workers: int = 0


def main(settings: Settings) -> Path:
    """Prepare a corpus and return its folder.

    Raises:
        ImportError: a source needs a package that is not installed.
        OSError: a file cannot be read or written, or the disk is full, or a process was
            ended from outside.
        ValueError: a setting or a source is not what it should be; or the folder holds a corpus of
            other settings or sources.
    """
    shape = Shape(settings.mode, settings.max_length, settings.min_length, settings.max_unknown)
    _check(settings)
    out = Path(settings.out)
    sources, described = open_sources(settings.sources, settings.text_column, settings.documents)
    warn_of_left_out(described)
    try:
        with held(out):
            remove_scratch(out)
            _prepare(settings, out, shape, sources, described)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise OSError(
            error.errno,
            f"the disk of {out} is full ({error.strerror}). What is finished is kept: "
            "make room and run the same command again",
        ) from error
    _warn_of_no_validation(settings.validation_fraction, out)
    return out


def _prepare(
    settings: Settings,
    out: Path,
    shape: Shape,
    sources: Sequence[TextSource],
    described: Sequence[Mapping[str, Any]],
) -> None:
    chosen = settings_of(settings, without=("sources", "out", "workers"))
    place = Workplace(out, chosen, described, times_of(sources))
    if place.is_finished:
        place.tidy()
        _logger.info("%s is already prepared with these settings", out)
        return

    def for_training(document: str) -> str | None:
        text, encoded, _ = clean(document)
        is_training = split_of(encoded, settings.validation_fraction) == "train"
        return text if is_training else None

    def tokenizer_of() -> DistilBertTokenizerFast:
        if settings.tokenizer is not None:
            return open_tokenizer(settings.tokenizer, lowercase=settings.lowercase)
        _logger.info("learning a vocabulary of %d entries", settings.vocab_size)
        return train_tokenizer(
            Sample(sources, settings.vocab_sample_mb * 1_000_000, for_training),
            vocab_size=settings.vocab_size,
            lowercase=settings.lowercase,
            min_frequency=settings.min_frequency,
        )

    tokenizer = place.tokenizer(tokenizer_of)
    started = time.monotonic()
    made = 0

    def report(progress: Progress) -> None:
        nonlocal made
        made += progress.new_tokens
        rate = made / (time.monotonic() - started)
        whole = f" of {progress.total_bytes / 1e6:,.0f}" if progress.total_bytes else ""
        _logger.info(
            "block %d: %.0f%s MB of text, %d tokens, %.0f tokens/s",
            progress.blocks,
            progress.size_bytes / 1e6,
            whole,
            progress.tokens,
            rate,
        )

    count = write_blocks(
        place,
        sources,
        shape=shape,
        validation_fraction=settings.validation_fraction,
        shard_bytes=int(settings.shard_mb * 1_000_000),
        workers=settings.workers or _cores(),
        report=report,
    )
    place.refuse_modified(times_of(sources))
    place.finish(count, tokenizer, shape)
    corpus = Corpus.open(out)
    _logger.info(
        "%s: %d training sequences, %d tokens, %.1f tokens each; dropped: %s",
        out,
        len(corpus),
        corpus.tokens,
        corpus.mean_length,
        {k: n for k, n in corpus.manifest["totals"].items() if k.startswith("dropped") and n},
    )


def _warn_of_no_validation(fraction: float, out: Path) -> None:
    manifest = read_json(out / MANIFEST_FILE)
    if not manifest["splits"]["validation"]:
        _logger.warning(
            "%s has no validation split, which pretrain, distill and evaluate need: with a "
            "validation_fraction of %g, no sequence of its %d documents is in it. Prepare them "
            "again in another folder, with a larger validation_fraction; a single document cannot "
            "be split (documents says whether a line or a file is one)",
            out,
            fraction,
            manifest["totals"]["documents"],
        )


def _cores() -> int:
    """Return how many cores this process may use; on Windows, how many processes it can."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    cores = os.cpu_count() or 1
    return min(cores, 61) if sys.platform == "win32" else cores


def _check(settings: Settings) -> None:
    if not 0 <= settings.validation_fraction < 1:
        raise ValueError(
            f"validation_fraction={settings.validation_fraction} must be from 0 to below 1"
        )
    if settings.shard_mb <= 0 or settings.vocab_sample_mb <= 0:
        raise ValueError("shard_mb and vocab_sample_mb must be positive")
    if settings.workers < 0:
        raise ValueError(f"workers={settings.workers} must be 0 (one per core) or more")
    out = Path(settings.out).resolve()
    for name in settings.sources:
        if out.is_relative_to(Path(name).resolve()) and not name.startswith("hf:"):
            raise ValueError(f"the corpus {out} would be inside its own source {name}")
