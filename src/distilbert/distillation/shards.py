"""A shard: the ids of many sequences in one file, and where each of them ends in another."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

REMEDY = (
    "Remove manifest.json and run `distilbert prepare` again with the same settings, "
    "or fetch the file again from where the corpus was copied from."
)


def token_dtype(vocab_size: int) -> np.dtype:
    """Return the type that ids are stored in: two bytes where they suffice."""
    return np.dtype("<u2" if vocab_size <= 65_535 else "<u4")


def tokens_file(shard: str) -> str:
    """Return the name of the file with a shard's ids."""
    return f"{shard}.tokens.npy"


def ends_file(shard: str) -> str:
    """Return the name of the file with the ends of a shard's sequences."""
    return f"{shard}.ends.npy"


@dataclass(frozen=True)
class Shard:
    """What the manifest says of a shard.

    Args:
        name: `train-00000`.
        sequences: how many.
        tokens: how many, special ones included.
        longest: tokens of its longest sequence.
        sha256: of the file of tokens followed by the file of ends.
        size_bytes: of both files together.
    """

    name: str
    sequences: int
    tokens: int
    longest: int
    sha256: str
    size_bytes: int

    def check(self, folder: Path, *, in_full: bool = False) -> str | None:
        """Return what is wrong with the files, None where nothing is.

        Args:
            folder: the corpus.
            in_full: compare every byte, not only the size.
        """
        paths = [folder / tokens_file(self.name), folder / ends_file(self.name)]
        size_bytes = 0
        for path in paths:
            try:
                size_bytes += path.stat().st_size
            except FileNotFoundError:
                return f"{path} is missing"
            except OSError as error:
                return f"{path} cannot be read ({error.strerror})"
        if size_bytes != self.size_bytes:
            return f"{paths[0]} and {paths[1].name} have {size_bytes} bytes, not {self.size_bytes}"
        if in_full and hash_of_files(paths) != self.sha256:
            return f"{paths[0]} or {paths[1].name} does not hold what was written (other sha256)"
        return None


def hash_of_files(paths: Iterable[Path]) -> str:
    """Return the sha256 of files one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def write_shard(folder: Path, name: str, tokens: np.ndarray, lengths: np.ndarray) -> Shard:
    """Write the two files of a shard, each whole or not at all, and return its entry.

    Args:
        folder: the corpus.
        name: `train-00000`.
        tokens: ids of all sequences, in the type they are stored in.
        lengths: of the sequences.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    ends = np.cumsum(lengths, dtype=np.int64)
    paths = [folder / tokens_file(name), folder / ends_file(name)]
    for path, array in zip(paths, (tokens, ends), strict=True):
        save_array(path, array)
    return Shard(
        name=name,
        sequences=len(lengths),
        tokens=len(tokens),
        longest=int(np.max(lengths, initial=0)),
        sha256=hash_of_files(paths),
        size_bytes=sum(path.stat().st_size for path in paths),
    )


def save_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file that is there whole or not at all.

    Raises:
        OSError: it cannot be written, or the disk is full.
    """
    with whole_file(path) as file:
        np.save(file, array, allow_pickle=False)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write that appears under its name when the block ends without an error."""
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class OpenShard:
    """A shard, mapped into memory.

    Raises:
        OSError: its files cannot be read, or hold something else than the manifest says.
    """

    def __init__(self, folder: Path, shard: Shard, dtype: np.dtype) -> None:
        arrays = []
        for path in (folder / tokens_file(shard.name), folder / ends_file(shard.name)):
            try:
                mapped = np.load(path, mmap_mode="r", allow_pickle=False)
                arrays.append(np.asarray(mapped))  # a plain array: slices of it cost less
            except (OSError, ValueError) as error:
                raise OSError(f"{path} cannot be read ({error}). {REMEDY}") from error
        self.tokens, self.ends = arrays
        kinds = (self.tokens.dtype, self.ends.dtype)
        if kinds != (dtype, np.dtype("<i8")) or (len(self.tokens), len(self.ends)) != (
            shard.tokens,
            shard.sequences,
        ):
            raise OSError(
                f"{folder / tokens_file(shard.name)} does not fit the manifest: {len(self.ends)} "
                f"sequences, {len(self.tokens)} tokens of type {kinds[0]}. {REMEDY}"
            )

        self._path, self._longest = folder / ends_file(shard.name), shard.longest

    def bounds(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where sequences begin and end.

        Raises:
            OSError: there can be no such sequences.
        """
        starts = np.where(rows > 0, self.ends[np.maximum(rows - 1, 0)], 0)
        ends = self.ends[rows]
        lengths = ends - starts
        if len(rows) and not (
            starts.min() >= 0
            and ends.max() <= len(self.tokens)
            and lengths.min() > 0
            and lengths.max() <= self._longest
        ):
            raise OSError(f"{self._path} was changed: a sequence ends where none can. {REMEDY}")
        return starts, ends
