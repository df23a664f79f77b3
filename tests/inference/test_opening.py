"""A checkpoint loaded prepared against the same one opened as a model."""

import json
from pathlib import Path

import pytest
import torch

import distilbert as d
from distilbert.inference import opening

from .conftest import HEADS


@pytest.mark.parametrize("family", ["DistilBert", "Bert"])
@pytest.mark.parametrize("head", HEADS)
def test_equal_to_the_model(make, feed, right, tmp_path, head, family):
    model = make(head, family)
    model.save_pretrained(tmp_path)
    prepared = d.load(tmp_path)
    assert prepared.model_class is type(model)
    inputs = feed(head, right(6, 2))
    torch.testing.assert_close(prepared(**inputs)[0], model(**inputs)[0].detach())


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_what_is_prepared_lies_in_the_mapped_file(make, tmp_path, monkeypatch):
    make("ForMaskedLM").save_pretrained(tmp_path)
    outside = []

    def spy(model, precision, **options):
        lines = Path("/proc/self/maps").read_text().splitlines()
        ends = [
            x.split()[0].split("-")
            for x in lines
            if x.endswith(str(tmp_path / "model.safetensors"))
        ]
        spans = [(int(first, 16), int(last, 16)) for first, last in ends]
        for name, parameter in model.named_parameters():
            if not any(first <= parameter.data_ptr() < last for first, last in spans):
                outside.append(name)
        return d.prepare(model, precision)

    monkeypatch.setattr(opening, "prepare", spy)
    prepared = d.load(tmp_path)
    assert not outside
    ids = torch.tensor([[2, 7, 3]])
    before = prepared(ids).logits
    (tmp_path / "model.safetensors").write_bytes(b"")
    torch.testing.assert_close(prepared(ids).logits, before)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_half_precision_files(make, feed, right, tmp_path, precision):
    model = make("ForTokenClassification").half()
    model.save_pretrained(tmp_path)
    prepared = d.load(tmp_path, precision)
    inputs = feed("", right(5, 3))
    expected = d.prepare(model.float(), precision)(**inputs).logits
    torch.testing.assert_close(prepared(**inputs).logits, expected)


def test_old_files(make, feed, right, tmp_path):
    model = make("ForQuestionAnswering")
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    inputs = feed("", right(5, 3))
    torch.testing.assert_close(d.load(tmp_path)(**inputs)[0], model(**inputs)[0].detach())


def test_the_encoder_of_a_checkpoint_with_a_head(make, feed, right, tmp_path):
    model = make("ForMaskedLM")
    model.save_pretrained(tmp_path)
    inputs = feed("", right(5, 3))
    found = d.load(tmp_path, head="Model")(**inputs).last_hidden_state
    expected = model.base_model(**inputs).last_hidden_state
    torch.testing.assert_close(found, expected.detach())


def test_bad_input(make, tmp_path):
    make("ForMaskedLM").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a DistilBertForMaskedLM, not a DistilBertForToken"):
        d.load(tmp_path, head="ForTokenClassification")
    with pytest.raises(ValueError, match=r"a head is one of ForMaskedLM, .* or Model; got 'MLM'"):
        d.load(tmp_path, head="MLM")
    with pytest.raises(ValueError, match="precision must be 'auto' or one of"):
        d.load(tmp_path, "int4")
    with pytest.raises(ValueError, match="threads=0 must be at least 1"):
        d.load(tmp_path, threads=0)
    with pytest.raises(TypeError, match="load has no option 'dtype'; it has cache_dir"):
        d.load(tmp_path, dtype="float16")
    with pytest.raises(OSError, match="nowhere"):
        d.load(tmp_path / "nowhere")
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    del content["architectures"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"does not say which class wrote it.*which head it has"):
        d.load(tmp_path)
    with pytest.raises(ValueError, match="not a whole DistilBertForTokenClassification: class"):
        d.load(tmp_path, head="ForTokenClassification")
    assert d.load(tmp_path, head="ForMaskedLM").model_class is d.DistilBertForMaskedLM


def test_threads(make, tmp_path):
    make().save_pretrained(tmp_path)
    before = torch.get_num_threads()
    try:
        d.load(tmp_path, threads=before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu(make, feed, right, tmp_path):
    make("ForSequenceClassification", dim=64).save_pretrained(tmp_path)
    prepared = d.load(tmp_path, "bf16", device="cuda")
    assert prepared.device.type == "cuda"
    inputs = {name: x.cuda() for name, x in feed("", right(6, 2)).items()}
    expected = d.load(tmp_path, device="cuda")(**inputs).logits
    torch.testing.assert_close(prepared(**inputs).logits, expected, atol=0.1, rtol=0.1)


def test_a_device_that_is_not_there(tmp_path):
    """It is found before any file is looked for."""
    for device in ("cuda:99", "gpu", -1):
        with pytest.raises(ValueError, match=f"device={device!r} cannot be used"):
            d.load(tmp_path / "nowhere", device=device)


def test_the_device_is_where_it_computes(make, tmp_path, monkeypatch):
    make().save_pretrained(tmp_path)
    moved = []
    monkeypatch.setattr(opening, "prepare", lambda model, *_, **__: moved.append(model.device))
    d.load(tmp_path, device="meta")
    assert moved == [torch.device("meta")]
