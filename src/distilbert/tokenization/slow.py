"""`DistilBertTokenizer`: the tokenizer in pure Python."""

import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar

from tokenizers import AddedToken

from distilbert.tokenization.arguments import added_of, name_of, rare_options, vocab_of, words_of
from distilbert.tokenization.basic import BasicTokenizer
from distilbert.tokenization.python_engine import PythonEngine
from distilbert.tokenization.spec import Spec
from distilbert.tokenization.tokenizer import BertStyleTokenizer
from distilbert.tokenization.wordpiece import WordpieceTokenizer


class DistilBertTokenizer(BertStyleTokenizer):
    """WordPiece in pure Python; ids, tokens and offsets equal those of `DistilBertTokenizerFast`.

    Args:
        vocab_file: path of a vocab.txt, or a mapping of tokens to ids.
        do_lower_case: lower-cases text (and removes accents, unless strip_accents says not to).
        do_basic_tokenize: False takes text as split at white space already.
        never_split: words that are left whole; where text is lower-cased, one with a capital never
            is (as in transformers 4.57).
        unk_token: stands for a word that the vocabulary cannot spell.
        sep_token: ends a text.
        pad_token: fills rows up; None if there is none.
        cls_token: begins a row.
        mask_token: stands for a hidden token; None if there is none.
        tokenize_chinese_chars: makes a word of every Chinese character.
        strip_accents: removes accents; None does where text is lower-cased.
        kwargs: model_max_length, padding_side, truncation_side, clean_up_tokenization_spaces,
            additional_special_tokens, bos_token, eos_token, model_input_names, split_special_tokens
            (False; True cuts special tokens that a text holds like other text, as untrusted text
            needs), verbose (False silences warnings), clean_text (False keeps control characters),
            max_input_chars_per_word (100; longer words are unknown), continuing_subword_prefix
            ("##").

    Raises:
        OSError: there is no such file.
        TypeError: an unknown argument.
        ValueError: the file is no vocabulary, or a special token is not in it.

    Example:
        >>> tokens = "[PAD] [UNK] [CLS] [SEP] [MASK] small ##er models"
        >>> vocab = {token: i for i, token in enumerate(tokens.split())}
        >>> tokenizer = DistilBertTokenizer(vocab)
        >>> tokenizer.tokenize("Smaller models")
        ['small', '##er', 'models']
        >>> tokenizer("smaller", "models", padding="max_length", max_length=7).input_ids
        [2, 5, 6, 3, 7, 3, 0]
    """

    is_fast: ClassVar[bool] = False

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | Mapping[str, int],
        do_lower_case: bool = True,
        do_basic_tokenize: bool = True,
        never_split: Iterable[str] | None = None,
        unk_token: str | AddedToken = "[UNK]",
        sep_token: str | AddedToken = "[SEP]",
        pad_token: str | AddedToken | None = "[PAD]",
        cls_token: str | AddedToken = "[CLS]",
        mask_token: str | AddedToken | None = "[MASK]",
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        **kwargs: Any,
    ) -> None:
        vocab, origin = vocab_of(vocab_file)
        spec = Spec(
            vocab,
            added_of(kwargs.pop("added_tokens_decoder", None)),
            unk_token=name_of(unk_token),
            do_lower_case=do_lower_case,
            strip_accents=strip_accents,
            tokenize_chinese_chars=tokenize_chinese_chars,
            do_basic_tokenize=do_basic_tokenize,
            never_split=words_of(never_split),
            origin=origin,
            **rare_options(kwargs),
        )
        roles = {
            "bos_token": kwargs.pop("bos_token", None),
            "eos_token": kwargs.pop("eos_token", None),
            "unk_token": unk_token,
            "sep_token": sep_token,
            "pad_token": pad_token,
            "cls_token": cls_token,
            "mask_token": mask_token,
        }
        self._set_up(spec, roles, kwargs)

    _own_init = __init__

    def _make_engine(self, spec: Spec) -> PythonEngine:
        for name in ("ids_to_tokens", "wordpiece_tokenizer"):  # of the engine before
            self.__dict__.pop(name, None)
        return PythonEngine(spec)

    @property
    def do_basic_tokenize(self) -> bool:
        """Whether text is cleaned and split at punctuation first."""
        return self._spec.do_basic_tokenize

    @property
    def never_split(self) -> list[str]:
        """Words that are left whole."""
        return list(self._spec.never_split)

    # What transformers 4 is made of; here copies, so that changing them changes nothing.

    @cached_property
    def ids_to_tokens(self) -> dict[int, str]:
        """The vocabulary without added tokens, id to token."""
        return {index: token for token, index in self._base.items()}

    @cached_property
    def basic_tokenizer(self) -> BasicTokenizer:
        """Text to words alone, as this tokenizer does it."""
        if not self._spec.do_basic_tokenize or not self._spec.clean_text:
            raise AttributeError(
                "with do_basic_tokenize=False or clean_text=False there is no basic_tokenizer"
            )
        return BasicTokenizer(
            self.do_lower_case, self.never_split, self.tokenize_chinese_chars, self.strip_accents
        )

    @cached_property
    def wordpiece_tokenizer(self) -> WordpieceTokenizer:
        """Words to pieces alone, as this tokenizer does it."""
        if self._prefix != "##":
            raise AttributeError(
                f"with continuing_subword_prefix={self._prefix!r} there is no wordpiece_tokenizer"
            )
        return WordpieceTokenizer(
            self._base, self._spec.unk_token, self._spec.max_input_chars_per_word
        )
