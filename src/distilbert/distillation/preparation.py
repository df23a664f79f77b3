"""Making a corpus: block by block, in as many processes as wanted, resumable at any moment.

While it is being made, the folder has a `progress/`: `plan.json` (settings and sources) and, for
every finished block, its record and token counts. A record is written after its shards, and
`manifest.json` after all of them; then `progress/` goes. Blocks are cut by position, so nothing
depends on how many processes there are, nor on where they were interrupted.
"""

import errno
import hashlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, fields
from itertools import islice
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np

from distilbert.distillation.blocks import START, Block, Source, blocks
from distilbert.distillation.corpus import (
    COUNTS_FILE,
    FORMAT,
    MANIFEST_FILE,
    SPLITS,
    Shard,
    hash_of_files,
    save_array,
    token_dtype,
    write_shard,
)
from distilbert.distillation.cutting import Cutter
from distilbert.distillation.sequences import Sequences, Shape
from distilbert.distillation.vocabulary import special_ids_of
from distilbert.hub import json_text, read_json
from distilbert.tokenization import DistilBertTokenizerFast
from distilbert.tokenization.files import VOCAB_FILE

PLAN_FILE = "plan.json"
_BATCH_CHARACTERS = 1 << 20  # of documents whose sequences are made together


def clean(text: str) -> tuple[str, bytes, bool]:
    """Return a document, its UTF-8, and whether it had to be repaired.

    A lone surrogate, which JSON can spell and no encoding can, becomes U+FFFD.

    >>> clean("a\\ud800b")
    ('a\\ufffdb', b'a\\xef\\xbf\\xbdb', True)
    """
    try:
        return text, text.encode("utf-8"), False
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return text, text.encode("utf-8"), True


def split_of(document: bytes, validation_fraction: float) -> str:
    """Return the split of a document, a function of its text: equal documents stay together."""
    number = int.from_bytes(hashlib.blake2b(document, digest_size=8).digest(), "big")
    return SPLITS[number < validation_fraction * 2.0**64]


@dataclass(frozen=True)
class Progress:
    """What is reported after every block.

    Args:
        blocks: finished so far.
        size_bytes: of their text.
        tokens: in them.
        total_bytes: of all text; 0 where it is not known.
        new_tokens: of this block; 0 if it was there already.
    """

    blocks: int
    size_bytes: int
    tokens: int
    total_bytes: int
    new_tokens: int


