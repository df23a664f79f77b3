"""A shard: the ids of many sequences in one file, and where each of them ends in another."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from struct import unpack
from typing import BinaryIO

import numpy as np

from distilbert.folders import is_plain_name

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

    def __post_init__(self) -> None:
        if not is_plain_name(self.name):
            raise ValueError(f"{self.name!r} is not the name of a file in the corpus's folder")

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


class ShardReader:
    """Reads sequences of a shard, and has its files open only while it does.

    So there may be any number of shards, and a file that is cut meanwhile is an error, where the
    process would die of a map of it.

    Raises:
        OSError: its files cannot be read, or hold something else than the manifest says.
    """

    def __init__(self, folder: Path, shard: Shard, dtype: np.dtype) -> None:
        self._tokens, self._ends = folder / tokens_file(shard.name), folder / ends_file(shard.name)
        self._shard = shard
        headers = []
        for path in (self._tokens, self._ends):
            try:
                headers.append(np.lib.format.open_memmap(path, mode="r"))
            except (OSError, ValueError) as error:
                raise OSError(f"{path} cannot be read ({error}). {REMEDY}") from error
        tokens, ends = headers
        kinds = [(array.dtype, array.shape) for array in headers]
        if kinds != [(dtype, (shard.tokens,)), (np.dtype("<i8"), (shard.sequences,))]:
            raise OSError(
                f"{self._tokens} does not fit the manifest: sequences {ends.shape}, tokens "
                f"{tokens.shape} of type {tokens.dtype}. {REMEDY}"
            )
        self._token_bytes = dtype.itemsize
        self._tokens_begin, self._ends_begin = tokens.offset, ends.offset  # bytes

    def read(self, rows: Iterable[int]) -> list[bytes]:
        """Return the ids of sequences, as they are stored.

        Raises:
            OSError: a file cannot be read, or was changed.
        """
        found = []
        with _opened(self._tokens) as tokens, _opened(self._ends) as ends:
            for row in rows:
                # The end of the sequence before, and its own; before the first is the header.
                ends.seek(self._ends_begin + 8 * (row - 1))
                start, end = unpack("<2q", _exactly(16, ends))
                if row == 0:
                    start = 0
                length = end - start
                if not (0 <= start < end <= self._shard.tokens and length <= self._shard.longest):
                    raise OSError(
                        f"{self._ends} was changed: a sequence ends where none can. {REMEDY}"
                    )
                tokens.seek(self._tokens_begin + self._token_bytes * start)
                found.append(_exactly(self._token_bytes * length, tokens))
        return found


def _opened(path: Path) -> FileIO:
    try:
        return FileIO(path)
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error}). {REMEDY}") from error


def _exactly(size_bytes: int, file: FileIO) -> bytes:
    data = file.read(size_bytes)
    if len(data) != size_bytes:
        raise OSError(f"{file.name} was changed: it ends too early. {REMEDY}")
    return data
