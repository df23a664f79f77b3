"""`pytorch_model.bin`: old ones open, hostile ones run nothing, damaged ones say so."""

import builtins
import io
import json
import os
import pickle
import warnings
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

import distilbert as d

BIN, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


@pytest.fixture
def model(tiny):
    torch.manual_seed(0)
    return d.DistilBertForMaskedLM(tiny).eval()


@pytest.fixture
def folder(model, tmp_path):
    model.config.save_pretrained(tmp_path)
    return tmp_path


def load(folder, **options):
    return d.DistilBertForMaskedLM.from_pretrained(folder, **options)


def same(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def refused(folder, match, name=BIN):
    with pytest.raises(ValueError, match=match) as caught:
        load(folder)
    assert str(folder / name) in str(caught.value)


def saved_bytes(content, is_zip=True):
    written = io.BytesIO()
    torch.save(content, written, _use_new_zipfile_serialization=is_zip)
    return written.getvalue()


@pytest.mark.parametrize("is_zip", [True, False])
class TestGood:
    def test_opens(self, model, folder, is_zip):
        state = OrderedDict(model.state_dict())
        state["distilbert.embeddings.position_ids"] = torch.arange(16)[None]
        (folder / BIN).write_bytes(saved_bytes(state, is_zip))
        assert same(load(folder), model)
        assert same(load(folder, use_safetensors=False), model)
        with pytest.raises(OSError, match="no weights"):
            load(folder, use_safetensors=True)

    def test_parameters_and_metadata(self, model, folder, is_zip):
        state = OrderedDict((n, torch.nn.Parameter(w)) for n, w in model.state_dict().items())
        state._metadata = model.state_dict()._metadata
        (folder / BIN).write_bytes(saved_bytes(state, is_zip))
        assert same(load(folder), model)

    def test_half(self, model, folder, is_zip):
        (folder / BIN).write_bytes(saved_bytes(model.half().state_dict(), is_zip))
        assert same(load(folder, dtype="auto"), model)

    def test_shards(self, model, folder, is_zip):
        state = list(model.state_dict().items())
        where = {}
        for number, part in enumerate((state[:5], state[5:])):
            name = f"pytorch_model-{number}-of-2.bin"
            (folder / name).write_bytes(saved_bytes(dict(part), is_zip))
            where |= {key: name for key, _ in part}
        (folder / INDEX).write_text(json.dumps({"weight_map": where}))
        assert same(load(folder), model)
        (folder / name).write_bytes(saved_bytes({}, is_zip))
        refused(folder, "does not hold", name)
        (folder / name).unlink()
        with pytest.raises(OSError, match=f"has no file {name}"):
            load(folder)


class Command:
    """What a hostile pickle calls when it is read."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def attacks(sentinel):
    yield Command(os.system, f"touch {sentinel}")
    yield Command(builtins.eval, f"open({str(sentinel)!r}, 'w').close()")
    yield Command(builtins.exec, f"open({str(sentinel)!r}, 'w').close()")
    yield Command(os.mkdir, str(sentinel))


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("form", ["zip", "legacy", "plain pickle"])
@pytest.mark.parametrize("place", ["whole", "beside", "key"])
def test_code_is_refused_and_not_run(model, folder, number, form, place):
    sentinel = folder / "executed"
    attack = list(attacks(sentinel))[number]
    content = {
        "whole": attack,
        "beside": {**model.state_dict(), "x": attack},
        "key": [(attack, 1), model.state_dict()],
    }[place]
    if form == "plain pickle":
        written = pickle.dumps(content, protocol=2)
    else:
        written = saved_bytes(content, is_zip=form == "zip")
    (folder / BIN).write_bytes(written)
    refused(folder, "holds more than weights, or is damaged; it was not executed")
    assert not sentinel.exists()


def test_the_attack_works_where_it_is_let(tmp_path):
    """The test above would see a file that was executed."""
    for number in range(4):
        sentinel = tmp_path / str(number)
        pickle.loads(pickle.dumps(list(attacks(sentinel))[number]))
        assert sentinel.exists()


@pytest.mark.parametrize(
    "content",
    [
        [torch.ones(2)],
        torch.ones(2),
        "weights",
        3,
        None,
        {"state_dict": {"distilbert.x": torch.ones(2)}},
        {"epoch": 3, "distilbert.x": torch.ones(2)},
        {3: torch.ones(2)},
        {"a": [torch.ones(2)]},
    ],
)
@pytest.mark.parametrize("is_zip", [True, False])
def test_anything_but_names_and_tensors(folder, content, is_zip):
    (folder / BIN).write_bytes(saved_bytes(content, is_zip))
    refused(folder, "must map names to tensors and nothing else")


def test_tensors_that_are_no_weights(model, folder):
    key = "distilbert.embeddings.LayerNorm.weight"
    weight = model.state_dict()[key]
    for wrong in (weight.long(), weight.to_sparse(), weight.to("meta"), weight.to(torch.complex64)):
        (folder / BIN).write_bytes(saved_bytes({**model.state_dict(), key: wrong}))
        with pytest.raises(ValueError, match=f"{key} does not hold floating-point numbers"):
            load(folder)


@pytest.mark.parametrize("is_zip", [True, False])
def test_truncated(model, folder, is_zip):
    whole = saved_bytes(model.state_dict(), is_zip)
    for length in [*range(0, 200, 7), *range(200, len(whole), len(whole) // 40), len(whole) - 1]:
        (folder / BIN).write_bytes(whole[:length])
        refused(folder, "is damaged")


@pytest.mark.parametrize("is_zip", [True, False])
def test_corrupt(folder, is_zip):
    """Changed bytes are refused, or change names and values only; nothing else escapes."""
    whole = saved_bytes({f"distilbert.w{i}": torch.ones(4, 5) for i in range(3)}, is_zip)
    randomness = np.random.default_rng(0)
    refusals = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about pickle protocols
        for _ in range(400):
            changed = bytearray(whole)
            for _ in range(randomness.integers(1, 4)):
                changed[randomness.integers(min(len(whole), 700))] = randomness.integers(256)
            (folder / BIN).write_bytes(changed)
            with pytest.raises(
                ValueError, match=r"damaged|none of its|names to tensors|the weight"
            ):
                load(folder)
            refusals += 1
    assert refusals == 400


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        b"<html>",
        b"PK\x03\x04",
        b"PK\x05\x06" + b"\0" * 18,
        b"version https://git-lfs",
    ],
)
def test_not_a_checkpoint(folder, content):
    (folder / BIN).write_bytes(content)
    refused(folder, "damaged")


def test_zip_of_something_else(folder):
    with zipfile.ZipFile(folder / BIN, "w") as archive:
        archive.writestr("archive/readme.txt", "hello")
    refused(folder, "damaged")


def test_size_that_lies(folder):
    """Three numbers said to be 2**48, in the legacy format, which allocates before it reads."""
    whole = saved_bytes({"distilbert.w": torch.ones(3)}, is_zip=False)
    three, huge = (pickle.dumps(n, protocol=2)[2:-1] for n in (3, 2**48))
    place = whole.index(b"cpu")
    (folder / BIN).write_bytes(whole[:place] + whole[place:].replace(three, huge, 1))
    refused(folder, "damaged")
