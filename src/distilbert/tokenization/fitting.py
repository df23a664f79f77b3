"""The options that give rows their length, checked and put together once per call."""

import logging
from dataclasses import dataclass
from typing import Any, get_args

from distilbert.fields import integer, one_of, optional
from distilbert.tokenization import options
from distilbert.tokenization.options import Padding, Setting, Side, Truncation
from distilbert.tokenization.special_layout import SpecialLayout

_logger = logging.getLogger("distilbert")

_LARGE = int(1e20)
_truncations = one_of(*get_args(Truncation))
_paddings = one_of(*get_args(Padding))
_stride = optional(integer(0))


@dataclass(frozen=True, slots=True)
class Fit:
    """How rows get their length: what is cut, and what is filled up."""

    truncation: Truncation
    padding: Padding
    max_length: int | None
    stride: int
    multiple: int | None
    truncation_side: Side
    padding_side: Side

    def padded_length(self, longest: int) -> int:
        """Return the length to pad to in a batch whose longest row is given."""
        length = longest
        if self.padding == "max_length" and self.max_length is not None:
            length = self.max_length
        return -(-length // self.multiple) * self.multiple if self.multiple else length


class Fitting(SpecialLayout):
    """Reads padding and truncation options; warns once about what deserves it."""

    model_max_length = Setting(options.bound)
    padding_side = Setting(options.side)
    truncation_side = Setting(options.side)
    verbose: bool = True
    deprecation_warnings: dict[str, bool]  # those that were given, or are not to be

    @property
    def max_len_single_sentence(self) -> int:
        """How many pieces of one text fit the model beside the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int:
        """How many pieces of two texts fit the model beside the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def _warn_once(self, key: str, message: str, *values: Any) -> None:
        if self.verbose and not self.deprecation_warnings.get(key):
            self.deprecation_warnings[key] = True
            _logger.warning(message, *values)

    def _fit(
        self,
        padding: bool | str | None,
        truncation: bool | str | None,
        max_length: int | None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        truncation_side: str | None = None,
        verbose: bool = True,
    ) -> Fit:
        """Check the options and fill in what the tokenizer says.

        Raises:
            ValueError: an unknown word, a number out of range, or padding without a pad token.
        """
        max_length = options.length("max_length", max_length)
        stride = _stride("stride", stride) or 0
        pad_to_multiple_of = options.length("pad_to_multiple_of", pad_to_multiple_of)
        if max_length is not None and padding in (False, None) and truncation is None:
            truncation = True
            if verbose:
                self._warn_once(
                    "truncation",
                    "max_length was given without truncation: texts are cut to max_length, "
                    "as with truncation=True; say so, or truncation=False to keep them whole",
                )
        cut = _truncation(truncation)
        pad = _padding(padding)
        bound = self.model_max_length if self.model_max_length <= _LARGE else None
        if max_length is None and (cut != "do_not_truncate" or pad == "max_length"):
            if bound is None and verbose:
                self._warn_once(
                    "bound",
                    "no max_length was given and this tokenizer has no model_max_length: nothing "
                    "is cut, or padded to it",
                )
            if bound is None:
                cut, pad = "do_not_truncate", "do_not_pad" if pad == "max_length" else pad
            max_length = bound
        if pad != "do_not_pad" and self.pad_token is None:
            raise ValueError(
                "padding needs a pad token and this tokenizer has none; set tokenizer.pad_token, "
                "or add one with add_special_tokens({'pad_token': '[PAD]'})"
            )
        both = cut != "do_not_truncate" and pad != "do_not_pad"
        if both and max_length and pad_to_multiple_of and max_length % pad_to_multiple_of:
            raise ValueError(
                f"max_length={max_length} is not a multiple of pad_to_multiple_of="
                f"{pad_to_multiple_of}, so padded rows would be longer than truncation allows"
            )
        return Fit(
            cut,
            pad,
            max_length,
            stride,
            pad_to_multiple_of,
            options.side("truncation_side", truncation_side or self.truncation_side),
            options.side("padding_side", padding_side or self.padding_side),
        )

    def _room(self, fit: Fit, pair: bool, framed: bool) -> int | None:
        """Return how many pieces of text a row holds, None if any number.

        Raises:
            ValueError: not even the special tokens fit, or windows would not advance.
        """
        if fit.truncation == "do_not_truncate" or fit.max_length is None:
            return None
        special = self.num_special_tokens_to_add(pair) if framed else 0
        room = fit.max_length - special
        if room < 0:
            raise ValueError(
                f"max_length={fit.max_length} is too small: a {'pair' if pair else 'text'} has "
                f"{special} special tokens; raise it or pass add_special_tokens=False"
            )
        if fit.stride and fit.stride >= fit.max_length - min(special, 2):
            raise ValueError(
                f"stride={fit.stride} must be smaller than what a row holds beside its special "
                f"tokens (max_length={fit.max_length} less {min(special, 2)})"
            )
        return room

    def _warn_if_long(self, length: int, fit: Fit, verbose: bool) -> None:
        if fit.max_length is None and length > self.model_max_length and verbose:
            self._warn_once(
                "sequence-length-is-longer-than-the-specified-maximum",
                "a sequence of %d tokens is longer than the model takes (%d); "
                "pass truncation=True, or the model will refuse it",
                length,
                self.model_max_length,
            )


def _truncation(value: Any) -> Truncation:
    if value is True:
        return "longest_first"
    if value is None or value is False:
        return "do_not_truncate"
    return _truncations("truncation", value)


def _padding(value: Any) -> Padding:
    if value is True:
        return "longest"
    if value is None or value is False:
        return "do_not_pad"
    return _paddings("padding", value)
