"""The record of a run: `run.json` in its folder, and the lock that keeps a second one out.

run.json  {"format": 1, "settings": {…}, "fingerprint": {…}, "machine": {…}, "versions": {…},
           "commit": …, "starts": [{"started": …, "ended": …, "outcome": …}, …],
           "scores": of what was published; null until then}
"""

import json
import os
import platform
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import distilbert
from distilbert.folders import make_folder, read_json, staged, write_json
from distilbert.runtime.lock import take
from distilbert.runtime.room import room_for
from distilbert.runtime.scratch import remove_scratch

FORMAT = 1
RUN_FILE = "run.json"
CHECKPOINTS = "checkpoints"
_REMEDY = (
    f"Put a copy of it back; or remove it and {CHECKPOINTS} to begin anew, or give another folder"
)
_SHOWN = 8
_PACKAGES = ("torch", "accelerate", "numpy", "safetensors", "tokenizers")


@dataclass
class Run:
    """A run that has its folder for itself until it is closed; made by `start_run`.

    As a context manager it records how it ended, unless it was made without a record: all processes
    of a run but one write none.

    Args:
        notes: sentences for the user about what has changed since and may matter.
        scores: of what it has published, to be recorded at the end.
    """

    folder: Path
    notes: tuple[str, ...] = ()
    _record: dict[str, Any] = field(default_factory=dict, repr=False)
    _lock: int | None = field(default=None, repr=False)
    scores: dict[str, float] | None = None

    def end(self, outcome: str = "finished") -> None:
        """Record that the run has ended, and let go of the folder."""
        if self._lock is not None:
            self._record["starts"][-1] |= {"ended": _now(), "outcome": outcome}
            if self.scores is not None:
                self._record["scores"] = self.scores
            try:
                _write(self.folder, self._record)
            finally:
                os.close(self._lock)
                self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.end("finished" if kind is None else f"{kind.__name__}: {error}".strip(": "))
        except OSError:
            if kind is None:
                raise  # otherwise the first error is the one to tell


def start_run(
    folder: str | os.PathLike[str],
    settings: Any,
    *,
    fingerprint: Mapping[str, Any] | None = None,
    free: Collection[str] = (),
    machine: Mapping[str, Any] | None = None,
) -> Run:
    """Begin a run in a folder, or go on with the one that was begun there.

    Args:
        folder: made if missing.
        settings: a dataclass, or a mapping that JSON can hold.
        fingerprint: what the result depends on besides, such as `{"corpus": corpus.hash}`.
        free: names of settings that do not change the result and so may change.
        machine: what can change its last bits (`Launch.describe()`); a change is noted.

    Raises:
        ValueError: the folder holds a run with other settings or another fingerprint; each is
            named with both values. Or its `run.json` is damaged, or gone and checkpoints are there.
        OSError: another process is running there, or the folder cannot be written.
    """
    folder = Path(folder)
    make_folder(folder)
    lock = take(folder)
    try:
        return _start(folder, lock, settings, fingerprint or {}, free, machine or {})
    except BaseException:
        os.close(lock)
        raise


def recorded_scores(folder: str | os.PathLike[str]) -> dict[str, float] | None:
    """Return the scores of what the run in a folder published; None if it has not ended yet."""
    return read_json(Path(folder) / RUN_FILE).get("scores")


def _start(
    folder: Path,
    lock: int,
    settings: Any,
    fingerprint: Mapping[str, Any],
    free: Collection[str],
    machine: Mapping[str, Any],
) -> Run:
    for place in (folder, *(path for path in folder.iterdir() if path.is_dir())):
        remove_scratch(place)
    now: dict[str, Any] = {
        "format": FORMAT,
        "settings": _as_json(settings, "settings"),
        "fingerprint": _as_json(fingerprint, "fingerprint"),
        "machine": _machine() | _as_json(machine, "machine"),
        "versions": _versions(),
        "commit": commit(),
        "starts": [],
        "scores": None,
    }
    unknown = sorted(set(free) - now["settings"].keys())
    if unknown:
        raise ValueError(f"free names {unknown[0]!r}, which is not a setting")
    path = folder / RUN_FILE
    notes: list[str] = []
    if path.exists():
        try:
            before = read_json(path)
        except ValueError as error:
            raise ValueError(f"{error}. {_REMEDY}") from error
        if before.get("format") != FORMAT or not isinstance(before.get("starts"), list):
            raise ValueError(
                f"{path} is not the record of a run that this version can read. {_REMEDY}"
            )
        _refuse_other(folder, before, now, free)
        notes = [
            f"{name} was {_show(old)}, now is {_show(new)}: the last bits of the result may differ"
            for part in ("versions", "machine")
            for name, old, new in _differences(before[part], now[part])
            if name != "host"
        ]
        now["starts"], now["scores"] = before["starts"], before.get("scores")
    elif any((folder / CHECKPOINTS).glob("step-*")):
        raise ValueError(
            f"{folder / CHECKPOINTS} has checkpoints, and there is no {RUN_FILE} to say of which "
            "settings: remove them to begin anew, or give another folder"
        )
    now["starts"].append({"started": _now(), "ended": None, "outcome": None})
    _write(folder, now)
    return Run(folder, tuple(notes), now, lock)


