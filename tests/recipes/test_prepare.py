"""`distilbert prepare`: what it says to wrong settings and to text it can make nothing of."""

import errno
import logging
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from distilbert import DistilBertTokenizerFast
from distilbert.cli import main as cli
from distilbert.distillation import workplace
from distilbert.distillation.corpus import Corpus
from distilbert.recipes import prepare
from distilbert.recipes.prepare import Settings, main
from distilbert.runtime import lock


@pytest.fixture
def prepared(tmp_path):
    def run(content="some words of a text\n" * 20, **settings):
        path = tmp_path / "text.txt"
        path.write_text(content)
        options = {"sources": [str(path)], "out": str(tmp_path / "corpus"), "vocab_size": 60}
        return main(Settings(**{**options, "min_length": 4, "workers": 1, **settings}))

    return run


def test_from_text_to_a_corpus(prepared, caplog):
    caplog.set_level(logging.INFO, logger="distilbert")
    folder = prepared(validation_fraction=0)
    corpus = Corpus.open(folder)
    tokenizer = DistilBertTokenizerFast.from_pretrained(corpus.tokenizer_folder)
    assert tokenizer.model_max_length == int(1e30)  # which the model sets that is trained on it
    tokens, lengths = corpus.read([0])
    assert tokenizer.decode(tokens) == "[CLS] some words of a text [SEP]"
    assert lengths == [len(tokens)]
    assert "learning a vocabulary of 60 entries" in caplog.text
    assert "20 training sequences" in caplog.text
    assert "tokens/s" in caplog.text
    prepared(validation_fraction=0)
    assert "already prepared" in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"content": ""}, "no text to learn a vocabulary from"),
        ({"content": "\n\n"}, "no text to learn a vocabulary from"),
        ({"min_length": 100}, "corpus is empty.*dropped short sequences: "),
        ({"vocab_size": 5}, "no room for text"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"shard_mb": 0}, "must be positive"),
        ({"workers": -1}, "workers=-1"),
        ({"max_length": 2}, "max_length=2"),
        ({"sources": []}, "nothing to read"),
    ],
)
def test_what_cannot_be_done(prepared, settings, message):
    with pytest.raises(ValueError, match=message):
        prepared(**settings)


def test_an_empty_corpus_with_a_given_vocabulary(prepared, tmp_path):
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    with pytest.raises(ValueError, match=r"corpus is empty.*there are no documents"):
        prepared("", tokenizer=str(vocab))
    with pytest.raises(ValueError, match="dropped unknown sequences: 20"):
        prepared(out=str(tmp_path / "other"), tokenizer=str(vocab), validation_fraction=0)


def test_a_vocabulary_without_special_tokens(prepared, tmp_path):
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")
    with pytest.raises(ValueError, match=r"\[MASK\]"):
        prepared(tokenizer=str(vocab))
    with pytest.raises(OSError, match="nowhere"):
        prepared(tokenizer=str(tmp_path / "nowhere"), out=str(tmp_path / "other"))


def test_lower_case_is_a_setting_of_a_bare_vocabulary_and_else_its_own(prepared, tmp_path):
    folder = tmp_path / "vocabulary"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "some", "Words", "of", "a", "text"]
    (folder / "vocab.txt").write_text("\n".join(words))

    def first(out, **settings):
        settings |= {"validation_fraction": 0, "tokenizer": str(folder)}
        made = prepared("some Words of a text\n" * 20, out=str(tmp_path / out), **settings)
        return DistilBertTokenizerFast.from_pretrained(made).decode(Corpus.open(made).read([0])[0])

    assert first("lower") == "[CLS] some [UNK] of a text [SEP]"
    assert first("cased", lowercase=False) == "[CLS] some Words of a text [SEP]"
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 64}')
    assert first("silent", lowercase=False) == "[CLS] some Words of a text [SEP]"
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert first("said") == first("both", lowercase=False) == "[CLS] some Words of a text [SEP]"
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    with pytest.raises(
        ValueError, match=r"lowercase=False, but by its files the tokenizer of .*vocabulary lower"
    ):
        first("other", lowercase=False)


def test_what_made_nothing_binds_to_nothing(prepared, tmp_path):
    """A tokenizer that is not there is given right by the next command, in the same folder."""
    with pytest.raises(OSError, match="nowhere"):
        prepared(tokenizer=str(tmp_path / "nowhere"))
    assert Corpus.open(prepared(validation_fraction=0)).tokens


