"""The vocabulary of a corpus: opened, or learned from a sample of the text."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from distilbert import hub
from distilbert.distillation.blocks import TextSource, blocks
from distilbert.tokenization import DistilBertTokenizerFast, load_vocab
from distilbert.tokenization.files import TOKENIZER_CONFIG_FILE, open_files
from distilbert.tokenization.tokenizer import BertStyleTokenizer

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SAMPLE_BYTES = 8 << 20  # read in one go; samples are spread over the corpus


def open_tokenizer(name: str, *, lowercase: bool) -> DistilBertTokenizerFast:
    """Open the tokenizer of a folder, a hub repository or a vocab.txt.

    Args:
        name: path or hub id.
        lowercase: what a vocab.txt does not say. A tokenizer.json, or the do_lower_case of a
            tokenizer_config.json, does; then True, the default of the command, asks for nothing.

    Raises:
        OSError: there is no such tokenizer.
        ValueError: it is malformed, or lower-cases by its files and `lowercase` is False.
    """
    if Path(name).is_file():
        return DistilBertTokenizerFast(load_vocab(name), do_lower_case=lowercase)
    if not lowercase and not open_files(hub.Source(name)).says_case:
        return DistilBertTokenizerFast.from_pretrained(name, do_lower_case=False)
    tokenizer = DistilBertTokenizerFast.from_pretrained(name)
    if tokenizer.do_lower_case and not lowercase:
        raise ValueError(
            f"lowercase=False, but by its files the tokenizer of {name} lower-cases. Leave "
            f"lowercase out, or set do_lower_case to false in its {TOKENIZER_CONFIG_FILE}"
        )
    return tokenizer


def vocab_size_of(tokenizer: BertStyleTokenizer) -> int:
    """Return the number of rows that an embedding needs: the highest id and one."""
    return max(tokenizer.get_vocab().values()) + 1


def special_ids_of(tokenizer: DistilBertTokenizerFast) -> dict[str, int]:
    """Return the ids of the special tokens that distillation needs: cls, mask, pad, sep, unk.

    Raises:
        ValueError: the tokenizer lacks one.
    """
    ids = {name: getattr(tokenizer, f"{name}_token_id") for name in ("cls", "mask", "pad", "sep")}
    ids["unk"] = tokenizer.unk_token_id
    missing = [name for name, index in ids.items() if index is None]
    if missing:
        raise ValueError(
            "the vocabulary has no special token for "
            + ", ".join(missing)
            + "; a masked language model needs [PAD], [UNK], [CLS], [SEP] and [MASK]"
        )
    return {name: int(ids[name]) for name in sorted(ids)}


def identity_of(tokenizer: DistilBertTokenizerFast) -> dict[str, str]:
    """Return hashes of a tokenizer: of its vocabulary, and of how it cuts text."""
    vocab = json.dumps(tokenizer.get_vocab(), sort_keys=True)
    backend = tokenizer.backend_tokenizer.to_str()
    settings = {**json.loads(backend), "model": None}
    if tokenizer.split_special_tokens:  # which the library does not write
        settings["split_special_tokens"] = True
    cutting = json.dumps(settings, sort_keys=True)
    return {
        "vocab": hashlib.sha256(vocab.encode()).hexdigest(),
        "cutting": hashlib.sha256(cutting.encode()).hexdigest(),
    }


@dataclass
class Sample:
    """Documents spread evenly over the sources, until there is enough text; may be read again.

    Args:
        sources: of the corpus.
        size_bytes: of text.
        wanted: says which documents may be used, and cleans them; None for one that may not.
    """

    sources: Sequence[TextSource]
    size_bytes: int
    wanted: Callable[[str], str | None]

    def __iter__(self) -> Iterator[str]:
        whole = sum(source.size_bytes for source in self.sources)
        stride = max(1, -(-whole // self.size_bytes))
        size = min(_SAMPLE_BYTES, max(1, self.size_bytes // 8))
        left = self.size_bytes
        for block in blocks(self.sources, size):
            if block.number % stride:
                continue
            for document in block.documents():
                text = self.wanted(document)
                if text:
                    left -= len(text)
                    yield text
            if left <= 0:
                return


def train_tokenizer(
    sample: Sample, *, vocab_size: int, lowercase: bool, min_frequency: int
) -> DistilBertTokenizerFast:
    """Learn a WordPiece vocabulary; the same text gives the same one.

    Raises:
        ValueError: there is no text, or no room for the special tokens.
    """
    if vocab_size <= len(SPECIALS):
        raise ValueError(
            f"a vocabulary of {vocab_size} has no room for text; give vocab_size=30522"
        )
    blank = DistilBertTokenizerFast(
        {token: index for index, token in enumerate(SPECIALS)}, do_lower_case=lowercase
    )
    return blank.train_new_from_iterator(sample, vocab_size, min_frequency=min_frequency)
