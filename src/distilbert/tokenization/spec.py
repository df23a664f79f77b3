"""What defines a tokenizer, apart from the engine that runs it, and reading it from files."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from distilbert.folders import read_json
from distilbert.tokenization.text import check_text

# How text is cut, by the names that constructors and tokenizer_config.json have for it.
CUTTING = {
    "do_lower_case": bool,
    "strip_accents": bool,  # or None
    "tokenize_chinese_chars": bool,
    "clean_text": bool,
    "max_input_chars_per_word": int,
    "continuing_subword_prefix": str,
    "do_basic_tokenize": bool,
}


@dataclass(frozen=True)
class Spec:
    """Vocabulary, added tokens by id, and how text is cut.

    Args:
        origin: the file or object it comes from, for error messages.
    """

    vocab: dict[str, int]
    added: dict[int, AddedToken] = field(default_factory=dict)
    unk_token: str = "[UNK]"
    do_lower_case: bool = True
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True
    clean_text: bool = True
    max_input_chars_per_word: int = 100
    continuing_subword_prefix: str = "##"
    do_basic_tokenize: bool = True
    never_split: tuple[str, ...] = ()
    origin: str = "the vocabulary"

    def __post_init__(self) -> None:
        for name, kind in {**CUTTING, "unk_token": str}.items():
            value = getattr(self, name)
            if value is None and name == "strip_accents":
                continue
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise TypeError(f"{name} must be of type {kind.__name__}, not {value!r}")
        if not 1 <= self.max_input_chars_per_word < 1 << 31:
            raise ValueError(
                f"max_input_chars_per_word={self.max_input_chars_per_word} must be from 1 to "
                f"{(1 << 31) - 1}"
            )


def spec_of_json(content: Mapping[str, Any], origin: str) -> tuple[Spec, dict[str, str]]:
    """Read the content of a tokenizer.json; the second result has the sides that it remembers.

    Raises:
        ValueError: it is malformed, or it describes another kind of tokenizer than BERT's.
    """
    model = _part(content, "model", origin)
    kind = model.get("type", "WordPiece" if "continuing_subword_prefix" in model else None)
    if kind != "WordPiece":
        raise ValueError(f"{origin} has a {kind} model; DistilBERT's is WordPiece")
    normalizer = _bert_part(content, "normalizer", "BertNormalizer", origin)
    _bert_part(content, "pre_tokenizer", "BertPreTokenizer", origin)
    spec = Spec(
        vocab=check_vocab(model.get("vocab"), origin),
        added=_added(content.get("added_tokens") or [], origin),
        unk_token=_entry(model, "unk_token", str, "[UNK]", origin),
        do_lower_case=_entry(normalizer, "lowercase", bool, True, origin),
        strip_accents=_entry(normalizer, "strip_accents", bool, None, origin),
        tokenize_chinese_chars=_entry(normalizer, "handle_chinese_chars", bool, True, origin),
        clean_text=_entry(normalizer, "clean_text", bool, True, origin),
        max_input_chars_per_word=_entry(model, "max_input_chars_per_word", int, 100, origin),
        continuing_subword_prefix=_entry(model, "continuing_subword_prefix", str, "##", origin),
        origin=origin,
    )
    return spec, _sides(content)


def spec_of_json_file(path: Path) -> tuple[Spec, dict[str, str]]:
    """Read a tokenizer.json.

    Raises:
        OSError: there is no such file.
        ValueError: it is malformed, or it describes another kind of tokenizer than BERT's.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no tokenizer file {path}")
    return spec_of_json(read_json(path), str(path))


