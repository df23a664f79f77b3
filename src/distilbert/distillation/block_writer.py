"""From a block of documents to its shards: cleaned, dealt to a split, cut into sequences."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from distilbert.distillation.blocks import Block
from distilbert.distillation.corpus import SPLITS
from distilbert.distillation.cutting import Cutter
from distilbert.distillation.sequences import Sequences, Shape
from distilbert.distillation.shards import save_array, token_dtype, write_shard
from distilbert.distillation.vocabulary import special_ids_of, vocab_size_of
from distilbert.distillation.workplace import counts_file, record_file, write_whole
from distilbert.tokenization import DistilBertTokenizerFast


def clean(text: str) -> tuple[str, bytes, bool]:
    """Return a document, its UTF-8, and whether it had to be repaired.

    A lone surrogate, which JSON can spell and no encoding can, becomes U+FFFD.

    >>> clean("a\\ud800b")
    ('a\\ufffdb', b'a\\xef\\xbf\\xbdb', True)
    """
    try:
        return text, text.encode("utf-8"), False
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return text, text.encode("utf-8"), True


def split_of(document: bytes, validation_fraction: float) -> str:
    """Return the split of a document, a function of its text: equal documents stay together."""
    number = int.from_bytes(hashlib.blake2b(document, digest_size=8).digest(), "big")
    return SPLITS[number < validation_fraction * 2.0**64]


class BlockWriter:
    """Makes the shards of blocks; one per process.

    Args:
        folder: the corpus, with its tokenizer.
        shape: of sequences.
        validation_fraction: of documents.
    """

    def __init__(self, folder: Path, shape: Shape, validation_fraction: float) -> None:
        tokenizer = DistilBertTokenizerFast.from_pretrained(folder)
        self._folder = folder
        self._shape = shape
        self._fraction = validation_fraction
        self._special_ids = special_ids_of(tokenizer)
        self._vocab_size = vocab_size_of(tokenizer)
        self._dtype = token_dtype(self._vocab_size)
        self._cut = Cutter(tokenizer, self._dtype)

    def __call__(self, block: Block) -> dict[str, Any]:
        """Write the shards of a block, then its counts, then its record, which is returned.

        Raises:
            OSError: a source cannot be read or the folder not be written.
            ValueError: a source is not what it should be.
        """
        made = {n: Sequences(self._shape, self._special_ids, self._dtype) for n in SPLITS}
        totals = dict.fromkeys(
            ("documents", "empty_documents", "repaired_documents", "text_bytes"), 0
        )
        for document in block.documents():
            totals["documents"] += 1
            text, encoded, repaired = clean(document)
            totals["repaired_documents"] += repaired
            totals["text_bytes"] += len(encoded)
            ids = self._cut(text)
            if not len(ids):
                totals["empty_documents"] += 1
                continue
            made[split_of(encoded, self._fraction)].add(ids)
        counts = np.zeros(self._vocab_size, dtype=np.int64)
        splits = {}
        for name in SPLITS:
            tokens, lengths = made[name].finish()
            for kind, number in asdict(made[name].dropped).items():
                totals[f"dropped_{kind}"] = totals.get(f"dropped_{kind}", 0) + number
            if len(lengths):
                shard = f"{name}-{block.number:05}"
                splits[name] = asdict(write_shard(self._folder, shard, tokens, lengths))
            if name == "train":
                counts += np.bincount(tokens, minlength=self._vocab_size)
        save_array(counts_file(self._folder, block.number), counts)
        record = {
            "after": list(block.after),
            "size_bytes": block.size_bytes,
            "counts_sum": int(counts.sum()),
            "splits": splits,
            "totals": totals,
        }
        write_whole(record_file(self._folder, block.number), record)
        return record
