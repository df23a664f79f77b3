"""Files of a folder: JSON objects, and new files that replace old ones when all are whole."""

import json
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file whose top level is an object.

    Raises:
        ValueError: it is not UTF-8, not JSON, or not an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a valid JSON file: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, it holds a {type(content).__name__}")
    return content


def json_text(content: dict[str, Any]) -> str:
    """Return a JSON object, sorted and indented, as hub files are.

    What UTF-8 has not, such as a part of a path that is not UTF-8, is written as an escape.
    """
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace").decode()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object, sorted and indented, as hub files are."""
    path.write_text(json_text(content), encoding="utf-8")


def make_folder(folder: Path) -> None:
    """Make a folder, if it is missing.

    Raises:
        OSError: it is something else, or cannot be made.
    """
    if folder.is_file():
        raise OSError(f"{folder} is a file; give a folder")
    if folder.is_symlink() and not folder.exists():
        raise OSError(f"{folder} is a link to {os.readlink(folder)}, which is not there: make it")
    folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def staged(folder: str | os.PathLike[str], replaces: Iterable[str] = ()) -> Iterator[Path]:
    """Give a scratch folder whose files replace those of `folder` together when the block ends.

    The files are complete and flushed to disk before the first one is moved, so an interrupted
    save leaves the old files alone.

    Args:
        folder: made if missing.
        replaces: patterns of old files that the new ones supersede; removed at the end.

    Raises:
        OSError: `folder` is a file, or cannot be written.
    """
    target = Path(folder)
    make_folder(target)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=target) as scratch:
        yield Path(scratch)
        files = sorted(Path(scratch).iterdir())
        mode = _mode_of_new_files(Path(scratch))
        for file in files:
            with file.open("r+b") as handle:  # Windows flushes only what may be written
                os.fsync(handle.fileno())
            file.chmod(mode)  # safetensors makes its files for their owner alone
        fresh = {file.name for file in files}
        for file in files:
            file.replace(target / file.name)
        for pattern in replaces:
            for old in target.glob(pattern):
                if old.name not in fresh:
                    old.unlink()


def _mode_of_new_files(folder: Path) -> int:
    """Ask by making one: `os.umask` would change it for every thread."""
    probe = folder / ".probe"
    probe.touch()
    return stat.S_IMODE(probe.stat().st_mode)


def is_plain_name(name: Any) -> bool:
    """Whether this, from a file, names something in the same folder, on every system.

    >>> is_plain_name("model.bin"), is_plain_name("../model.bin"), is_plain_name("C:\\\\model.bin")
    (True, False, False)
    """
    return isinstance(name, str) and Path(name).name == name and "\\" not in name
