"""`DistilBertTokenizerFast`: the tokenizer on the Rust library."""

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

from tokenizers import AddedToken, Tokenizer

from distilbert.fields import integer, optional
from distilbert.tokenization.added_tokens import flags_of
from distilbert.tokenization.arguments import added_of, name_of, rare_options, vocab_of, words_of
from distilbert.tokenization.files import SETTINGS, Opened
from distilbert.tokenization.rust_engine import RustEngine, build_backend
from distilbert.tokenization.spec import Spec, spec_of_json, spec_of_json_file
from distilbert.tokenization.tokenizer import BertStyleTokenizer
from distilbert.tokenization.training import train_vocab
from distilbert.tokenization.vocabulary import as_added_token, listed_tokens

_logger = logging.getLogger("distilbert")


class DistilBertTokenizerFast(BertStyleTokenizer):
    """WordPiece by the Rust library: batches are cut in parallel.

    Args:
        vocab_file: path of a vocab.txt, or a mapping of tokens to ids.
        tokenizer_file: path of a tokenizer.json, instead of vocab_file.
        do_lower_case: as in `DistilBertTokenizer`, and so are the arguments that follow. None is
            what tokenizer_file says, True without one.
        kwargs: those of `DistilBertTokenizer`, or tokenizer_object, a `tokenizers.Tokenizer`.

    Raises:
        OSError: there is no such file.
        TypeError: an unknown argument.
        ValueError: neither file is given; a file is no vocabulary, or describes another kind of
            tokenizer than BERT's; a special token is not in the vocabulary.

    Example:
        >>> tokens = "[PAD] [UNK] [CLS] [SEP] [MASK] small ##er models"
        >>> tokenizer = DistilBertTokenizerFast({t: i for i, t in enumerate(tokens.split())})
        >>> batch = tokenizer(["small models", "models"], padding=True, return_tensors="np")
        >>> batch.input_ids.tolist()
        [[2, 5, 7, 3], [2, 7, 3, 0]]
    """

    is_fast: ClassVar[bool] = True
    _engine: RustEngine

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | Mapping[str, int] | None = None,
        tokenizer_file: str | os.PathLike[str] | None = None,
        do_lower_case: bool | None = None,
        unk_token: str | AddedToken = "[UNK]",
        sep_token: str | AddedToken = "[SEP]",
        pad_token: str | AddedToken | None = "[PAD]",
        cls_token: str | AddedToken = "[CLS]",
        mask_token: str | AddedToken | None = "[MASK]",
        tokenize_chinese_chars: bool | None = None,
        strip_accents: bool | None = None,
        **kwargs: Any,
    ) -> None:
        spec, sides = _read(vocab_file, tokenizer_file, kwargs.pop("tokenizer_object", None))
        said = {
            "do_lower_case": do_lower_case,
            "tokenize_chinese_chars": tokenize_chinese_chars,
            "strip_accents": strip_accents,
            "do_basic_tokenize": kwargs.pop("do_basic_tokenize", None),
            "never_split": words_of(kwargs.pop("never_split", None)) or None,
            **rare_options(kwargs),
        }
        spec = replace(
            spec,
            unk_token=name_of(unk_token),
            added={**spec.added, **added_of(kwargs.pop("added_tokens_decoder", None))},
            **{name: value for name, value in said.items() if value is not None},
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
        self._set_up(spec, roles, sides | kwargs)

    _own_init = __init__

    def _make_engine(self, spec: Spec) -> RustEngine:
        if spec.never_split or not spec.do_basic_tokenize:
            _logger.warning(
                "%s: never_split and do_basic_tokenize=False are ignored, since the Rust library "
                "does not have them; DistilBertTokenizer has them",
                spec.origin,
            )
        return RustEngine(spec)

    def _bare_backend(self) -> Tokenizer:
        return build_backend(self._spec, self._engine.backend().model)

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The `tokenizers.Tokenizer` that cuts the text; it adds no special tokens."""
        return self._engine.backend(self.split_special_tokens)

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[str | Sequence[str]],
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: Sequence[str | AddedToken] | None = None,
        special_tokens_map: Mapping[str, str] | None = None,
        *,
        min_frequency: int = 0,
        show_progress: bool = False,
    ) -> Self:
        """Return a tokenizer that cuts like this one, with a vocabulary learned from text.

        The same text gives the same vocabulary: special tokens, the alphabet in code point order,
        its continuations, then pieces in the order they were joined, ties broken by id.

        Args:
            text_iterator: texts, or batches of texts. An iterator is read into memory; a list or
                data set is read twice.
            vocab_size: at most so many tokens, unless special tokens and alphabet are more.
            length: how many texts there are, for the progress bars.
            new_special_tokens: further special tokens.
            special_tokens_map: names of this tokenizer's special tokens to new names.
            min_frequency: how often two pieces must meet to be joined.
            show_progress: shows the Rust library's progress bars.

        Raises:
            TypeError: something else than texts or batches of them, than integers or than lists.
            ValueError: there is no text, or one has a lone surrogate; a number is negative; a
                renamed token is no special one.
        """
        length = optional(integer(0))("length", length)
        vocab_size = integer(0)("vocab_size", vocab_size)
        min_frequency = integer(0)("min_frequency", min_frequency)
        new_tokens = listed_tokens("new_special_tokens", new_special_tokens)
        renamed = dict(special_tokens_map or {})
        if unknown := sorted(renamed.keys() - set(self.all_special_tokens)):
            raise ValueError(
                f"special_tokens_map renames {unknown}, which are no special tokens of this "
                f"tokenizer: {self.all_special_tokens}"
            )
        roles = {role: renamed.get(name, name) for role, name in self._roles.items()}
        additional = [renamed.get(name, name) for name in self._additional]
        additional += map(str, new_tokens)
        first = [roles[role] for role in ("pad_token", "unk_token", "cls_token") if role in roles]
        specials = list(dict.fromkeys([*first, *roles.values(), *additional]))
        vocab = train_vocab(
            text_iterator,
            replace(self._spec, unk_token=roles["unk_token"]),
            specials,
            vocab_size=vocab_size,
            min_frequency=min_frequency,
            length=length,
            show_progress=show_progress,
        )
        flags = {}
        for token in self.added_tokens_decoder.values():
            name = renamed.get(token.content, token.content)
            flags[name] = AddedToken(**{**flags_of(token), "content": name})
        for new in new_tokens:
            if isinstance(new, AddedToken):
                flags[new.content] = as_added_token(new, special=True)
        added = {
            vocab[name]: flags[name] for name in specials if name in flags and flags[name].special
        }
        spec = replace(
            self._spec,
            vocab=vocab,
            added=added,
            unk_token=roles["unk_token"],
            origin="the trained vocabulary",
        )
        settings = {name: getattr(self, name) for name in (*SETTINGS, "model_input_names")}
        return self._of(Opened(spec, roles, additional, True, settings, self._unknown))


def _read(
    vocab_file: Any, tokenizer_file: Any, backend: Tokenizer | None
) -> tuple[Spec, dict[str, str]]:
    if backend is not None:
        return spec_of_json(json.loads(backend.to_str()), "tokenizer_object")
    if tokenizer_file is not None:
        return spec_of_json_file(Path(tokenizer_file))
    if vocab_file is None:
        raise ValueError(
            "give vocab_file (a vocab.txt) or tokenizer_file (a tokenizer.json), "
            "or open a folder with from_pretrained"
        )
    vocab, origin = vocab_of(vocab_file)
    return Spec(vocab, origin=origin), {}
