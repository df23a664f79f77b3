"""A recipe's settings, read from flags and a file: a flag for each field of a dataclass."""

import difflib
import inspect
import json
import re
import sys
import types
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints

from distilbert.printable import printable
from distilbert.recipes.given import note


def read_settings(prog: str, kind: type, arguments: list[str]) -> Any:
    """Return the dataclass `kind` filled from flags and the file of `--config`.

    The section `Args` of its docstring has the help of each flag. A tuple or list takes several
    words, a bool is `--name` or `--no_name`. A hyphen in a name is an underscore.
    """
    import jsonargparse

    about, help_of = _documentation(kind)
    types_of = get_type_hints(kind)

    class Parser(jsonargparse.ArgumentParser):
        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            # One line: the usage of thirty flags hides what is wrong.
            text = printable(_plain(message))
            print(f"{prog}: error: {text} (see {prog} --help)", file=sys.stderr)
            raise SystemExit(2)

        def parse_path(self, path: str, *args: Any, **kwargs: Any) -> Any:  # of --config
            if path == "-":
                return super().parse_path(path, *args, **kwargs)
            from distilbert.distillation.text_files import decode

            try:
                content = decode(Path(path).read_bytes(), path, 0)
            except ValueError as error:
                self.error(str(error))
            return self.parse_string(content, path, *args, **kwargs)

        def parse_string(self, content: str, *args: Any, **kwargs: Any) -> Any:  # of --config
            try:
                words = _words_of(content, types_of)
            except ValueError as error:
                self.error(str(error))
            return super().parse_string(json.dumps(words), *args, **kwargs)

    parser = Parser(prog=prog, description=about, allow_abbrev=False)
    parser.add_argument(
        "--config",
        action="config",
        help="YAML or JSON file of settings, each named as its flag; flags after it win.",
    )
    for entry in fields(kind):
        _add_flag(parser, entry, types_of[entry.name], help_of.get(entry.name, ""))
    known = sorted(parser._option_string_actions)
    words = [_with_underscores(word) for word in arguments]
    for given, word in zip(arguments, words, strict=True):
        flag = word.partition("=")[0]
        if flag.startswith("--") and flag != "--" and flag not in known:
            close = difflib.get_close_matches(flag, known)
            meant = f"; did you mean {close[0]}?" if close else ""
            parser.error(f"there is no flag {given.partition('=')[0]}{meant}")
    values = parser.parse_args(words, defaults=False).as_dict()  # the dataclass has them
    values.pop("config", None)
    for name, value in values.items():
        if isinstance(value, list) and get_origin(_sequence(types_of[name])) is tuple:
            values[name] = tuple(value)
    settings = kind(**values)
    note(settings, values.keys())
    return settings


def _with_underscores(word: str) -> str:
    """Return a flag with its name as a setting's is spelt; other words and values stay.

    >>> _with_underscores("--batch-size=a-b")
    '--batch_size=a-b'
    """
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def _words_of(content: str, types_of: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a YAML or JSON text, each as the words that its flag would take.

    YAML's own guesses at types are not asked for: to it `no` is false and 0.1 no text.

    Raises:
        ValueError: it is malformed, or has what no flag could take.
    """
    import yaml

    try:
        root = yaml.compose(content, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"the file of settings is neither YAML nor JSON: {error}") from None
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("a file of settings has a line 'name: value' for each, and at least one")
    settings: dict[str, Any] = {}
    for key, value in root.value:
        name, items = str(key.value).replace("-", "_"), [value]
        if isinstance(value, yaml.SequenceNode):
            items = value.value
        if name not in types_of:
            raise ValueError(f"there is no setting {name!r}{hint(name, list(types_of))}")
        if name in settings:
            raise ValueError(f"the file of settings has {name!r} twice")
        if not all(isinstance(item, yaml.ScalarNode) for item in items):
            raise ValueError(f"{name} is a value or a list of values, nothing nested")
        words, kind = [item.value for item in items], types_of[name]
        if value.tag == "tag:yaml.org,2002:null":
            if type(None) not in get_args(kind):
                raise ValueError(f"{name} has no value; give it one, or leave its line out")
            settings[name] = None
        elif _sequence(kind) is not None:
            settings[name] = words
        elif value not in items:
            raise ValueError(f"--{name} takes one value, not {words}")
        elif kind is bool and words[0].lower() not in ("true", "false", "yes", "no"):
            raise ValueError(f"--{name} takes true or false, not {words[0]!r}")
        else:
            settings[name] = words[0]
    return settings


_KINDS = {"int": "a whole number", "float": "a number", "str": "text"}


def _plain(message: str) -> str:
    """Say in one line what jsonargparse says in several: which value a flag does not take.

    >>> _plain("Parser key \\"dim\\":\\n  Expected a <class 'int'>. Got value: x")
    "--dim takes a whole number, not 'x'"
    """
    text = " ".join(message.split())
    key = re.match(r'Parser key "(\w+)"', text)
    value = re.search(r"(?:Got|Given) value: (.*)", text)
    kinds = re.findall(r"Expected an? (?:<class '(\w+)'>|typing\.Literal\[(.*?)\])", text)
    takes = [_KINDS.get(kind, kind) or f"one of {words}" for kind, words in kinds]
    takes = [kind for kind in takes if kind != "NoneType"]
    if re.search(
        r"(unrecognized arguments:|explicit argument) '?(true|false|yes|no)\b", text, re.I
    ):
        return f"{text}; a switch takes no value: it is --name, or --no_name for false"
    if not key or not value or not takes:
        return re.sub(r'^Parser key "(\w+)":', r"--\1:", text)
    return f"--{key[1]} takes {' or '.join(takes)}, not {value[1]!r}"


def _add_flag(parser: Any, entry: "Field[Any]", annotation: Any, help_line: str) -> None:
    from jsonargparse import ActionYesNo

    options: dict[str, Any] = {"help": help_line}
    if entry.default is not MISSING:
        options["default"] = entry.default
    elif entry.default_factory is not MISSING:
        options["default"] = entry.default_factory()
    else:
        options["required"] = True
    sequence = _sequence(annotation)
    if annotation is bool:
        options["action"] = ActionYesNo(yes_prefix="", no_prefix="no_")
    elif sequence is not None:
        options |= {"type": get_args(sequence)[0], "nargs": "+"}
        if isinstance(options.get("default"), tuple):
            options["default"] = list(options["default"])
    else:
        options["type"] = annotation
    parser.add_argument(f"--{entry.name}", **options)


def _sequence(annotation: Any) -> Any:
    """Return the `tuple[X, …]` or `list[X]` that a type is, or is beside None; else None."""
    is_union = get_origin(annotation) in (Union, types.UnionType)
    kinds = get_args(annotation) if is_union else (annotation,)
    return next((kind for kind in kinds if get_origin(kind) in (tuple, list)), None)


def _documentation(kind: type) -> tuple[str, dict[str, str]]:
    """Return what a docstring says before its section `Args`, and each field's help from that."""
    about, _, section = (inspect.getdoc(kind) or "").partition("\nArgs:\n")
    found = re.split(r"^    (\w+(?:, \w+)*): ", section, flags=re.MULTILINE)[1:]
    docs = {}
    for names, text in zip(found[::2], found[1::2], strict=True):
        for name in names.split(", "):
            docs[name] = " ".join(text.split())
    return about.strip(), docs


def hint(word: str, known: list[str]) -> str:
    """Ask whether one of the known words was meant, or name them."""
    close = difflib.get_close_matches(word.replace("-", "_"), known, 1)
    return f"; did you mean {close[0]}?" if close else f" (there are {', '.join(known)})"
