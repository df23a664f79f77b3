"""The command `distilbert <recipe> [flags] [--config run.yaml]`.

A recipe is a module with a dataclass `Settings`, whose fields are the flags, and `main(settings)`.
It is imported when chosen. Exit code 2 says wrong usage, 1 a failure, 130 interrupted, 141 that
whoever read the output closed the pipe, 143 that a training was stopped by SIGTERM.
"""

import argparse
import contextlib
import faulthandler
import io
import linecache
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from importlib import import_module

import distilbert
from distilbert.extras import EXTRA_OF, missing
from distilbert.flags import hint, read_settings
from distilbert.printable import printable
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
            settings = read_settings(f"distilbert {recipe}", module.Settings, rest)
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
        parser.error(f"there is no recipe {recipe!r}{hint(recipe, list(RECIPES))}")
    return recipe, arguments[1:]
