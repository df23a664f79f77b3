"""Preparing: the same bytes for any number of processes and after any interruption."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest

from distilbert import DistilBertTokenizerFast
from distilbert.distillation import preparation, shards
from distilbert.distillation.block_writer import BlockWriter, clean, split_of
from distilbert.distillation.corpus import Corpus
from distilbert.distillation.text_files import TextLines


def contents(folder):
    """Every file of a corpus, without its sources' names."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_round_trip(make_corpus, tiny_vocab_file):
    folder = make_corpus(documents=80, validation_fraction=0.3)
    tokenizer = DistilBertTokenizerFast.from_pretrained(folder)
    assert tokenizer.get_vocab() == DistilBertTokenizerFast(tiny_vocab_file).get_vocab()
    text = next(folder.parent.glob("text-*.txt")).read_text().splitlines()
    expected = {"train": [], "validation": []}
    for document in text:
        ids = tokenizer(document, add_special_tokens=False).input_ids
        rows = [
            tokenizer.build_inputs_with_special_tokens(ids[i : i + 46])
            for i in range(0, len(ids), 46)
        ]
        expected[split_of(document.encode(), 0.3)] += [row for row in rows if len(row) >= 4]
    assert all(expected.values())
    for split, rows in expected.items():
        corpus = Corpus.open(folder, split)
        assert len(corpus.shards) > 1
        tokens, lengths = corpus.read(np.arange(len(corpus)))
        found = [row.tolist() for row in np.split(tokens, np.cumsum(lengths)[:-1])]
        assert found == rows
        corpus.verify()
    train = Corpus.open(folder)
    assert np.array_equal(
        train.counts, np.bincount(train.read(np.arange(len(train)))[0], minlength=train.vocab_size)
    )
    totals = train.manifest["totals"]
    assert totals["documents"] == 80
    assert totals["sequences"] == sum(map(len, expected.values()))
    assert not (folder / "progress").exists()


@pytest.mark.parametrize("mode", ["split", "pack"])
def test_any_number_of_processes_gives_the_same_bytes(make_corpus, tmp_path, mode):
    one = make_corpus(documents=200, out=str(tmp_path / "one"), mode=mode)
    two = make_corpus(documents=200, out=str(tmp_path / "two"), mode=mode, workers=2)
    assert contents(one) == contents(two)
    assert len(Corpus.open(one).shards) > 3


def test_the_vocabulary_is_learned_from_the_text_the_same_every_time(make_corpus, tmp_path):
    options = {"tokenizer": None, "vocab_size": 120, "vocab_sample_mb": 1}
    one = make_corpus(documents=100, out=str(tmp_path / "one"), **options)
    two = make_corpus(documents=100, out=str(tmp_path / "two"), **options)
    assert contents(one) == contents(two)
    assert Corpus.open(one).vocab_size == 120
    assert (one / "vocab.txt").read_text().split()[:5] == [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
    ]  # fmt: skip


def test_a_finished_corpus_is_left_alone(make_corpus):
    folder = make_corpus()
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    make_corpus()
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


RUN = """
import json, logging, sys
from distilbert.recipes.prepare import Settings, main

class Gate(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith("block"):
            print(flush=True)
            sys.stdin.readline()

if __name__ == "__main__":
    logger = logging.getLogger("distilbert")
    logger.addHandler(Gate())
    logger.setLevel(logging.INFO)
    main(Settings(**json.loads(sys.argv[1])))
"""
"""Prepares a corpus; after each block it writes a line and waits for one."""


