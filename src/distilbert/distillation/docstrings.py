"""English that every machine has: the documentation strings of its installed packages.

Modules are parsed, never imported, so nothing of them runs.
"""

import ast
import hashlib
import sysconfig
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

SHORTEST = 40  # characters; "Return the size." tells little of anything
_SKIPPED = frozenset({"test", "tests", "_vendor", "__pycache__"})


@dataclass(frozen=True)
class Module:
    """A module's documentation strings.

    Args:
        package: the top-level name it is imported under.
        path: of the file, relative to the folder of packages.
        texts: its documentation strings, indentation removed.
    """

    package: str
    path: str
    texts: tuple[str, ...]


def site_packages() -> Path:
    """Return the folder that this interpreter's packages are installed in."""
    return Path(sysconfig.get_paths()["purelib"])


def documented_modules(folder: Path, *, packages: int, characters: int) -> list[Module]:
    """Return the modules of the packages that document themselves most.

    A text that occurs twice is kept where it is met first. The packages with the most code are
    looked at, their modules in an order that depends on nothing but their names.

    Args:
        folder: that has packages as its folders.
        packages: how many to return, those with the most text first.
        characters: of text that is taken from each package, the rest of it being left.

    Raises:
        ValueError: there are fewer packages with documentation strings.
    """
    sizes = {
        path.name: sum(file.stat().st_size for file in _files(path))
        for path in sorted(folder.iterdir())
        if path.name.isidentifier() and path.is_dir()
    }
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[: 2 * packages]
    read = partial(_modules, folder, characters=characters)
    with ProcessPoolExecutor(min(4, len(largest) or 1), mp_context=get_context("spawn")) as pool:
        found = _without_repeats(list(pool.map(read, largest)))
    ranked = sorted(found, key=lambda modules: -sum(len(t) for m in modules for t in m.texts))
    chosen = [modules for modules in ranked if modules][:packages]
    if len(chosen) < packages:
        raise ValueError(
            f"{folder} has {len(chosen)} packages with documentation strings, {packages} are "
            "wanted; install more of them, or ask for fewer"
        )
    return [module for modules in chosen for module in modules]


def _without_repeats(found: list[list[Module]]) -> list[list[Module]]:
    seen: set[str] = set()
    kept: list[list[Module]] = []
    for modules in found:
        kept.append([])
        for module in modules:
            texts = tuple(t for t in dict.fromkeys(module.texts) if t not in seen)
            seen.update(texts)
            if texts:
                kept[-1].append(replace(module, texts=texts))
    return kept


def _files(package: Path) -> Iterator[Path]:
    for path in package.rglob("*.py"):
        if _SKIPPED.isdisjoint(path.relative_to(package).parts):
            yield path


def _modules(folder: Path, package: str, *, characters: int) -> list[Module]:
    def shuffled(path: Path) -> bytes:
        return hashlib.blake2b(path.relative_to(folder).as_posix().encode()).digest()

    modules, size = [], 0
    for path in sorted(_files(folder / package), key=shuffled):
        texts = tuple(_docstrings(path))
        modules.append(Module(package, path.relative_to(folder).as_posix(), texts))
        size += sum(map(len, texts))
        if size >= characters:
            break
    return modules


def _docstrings(path: Path) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those about the code there are not ours to show
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return  # not every file named .py is Python of this version
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node) or ""
            if len(text) >= SHORTEST:
                yield text