class Workplace:
    """The folder of a corpus in the making.

    Args:
        folder: made if missing.
        settings: those that the result depends on.
        described: the sources, as `open_sources` describes them.

    Raises:
        OSError: the folder cannot be written.
        ValueError: it holds a corpus, finished or not, of other settings or other sources.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        described: Sequence[Mapping[str, Any]],
    ) -> None:
        self.folder = folder
        self.progress = folder / "progress"
        self._plan = json.loads(json.dumps({"settings": settings, "sources": described}))
        if folder.exists() and not folder.is_dir():
            raise OSError(f"{folder} is a file; give a folder for the corpus")
        manifest = read_json(folder / MANIFEST_FILE) if self.is_finished else None
        plan = self.progress / PLAN_FILE
        if manifest is not None:
            self._compare(manifest)
            return
        if plan.is_file():
            self._compare(read_json(plan))
        else:
            self.progress.mkdir(parents=True, exist_ok=True)
            _write(plan, self._plan)
        for partial in [*folder.glob(".partial-*"), *self.progress.glob(".partial-*")]:
            partial.unlink(missing_ok=True)

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to do."""
        return (self.folder / MANIFEST_FILE).is_file()

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
        marker = self.progress / "tokenizer.json"
        if marker.is_file():
            tokenizer = DistilBertTokenizerFast.from_pretrained(self.folder)
            if read_json(marker) == _identity(tokenizer):
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
        _write(marker, _identity(tokenizer))
        return tokenizer

    def record(self, number: int) -> dict[str, Any] | None:
        """Return the record of a finished block whose files are what they were, else None."""
        path = self.progress / f"block-{number:05}.json"
        if not path.is_file():
            return None
        try:
            record = read_json(path)
            shards = [Shard(**record["splits"][name]) for name in record["splits"]]
            counts = np.load(self._counts(number), allow_pickle=False)
        except (ValueError, OSError, KeyError, TypeError, EOFError):
            return None
        if any(shard.check(self.folder, in_full=True) is not None for shard in shards):
            return None
        return record if record.get("counts_sum") == int(counts.sum()) else None

    def _counts(self, number: int) -> Path:
        return self.progress / f"block-{number:05}.counts.npy"

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
            record = read_json(self.progress / f"block-{number:05}.json")
            counts += np.load(self._counts(number), allow_pickle=False)
            for name, shard in record["splits"].items():
                splits[name].append(shard)
            for name, value in record["totals"].items():
                totals[name] = totals.get(name, 0) + value
        if not splits["train"]:
            raise ValueError(_empty(totals))
        totals["sequences"] = sum(shard["sequences"] for s in splits.values() for shard in s)
        totals["tokens"] = sum(shard["tokens"] for s in splits.values() for shard in s)
        save_array(self.folder / COUNTS_FILE, counts)
        _write(
            self.folder / MANIFEST_FILE,
            {
                **self._plan,
                "format": FORMAT,
                "vocab_size": vocab_size,
                "vocab_sha256": hash_of_files([self.folder / VOCAB_FILE]),
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


def _empty(totals: Mapping[str, int]) -> str:
    found = ", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in totals.items() if n)
    return (
        "the corpus is empty: no sequence is left for training"
        + (f" ({found})" if found else " (there are no documents)")
        + ". Check the sources, min_length, max_unknown, validation_fraction and the vocabulary"
    )


def vocab_size_of(tokenizer: DistilBertTokenizerFast) -> int:
    """Return the number of rows that an embedding needs: the highest id and one."""
    return max(tokenizer.get_vocab().values()) + 1


def _identity(tokenizer: DistilBertTokenizerFast) -> dict[str, str]:
    vocab = json.dumps(tokenizer.get_vocab(), sort_keys=True)
    backend = tokenizer.backend_tokenizer.to_str()
    cutting = json.dumps({**json.loads(backend), "model": None}, sort_keys=True)
    return {
        "vocab": hashlib.sha256(vocab.encode()).hexdigest(),
        "cutting": hashlib.sha256(cutting.encode()).hexdigest(),
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(json_text(content))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class BlockWriter:
    """Makes the shards of blocks; one per process.

    Args:
        folder: the corpus, with its tokenizer.
        shape: of sequences.
        validation_fraction: of documents.
    """

    def __init__(self, folder: Path, shape: Shape, validation_fraction: float) -> None:
        tokenizer = DistilBertTokenizerFast.from_pretrained(folder)
        self._folder = folder
        self._shape = shape
        self._fraction = validation_fraction
        self._special_ids = special_ids_of(tokenizer)
        self._vocab_size = vocab_size_of(tokenizer)
        self._dtype = token_dtype(self._vocab_size)
        self._cut = Cutter(tokenizer, self._dtype)

    def __call__(self, block: Block) -> dict[str, Any]:
        """Write the shards of a block, then its counts, then its record, which is returned.

        Raises:
            OSError: a source cannot be read or the folder not be written.
            ValueError: a source is not what it should be.
        """
        made = {n: Sequences(self._shape, self._special_ids, self._dtype) for n in SPLITS}
        waiting: dict[str, list[np.ndarray]] = {name: [] for name in SPLITS}
        totals = dict.fromkeys(("documents", "empty_documents", "repaired_documents"), 0)
        text_bytes, characters = 0, 0
        for document in block.documents():
            totals["documents"] += 1
            text, encoded, repaired = clean(document)
            totals["repaired_documents"] += repaired
            text_bytes += len(encoded)
            ids = self._cut(text)
            if not len(ids):
                totals["empty_documents"] += 1
                continue
            waiting[split_of(encoded, self._fraction)].append(ids)
            characters += len(text)
            if characters >= _BATCH_CHARACTERS:
                for name in SPLITS:
                    made[name].add(waiting[name])
                    waiting[name] = []
                characters = 0
        counts = np.zeros(self._vocab_size, dtype=np.int64)
        splits = {}
        for name in SPLITS:
            made[name].add(waiting[name])
            tokens, lengths = made[name].finish()
            for kind, number in asdict(made[name].dropped).items():
                key = f"dropped_{kind}" if kind.endswith("tokens") else f"dropped_{kind}_sequences"
                totals[key] = totals.get(key, 0) + number
            if len(lengths):
                shard = f"{name}-{block.number:05}"
                splits[name] = asdict(write_shard(self._folder, shard, tokens, lengths))
            if name == "train":
                counts += np.bincount(tokens, minlength=self._vocab_size)
        stem = self._folder / "progress" / f"block-{block.number:05}"
        save_array(stem.with_suffix(".counts.npy"), counts)
        record = {
            "after": list(block.after),
            "size_bytes": block.size_bytes,
            "counts_sum": int(counts.sum()),
            "splits": splits,
            "totals": {**totals, "text_bytes": text_bytes},
        }
        _write(stem.with_suffix(".json"), record)
        return record


def write_blocks(
    workplace: Workplace,
    sources: Sequence[Source],
    *,
    shape: Shape,
    validation_fraction: float,
    shard_bytes: int,
    workers: int,
    report: Callable[[Progress], None] = lambda progress: None,
) -> int:
    """Make the blocks that are not there yet, and return how many there are in all.

    Args:
        workplace: where to; its tokenizer is saved.
        sources: what of.
        shape: of sequences.
        validation_fraction: of documents.
        shard_bytes: of text in a block.
        workers: processes; with 1, all happens in this one.
        report: called after every block.

    Raises:
        OSError: a source cannot be read, or the disk is full; finished blocks are kept.
        ChildProcessError: a process died.
        ValueError: a source is not what it should be.
    """
    total_bytes = sum(source.size_bytes for source in sources)
    count = size_bytes = tokens = 0

    def note(record: Mapping[str, Any], new: bool) -> None:
        nonlocal count, size_bytes, tokens
        count += 1
        size_bytes += record["size_bytes"]
        in_block = sum(shard["tokens"] for shard in record["splits"].values())
        tokens += in_block
        report(Progress(count, size_bytes, tokens, total_bytes, in_block * new))

    arguments = (workplace.folder, shape, validation_fraction)
    todo = _unfinished(workplace, sources, shard_bytes, lambda record: note(record, False))
    ahead = list(islice(todo, 2))
    try:
        if workers == 1 or len(ahead) < 2:
            writer = BlockWriter(*arguments) if ahead else None
            for block in (*ahead, *todo):
                assert writer is not None
                note(writer(block), True)
        else:
            for record in _in_processes(workers, arguments, (b for g in (ahead, todo) for b in g)):
                note(record, True)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise OSError(
            errno.ENOSPC,
            f"the disk of {workplace.folder} is full after {tokens} tokens. What is finished is "
            "kept: make room and run the same command again",
        ) from error
    return count


def _unfinished(
    workplace: Workplace,
    sources: Sequence[Source],
    shard_bytes: int,
    found: Callable[[Mapping[str, Any]], None],
) -> Iterator[Block]:
    """Yield the blocks that are to be made; jump over those that are there."""
    cursor, number = START, 0
    while cursor[0] < len(sources):
        while (record := workplace.record(number)) is not None:
            found(record)
            cursor, number = (record["after"][0], record["after"][1]), number + 1
        for block in blocks(sources, shard_bytes, cursor, number):
            yield block
            cursor, number = block.after, number + 1
            if (workplace.progress / f"block-{number:05}.json").is_file():
                break
        else:
            return


def _in_processes(
    workers: int, arguments: tuple[Any, ...], todo: Iterator[Block]
) -> Iterator[dict[str, Any]]:
    """Yield records as blocks are finished; no more are cut than are needed to keep all busy."""
    executor = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_begin_worker, initargs=arguments
    )
    running: set[Future[dict[str, Any]]] = set()
    try:
        for block in todo:
            running.add(executor.submit(_work, block))
            if len(running) > workers:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise ChildProcessError(
            "a process that made shards was ended from outside, most likely for want of memory. "
            "What is finished is kept: run the same command again with fewer workers or a smaller "
            "shard_mb"
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


_writer: BlockWriter | None = None


def _begin_worker(folder: Path, shape: Shape, validation_fraction: float) -> None:
    """Set up a process; it ends with its parent, even if that is killed."""
    global _writer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a process per core; threads would only queue
    parent = parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    _writer = BlockWriter(folder, shape, validation_fraction)


def _work(block: Block) -> dict[str, Any]:
    assert _writer is not None
    return _writer(block)


def settings_of(settings: Any, *, without: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a dataclass that the result depends on."""
    return {f.name: getattr(settings, f.name) for f in fields(settings) if f.name not in without}