def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    make_corpus, tmp_path, tiny_vocab_file
):
    whole = make_corpus(documents=4000, out=str(tmp_path / "whole"), shard_mb=0.02)
    out = tmp_path / "killed"
    script = tmp_path / "run.py"
    script.write_text(RUN)
    settings = {
        "sources": [str(tmp_path / "text-4000-0.txt")],
        "out": str(out),
        "tokenizer": tiny_vocab_file,
        "max_length": 48,
        "min_length": 4,
        "shard_mb": 0.02,
        "workers": 2,
    }
    command = [sys.executable, str(script), json.dumps(settings)]
    moments = random.Random(0)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    for wanted in (0, 1, 6, 12):
        with subprocess.Popen(command, **pipes) as run:
            for _ in range(wanted):
                assert run.stdout.readline()
                run.stdin.write("\n")
            time.sleep(moments.random() * 0.1)
            os.kill(run.pid, signal.SIGKILL)
        assert run.returncode == -signal.SIGKILL
        assert len(list(out.glob("progress/block-*.json"))) >= wanted
        assert not (out / "manifest.json").exists()
    nothing = subprocess.DEVNULL
    subprocess.run(command, check=True, timeout=60, stdin=nothing, stdout=nothing)
    assert contents(out) == contents(whole)


def interrupted(make_corpus, monkeypatch, after, **options):
    """Prepare until the disk is full."""
    written = []

    def save(file, array, **kwargs):
        if len(written) >= after:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(file.name)
        np.lib.format.write_array(file, array)

    with monkeypatch.context() as patch:
        patch.setattr(shards.np, "save", save)
        with pytest.raises(
            OSError, match=r"disk of .* is full.*run the same command again"
        ) as failure:
            make_corpus(**options)
    assert failure.value.errno == errno.ENOSPC


def test_a_full_disk_keeps_what_is_finished(make_corpus, monkeypatch, tmp_path):
    whole = make_corpus(documents=200, out=str(tmp_path / "whole"))
    options = {"documents": 200, "out": str(tmp_path / "full")}
    for after in (0, 1, 2, 7, 12):
        interrupted(make_corpus, monkeypatch, after, **options)
        assert not list((tmp_path / "full").rglob(".partial-*"))
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "full").glob("train-00000.*")}
    folder = make_corpus(**options)
    assert contents(folder) == contents(whole)
    assert {p: p.stat().st_mtime_ns for p in folder.glob("train-00000.*")} == kept


def test_damaged_blocks_are_made_again(make_corpus, monkeypatch, tmp_path):
    whole = make_corpus(documents=200, out=str(tmp_path / "whole"))
    options = {"documents": 200, "out": str(tmp_path / "again")}
    interrupted(make_corpus, monkeypatch, 13, **options)
    out = tmp_path / "again"
    with (out / "train-00000.tokens.npy").open("r+b") as file:
        file.seek(200)
        file.write(b"\xff\xff")
    (out / "progress" / "block-00001.json").write_text("{")
    (out / "progress" / ".partial-1-x").touch()
    assert contents(make_corpus(**options)) == contents(whole)


def test_other_settings_and_other_sources_are_named(make_corpus, monkeypatch, tmp_path):
    options = {"documents": 200, "out": str(tmp_path / "out")}

    def refused(message, **changed):
        with pytest.raises(ValueError, match=message):
            make_corpus(**{**options, **changed})

    def both(**changed):
        refused(
            r"max_length was 48, is 40; mode was 'split', is 'pack'", max_length=40, mode="pack"
        )
        refused(r"text-60-5\.txt is new; .*text-200-0\.txt is gone", documents=60, seed=5)
        source = tmp_path / "text-200-0.txt"
        text = source.read_text()
        source.write_text(text + "more\n")
        refused(r"text-200-0\.txt has changed \(\d+ bytes then, \d+ now\)")
        source.write_text(text)

    interrupted(make_corpus, monkeypatch, 5, **options)
    both()
    make_corpus(**options)
    both()