def _refuse_other(
    folder: Path, before: dict[str, Any], now: dict[str, Any], free: Collection[str]
) -> None:
    missing = [part for part in ("settings", "fingerprint", "versions", "machine")
               if not isinstance(before.get(part), dict)]  # fmt: skip
    if missing:
        raise ValueError(f"{folder / RUN_FILE} has no {missing[0]}: it is damaged. {_REMEDY}")
    if before["settings"].get("precision") == "no":  # what fp32 was called before
        before["settings"]["precision"] = "fp32"
    changed = [
        f"{name} was {_show(old)}, now is {_show(new)}"
        for name, old, new in _differences(before["settings"], now["settings"])
        if name not in free
    ]
    for name, old, new in _differences(_fingerprint(before, now), now["fingerprint"]):
        if changed and _ABSENT in (old, new) and _is_same_setting(before, now, name):
            continue  # runs of another kind record other contents, which says no more than is said
        changed.append(
            f"{name} was {_content(before, name, old)}, now is {_content(now, name, new)}"
        )
    if changed:
        more = len(changed) - _SHOWN  # all of them, where it is the run of another recipe
        changed[_SHOWN:] = [f"and {more} more"] if more > 0 else []
        raise ValueError(
            f"{folder} holds a run with other settings: {'; '.join(changed)}. Give the same ones "
            "to go on with it, or another folder to begin a new one"
        )


def _fingerprint(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return the fingerprint of a record, completed where an older version recorded less.

    That knew no tokenizers, of an augmenter the path only, and of hub data only what the hub says.
    """
    known = dict(before["fingerprint"])
    for name, value in now["fingerprint"].items():
        if name not in known:
            if "'s " in name or (name == "augmenter" and _is_same_setting(before, now, name)):
                known[name] = value
        elif value == f"{before['settings'].get(name)} {known[name]}":
            known[name] = value
    return known


def _is_same_setting(before: dict[str, Any], now: dict[str, Any], name: str) -> bool:
    return before["settings"].get(name) == now["settings"].get(name)


def _content(record: dict[str, Any], name: str, value: Any) -> str:
    """Say what was recorded of what a setting leads to."""
    where = record["settings"].get(name, _ABSENT)
    if _ABSENT in (where, value):
        return _show(value if where is _ABSENT else where)
    return f"{_show(where)} with the hash {_show(value)}"


_ABSENT = object()


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    pairs = [(name, old.get(name, _ABSENT), new.get(name, _ABSENT)) for name in [*new, *old]]
    return list({n: (n, was, now) for n, was, now in pairs if was != now}.values())


def _show(value: Any) -> str:
    return "not there" if value is _ABSENT else json.dumps(value, ensure_ascii=False)


def _as_json(value: Any, what: str) -> dict[str, Any]:
    """Return settings as they will be read back from the file."""
    content = asdict(value) if is_dataclass(value) and not isinstance(value, type) else dict(value)
    try:
        return json.loads(json.dumps(content, default=_path))
    except TypeError as error:
        raise TypeError(f"{what} cannot be recorded as JSON: {error}") from None


def _path(value: Any) -> str:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{value!r} is a {type(value).__name__}")


def _write(folder: Path, record: dict[str, Any]) -> None:
    with room_for(folder / RUN_FILE), staged(folder) as scratch:
        write_json(scratch / RUN_FILE, record)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _machine() -> dict[str, Any]:
    return {"host": platform.node(), "system": platform.system(), "processor": platform.machine()}


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {
        "distilbert": distilbert.__version__,
        "python": platform.python_version(),
    }
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def commit() -> str | None:
    """Return the commit of this package's source, `-dirty` if changed; None outside a checkout."""
    here = Path(__file__).resolve()
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        for arguments in (["ls-files", "--error-unmatch", here.name], describe):
            done = subprocess.run(
                ["git", *arguments], cwd=here.parent, capture_output=True, encoding="utf-8",
                errors="replace", timeout=20,
            )  # fmt: skip
            if done.returncode:
                return None
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip()
