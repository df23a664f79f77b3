"""Blocks: what one worker makes one shard of, cut by position (bytes, rows).

Where a format allows, nothing is read to cut it; so the cuts depend on neither memory nor the
number of workers. A cursor says where the next block begins.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Cursor = tuple[int, Any]  # number of a source, and where in it; what JSON can hold
START: Cursor = (0, None)


class Readable(Protocol):
    """What can be read from one place to another."""

    def read(self, start: int, stop: int) -> Iterator[str]:
        """Yield the documents that begin there."""


class TextSource(Protocol):
    """One file or stream of documents."""

    @property
    def path(self) -> str:
        """Of the file, or the name that the stream was asked for by."""

    @property
    def size_bytes(self) -> int:
        """How much there is to read; 0 where it is not known."""

    def check(self) -> None:
        """Refuse what is bound to fail later: a missing column, another format."""

    def fingerprint(self) -> str:
        """Return what changes when the source does."""

    def parts(self, at: Any, size_bytes: int) -> Iterator[tuple["Part", Any]]:
        """Yield parts of about a size, from a place on, each with the place after it."""


@dataclass(frozen=True)
class Part:
    """A stretch of a source, from `start` to `stop` in its own measure."""

    source: Readable
    start: int
    stop: int
    size_bytes: int

    def documents(self) -> Iterator[str]:
        """Yield the documents that begin in this part."""
        return self.source.read(self.start, self.stop)


@dataclass(frozen=True)
class Block:
    """What one worker makes one shard of.

    Args:
        number: counted from 0.
        parts: stretches of one source or several.
        after: where the next block begins.
    """

    number: int
    parts: tuple[Part, ...]
    after: Cursor

    @property
    def size_bytes(self) -> int:
        """About how much text there is."""
        return sum(part.size_bytes for part in self.parts)

    def documents(self) -> Iterator[str]:
        """Yield the documents of all parts."""
        for part in self.parts:
            yield from part.documents()


def blocks(
    sources: Sequence[TextSource], size_bytes: int, cursor: Cursor = START, number: int = 0
) -> Iterator[Block]:
    """Cut sources into blocks of at least `size_bytes` (and less than twice that, if they can be).

    Args:
        sources: in this order.
        size_bytes: of text.
        cursor: where to begin.
        number: of the first block.
    """
    first, at = cursor
    parts: list[Part] = []
    gathered = 0
    for index in range(first, len(sources)):
        for part, after in sources[index].parts(at, size_bytes):
            parts.append(part)
            gathered += part.size_bytes
            if gathered >= size_bytes:
                yield Block(number, tuple(parts), (index, after))
                number, parts, gathered = number + 1, [], 0
        at = None
    if parts:
        yield Block(number, tuple(parts), (len(sources), None))