def test_an_edit_of_the_same_size_is_noticed(make_corpus, monkeypatch, tmp_path, caplog):
    """Size and both ends are as before; without its time, half of the old text would stay."""
    options = {"documents": 2000, "out": str(tmp_path / "out"), "shard_mb": 0.02}
    interrupted(make_corpus, monkeypatch, 36, **options)
    source = tmp_path / "text-2000-0.txt"
    text = source.read_text()
    assert len(text) > 200_000
    source.write_text(text[:80_000] + text[80_000:120_000].replace("a", "b") + text[120_000:])
    found = make_corpus(**options)
    assert "text-2000-0.txt was modified since" in caplog.text
    assert contents(found) == contents(make_corpus(**options | {"out": str(tmp_path / "fresh")}))


@pytest.mark.parametrize("how", ["a", "r+", "w"])
def test_a_source_that_is_written_while_it_is_read(make_corpus, monkeypatch, tmp_path, how):
    options = {"documents": 200, "out": str(tmp_path / "out")}

    def call(writer, block):
        if block.number == 3:
            with (tmp_path / "text-200-0.txt").open(how) as file:
                file.write("some other words\n")
        return original(writer, block)

    original = BlockWriter.__call__
    monkeypatch.setattr(BlockWriter, "__call__", call)
    with pytest.raises(ValueError, match=r"text-200-0\.txt was modified while .*out was made") as e:
        make_corpus(**options)
    assert "run the same command again, which makes all of it anew" in str(e.value)
    assert not (tmp_path / "out" / "manifest.json").exists()
    monkeypatch.undo()
    found = make_corpus(**options)
    assert contents(found) == contents(make_corpus(**options | {"out": str(tmp_path / "fresh")}))


def test_one_process_cuts_no_further_ahead_than_it_must(make_corpus, monkeypatch):
    """A stream's blocks hold their text: all of them at once may be more than the memory."""
    cut, ahead = [], []

    def parts(source, at, size_bytes):
        for part in original_parts(source, at, size_bytes):
            cut.append(part)
            yield part

    def call(writer, block):
        ahead.append(len(cut) - block.number)
        return original_call(writer, block)

    original_parts, original_call = TextLines.parts, BlockWriter.__call__
    monkeypatch.setattr(TextLines, "parts", parts)
    monkeypatch.setattr(BlockWriter, "__call__", call)
    make_corpus(documents=200)
    assert len(ahead) > 5
    assert max(ahead) == 2  # the block, and the one that says whether more processes would help


def test_documents_are_cleaned_and_dropped_but_never_silently(make_corpus, tmp_path):
    lines = [
        {"text": "broken \ud800 half"},
        {"text": "\U0001f600" * 12},  # unknown
        {"text": "whole words"},
        {"text": "a"},  # short
        {"text": "  "},
        {"text": None},
    ]
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    corpus = Corpus.open(make_corpus(sources=[str(path)], validation_fraction=0))
    totals = corpus.manifest["totals"]
    assert totals["documents"] == 6
    assert totals["repaired_documents"] == 1
    assert totals["empty_documents"] == 2
    assert totals["dropped_short_sequences"] == 2 - 1 + (totals["dropped_unknown_sequences"] == 0)
    assert len(corpus) == 2


def test_clean():
    assert clean("fine é") == ("fine é", "fine é".encode(), False)
    assert clean("\ud83d\ude00") == ("\U0001f600", "\U0001f600".encode(), True)
    assert clean("\udc00a\ud800")[0] == "\ufffda\ufffd"


def test_the_split_is_a_fair_function_of_the_text():
    documents = [f"document {number}".encode() for number in range(4000)]
    held_out = [split_of(document, 0.1) == "validation" for document in documents]
    assert 300 < sum(held_out) < 500
    assert held_out == [split_of(document, 0.1) == "validation" for document in documents]
    assert all(split_of(document, 0) == "train" for document in documents)
    assert all(  # a larger fraction adds to a smaller one
        split_of(document, 0.2) == "validation"
        for document, held in zip(documents, held_out, strict=True)
        if held
    )


