"""Text to ids at the speed of a dictionary: the bulk tokenizer behind `distilbert prepare`.

The Rust library looks up every word afresh. Here a text is cut where BERT always cuts (space, tab,
line break, ASCII punctuation, Chinese characters), and what lies between is sent to the library
once and remembered. The ids are the library's own, whatever the text (a test says so).
"""

import copy
import re
from collections.abc import Callable, Iterator

import numpy as np

from distilbert.tokenization import DistilBertTokenizerFast

_MAX_REMEMBERED = 1 << 18  # stretches, some 50 MB
_MAX_LENGTH = 48  # characters of a stretch that is worth remembering
_SEGMENT = 1 << 18  # characters cut at a time, so that one long document needs little memory
_SPACE = re.compile(r"[ \t\n\r]")


class Cutter:
    """Cuts documents into ids of one type.

    What looks like a special token is text here: `[SEP]` in a document does not end it.

    Args:
        tokenizer: cuts the same.
        dtype: of the ids.
    """

    def __init__(self, tokenizer: DistilBertTokenizerFast, dtype: np.dtype) -> None:
        self._backend = copy.deepcopy(tokenizer.backend_tokenizer)
        self._backend.encode_special_tokens = True
        self._dtype = dtype
        added = tokenizer.added_tokens_decoder.values()
        self._stretches = (
            None  # words of their own, which may hold spaces, are matched before anything is cut
            if any(not token.special for token in added)
            else _stretches(tokenizer.tokenize_chinese_chars)
        )
        self._remembered = _Remembered(self._encoded)

    def _encoded(self, text: str) -> bytes:
        [encoding] = self._backend.encode_batch_fast([text], add_special_tokens=False)
        return np.array(encoding.ids, dtype=self._dtype).tobytes()

    def __call__(self, text: str) -> np.ndarray:
        """Return the ids of a document, without special tokens around it."""
        if self._stretches is None:
            ids = self._encoded(text)
        else:
            look_up, find = self._remembered.__getitem__, self._stretches
            ids = b"".join(b"".join(map(look_up, find(segment))) for segment in _segments(text))
        return np.frombuffer(ids, dtype=self._dtype)


class _Remembered(dict[str, bytes]):
    def __init__(self, make: Callable[[str], bytes]) -> None:
        self._make = make

    def __missing__(self, text: str) -> bytes:
        ids = self._make(text)
        if len(text) <= _MAX_LENGTH:
            if len(self) >= _MAX_REMEMBERED:
                self.clear()
            self[text] = ids
        return ids


def _stretches(chinese_chars: bool) -> Callable[[str], list[str]]:
    alone = "!-/:-@\\[-`{-~" + ("\u4e00-\u9fff" if chinese_chars else "")
    return re.compile(f"[^ \\t\\n\\r{alone}]+|[{alone}]").findall


def _segments(text: str) -> Iterator[str]:
    """Cut a long text at white space."""
    start = 0
    while len(text) - start > _SEGMENT:
        space = _SPACE.search(text, start + _SEGMENT)
        if space is None:
            break
        yield text[start : space.start()]
        start = space.end()
    yield text[start:] if start else text
