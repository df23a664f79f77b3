"""Making a corpus: block by block, in as many processes as wanted, resumable at any moment.

Blocks are cut by position, so nothing depends on how many processes there are, nor on where they
were interrupted.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any

from distilbert.distillation.block_writer import BlockWriter
from distilbert.distillation.blocks import START, Block, TextSource, blocks
from distilbert.distillation.sequences import Shape
from distilbert.distillation.workplace import Workplace, record_file

_NONE_MADE = (
    '. None was made: a script that prepares a corpus needs `if __name__ == "__main__":` around '
    "it, as the processes import the script too; workers=1 does without processes"
)


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


def write_blocks(
    workplace: Workplace,
    sources: Sequence[TextSource],
    *,
    shape: Shape,
    validation_fraction: float,
    shard_bytes: int,
    workers: int,
    report: Callable[[Progress], None],
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
    left = chain(ahead, todo)
    records: Iterator[dict[str, Any]]
    if workers == 1 or len(ahead) < 2:
        records = map(BlockWriter(*arguments), left)
    else:
        records = _in_processes(workers, arguments, left)
    for record in records:
        note(record, True)
    return count


def _unfinished(
    workplace: Workplace,
    sources: Sequence[TextSource],
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
            if record_file(workplace.folder, number).is_file():
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
    made = 0
    try:
        for block in todo:
            running.add(executor.submit(_work, block))
            if len(running) > workers:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                    made += 1
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
                made += 1
    except BrokenProcessPool as error:
        raise ChildProcessError(
            "a process that made shards was ended from outside, most likely for want of memory. "
            "What is finished is kept: run the same command again with fewer workers or a smaller "
            "shard_mb" + ("" if made else _NONE_MADE)
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
