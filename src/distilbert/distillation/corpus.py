"""A prepared corpus: a folder of token shards that are never read as a whole.

    manifest.json            what is in the folder; written last: without it, it is unfinished
    counts.npy               int64 (V,): how often each token is in the training split, as stored
    vocab.txt tokenizer.json tokenizer_config.json special_tokens_map.json
    train-00000.tokens.npy   uint16 (uint32 above 65,535 entries): ids, [CLS] … [SEP] included
    train-00000.ends.npy     int64: where each sequence ends in them

Nothing in it says when or where it was made: the same text and settings give the same bytes.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from distilbert.distillation.shards import REMEDY, Shard, ShardReader, hash_of_files, tokens_file
from distilbert.folders import is_plain_name, read_json

MANIFEST_FILE = "manifest.json"
COUNTS_FILE = "counts.npy"
FORMAT = 1
SPLITS = ("train", "validation")


class Corpus:
    """One split of a prepared corpus, read sequence by sequence from its shards.

    Threads may share one. Opened by `Corpus.open`.

    Args:
        folder: the prepared corpus.
        split: "train" or "validation".
        manifest: the content of its manifest.
        shards: those of the split.
        counts: int64 (V,), how often each token is in the training split.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        manifest: Mapping[str, Any],
        shards: list[Shard],
        counts: np.ndarray,
    ) -> None:
        self.folder = folder
        self.split = split
        self.manifest = manifest
        self.shards = shards
        self.counts = counts
        self._dtype = np.dtype(manifest["dtype"])
        self._firsts = np.cumsum([0, *(shard.sequences for shard in shards)], dtype=np.int64)
        self._readers: dict[int, ShardReader] = {}

    @classmethod
    def open(cls, folder: str | os.PathLike[str], split: str = "train") -> Self:
        """Open one split of a folder that `distilbert prepare` has finished.

        The size of every shard is checked at once, so that a lost one is found before a run
        begins, and the content of the small files beside them. What is in the shards is checked as
        far as it is read; `verify` reads all of it.

        Raises:
            OSError: there is no finished corpus, a shard is missing, truncated or unreadable, or
                another file was changed.
            ValueError: the manifest is malformed or of another version, or the split is empty.
        """
        place = Path(folder)
        path = place / MANIFEST_FILE
        if not path.is_file():
            unfinished = (place / "progress").is_dir()
            raise FileNotFoundError(
                f"{place} is not a finished corpus: it has no {MANIFEST_FILE}. "
                + (
                    "Its preparation was interrupted; run the same `distilbert prepare` again."
                    if unfinished
                    else "Make one with `distilbert prepare`."
                )
            )
        try:
            manifest = read_json(path)
        except ValueError as error:
            raise ValueError(f"{error}. {REMEDY}") from error
        if manifest.get("format") != FORMAT:
            raise ValueError(
                f"{path} has format {manifest.get('format')!r}, this version reads {FORMAT}; "
                "prepare the corpus again"
            )
        splits = manifest.get("splits", {})
        if split not in splits:
            raise ValueError(f"{path} has no split {split!r}; it has {', '.join(splits)}")
        try:
            shards = [Shard(**entry) for entry in splits[split]]
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} has a malformed entry of a shard: {error}") from error
        if not shards:
            raise ValueError(
                f"the {split} split of {place} is empty; prepare the corpus with "
                + ("a larger validation_fraction" if split == "validation" else "more text")
                + ", in another folder"
            )
        for shard in shards:
            if (wrong := shard.check(place)) is not None:
                raise OSError(f"{wrong}. {REMEDY}")
        for name, sha256 in manifest.get("files", {}).items():
            if not is_plain_name(name):
                raise ValueError(f"{path} names {name!r}, which is not in the corpus's folder")
            if not (place / name).is_file():
                raise OSError(f"{place / name} is missing. {REMEDY}")
            if hash_of_files([place / name]) != sha256:
                raise OSError(f"{place / name} was changed (its SHA-256 differs). {REMEDY}")
        try:
            counts = np.load(place / COUNTS_FILE, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise OSError(f"{place / COUNTS_FILE} cannot be read ({error}). {REMEDY}") from error
        if counts.shape != (manifest["vocab_size"],) or counts.dtype != np.int64:
            raise OSError(f"{place / COUNTS_FILE} does not fit the manifest. {REMEDY}")
        return cls(place, split, manifest, shards, counts)

    def __len__(self) -> int:
        return int(self._firsts[-1])

    @property
    def vocab_size(self) -> int:
        """How many ids there are, gaps included."""
        return int(self.manifest["vocab_size"])

    @property
    def special_ids(self) -> dict[str, int]:
        """Ids of the special tokens: cls, mask, pad, sep, unk."""
        return dict(self.manifest["special_ids"])

    @property
    def max_length(self) -> int:
        """Tokens that a sequence may have."""
        return int(self.manifest["max_length"])

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence of this split."""
        return max(shard.longest for shard in self.shards)

    @property
    def tokens(self) -> int:
        """Tokens of this split, special ones included."""
        return sum(shard.tokens for shard in self.shards)

    @property
    def mean_length(self) -> float:
        """Tokens per sequence."""
        return self.tokens / len(self)

    @property
    def tokenizer_folder(self) -> Path:
        """Where the tokenizer's files are: `DistilBertTokenizerFast.from_pretrained` opens it."""
        return self.folder

    @property
    def hash(self) -> str:
        """The sha256 of the manifest; equal for equal text, vocabulary and settings."""
        return hashlib.sha256(json.dumps(self.manifest, sort_keys=True).encode()).hexdigest()

    def verify(self) -> None:
        """Read every byte and compare it with the manifest's sha256.

        Raises:
            OSError: a shard does not hold what was written.
        """
        for shard in self.shards:
            if (wrong := shard.check(self.folder, in_full=True)) is not None:
                raise OSError(f"{wrong}. {REMEDY}")

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of sequences one after the other, and their lengths, both int64.

        Raises:
            IndexError: a sequence does not exist.
            OSError: a shard cannot be read, or was changed.
        """
        indices = self._checked(indices)
        found = [b""] * len(indices)
        for number, places, rows in self._by_shard(indices):
            sequences = self._reader(number).read(rows.tolist())
            for place, ids in zip(places.tolist(), sequences, strict=True):
                found[place] = ids
        lengths = np.array([len(ids) for ids in found], np.int64) // self._dtype.itemsize
        flat = np.frombuffer(b"".join(found), self._dtype).astype(np.int64)
        if len(flat) and flat.max() >= self.vocab_size:
            at = int(np.argmax(flat >= self.vocab_size))
            place = int(np.searchsorted(np.cumsum(lengths), at, side="right"))
            number = int(np.searchsorted(self._firsts, indices[place], side="right")) - 1
            raise OSError(
                f"{self.folder / tokens_file(self.shards[number].name)} was changed: it has the id "
                f"{flat[at]}, and the vocabulary {self.vocab_size} entries. {REMEDY}"
            )
        return flat, lengths

    def _checked(self, indices: np.ndarray) -> np.ndarray:
        indices = np.asarray(indices, dtype=np.int64).reshape(-1)
        if indices.size and (indices.min() < 0 or indices.max() >= len(self)):
            raise IndexError(
                f"the {self.split} split of {self.folder} has sequences 0 to {len(self) - 1}"
            )
        return indices

    def _by_shard(self, indices: np.ndarray) -> Iterable[tuple[int, np.ndarray, np.ndarray]]:
        """Give, shard by shard, places in `indices` and the rows of the shard that belong there."""
        shards = np.searchsorted(self._firsts, indices, side="right") - 1
        order = np.argsort(shards, kind="stable")
        numbers, firsts = np.unique(shards[order], return_index=True)
        for number, places in zip(
            numbers.tolist(), np.split(order, firsts[1:]) if len(order) else [], strict=True
        ):
            yield number, places, indices[places] - self._firsts[number]

    def _reader(self, number: int) -> ShardReader:
        if number not in self._readers:
            self._readers[number] = ShardReader(self.folder, self.shards[number], self._dtype)
        return self._readers[number]
