"""`distilbert trim`: a model without the words that some texts do not use."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distilbert.checkpoint import kind_of
from distilbert.distillation.block_writer import clean
from distilbert.distillation.blocks import blocks
from distilbert.distillation.cutting import Cutter
from distilbert.distillation.sources import open_sources, warn_of_left_out
from distilbert.distillation.vocabulary import vocab_size_of
from distilbert.hub import WEIGHTS, Source, staged
from distilbert.modeling.opening import class_for, refuse_missing
from distilbert.modeling.resizing import keep_tokens
from distilbert.recipes.job import open_model_tokenizer
from distilbert.tokenization import DistilBertTokenizerFast
from distilbert.tokenization.files import TOKENIZER_FILES
from distilbert.tokenization.trimming import needed_ids, trimmed

_logger = logging.getLogger("distilbert")
_BLOCK_BYTES = 1 << 20


@dataclass
class Settings:
    """Write a model with a vocabulary of only the words that your texts use.

    Texts all of whose tokens are kept are cut as before and have the same outputs; other words
    become shorter pieces.

    Args:
        model: folder or hub id of a BERT or DistilBERT with any head, with its tokenizer.
        sources: text, JSON lines, Parquet, CSV or TSV files, folders, or hf:NAME[:CONFIG[:SPLIT]].
        out: folder of the new model; made if missing.
        text_column: where texts are in JSON lines, Parquet, CSV, TSV and hub data sets; several
            columns are all read.
        min_frequency: how often a token must be in the texts to be kept.
        vocab_size: keep at most so many tokens, the most frequent; more, if the alphabet and the
            special tokens are more. Without, all that are frequent enough.
    """

    model: str
    sources: list[str]
    out: str
    text_column: tuple[str, ...] = ("text",)
    min_frequency: int = 1
    vocab_size: int | None = None


def main(settings: Settings) -> Path:
    """Trim a model and return the folder of the new one.

    Raises:
        ImportError: a source needs a package that is not installed.
        OSError: a file cannot be found, read or written.
        ValueError: a setting or a source is not what it should be, there is no text in them, or
            the model has no tokenizer that fits it.
    """
    out = Path(settings.out)
    _check(settings, out)
    source = Source(settings.model)
    cls = class_for(source, kind_of(source))
    model, info = cls.from_pretrained(settings.model, dtype="auto", output_loading_info=True)
    refuse_missing(source, cls, info)
    tokenizer = open_model_tokenizer(settings.model, model.config)
    counts = _count(tokenizer, settings.sources, settings.text_column)
    ids = needed_ids(
        tokenizer, counts, min_frequency=settings.min_frequency, size=settings.vocab_size
    )
    rows, parameters = model.config.vocab_size, model.num_parameters()
    keep_tokens(model, ids)
    with staged(out, replaces=(*WEIGHTS, *TOKENIZER_FILES)) as scratch:
        model.save_pretrained(scratch)
        trimmed(tokenizer, ids).save_pretrained(scratch)
    _logger.info(
        "%s: %d of %d tokens are kept, %.4g %% of what is in the texts; %.1f of %.1f million "
        "parameters",
        out,
        len(ids),
        rows,
        100 * counts[ids].sum() / counts.sum(),
        model.num_parameters() / 1e6,
        parameters / 1e6,
    )
    return out


def _check(settings: Settings, out: Path) -> None:
    if settings.min_frequency < 1:
        raise ValueError(f"min_frequency={settings.min_frequency} must be at least 1")
    if settings.vocab_size is not None and settings.vocab_size < 1:
        raise ValueError(f"vocab_size={settings.vocab_size} must be at least 1")
    if out.resolve() == Path(settings.model).resolve():
        raise ValueError(f"out={out} is the model itself: give another folder")


def _count(
    tokenizer: DistilBertTokenizerFast, names: Sequence[str], columns: Sequence[str]
) -> NDArray[np.int64]:
    """Return (V,), how often each token is in the texts."""
    cut = Cutter(tokenizer, np.dtype(np.uint32))
    counts = np.zeros(vocab_size_of(tokenizer), np.int64)
    for column in columns:
        sources, described = open_sources(names, column)
        warn_of_left_out(described)
        for block in blocks(sources, _BLOCK_BYTES):
            ids = [cut(clean(document)[0]) for document in block.documents()]
            if ids:
                counts += np.bincount(np.concatenate(ids), minlength=len(counts))
    if not counts.any():
        raise ValueError(f"there is no text in {', '.join(names)}")
    return counts
