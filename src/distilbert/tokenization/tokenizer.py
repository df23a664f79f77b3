"""The tokenizer but for its engine: made of a `Spec`, opened from files, saved to them."""

import copy
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

from tokenizers import AddedToken, Tokenizer, processors

from distilbert.errors import reworded
from distilbert.folders import staged, write_json
from distilbert.foreign_options import Table, without_foreign
from distilbert.hub import Pushable, Source, push_folder, refuse_hub_options
from distilbert.tokenization.added_tokens import flags_of
from distilbert.tokenization.arguments import overridden
from distilbert.tokenization.decoding import Decoding
from distilbert.tokenization.engine import Engine
from distilbert.tokenization.files import (
    ADDED_FILE,
    SPECIAL_FILE,
    TOKENIZER_CONFIG_FILE,
    TOKENIZER_FILE,
    VOCAB_FILE,
    Opened,
    open_files,
    vocab_text,
)
from distilbert.tokenization.options import UNBOUNDED, Setting
from distilbert.tokenization.own_constructor import constructor_arguments
from distilbert.tokenization.rust_engine import build_backend, hand_over
from distilbert.tokenization.spec import CUTTING, Spec, check_vocab
from distilbert.tokenization.vocabulary import LOOKED_UP, ROLES, as_added_token, listed_tokens

PathLike = str | os.PathLike[str]
_logger = logging.getLogger("distilbert")
_MODEL_INPUTS = ("input_ids", "attention_mask")
_DEFAULTS: dict[str, Any] = {  # of the attributes that are a `Setting`
    "model_max_length": None,
    "padding_side": "right",
    "truncation_side": "right",
    "model_input_names": _MODEL_INPUTS,
    "split_special_tokens": False,
}


