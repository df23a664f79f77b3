"""A tokenizer's files: which there are, what they say, and which one is believed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from distilbert.folders import read_json, write_json
from distilbert.hub import SINGLE_WEIGHTS, Source
from distilbert.pretrained_config import PretrainedConfig
from distilbert.tokenization import options
from distilbert.tokenization.spec import CUTTING, Spec, added_token_of, spec_of_json, typed
from distilbert.tokenization.vocabulary import ROLES
from distilbert.tokenization.wordpiece import load_vocab

VOCAB_FILE = "vocab.txt"
TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
SPECIAL_FILE = "special_tokens_map.json"
ADDED_FILE = "added_tokens.json"
TOKENIZER_FILES = (VOCAB_FILE, TOKENIZER_FILE, TOKENIZER_CONFIG_FILE, SPECIAL_FILE, ADDED_FILE)

DEFAULT_ROLES = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_CLASSES = {  # whose files serve a BERT and a DistilBERT alike, but for the name
    "BertTokenizer",
    "BertTokenizerFast",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
}
_MOST_UNUSED = 1 << 20  # ids without a token that a vocab.txt may name
_ADDITIONAL: dict[str, type | tuple[type, ...]] = {
    "additional_special_tokens": list,
    "extra_special_tokens": (list, dict),
}
# Read beside the roles, the options of cutting and the settings.
_READ = {
    "added_tokens_decoder",
    *_ADDITIONAL,
    "max_len",
    "model_input_names",
    "never_split",
}
# Left behind: true of the files and of the class that wrote them, not of a tokenizer.
_PASSING = {
    "backend",
    "is_local",
    "local_files_only",
    "name_or_path",
    "special_tokens_map_file",
    "tokenizer_class",
    "tokenizer_file",
    "vocab_file",
}


@dataclass
class Opened:
    """What the files of a folder say together.

    Args:
        says_case: whether they say if text is lower-cased; else the default does.
        settings: attributes of the tokenizer, by name.
        unknown: entries of tokenizer_config.json that mean nothing here and are kept.
    """

    spec: Spec
    roles: dict[str, str]
    additional: list[str]
    says_case: bool
    settings: dict[str, Any] = field(default_factory=dict)
    unknown: dict[str, Any] = field(default_factory=dict)


SETTINGS: dict[str, type | tuple[type, ...]] = {
    "model_max_length": (int, float),
    "padding_side": str,
    "truncation_side": str,
    "clean_up_tokenization_spaces": bool,
    "split_special_tokens": bool,
}


def open_files(source: Source) -> Opened:
    """Read every tokenizer file of a folder or repository, or one vocabulary alone.

    tokenizer.json comes before vocab.txt; where tokenizer_config.json differs from it in how text
    is cut, the configuration wins, as in transformers 4.

    Raises:
        OSError: there is neither a tokenizer.json nor a vocab.txt, or another file was given.
        ValueError: a file is malformed, files disagree about a token's id, or tokenizer.json puts
            other tokens around a text, or in the place of an unknown word, than ours do.
    """
    file = Path(source.name)
    if file.is_file() and file.suffix in SINGLE_WEIGHTS:
        source = replace(source, name=file.parent)  # the tokenizer lies beside the weights
    elif file.is_file():
        if file.suffix != ".txt":
            raise OSError(
                f"{file} is a file: give its folder, or open it by itself: "
                "DistilBertTokenizer(vocab_file=…) or DistilBertTokenizerFast(tokenizer_file=…)"
            )
        spec = Spec(load_vocab(file), origin=str(file))
        return Opened(spec, dict(DEFAULT_ROLES), [], says_case=False)
    config, origin = _read(source, TOKENIZER_CONFIG_FILE)
    settings: dict[str, Any] = {}
    content: dict[str, Any] | None = None
    if (path := source.find(TOKENIZER_FILE)) is not None:
        content = read_json(path)
        spec, sides = spec_of_json(content, str(path))
        settings.update(sides)
    elif (path := source.find(VOCAB_FILE)) is not None:
        spec = Spec(load_vocab(path), origin=str(path))
    else:
        raise OSError(f"{source} has no tokenizer: neither {TOKENIZER_FILE} nor {VOCAB_FILE}")
    spec = replace(spec, **_cutting(config, origin))
    for name, kind in SETTINGS.items():
        value = config.get("max_len") if name == "model_max_length" else None
        value = config.get(name, value)
        if value is not None:
            settings[name] = typed(value, kind, name, origin)
    if config.get("model_input_names") is not None:
        settings["model_input_names"] = _words(config, "model_input_names", origin)
    roles, additional, added = _special_tokens(source, config, origin, spec)
    if content is not None:
        _check_special(content, roles, replace(spec, added=added))
    known = {*ROLES, *CUTTING, *SETTINGS, *_READ, *_PASSING}
    unknown = {name: value for name, value in config.items() if name not in known}
    says_case = content is not None or config.get("do_lower_case") is not None
    return Opened(replace(spec, added=added), roles, additional, says_case, settings, unknown)


def fit_to_model(folder: Path, config: PretrainedConfig) -> None:
    """Make tokenizer_config.json say what the model in the same folder takes.

    Segment ids for pairs are those that it was trained with: transformers gives them by the class
    that the file names, and our own `save_pretrained` names DistilBERT's. Texts that are cut have
    as many tokens as the model has positions, or fewer if the file says so.

    Args:
        config: of the model.
    """
    path = folder / TOKENIZER_CONFIG_FILE
    content = read_json(path) if path.is_file() else {}
    has_segments = config.type_vocab_size > 1
    if content.get("tokenizer_class") in _CLASSES:
        content["tokenizer_class"] = "BertTokenizer" if has_segments else "DistilBertTokenizer"
    if not has_segments and content.get("model_input_names"):
        names = content["model_input_names"]
        content["model_input_names"] = [name for name in names if name != "token_type_ids"]
    limit = content.get("model_max_length", content.pop("max_len", None))
    content["model_max_length"] = min(
        options.bound("model_max_length", limit), config.max_position_embeddings
    )
    write_json(path, content)


def _read(source: Source, filename: str) -> tuple[dict[str, Any], str]:
    path = source.find(filename)
    return ({}, filename) if path is None else (read_json(path), str(path))


def _cutting(config: Mapping[str, Any], origin: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, kind in CUTTING.items():
        if name == "strip_accents" and name in config and config[name] is None:
            options[name] = None
        elif config.get(name) is not None:
            options[name] = typed(config[name], kind, name, origin)
    if config.get("never_split") is not None:
        options["never_split"] = tuple(_words(config, "never_split", origin))
    return options


def _words(config: Mapping[str, Any], name: str, origin: str) -> list[str]:
    return [typed(word, str, name, origin) for word in typed(config[name], list, name, origin)]


def _special_tokens(
    source: Source, config: dict[str, Any], origin: str, spec: Spec
) -> tuple[dict[str, str], list[str], dict[int, AddedToken]]:
    """Return roles, special tokens without one, and the added tokens by id."""
    added = dict(spec.added)
    origins = dict.fromkeys(config, origin)
    decoder = config.get("added_tokens_decoder")
    entries: dict[str, Any] = dict(config)
    if decoder is not None:
        for index, entry in typed(decoder, dict, "added_tokens_decoder", origin).items():
            _place(added, _as_index(index, origin), added_token_of(entry, origin), origin)
    else:
        special_map, special_origin = _read(source, SPECIAL_FILE)
        special_map = {name: value for name, value in special_map.items() if value is not None}
        entries.update(special_map)
        origins.update(dict.fromkeys(special_map, special_origin))
        added_ids, added_origin = _read(source, ADDED_FILE)
        specials = _special_names(entries, origins)
        for token, index in added_ids.items():
            if token not in {each.content for each in added.values()}:
                special = token in specials
                added_token = added_token_of(token, added_origin, special)
                _place(added, _as_index(index, added_origin), added_token, "")
    roles = {**DEFAULT_ROLES, "unk_token": spec.unk_token}
    for role in ROLES:
        if role in entries:
            named = _flagged(entries[role], origins[role])
            if named is None:
                roles.pop(role, None)
            else:
                roles[role] = named.content
                _flag(added, spec.vocab, named)
    additional = []
    for extra in _additional(entries, origins):
        additional.append(extra.content)
        _flag(added, spec.vocab, extra)
    return roles, list(dict.fromkeys(additional)), added


def _check_special(content: Mapping[str, Any], roles: Mapping[str, str], spec: Spec) -> None:
    """Refuse a tokenizer.json in which special tokens are used otherwise than they are here."""
    remedy = (
        "which of the two transformers believes depends on its class and version; make "
        f"{TOKENIZER_FILE} say what the model was trained on, or remove it and keep {VOCAB_FILE}"
    )
    if roles.get("unk_token") != spec.unk_token:
        raise ValueError(
            f"{spec.origin} puts {spec.unk_token!r} in the place of unknown words, while the "
            f"unk_token of the other files is {roles.get('unk_token')!r}: {remedy}"
        )
    ids = {**spec.vocab, **{token.content: index for index, token in spec.added.items()}}
    cls, sep = (ids.get(roles.get(role, "")) for role in ("cls_token", "sep_token"))
    if None in (cls, sep):  # which the tokenizer says
        return
    expected = [[cls, "A", sep], [cls, "A", sep, "B", sep]]
    try:
        frame = _frame(content.get("post_processor"))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        frame = None
    if frame != expected:
        raise ValueError(
            f"{spec.origin}: its post_processor does not put {roles['cls_token']!r} before a text "
            f"and {roles['sep_token']!r} behind it, with the ids {cls} and {sep}: {remedy}"
        )


def _frame(processor: Any) -> list[list[Any]] | None:
    """Return what a post-processor makes of a text, and of a pair: "A", "B" and added ids.

    None is for kinds that are not BERT's.
    """
    if processor["type"] == "Sequence":
        (only,) = processor["processors"]
        return _frame(only)
    if processor["type"] == "BertProcessing":
        cls, sep = processor["cls"][1], processor["sep"][1]
        return [[cls, "A", sep], [cls, "A", sep, "B", sep]]
    if processor["type"] != "TemplateProcessing":
        return None
    frame = []
    for form in ("single", "pair"):
        row: list[Any] = []
        for piece in processor[form]:
            ((kind, entry),) = piece.items()
            is_text = kind == "Sequence"
            row += [entry["id"]] if is_text else processor["special_tokens"][entry["id"]]["ids"]
        frame.append(row)
    return frame


def _special_names(entries: Mapping[str, Any], origins: Mapping[str, str]) -> set[str]:
    tokens = [_flagged(entries[role], origins[role]) for role in ROLES if role in entries]
    names = {token.content for token in tokens if token is not None}
    return {*names, *(t.content for t in _additional(entries, origins)), *DEFAULT_ROLES.values()}


def _additional(entries: Mapping[str, Any], origins: Mapping[str, str]) -> list[AddedToken]:
    """Read `additional_special_tokens` (4.x) and `extra_special_tokens` (5.x; a dict in late 4)."""
    found = []
    for name, kinds in _ADDITIONAL.items():
        if entries.get(name) is not None:
            listed = typed(entries[name], kinds, name, origins[name])
            each = listed.values() if isinstance(listed, dict) else listed
            found += [added_token_of(entry, origins[name], special=True) for entry in each]
    return found


def _flagged(entry: Any, origin: str) -> AddedToken | None:
    return None if entry is None else added_token_of(entry, origin, special=True)


def _flag(added: dict[int, AddedToken], vocab: Mapping[str, int], token: AddedToken) -> None:
    """Remember the flags of a special token of the vocabulary, unless they are known."""
    if token.content in vocab:
        added.setdefault(vocab[token.content], token)


def _place(added: dict[int, AddedToken], index: int, token: AddedToken, origin: str) -> None:
    former = added.get(index)
    if former is not None and former.content != token.content:
        raise ValueError(
            f"the files disagree: id {index} is {former.content!r} in {TOKENIZER_FILE} and "
            f"{token.content!r} in {origin or ADDED_FILE}"
        )
    added[index] = token


def _as_index(value: Any, origin: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ValueError(f"{origin}: {value!r} is not the id of a token") from None


def vocab_text(vocab: Mapping[str, int], path: Path) -> str:
    """Return the content of a vocab.txt; an id that no token has becomes `[unused…]`.

    Raises:
        ValueError: a token holds a line break, or an id is far beyond all others.
    """
    tokens = dict(zip(vocab.values(), vocab, strict=True))
    last = max(tokens)
    if last > _MOST_UNUSED + len(tokens):
        raise ValueError(
            f"{tokens[last]!r} has the id {last} where there are {len(tokens)} tokens: "
            f"most lines of {path} would have none"
        )
    if len(tokens) <= last:
        for index in set(range(last)) - tokens.keys():
            token = f"[unused{index}]"
            tokens[index] = f"[unused-{index}]" if token in vocab else token
    text = "\n".join(map(tokens.__getitem__, range(last + 1))) + "\n"
    if text.count("\n") > last + 1:
        token = next(token for token in vocab if "\n" in token)
        raise ValueError(f"the token {token!r} cannot be a line of {path}")
    return text