def test_an_empty_split_is_told(prepared, tmp_path, caplog):
    prepared(validation_fraction=0)
    told = "no validation split.*validation_fraction of 0, .* 20 documents.*in another folder"
    assert re.search(told, caplog.text)
    caplog.clear()
    prepared(validation_fraction=0)
    assert re.search(told, caplog.text)
    caplog.clear()
    lines = "".join(f"some words of text {number}\n" for number in range(40))
    prepared(lines, validation_fraction=0.3, out=str(tmp_path / "both"))
    assert "validation" not in caplog.text
    options = {"tokenizer": str(tmp_path / "both"), "out": str(tmp_path / "none")}
    with pytest.raises(
        ValueError, match=r"is in the validation split \(documents: 1, text bytes: 420\).*a file is"
    ):
        prepared(**options, documents="file", validation_fraction=0.999)


@pytest.mark.parametrize("where", ["folder", "plan", "tokenizer"])
def test_a_disk_that_is_full_at_the_start(prepared, tmp_path, monkeypatch, where):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if where == "folder":
            patch.setattr(lock, "take", full)
        elif where == "plan":
            patch.setattr(workplace, "write_whole", full)
        else:
            patch.setattr(DistilBertTokenizerFast, "_write_vocab", full)
        with pytest.raises(OSError, match=r"disk of .*corpus is full.*run the same command again"):
            prepared()
    assert prepared().is_dir()


def test_the_corpus_must_not_be_inside_its_source(prepared, tmp_path):
    with pytest.raises(ValueError, match="inside its own source"):
        prepared(sources=[str(tmp_path)])


def test_a_model_is_not_replaced(prepared, tmp_path):
    folder = prepared()
    (folder / "manifest.json").unlink()
    prepared()  # as it says where a shard is damaged
    model = tmp_path / "model"
    DistilBertTokenizerFast.from_pretrained(folder).save_pretrained(model)
    before = {file: file.read_bytes() for file in model.iterdir()}
    with pytest.raises(
        ValueError, match=r"holds a model or a tokenizer \(vocab\.txt, tok.*another"
    ):
        prepared(out=str(model), tokenizer=str(model))
    assert before == {file: file.read_bytes() for file in model.iterdir() if file.name != ".lock"}


def test_out_is_a_file(prepared, tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(OSError, match="is a file"):
        prepared(out=str(tmp_path / "taken"))


def test_what_is_left_out_is_said(prepared, tmp_path, caplog):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("some words of a text\n")
    (folder / "a.bin").touch()
    prepared(sources=[str(folder)], validation_fraction=0)
    assert "1 files are left out" in caplog.text
    assert "a.bin" in caplog.text


def test_real_text_with_a_real_vocabulary(shared_data, tmp_path):
    pytest.importorskip("pyarrow")
    folder = main(
        Settings(
            sources=[str(shared_data / "text_wikitext2")],
            out=str(tmp_path / "corpus"),
            tokenizer=str(shared_data / "vocab" / "bert-base-uncased-vocab.txt"),
            mode="pack",
            max_length=128,
            workers=1,
        )
    )
    corpus = Corpus.open(folder)
    assert corpus.vocab_size == 30_522
    assert corpus.mean_length > 127
    assert 200_000 < corpus.tokens < 300_000


def test_from_the_command_line(tmp_path, capfd):
    text = tmp_path / "text.txt"
    text.write_text("some words of a text\n" * 20)
    flags = ["--sources", str(text), "--out", str(tmp_path / "corpus"), "--vocab_size", "60"]
    flags += ["--min_length", "4", "--validation_fraction", "0"]
    assert cli(["prepare", *flags]) == 0
    assert len(Corpus.open(tmp_path / "corpus")) == 20
    assert cli(["prepare", *flags, "--mode", "pack"]) == 1
    assert "mode was 'split', is 'pack'" in capfd.readouterr().err


def test_no_more_processes_than_windows_takes(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert prepare._cores() == 64
    monkeypatch.setattr(prepare, "sys", SimpleNamespace(platform="win32"))
    assert prepare._cores() == 61


def test_two_at_once_do_not_meet(prepared, tmp_path):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from distilbert.runtime.lock import held\n"
        "with held(Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "corpus")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(OSError, match="another process is running in"):
            prepared()
        other.communicate()
    assert prepared().is_dir()
