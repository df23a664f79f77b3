"""A prepared corpus is read as it was written, and what is wrong with it is said at once."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert.distillation import corpus as module
from distilbert.distillation.corpus import Corpus
from distilbert.distillation.shards import ShardReader, token_dtype, write_shard


def written(folder, shards, vocab_size=100):
    """Write a corpus of the given sequences, shard by shard."""
    folder.mkdir(exist_ok=True)
    entries, counts = [], np.zeros(vocab_size, dtype=np.int64)
    for number, sequences in enumerate(shards):
        tokens = np.concatenate([np.array(s, dtype=token_dtype(vocab_size)) for s in sequences])
        lengths = np.array([len(s) for s in sequences])
        entry = write_shard(folder, f"train-{number:05}", tokens, lengths)
        entries.append(vars(entry))
        np.add.at(counts, tokens, 1)
    np.save(folder / "counts.npy", counts)
    manifest = {
        "format": 1,
        "vocab_size": vocab_size,
        "dtype": token_dtype(vocab_size).str,
        "special_ids": {"cls": 2, "mask": 4, "pad": 0, "sep": 3, "unk": 1},
        "max_length": 32,
        "splits": {"train": entries, "validation": []},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


sequences = st.lists(st.integers(0, 99), min_size=1, max_size=9)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(sequences, min_size=1, max_size=6), min_size=1, max_size=5),
    st.sampled_from([100, 65_535, 65_536]),
    st.data(),
)
def test_reads_what_was_written(tmp_path_factory, shards, vocab_size, data):
    corpus = Corpus.open(written(tmp_path_factory.mktemp("corpus"), shards, vocab_size))
    flat = [sequence for shard in shards for sequence in shard]
    assert len(corpus) == len(flat)
    indices = data.draw(st.lists(st.integers(0, len(flat) - 1), max_size=12))
    tokens, lengths = corpus.read(np.array(indices, dtype=np.int64))
    assert tokens.dtype == lengths.dtype == np.int64
    assert tokens.tolist() == [token for index in indices for token in flat[index]]
    assert lengths.tolist() == [len(flat[index]) for index in indices]
    assert corpus.longest == max(map(len, flat))
    assert corpus.mean_length == sum(map(len, flat)) / len(flat)
    assert corpus.counts.sum() == corpus.tokens
    corpus.verify()


def test_any_number_of_shards(tmp_path, monkeypatch):
    """Their headers are read once, however many there are, and no file stays open."""
    made = []
    monkeypatch.setattr(
        module, "ShardReader", lambda *shard: made.append(shard) or ShardReader(*shard)
    )
    one = Corpus.open(written(tmp_path, [[[5, 6], [7]]]))
    corpus = Corpus(tmp_path, "train", one.manifest, one.shards * 1_000, one.counts)
    descriptors = Path("/dev/fd")  # not on Windows
    before = descriptors.is_dir() and len(os.listdir(descriptors))
    for _ in range(2):
        tokens, _ = corpus.read(np.arange(2_000))
        assert tokens.tolist() == [5, 6, 7] * 1_000
    assert len(made) == 1_000
    assert before == (descriptors.is_dir() and len(os.listdir(descriptors)))


def test_the_dtype_follows_the_vocabulary():
    assert token_dtype(65_535) == np.uint16
    assert token_dtype(65_536) == np.uint32


def test_no_such_sequence(tmp_path):
    corpus = Corpus.open(written(tmp_path, [[[5], [6]]]))
    for index in (-1, 2):
        with pytest.raises(IndexError, match="sequences 0 to 1"):
            corpus.read(np.array([index]))


def test_a_hash_tells_corpora_apart(tmp_path):
    one = Corpus.open(written(tmp_path / "a", [[[5], [6]]]))
    same = Corpus.open(written(tmp_path / "b", [[[5], [6]]]))
    other = Corpus.open(written(tmp_path / "c", [[[5], [7]]]))
    assert one.hash == same.hash != other.hash


def test_there_is_no_corpus(tmp_path):
    with pytest.raises(FileNotFoundError, match="Make one with `distilbert prepare`"):
        Corpus.open(tmp_path)
    (tmp_path / "progress").mkdir()
    with pytest.raises(FileNotFoundError, match="interrupted; run the same"):
        Corpus.open(tmp_path)


@pytest.mark.parametrize("name", ["train-00001.tokens.npy", "train-00001.ends.npy"])
def test_damaged_shards_are_named(tmp_path, name):
    folder = written(tmp_path, [[[5], [6]], [[7, 8, 9]]])
    path = folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(OSError, match=r"train-00001.*bytes, not.*distilbert prepare"):
        Corpus.open(folder)
    path.write_bytes(b"junk" + whole[4:])
    with pytest.raises(OSError, match=rf"{name} cannot be read.*distilbert prepare"):
        Corpus.open(folder).read(np.array([2]))
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(OSError, match=r"train-00001.*sha256.*distilbert prepare"):
        Corpus.open(folder).verify()
    path.unlink()
    with pytest.raises(OSError, match=rf"{name} is missing"):
        Corpus.open(folder)


def test_changed_bytes_are_found_where_they_are_read(tmp_path):
    folder = written(tmp_path, [[[5], [6]], [[7, 8, 9], [10], [11]]])
    for name, place, wrong, message in (
        (
            "train-00001.tokens.npy",
            1,
            300,
            r"train-00001.tokens.npy was changed: it has the id 300",
        ),
        ("train-00001.ends.npy", 1, 0, r"train-00001.ends.npy was changed: a sequence ends where"),
        ("train-00001.ends.npy", 2, 6, r"train-00001.ends.npy was changed: a sequence ends where"),
    ):
        array = np.load(folder / name)
        changed = array.copy()
        changed[place] = wrong
        np.save(folder / name, changed)
        corpus = Corpus.open(folder)
        corpus.read(np.array([0, 1]))
        with pytest.raises(OSError, match=message + r".*distilbert prepare"):
            corpus.read(np.array([0, 2, 3, 4]))
        np.save(folder / name, array)


@pytest.mark.parametrize("name", ["train-00000.tokens.npy", "train-00000.ends.npy"])
def test_shards_that_are_cut_or_lost_while_they_are_read(tmp_path, name):
    folder = written(tmp_path, [[[5], [6] * 9]])
    corpus = Corpus.open(folder)
    corpus.read(np.array([0, 1]))
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-1])
    corpus.read(np.array([0]))
    with pytest.raises(OSError, match=rf"{name} was changed: it ends too early.*distilbert prep"):
        corpus.read(np.array([0, 1]))
    (folder / name).unlink()
    with pytest.raises(OSError, match=rf"{name} cannot be read .*distilbert prepare"):
        corpus.read(np.array([0]))


@pytest.mark.parametrize("how", ["swapped", "cut", "missing"])
@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer.json", "counts.npy"])
def test_changed_files_beside_the_shards(make_corpus, name, how):
    folder = make_corpus()
    file = folder / name
    content = file.read_bytes()
    if how == "missing":
        file.unlink()
    else:
        cut = content[: len(content) // 2]
        file.write_bytes(cut if how == "cut" else content[:-3] + content[-3:][::-1] + b" ")
    with pytest.raises(OSError, match=rf"{name} (was changed|is missing).*distilbert prepare"):
        Corpus.open(folder)
    (folder / "manifest.json").unlink()
    make_corpus()  # as it says
    assert file.read_bytes() == content


@pytest.mark.parametrize("name", ["../secret", "/secret", "a\\secret", 5])
def test_a_manifest_names_nothing_outside_its_folder(tmp_path, name):
    folder = written(tmp_path / "corpus", [[[5]]])
    manifest = json.loads((folder / "manifest.json").read_text())
    (tmp_path / "secret").touch()
    entry = manifest["splits"]["train"][0] | {"name": name}
    for change in {"files": {str(name) + "/": ""}}, {"splits": {"train": [entry]}}:
        (folder / "manifest.json").write_text(json.dumps(manifest | change))
        with pytest.raises(ValueError, match=r"manifest\.json .* in the corpus's folder"):
            Corpus.open(folder)


def test_bad_manifests(tmp_path):
    folder = written(tmp_path, [[[5]]])
    with pytest.raises(ValueError, match="larger validation_fraction, in another folder"):
        Corpus.open(folder, "validation")
    with pytest.raises(ValueError, match="no split 'test'; it has train, validation"):
        Corpus.open(folder, "test")
    np.save(folder / "counts.npy", np.zeros(3, dtype=np.int64))
    with pytest.raises(OSError, match="does not fit the manifest"):
        Corpus.open(folder)
    (folder / "counts.npy").unlink()
    with pytest.raises(OSError, match=r"counts\.npy cannot be read"):
        Corpus.open(folder)
    (folder / "manifest.json").write_text('{"format": 2}')
    with pytest.raises(ValueError, match="format 2, this version reads 1"):
        Corpus.open(folder)
    (folder / "manifest.json").write_text('{"format"')
    with pytest.raises(ValueError, match=r"not a valid JSON.*Remove manifest\.json and"):
        Corpus.open(folder)
