"""`distilbert trim`: a model without the words that some texts do not use."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distilbert.checkpoint import kind_of
from distilbert.distillation.block_writer import clean
from distilbert.distillation.blocks import TextSource, blocks
from distilbert.distillation.sources import open_sources, warn_of_left_out
from distilbert.distillation.vocabulary import vocab_size_of
from distilbert.folders import make_folder, staged
from distilbert.hub import Source
from distilbert.modeling.opening import open_whole
from distilbert.modeling.resizing import keep_tokens
from distilbert.recipes.job import require_vectors
from distilbert.tokenization import (
    BasicTokenizer,
    DistilBertTokenizer,
    DistilBertTokenizerFast,
)
from distilbert.tokenization.files import TOKENIZER_FILES, fit_to_model
from distilbert.tokenization.tokenizer import BertStyleTokenizer
from distilbert.tokenization.trimming import needed_ids, trimmed
from distilbert.weight_files import WEIGHTS

_logger = logging.getLogger("distilbert")
_BLOCK_BYTES = 1 << 20


@dataclass
class Settings:
    """Write a model with a vocabulary of only the words that your texts use.

    Texts of these words, in which no word was unknown, are cut as before and have the same outputs;
    other words become shorter pieces.

    Args:
        model: folder or hub id of a BERT or DistilBERT with any head, with its tokenizer.
        sources: text, JSON lines, Parquet, CSV or TSV files to read, folders of them, or
            hf:NAME[:CONFIG[:SPLIT]].
        out: folder of the new model; made if missing.
        text_column: columns or keys with the texts in JSON lines, Parquet, CSV, TSV and hub data
            sets; all of them are read.
        head: head of the model: the end of its class's name, such as ForTokenClassification, or
            Model for the bare encoder; by default what the checkpoint says that it is.
        min_frequency: how often a token must be in the texts to be kept.
        vocab_size: largest number of tokens to keep, the most frequent ones; more, if the alphabet
            and the special tokens are more. By default all that are frequent enough.
    """

    model: str
    sources: list[str]
    out: str
    text_column: tuple[str, ...] = ("text",)
    head: str | None = None
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
    texts = _open(settings)
    make_folder(out)
    source = Source(settings.model)
    model = open_whole(source, settings.head or kind_of(source), dtype="auto")
    tokenizer = DistilBertTokenizer.from_pretrained(settings.model)
    require_vectors(settings.model, tokenizer, model.config)
    cutters: list[BertStyleTokenizer] = [tokenizer]
    settled = tokenizer.init_kwargs
    if settled["never_split"] or not settled["do_basic_tokenize"]:  # which the fast one cannot
        cutters.append(DistilBertTokenizerFast.from_pretrained(settings.model))
    counts, letters = _count(cutters, texts)
    if not counts.any():
        raise ValueError(f"there is no text in {', '.join(settings.sources)}")
    ids = needed_ids(
        tokenizer, counts, letters, min_frequency=settings.min_frequency, size=settings.vocab_size
    )
    in_texts = counts[ids].sum() / counts.sum()
    rows, parameters = model.config.vocab_size, model.num_parameters()
    if model.config.pad_token_id is not None:  # which may be no token of the tokenizer
        ids = sorted({*ids, model.config.pad_token_id})
    keep_tokens(model, ids)
    with staged(out, replaces=(*WEIGHTS, *TOKENIZER_FILES)) as scratch:
        model.save_pretrained(scratch)
        trimmed(tokenizer, ids).save_pretrained(scratch)
        fit_to_model(scratch, model.config)
    _logger.info(
        "%s: %d of %d tokens are kept, %.4g %% of what is in the texts; %.1f of %.1f million "
        "parameters",
        out,
        len(ids),
        rows,
        100 * in_texts,
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


def _open(settings: Settings) -> list[TextSource]:
    """Return every source once, and one that has columns once for each of them."""
    found: dict[TextSource, None] = {}
    for number, column in enumerate(settings.text_column):
        sources, described = open_sources(settings.sources, column)
        found.update(dict.fromkeys(sources))
        if not number:
            warn_of_left_out(described)
    return list(found)


def _count(
    cutters: Sequence[BertStyleTokenizer], texts: Sequence[TextSource]
) -> tuple[NDArray[np.int64], set[str]]:
    """Return (V,), how often each token is in the texts, and the letters of unknown words.

    Args:
        cutters: the same tokenizer in the forms that it may be opened in, if these cut otherwise.
    """
    tokenizer = cutters[0]
    counts = np.zeros(vocab_size_of(tokenizer), np.int64)
    letters: set[str] = set()
    to_words = BasicTokenizer(
        tokenizer.do_lower_case, (), tokenizer.tokenize_chinese_chars, tokenizer.strip_accents
    )
    for block in blocks(texts, _BLOCK_BYTES):
        documents = [clean(document)[0] for document in block.documents()]
        for cut in cutters:
            rows = cut(documents, add_special_tokens=False, verbose=False).input_ids
            counts += np.bincount(
                np.fromiter(chain.from_iterable(rows), np.int64), minlength=len(counts)
            )
            for document, row in zip(documents, rows, strict=True):
                if tokenizer.unk_token_id in row:
                    letters.update(*to_words.tokenize(document))
    return counts, letters