def check_vocab(vocab: Any, origin: str) -> dict[str, int]:
    """Return a mapping of tokens to ids that is one.

    Raises:
        ValueError: it is no such mapping, it is empty, two tokens share an id, or one has a lone
            surrogate.
    """
    if not isinstance(vocab, Mapping) or not vocab:
        raise ValueError(f"{origin} has no vocabulary: expected tokens and their ids, at least one")
    indices = vocab.values()
    sound = set(map(type, vocab)) == {str} and set(map(type, indices)) == {int}
    if sound and 0 <= min(indices) <= max(indices) < 1 << 31 and len(set(indices)) == len(vocab):
        with suppress(ValueError):
            check_text("".join(vocab))
            return dict(vocab)
    seen: dict[int, str] = {}
    for token, index in vocab.items():  # to say which one is wrong
        if not isinstance(token, str) or not isinstance(index, int) or isinstance(index, bool):
            raise ValueError(f"{origin}: {token!r}: {index!r} is not a token and its id")
        _require_text(token, "token", origin)
        if not 0 <= index < 1 << 31:
            raise ValueError(f"{origin}: the id of {token!r}, {index}, is out of range")
        if index in seen:
            raise ValueError(
                f"{origin} gives {seen[index]!r} and {token!r} the same id {index}: "
                "each token needs its own"
            )
        seen[index] = token
    return dict(vocab)


def added_token_of(entry: Any, origin: str, special: bool = False) -> AddedToken:
    """Return the token that a JSON object, or a plain string, stands for.

    Raises:
        ValueError: it stands for none.
    """
    if isinstance(entry, AddedToken):
        return entry
    if isinstance(entry, str):
        _require_text(entry, "token", origin)
        return AddedToken(entry, normalized=not special, special=special)
    if not isinstance(entry, Mapping) or not isinstance(entry.get("content"), str):
        raise ValueError(f"{origin}: {entry!r} is not an added token")
    _require_text(entry["content"], "token", origin)
    flags = {}
    for flag in ("single_word", "lstrip", "rstrip", "normalized", "special"):
        flags[flag] = _entry(entry, flag, bool, flag == "normalized", origin)
    flags["special"] = special or flags["special"]
    return AddedToken(entry["content"], **flags)


def typed(value: Any, kind: type | tuple[type, ...], name: str, origin: str) -> Any:
    """Return a value of a file that is of one type, or of one of some; a boolean is no number.

    Raises:
        ValueError: it is of another, or has a lone surrogate.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join(each.__name__ for each in kinds)
        raise ValueError(f"{origin}: {name}={value!r} is not of type {names}")
    if isinstance(value, str):
        _require_text(value, name, origin)
    return value


def _require_text(value: str, name: str, origin: str) -> None:
    try:
        check_text(value)
    except ValueError as error:
        raise ValueError(f"{origin}: {name}={value!r}: {error}") from None


def _added(entries: Any, origin: str) -> dict[int, AddedToken]:
    if not isinstance(entries, list):
        raise ValueError(f"{origin}: added_tokens is not a list")
    added = {}
    for entry in entries:
        token = added_token_of(entry, origin)
        index = entry.get("id") if isinstance(entry, Mapping) else None
        if not isinstance(index, int):
            raise ValueError(f"{origin}: the added token {token.content!r} has no id")
        added[index] = token
    return added


def _part(content: Mapping[str, Any], name: str, origin: str) -> Mapping[str, Any]:
    part = content.get(name)
    if not isinstance(part, Mapping):
        raise ValueError(f"{origin} has no {name} (an object), so it is not a tokenizer.json")
    return part


def _bert_part(content: Mapping[str, Any], name: str, kind: str, origin: str) -> Mapping[str, Any]:
    part = content.get(name)
    found = part.get("type") if isinstance(part, Mapping) else part
    if not isinstance(part, Mapping) or found != kind:
        raise ValueError(
            f"{origin} has the {name} {found}; DistilBERT's is {kind}, and another would cut text "
            "in ways the model was not trained on"
        )
    return part


def _entry(part: Mapping[str, Any], name: str, kind: type, default: Any, origin: str) -> Any:
    value = part.get(name)
    return default if value is None else typed(value, kind, name, origin)


def _sides(content: Mapping[str, Any]) -> dict[str, str]:
    sides = {}
    for name in ("padding", "truncation"):
        part = content.get(name)
        direction = part.get("direction") if isinstance(part, Mapping) else None
        if isinstance(direction, str):
            sides[f"{name}_side"] = direction.lower()
    return sides
