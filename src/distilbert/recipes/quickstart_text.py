"""The quickstart's text: documentation strings, and the task of telling which package has one.

Modules are split, not strings, so that nothing of what is tested is near what is trained on: the
documents of the corpus are modules, and the task follows the corpus' own split of them.
"""

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from itertools import islice
from pathlib import Path

from distilbert.distillation.block_writer import clean, split_of
from distilbert.distillation.docstrings import Module, documented_modules

VALIDATION_FRACTION = 0.15
PACKAGES = 12
CHARACTERS = 1_000_000  # of each package
CLASSES = 8  # of the task: the packages with most to tell
TRAIN_PER_CLASS, TEST_PER_CLASS = 400, 400
LONGEST = 250  # characters of a text of the task: about what a sequence of 64 tokens holds


@dataclass(frozen=True)
class Texts:
    """The files that the quickstart reads.

    Args:
        corpus: JSON lines, a module each.
        train, test: of the task, CSV with the columns `text` and `label`.
    """

    corpus: Path
    train: Path
    test: Path


def write_texts(out: Path, folder: Path) -> Texts:
    """Read the packages in `folder` and write the files.

    They are taken as they are if a run before has finished them.

    Raises:
        OSError: the files cannot be written.
        ValueError: there are too few packages with documentation strings.
    """
    corpus, record = out / "modules.jsonl", out / "packages.json"
    train, test = out / "task-train.csv", out / "task-test.csv"
    if not record.exists():
        out.mkdir(parents=True, exist_ok=True)
        modules = documented_modules(folder, packages=PACKAGES, characters=CHARACTERS)
        packages = list(dict.fromkeys(module.package for module in modules))
        with corpus.open("w", encoding="utf-8") as file:
            for module in modules:
                file.write(json.dumps({"text": _document(module)}) + "\n")
        for path, split, most in (
            (train, "train", TRAIN_PER_CLASS),
            (test, "validation", TEST_PER_CLASS),
        ):
            _write_task(path, _examples(modules, packages, split, most))
        record.write_text(json.dumps(packages), encoding="utf-8")  # the last: all is there
    return Texts(corpus, train, test)


def _document(module: Module) -> str:
    return clean("\n\n".join(module.texts))[0]


def _examples(
    modules: list[Module], packages: list[str], split: str, most: int
) -> Iterator[tuple[str, str]]:
    """Yield texts and labels, at most so many of each class, chosen by a hash of the text."""
    hide = name_hider(packages[:CLASSES])
    for label in packages[:CLASSES]:
        texts = [
            clean(text)[0]
            for module in modules
            if module.package == label
            and split_of(_document(module).encode(), VALIDATION_FRACTION) == split
            for text in module.texts
        ]
        for text in islice(sorted(texts, key=_shuffled), most):
            yield shorten(hide(text), LONGEST), label


def name_hider(packages: Iterable[str]) -> Callable[[str], str]:
    """Return a function that puts `[MASK]` wherever a text names one of the packages.

    By the name it is imported under, or any that it is installed under, in any case, within words
    as well: `PyTorch` names torch.

    >>> name_hider(["numpy"])("NumPy arrays, numpy.ndarray")
    '[MASK] arrays, [MASK].ndarray'
    """
    installed = metadata.packages_distributions()
    names = {name for package in packages for name in (package, *installed.get(package, ()))}
    spelt = {name.replace("_", mark) for name in names for mark in "_- "} | names
    pattern = "|".join(map(re.escape, sorted(spelt, key=lambda name: (-len(name), name))))
    found = re.compile(pattern, re.IGNORECASE)
    return lambda text: found.sub("[MASK]", text)


def shorten(text: str, longest: int) -> str:
    """Return the whole words at the beginning of a text.

    >>> shorten("one two three", 9)
    'one two'
    """
    return text if len(text) <= longest else text[: longest + 1].rsplit(None, 1)[0]


def _shuffled(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _write_task(path: Path, examples: Iterable[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        writer.writerows(examples)
