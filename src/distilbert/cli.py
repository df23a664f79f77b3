"""The command `distilbert <recipe> [flags] [--config run.yaml]`.

A recipe is a module with a dataclass `Settings`, whose fields are the flags, and `main(settings)`.
It is imported when chosen. Exit code 2 says wrong usage, 1 a failure, 130 interrupted, 141 that
whoever read the output closed the pipe, 143 that a training was stopped by SIGTERM.
"""

import argparse
import contextlib
import difflib
import faulthandler
import inspect
import io
import json
import linecache
import logging
import os
import re
import sys
import time
import traceback
import types
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, fields
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints

import distilbert
from distilbert.extras import EXTRA_OF, missing
from distilbert.printable import printable
from distilbert.recipes.given import note
from distilbert.runtime.termination import Terminated

RECIPES = {
    "quickstart": ("distilbert.recipes.quickstart", "the paper in miniature, in minutes"),
    "prepare": ("distilbert.recipes.prepare", "text into token shards and a vocabulary"),
    "pretrain": ("distilbert.recipes.pretrain", "train a BERT or DistilBERT on masked tokens"),
    "distill": ("distilbert.recipes.distill", "make a student of a teacher"),
    "finetune": ("distilbert.recipes.finetune", "train a model for a task"),
    "evaluate": ("distilbert.recipes.evaluate", "scores, size and speed of a model"),
    "trim": ("distilbert.recipes.trim", "a model without the words that texts do not use"),
    "export": ("distilbert.recipes.export", "a model as ONNX, to run without PyTorch"),
    "predict": ("distilbert.recipes.predict", "a model's answers to texts"),
    "serve": ("distilbert.recipes.serve", "a model's answers over HTTP"),
    "bench": ("distilbert.recipes.bench", "how fast a model answers on this machine"),
}

_FAILURES = (ValueError, OSError, TypeError, ImportError)
_TOKENS_AT_A_TIME = ("micro_tokens", "batch_tokens")
_WAIT_FOR_MAIN_S = 5.0
"""A process that fails when rank 0 fails too is ended by the launcher before it speaks."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        arguments: by default those of the process.

    Raises:
        SystemExit: after `--help` or `--version` (0), or a wrong usage (2).
    """
    if sys.__stderr__ is not None and not faulthandler.is_enabled():
        # A signal ends the process without a word otherwise: a mapped shard that was cut is one.
        faulthandler.enable(sys.__stderr__)
    given = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # As stderr does: what a Windows console cannot show is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    rank = int(os.environ.get("RANK", "0"))
    # Of each machine the first process: a mistake may be in the command of one of them.
    silence = io.StringIO() if int(os.environ.get("LOCAL_RANK", rank)) else None
    try:
        with (
            contextlib.redirect_stdout(silence or sys.stdout),
            contextlib.redirect_stderr(silence or sys.stderr),
        ):
            recipe, rest = _choose(given)
            module = import_module(RECIPES[recipe][0])
            settings = _settings(f"distilbert {recipe}", module.Settings, rest)
        with _logging(rank):
            module.main(settings)
    except KeyboardInterrupt:
        if not rank:
            print("distilbert: interrupted", file=sys.stderr)
        return 130
    except Terminated:  # which has said so
        return 143
    except BrokenPipeError:  # whoever read the answers has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except _FAILURES as error:
        if os.environ.get("DISTILBERT_TRACEBACK", "0") not in ("", "0") or _is_a_mistake(error):
            raise
        _report(error, rank)
        return 1
    except RuntimeError as error:
        if type(error).__name__ == "OutOfMemoryError":
            flag = next((name for name in _TOKENS_AT_A_TIME if hasattr(settings, name)), None)
            advice = f". Lower --{flag}" if flag else ""
            _report(RuntimeError(f"{error}".rstrip(" .") + advice), rank)
            return 1
        if rank:  # most likely it lost rank 0, which then has the reason
            time.sleep(_WAIT_FOR_MAIN_S)
        raise
    return 0


class _ToStderr(logging.Handler):
    """Writes to what `sys.stderr` is at the time: a progress bar lets lines through above it.

    A record is one line, whatever a name in it holds that comes from a file.
    """

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(BrokenPipeError):  # what nobody reads does not end the work
            print(printable(self.format(record)), file=sys.stderr)


@contextlib.contextmanager
def _logging(rank: int) -> Iterator[None]:
    """Show what the package logs, of the other ranks errors only."""
    logger, handler = logging.getLogger("distilbert"), _ToStderr()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR if rank else logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def _is_a_mistake(error: Exception) -> bool:
    """Whether a TypeError comes from Python itself, not from a check that raised it."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    statement = linecache.getline(frame.f_code.co_filename, line).lstrip()
    return isinstance(error, TypeError) and not statement.startswith("raise ")


def _report(error: Exception, rank: int) -> None:
    """Print an error in one line, once where all processes of a run have the same one."""
    text = str(error)
    absent = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    if isinstance(error, ModuleNotFoundError) and absent in EXTRA_OF:
        text = missing(absent)
    text = printable(" ".join(text.split())) or type(error).__name__
    if rank:
        time.sleep(_WAIT_FOR_MAIN_S)
        text += f" (in process {rank})"
    print(f"distilbert: error: {text}", file=sys.stderr)


def _choose(arguments: list[str]) -> tuple[str, list[str]]:
    """Return the recipe and what follows it."""
    width = max(map(len, RECIPES))
    parser = argparse.ArgumentParser(
        prog="distilbert",
        usage="distilbert [--help] [--version] <recipe> [flags] [--config run.yaml]",
        description="DistilBERT, whole: from text to a smaller, faster BERT.",
        epilog="recipes:\n"
        + "".join(f"  {name:{width}}  {line}\n" for name, (_, line) in RECIPES.items())
        + "\n`distilbert <recipe> --help` explains its flags. DISTILBERT_TRACEBACK=1 in the\n"
        "environment shows where an error comes from.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"distilbert {distilbert.__version__}"
    parser.add_argument("--version", action="version", version=version)
    parser.add_argument("recipe", nargs="?", help=argparse.SUPPRESS)
    recipe = parser.parse_args(arguments[:1]).recipe
    if recipe is None:
        parser.error(f"say which recipe: {', '.join(RECIPES)}")
    if recipe not in RECIPES:
        parser.error(f"there is no recipe {recipe!r}{_hint(recipe, list(RECIPES))}")
    return recipe, arguments[1:]


def _hint(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word.replace("-", "_"), known, 1)
    return f"; did you mean {close[0]}?" if close else f" (there are {', '.join(known)})"


def _settings(prog: str, kind: type, arguments: list[str]) -> Any:
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
            hint = f"; did you mean {close[0]}?" if close else ""
            parser.error(f"there is no flag {given.partition('=')[0]}{hint}")
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
            raise ValueError(f"there is no setting {name!r}{_hint(name, list(types_of))}")
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
