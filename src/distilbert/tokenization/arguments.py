"""Arguments of the tokenizers' constructors: read, checked, put in the place of what files say."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from distilbert.tokenization.files import Opened
from distilbert.tokenization.spec import CUTTING, added_token_of, check_vocab
from distilbert.tokenization.vocabulary import ROLES
from distilbert.tokenization.wordpiece import load_vocab


def name_of(token: Any) -> Any:
    """Return the text of a special token; what is none is refused where it is used."""
    return token.content if isinstance(token, AddedToken) else token


def words_of(never_split: Iterable[str] | None) -> tuple[str, ...]:
    """Read the `never_split` argument of a constructor.

    Raises:
        TypeError: it is no list of words.
    """
    words = () if never_split is None else never_split
    if isinstance(words, str) or not all(isinstance(word, str) for word in words):
        raise TypeError(f"never_split must be a list of words, not {never_split!r}")
    return tuple(words)


def rare_options(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Take what constructors have no parameter for out of their keyword arguments."""
    names = ("clean_text", "max_input_chars_per_word", "continuing_subword_prefix")
    options = {name: kwargs.pop(name, None) for name in names}
    return {name: value for name, value in options.items() if value is not None}


def vocab_of(vocab_file: Any) -> tuple[dict[str, int], str]:
    """Return a vocabulary and where it is from: a file's path, or a mapping given as it is.

    Raises:
        OSError: there is no such file.
        TypeError: neither a path nor a mapping.
    """
    if isinstance(vocab_file, Mapping):
        return check_vocab(vocab_file, "the vocabulary"), "the vocabulary"
    if not isinstance(vocab_file, str | os.PathLike):
        raise TypeError(
            f"vocab_file must be the path of a vocab.txt, or a mapping, not {vocab_file!r}"
        )
    path = Path(vocab_file)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; open it with from_pretrained")
    return load_vocab(path), str(path)


def added_of(decoder: Mapping[Any, Any] | None) -> dict[int, AddedToken]:
    """Read the `added_tokens_decoder` argument of a constructor."""
    return {
        int(index): added_token_of(entry, "added_tokens_decoder")
        for index, entry in (decoder or {}).items()
    }


def overridden(opened: Opened, overrides: Mapping[str, Any]) -> Opened:
    """Replace what files say by arguments of the constructor."""
    # None is what the files say; strip_accents has a meaning of its own for it.
    cutting = {
        name: value
        for name, value in overrides.items()
        if name in CUTTING and (value is not None or name == "strip_accents")
    }
    if "never_split" in overrides:
        cutting["never_split"] = words_of(overrides["never_split"])
    roles: dict[str, Any] = dict(opened.roles)
    roles.update({role: token for role, token in overrides.items() if role in ROLES})
    if roles.get("unk_token"):
        cutting["unk_token"] = str(roles["unk_token"])
    named = {*CUTTING, *ROLES, "never_split"}
    rest = {name: value for name, value in overrides.items() if name not in named}
    if "max_len" in rest:
        rest.setdefault("model_max_length", rest.pop("max_len"))
    return replace(
        opened,
        spec=replace(opened.spec, **cutting),
        roles=roles,
        says_case=opened.says_case or "do_lower_case" in cutting,
        settings={**opened.settings, **rest},
    )
