"""The folder of a corpus in the making: its plan, the finished blocks, and the final manifest.

While it is being made, it has a `progress/`: `plan.json` (settings, sources and their times) and,
for every finished block, its record and token counts. A record is written after its shards, and
`manifest.json` after all of them; then `progress/` goes.
"""

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from distilbert.distillation.corpus import COUNTS_FILE, FORMAT, MANIFEST_FILE, SPLITS
from distilbert.distillation.sequences import Shape
from distilbert.distillation.shards import (
    Shard,
    hash_of_files,
    save_array,
    token_dtype,
    whole_file,
)
from distilbert.distillation.vocabulary import identity_of, special_ids_of, vocab_size_of
from distilbert.folders import json_text, read_json
from distilbert.hub import CONFIG_FILE
from distilbert.tokenization import DistilBertTokenizerFast
from distilbert.tokenization.files import TOKENIZER_FILES

PLAN_FILE = "plan.json"

_logger = logging.getLogger("distilbert")


def record_file(folder: Path, number: int) -> Path:
    """Return where a block's record is in the folder of a corpus, once the block is finished."""
    return folder / "progress" / f"block-{number:05}.json"


def counts_file(folder: Path, number: int) -> Path:
    """Return where it says how often a block has each token."""
    return folder / "progress" / f"block-{number:05}.counts.npy"