class BertStyleTokenizer(Decoding, Pushable, ABC):
    """What `DistilBertTokenizer` and `DistilBertTokenizerFast` share: all but the engine."""

    vocab_files_names: ClassVar[dict[str, str]] = {
        "vocab_file": VOCAB_FILE,
        "tokenizer_file": TOKENIZER_FILE,
    }

    _own_init: ClassVar[Any]  # the constructor that opening can do without: not a subclass's

    @abstractmethod
    def _make_engine(self, spec: Spec) -> Engine:
        """Make the engine that the tokenizer cuts with."""

    def _set_up(
        self,
        spec: Spec,
        roles: Mapping[str, str | AddedToken | None],
        settings: Mapping[str, Any],
        unknown: Mapping[str, Any] | None = None,
    ) -> None:
        """Build the engine and take over the settings of a constructor.

        Raises:
            TypeError: an unknown setting, or a special token that is no string.
            ValueError: a special token is not in the vocabulary, or a setting is not valid.
        """
        left = dict(settings)
        additional = [
            token
            for name in ("additional_special_tokens", "extra_special_tokens")
            for token in listed_tokens(name, left.pop(name, None))
        ]
        if "max_len" in left:
            left.setdefault("model_max_length", left.pop("max_len"))
        for name, default in _DEFAULTS.items():
            setting: Setting[Any] = getattr(BertStyleTokenizer, name)
            own = getattr(type(self), name)  # a subclass may have a default of its own
            given = left.pop(name, default if own is setting else own)
            setattr(self, name, setting.read(name, given))
        self.clean_up_tokenization_spaces = left.pop("clean_up_tokenization_spaces", True)
        self.verbose = left.pop("verbose", True)
        self.name_or_path = str(left.pop("name_or_path", ""))
        if left:
            raise TypeError(
                f"{type(self).__name__} got unknown arguments: {', '.join(map(repr, left))}"
            )
        self._unknown = dict(unknown or {})
        self.deprecation_warnings = {}
        self._prefix = spec.continuing_subword_prefix
        named = {role: token for role, token in roles.items() if token is not None}
        for role, token in named.items():
            if not isinstance(token, str | AddedToken):
                raise TypeError(f"{role} must be a string or an AddedToken, not {token!r}")
        super().__init__({role: str(token) for role, token in named.items()}, map(str, additional))
        self._start(spec, [*named.values(), *additional])

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what use leaves behind: `datasets` knows a tokenizer by its pickle."""
        kept = {name: value for name, value in vars(self).items() if name not in LOOKED_UP}
        return {**kept, "deprecation_warnings": {}}

    def __copy__(self) -> Self:
        """Copy deeply: tokens that a copy adds are not the original's."""
        return copy.deepcopy(self)

    def _start(self, spec: Spec, specials: Sequence[str | AddedToken] = ()) -> None:
        """Make the engine, with its added tokens."""
        added = {token.content: index for index, token in spec.added.items()}
        if spec.unk_token in added and spec.unk_token not in spec.vocab:
            # WordPiece looks it up in the vocabulary, whose ids have no gap before added ones.
            spec = replace(spec, vocab=check_vocab({**spec.vocab, **added}, spec.origin))
        self._spec = replace(spec, added={})
        self._cut_with(self._make_engine(spec))
        self._place_tokens(spec, specials)

    def _set_role(self, role: str, token: Any) -> None:
        super()._set_role(role, token)
        if role == "unk_token":  # which the engine puts in the place of words
            added = self._engine.added_tokens
            self._start(replace(self._spec, unk_token=str(token), added=added))

    def _place_tokens(self, spec: Spec, specials: Sequence[str | AddedToken]) -> None:
        """Give the engine its added tokens at their ids."""
        placed = {token.content for token in spec.added.values()}
        tokens = {**spec.added}
        for special in specials:
            index = spec.vocab.get(str(special))
            if index is not None and str(special) not in placed:
                tokens[index] = as_added_token(special, special=True)
        self._engine.add_tokens([tokens[index] for index in sorted(tokens)])
        for index, token in tokens.items():
            actual = self._engine.token_to_id(token.content)
            if actual != index:
                raise ValueError(
                    f"{spec.origin}: the added token {token.content!r} should have the id {index}, "
                    f"but ids go on after the vocabulary without a gap, so it gets {actual}"
                )
        for role, name in self._roles.items():
            if self._engine.token_to_id(name) is None:
                raise ValueError(
                    f"{spec.origin} has no {name!r}, the {role}; add it to the vocabulary, or say "
                    f"which token has its role with {role}=…"
                )
        new = [token for token in specials if self._engine.token_to_id(str(token)) is None]
        self._engine.add_tokens([as_added_token(token, special=True) for token in new])

    @property
    def do_lower_case(self) -> bool:
        """Whether text is lower-cased."""
        return self._spec.do_lower_case

    @property
    def strip_accents(self) -> bool | None:
        """Whether accents are removed; None: if text is lower-cased."""
        return self._spec.strip_accents

    @property
    def tokenize_chinese_chars(self) -> bool:
        """Whether every Chinese character is a word."""
        return self._spec.tokenize_chinese_chars

    @property
    def init_kwargs(self) -> dict[str, Any]:
        """What tokenizer_config.json says of this tokenizer, and `name_or_path`: a copy."""
        return {**self._config(), "name_or_path": self.name_or_path}

    def __repr__(self) -> str:
        bound = "unbounded" if self.model_max_length >= UNBOUNDED else self.model_max_length
        return (
            f"{type(self).__name__}({len(self)} tokens, do_lower_case={self.do_lower_case}, "
            f"model_max_length={bound}, padding_side={self.padding_side!r}, "
            f"special_tokens={self.special_tokens_map})"
        )

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: PathLike,
        *,
        cache_dir: PathLike | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        revision: str | None = None,
        subfolder: str = "",
        **overrides: Any,
    ) -> Self:
        """Open the tokenizer of a folder or a hub repository, whichever of the two saved it.

        Args:
            pretrained_model_name_or_path: path of a folder, or hub id; or of one vocabulary, a
                `.txt` file, which the constructor opens as `vocab_file`: nothing else is read.
            cache_dir: where downloads are kept.
            force_download: download again what is there already.
            local_files_only: never ask the hub.
            token: of the hub, for private repositories.
            revision: branch, tag or commit.
            subfolder: folder inside that holds the files.
            overrides: arguments of the constructor that replace what the files say. That of a
                subclass is called with the vocabulary, as a mapping, and with what it names or
                what is not as usual.

        Raises:
            OSError: there are no tokenizer files, or they cannot be reached.
            TypeError: an unknown argument.
            ValueError: a file is malformed, or describes another kind of tokenizer.
        """
        source = Source(
            pretrained_model_name_or_path,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
            revision=revision,
            subfolder=subfolder,
        )
        opened = open_files(source)
        opened.settings.setdefault("name_or_path", os.fspath(pretrained_model_name_or_path))
        return cls._of(overridden(opened, without_foreign(overrides, cls._foreign())))

    @classmethod
    def _foreign(cls) -> Table:
        """Return those of transformers' `from_pretrained` that tokenizers alone have not."""
        return {
            "config": ((None,), "leave it out, the class says which tokenizer it is"),
            "tokenizer_file": ((None,), "DistilBertTokenizerFast(tokenizer_file=…) opens one file"),
            "use_fast": (
                (None, cls.is_fast),
                "DistilBertTokenizerFast is the fast one, DistilBertTokenizer the slow one",
            ),
        }

    @classmethod
    def _of(cls, opened: Opened) -> Self:
        """Make a tokenizer of what was opened, through the constructor if that is a subclass's."""
        if not opened.says_case:
            _warn_of_capitals(opened.spec)
        settings = {"additional_special_tokens": opened.additional, **opened.settings}
        if cls.__init__ is not cls._own_init:
            return cls._by_constructor(opened, settings)
        tokenizer = cls.__new__(cls)
        tokenizer._set_up(opened.spec, opened.roles, settings, opened.unknown)
        return tokenizer

    @classmethod
    def _by_constructor(cls, opened: Opened, settings: Mapping[str, Any]) -> Self:
        given, attributes = constructor_arguments(cls.__init__, opened, settings)
        vocabulary = () if "vocab_file" in given else (opened.spec.vocab,)
        make: Any = cls
        try:
            tokenizer: Self = make(*vocabulary, **given)
        except TypeError as error:
            raise reworded(
                error,
                f"{error}; {cls.__qualname__}.__init__ is given the vocabulary and what the files "
                f"and options say, here {sorted(given)}: it has to take **kwargs and hand them on, "
                "super().__init__(vocab_file, **kwargs), and may set no such option by itself",
            ) from error
        for name, value in attributes.items():
            setattr(tokenizer, name, value)
        tokenizer._unknown = dict(opened.unknown)
        return tokenizer

    def _bare_backend(self) -> Tokenizer:
        """Return a Rust tokenizer that has no added tokens yet."""
        return build_backend(self._spec)

    def _to_backend(self) -> Tokenizer:
        """Return a Rust tokenizer that does all this one does, special tokens included."""
        backend = self._bare_backend()
        hand_over(backend, self.added_tokens_decoder.values(), self._base)
        (cls_id, cls), (sep_id, sep), _ = self._frame
        backend.post_processor = processors.TemplateProcessing(
            single=[f"{cls}:0", "$A:0", f"{sep}:0"],
            pair=[f"{cls}:0", "$A:0", f"{sep}:0", "$B:1", f"{sep}:1"],
            special_tokens=[(cls, cls_id), (sep, sep_id)],
        )
        return backend

    def save_vocabulary(
        self, save_directory: PathLike, filename_prefix: str | None = None
    ) -> tuple[str]:
        """Write vocab.txt and return its path."""
        with staged(save_directory) as folder:
            path = self._write_vocab(folder, filename_prefix)
        return (os.path.join(save_directory, path.name),)

    def _write_vocab(self, folder: Path, prefix: str | None) -> Path:
        path = folder / (f"{prefix}-{VOCAB_FILE}" if prefix else VOCAB_FILE)
        path.write_text(vocab_text(self._base, path), encoding="utf-8", newline="\n")
        return path

    def save_pretrained(
        self,
        save_directory: PathLike,
        *,
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
        push_to_hub: bool = False,
        **hub: Any,
    ) -> tuple[str, ...]:
        """Write every file that either tokenizer, here or in transformers, opens.

        Files are complete before the first old one is replaced. tokenizer.json is left out where
        it cannot say what this tokenizer does (never_split, do_basic_tokenize=False).

        Args:
            save_directory: made if missing.
            legacy_format: None, which is all files.
            filename_prefix: put before each name, with a hyphen.
            push_to_hub: uploads the folder afterwards; `hub` goes to `push_to_hub`.

        Returns:
            The paths of the files.

        Raises:
            ValueError: legacy_format asks for some files only.
        """
        if legacy_format is not None:
            raise ValueError(
                f"legacy_format={legacy_format!r} asks for some of the files, and all are written: "
                "leave it out, and delete the files that you do not want"
            )
        refuse_hub_options(push_to_hub, hub)
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        superseded = [f"{prefix}{name}" for name in (TOKENIZER_FILE, ADDED_FILE)]
        with staged(save_directory, replaces=superseded) as folder:
            self._write_vocab(folder, filename_prefix)
            if self._spec.do_basic_tokenize and not self._spec.never_split:
                text = self._to_backend().to_str(pretty=True)  # its own save raises no OSError
                (folder / f"{prefix}{TOKENIZER_FILE}").write_text(
                    text, encoding="utf-8", newline="\n"
                )
            write_json(folder / f"{prefix}{TOKENIZER_CONFIG_FILE}", self._config())
            write_json(folder / f"{prefix}{SPECIAL_FILE}", self._special_map())
            added = {t: i for t, i in self.added_tokens_encoder.items() if t not in self._base}
            if added:
                write_json(folder / f"{prefix}{ADDED_FILE}", added)
            names = sorted(path.name for path in folder.iterdir())
        if push_to_hub:
            push_folder(save_directory, **hub)
        return tuple(os.path.join(save_directory, name) for name in names)

    def _config(self) -> dict[str, Any]:
        spec = self._spec
        config: dict[str, Any] = {
            **self._unknown,
            **{role: self._roles.get(role) for role in ROLES if role in self._roles},
            **{name: getattr(spec, name) for name in CUTTING},
            "added_tokens_decoder": {
                str(index): flags_of(token) for index, token in self.added_tokens_decoder.items()
            },
            "clean_up_tokenization_spaces": self.clean_up_tokenization_spaces,
            "model_max_length": self.model_max_length,
            "never_split": list(spec.never_split) or None,
            "padding_side": self.padding_side,
            "tokenizer_class": "DistilBertTokenizer",
            "truncation_side": self.truncation_side,
        }
        for role in ("pad_token", "mask_token"):
            config.setdefault(role, None)
        if self._additional:
            config["additional_special_tokens"] = list(self._additional)
        if self.split_special_tokens:
            config["split_special_tokens"] = True
        if tuple(self.model_input_names) != _MODEL_INPUTS:
            config["model_input_names"] = list(self.model_input_names)
        return config

    def _special_map(self) -> dict[str, Any]:
        tokens = {token.content: token for token in self.added_tokens_decoder.values()}
        plain = flags_of(AddedToken("", normalized=False, special=True))

        def entry(name: str) -> Any:
            flags = flags_of(tokens[name]) if name in tokens else plain
            if {**flags, "content": ""} == plain:
                return name
            del flags["special"]
            return flags

        return {
            role: [entry(name) for name in value] if isinstance(value, list) else entry(value)
            for role, value in self.special_tokens_map.items()
        }


_told: set[str] = set()  # the files that have been warned of


def _warn_of_capitals(spec: Spec) -> None:
    """Warn, once for a file, if text is lower-cased by default and its words have capitals."""
    words = (token for token in spec.vocab if token.removeprefix("##").isalpha())
    found = next((word for word in words if word != word.lower()), None)
    if found is not None and spec.origin not in _told:
        _told.add(spec.origin)
        _logger.warning(
            "%s has words with capitals, such as %r, and no file beside it says do_lower_case: "
            'text is lower-cased. If the model is cased, put {"do_lower_case": false} into a %s '
            "beside it, or open the tokenizer with do_lower_case=False",
            spec.origin,
            found,
            TOKENIZER_CONFIG_FILE,
        )