def test_an_error_in_a_process_is_told_and_the_rest_is_kept(make_corpus, tmp_path):
    options = {"documents": 200, "workers": 2, "out": str(tmp_path / "out")}
    whole = make_corpus(documents=200, out=str(tmp_path / "whole"))
    source = tmp_path / "text-200-0.txt"
    text = source.read_bytes()
    damaged = bytearray(text)
    damaged[len(text) // 2] = 0xFF
    source.write_bytes(damaged)
    with pytest.raises(ValueError, match=rf"not UTF-8: byte 0xff at offset {len(text) // 2}"):
        make_corpus(**options)
    assert list((tmp_path / "out" / "progress").glob("block-*.json"))
    source.write_bytes(text)
    with pytest.raises(ValueError, match="has changed"):
        make_corpus(**options)
    assert contents(make_corpus(**{**options, "out": str(tmp_path / "new")})) == contents(whole)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks for processes in /proc")
def test_no_process_outlives_a_killed_parent(tmp_path, make_corpus, tiny_vocab_file):
    make_corpus(documents=4000, out=str(tmp_path / "whole"))
    script = tmp_path / "run.py"
    script.write_text(RUN)
    settings = {
        "sources": [str(tmp_path / "text-4000-0.txt")],
        "out": str(tmp_path / "killed"),
        "tokenizer": tiny_vocab_file,
        "shard_mb": 0.002,
        "workers": 2,
    }
    run = subprocess.Popen([sys.executable, str(script), json.dumps(settings)])
    progress = tmp_path / "killed" / "progress"
    until(lambda: list(progress.glob("block-*.json")) or run.poll() is not None)
    children = [
        int(stat.split()[0])
        for stat in _stats()
        if int(stat.rpartition(")")[2].split()[1]) == run.pid
    ]
    assert len(children) >= 2  # the workers; a resource tracker comes and goes by itself
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    until(lambda: not set(children) & _alive())


def _stats():
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    yield file.read()
            except (FileNotFoundError, ProcessLookupError):
                pass


def _alive():
    fields = [stat.rpartition(")") for stat in _stats()]
    return {int(head.split()[0]) for head, _, rest in fields if rest.split()[0] != "Z"}


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_process_that_dies_is_told(make_corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "_begin_worker", os._exit)  # fails there: the process ends
    with pytest.raises(ChildProcessError, match=r"ended from outside.*fewer workers.*__main__"):
        make_corpus(documents=200, workers=2)


@pytest.mark.parametrize("before", [0, 3])
def test_only_where_nothing_was_made_the_script_is_a_reason(monkeypatch, before):
    class Pool:
        def __init__(self, *given, **options):
            pass

        def submit(self, work, dies):
            future = Future()
            if dies:
                future.set_exception(BrokenProcessPool())
            else:
                future.set_result({})
            return future

        def shutdown(self, **options):
            pass

    monkeypatch.setattr(preparation, "ProcessPoolExecutor", Pool)
    records = preparation._in_processes(1, (), iter([False] * before + [True]))
    with pytest.raises(ChildProcessError, match="ended from outside") as caught:
        list(records)
    assert ("__main__" in str(caught.value)) == (before == 0)


@pytest.mark.filterwarnings("ignore")
def test_a_streamed_data_set_continues_where_it_was(make_corpus, monkeypatch, tmp_path):
    pytest.importorskip("datasets")
    folder = tmp_path / "data"
    folder.mkdir()
    for shard in range(2):
        lines = [json.dumps({"text": f"shard {shard} document {n} " * 5}) for n in range(60)]
        (folder / f"train-{shard}.jsonl").write_text("\n".join(lines))
    name = f"hf:{folder}"
    whole = make_corpus(sources=[name], out=str(tmp_path / "whole"))
    options = {"sources": [name], "out": str(tmp_path / "again")}
    interrupted(make_corpus, monkeypatch, 7, **options)
    assert contents(make_corpus(**options)) == contents(whole)
    two = make_corpus(**{**options, "out": str(tmp_path / "two")}, workers=2)
    assert contents(two) == contents(whole)
    assert Corpus.open(whole).manifest["totals"]["documents"] == 120