def settings_of(settings: Any, *, without: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a dataclass that the result depends on."""
    return {f.name: getattr(settings, f.name) for f in fields(settings) if f.name not in without}


class Workplace:
    """The folder of a corpus in the making.

    Args:
        folder: held, and so made.
        settings: those that the result depends on.
        described: the sources, as `open_sources` describes them.
        times: when their files were last written to; where that has changed, what is finished may
            be of another text, and is made again.

    Raises:
        OSError: the folder cannot be written.
        ValueError: it holds a corpus, finished or not, of other settings or other sources; or a
            model or tokenizer.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        described: Sequence[Mapping[str, Any]],
        times: Mapping[str, int],
    ) -> None:
        self.folder = folder
        self.progress = folder / "progress"
        self._marker = self.progress / "tokenizer.json"
        self._times = dict(times)
        self._plan = json.loads(json.dumps({"settings": settings, "sources": described}))
        manifest = self._read(folder / MANIFEST_FILE) if self.is_finished else None
        plan = self.progress / PLAN_FILE
        if manifest is not None:
            self._compare(manifest)
            return
        if not self.progress.is_dir():
            self._refuse_foreign()
        if plan.is_file() and not self._has_begun():
            plan.unlink()
        if plan.is_file():
            before = self._read(plan)
            self._compare(before)
            if (touched := self._modified(before.get("times", self._times))) is not None:
                _logger.warning(
                    "%s was modified since %s was begun: all of it is made again", touched, folder
                )
                self._discard()
        if not plan.is_file():
            self.progress.mkdir(parents=True, exist_ok=True)
            write_whole(plan, {**self._plan, "times": self._times})
        for partial in [*folder.glob(".partial-*"), *self.progress.glob(".partial-*")]:
            partial.unlink(missing_ok=True)

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to do."""
        return (self.folder / MANIFEST_FILE).is_file()

    def _has_begun(self) -> bool:
        """Whether anything was made, even if only the tokenizer."""
        return self._marker.is_file() or any(self.progress.glob("block-*.json"))

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            return read_json(path)
        except ValueError as error:
            raise ValueError(
                f"{error}. Remove {self.folder} and run the same command again"
            ) from error

    def _modified(self, times: Mapping[str, int]) -> str | None:
        """Return a file that was written to at another time than at the start of this process."""
        changed = [path for path, time in self._times.items() if times.get(path) != time]
        return changed[0] if changed else None

    def refuse_modified(self, times: Mapping[str, int]) -> None:
        """Check that no source was written to while it was read; if one was, begin anew next time.

        Raises:
            ValueError: one was.
        """
        if (touched := self._modified(times)) is not None:
            self._discard()
            raise ValueError(
                f"{touched} was modified while {self.folder} was made of it, which may have parts "
                "of both texts: run the same command again, which makes all of it anew"
            )

    def _discard(self) -> None:
        """Remove what was made, and the plan with it: whatever the sources are now may begin."""
        self.tidy()
        self.progress.mkdir(exist_ok=True)  # still the folder of a corpus
        for name in SPLITS:
            for shard in self.folder.glob(f"{name}-[0-9]*.npy"):
                shard.unlink()

    def _refuse_foreign(self) -> None:
        """Raise for a folder whose tokenizer would be replaced, unless it was a corpus before."""
        model = (CONFIG_FILE, *TOKENIZER_FILES)
        found = [name for name in model if (self.folder / name).exists()]
        if found and not any(self.folder.glob("*.npy")):
            raise ValueError(
                f"{self.folder} holds a model or a tokenizer ({', '.join(found)}), which the "
                "corpus would replace: give another folder"
            )

    def _compare(self, before: Mapping[str, Any]) -> None:
        settings, former = self._plan["settings"], before.get("settings", {})
        changed = [
            f"{name} was {former.get(name)!r}, is {settings.get(name)!r}"
            for name in sorted({*settings, *former} - {"sources"})
            if settings.get(name) != former.get(name)
        ]
        now = {source["name"]: source for source in self._plan["sources"]}
        then = {source["name"]: source for source in before.get("sources", [])}
        changed += [f"the source {name} is new" for name in now if name not in then]
        changed += [f"the source {name} is gone" for name in then if name not in now]
        changed += [
            f"the source {name} has changed ({then[name]['size_bytes']} bytes then, "
            f"{now[name]['size_bytes']} now)"
            for name in now
            if name in then and then[name]["sha256"] != now[name]["sha256"]
        ]
        if not changed and list(now) != list(then):
            changed.append("the sources are in another order")
        if changed:
            raise ValueError(
                f"{self.folder} was begun with other settings: {'; '.join(changed)}. Use the same "
                "ones to continue, or another folder"
            )

    def tokenizer(self, make: Callable[[], DistilBertTokenizerFast]) -> DistilBertTokenizerFast:
        """Return the tokenizer of the corpus, made and saved the first time.

        Raises:
            OSError: it cannot be saved.
            ValueError: it lacks a special token, or is not the one that was begun with.
        """
        if self._marker.is_file():
            tokenizer = DistilBertTokenizerFast.from_pretrained(self.folder)
            if read_json(self._marker) == identity_of(tokenizer):
                return tokenizer
        if any(self.progress.glob("block-*.json")):
            raise ValueError(
                f"the tokenizer in {self.folder} is not the one that its shards were made with; "
                "remove the folder and begin again"
            )
        tokenizer = make()
        special_ids_of(tokenizer)  # or an error, before anything is written
        tokenizer.save_pretrained(self.folder)
        # What was saved is what is used, in this process, in others and after an interruption.
        tokenizer = DistilBertTokenizerFast.from_pretrained(self.folder)
        write_whole(self._marker, identity_of(tokenizer))
        return tokenizer

    def record(self, number: int) -> dict[str, Any] | None:
        """Return the record of a finished block whose files are what they were, else None."""
        path = record_file(self.folder, number)
        if not path.is_file():
            return None
        try:
            record = read_json(path)
            shards = [Shard(**record["splits"][name]) for name in record["splits"]]
            counts = np.load(counts_file(self.folder, number), allow_pickle=False)
        except (ValueError, OSError, KeyError, TypeError, EOFError):
            return None
        if any(shard.check(self.folder, in_full=True) is not None for shard in shards):
            return None
        return record if record.get("counts_sum") == int(counts.sum()) else None

    def finish(self, count: int, tokenizer: DistilBertTokenizerFast, shape: Shape) -> None:
        """Add up what the blocks counted, and write the manifest.

        Raises:
            OSError: it cannot be written.
            ValueError: the training split is empty.
        """
        vocab_size = vocab_size_of(tokenizer)
        counts = np.zeros(vocab_size, dtype=np.int64)
        splits: dict[str, list[Any]] = {name: [] for name in SPLITS}
        totals: dict[str, int] = {}
        for number in range(count):
            record = read_json(record_file(self.folder, number))
            counts += np.load(counts_file(self.folder, number), allow_pickle=False)
            for name, shard in record["splits"].items():
                splits[name].append(shard)
            for name, value in record["totals"].items():
                totals[name] = totals.get(name, 0) + value
        if not splits["train"]:
            raise ValueError(_empty(totals, all_held_out=bool(splits["validation"])))
        totals["sequences"] = sum(shard["sequences"] for s in splits.values() for shard in s)
        totals["tokens"] = sum(shard["tokens"] for s in splits.values() for shard in s)
        save_array(self.folder / COUNTS_FILE, counts)
        beside = [name for name in (COUNTS_FILE, *TOKENIZER_FILES) if (self.folder / name).exists()]
        write_whole(
            self.folder / MANIFEST_FILE,
            {
                **self._plan,
                "format": FORMAT,
                "vocab_size": vocab_size,
                "files": {name: hash_of_files([self.folder / name]) for name in beside},
                "special_ids": special_ids_of(tokenizer),
                "dtype": token_dtype(vocab_size).str,
                "max_length": shape.max_length,
                "mode": shape.mode,
                "splits": splits,
                "totals": totals,
            },
        )
        self.tidy()

    def tidy(self) -> None:
        """Remove what only the making needed."""
        shutil.rmtree(self.progress, ignore_errors=True)


def _empty(totals: Mapping[str, int], *, all_held_out: bool) -> str:
    found = ", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in totals.items() if n)
    if all_held_out:
        return (
            f"the corpus is empty: whatever is long enough is in the validation split ({found}). A "
            "document goes to one split as a whole, so that two or more are needed (documents says "
            "whether a line or a file is one), or a smaller validation_fraction, in another folder"
        )
    return (
        "the corpus is empty: no sequence is left for training"
        + (f" ({found})" if found else " (there are no documents)")
        + ". Check the sources, min_length, max_unknown, validation_fraction and the vocabulary"
    )


def write_whole(path: Path, content: dict[str, Any]) -> None:
    """Write a file that is there whole or not at all."""
    with whole_file(path) as file:
        file.write(json_text(content).encode())
