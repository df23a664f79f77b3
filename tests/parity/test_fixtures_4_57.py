"""Files and answers of transformers 4.57, from scripts/make_fixtures.py; no transformers needed."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import distilbert
from distilbert.keymap import to_bert_file

FOLDER = Path(__file__).parents[1] / "fixtures" / "transformers-4.57"
CASES = {case["case"]: case for case in json.loads((FOLDER / "cases.json").read_text())}

pytestmark = pytest.mark.parity


def open_model(case):
    cls = getattr(distilbert, case["class"])
    model, info = cls.from_pretrained(FOLDER / case["checkpoint"], output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    if "prune" in case:
        model.prune_heads({int(layer): heads for layer, heads in case["prune"].items()})
    return model


def part(tensors, prefix):
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def flat(output):
    """The names that make_fixtures.py gives the values of an output."""
    for name, value in output.items():
        if isinstance(value, tuple):
            yield from ((f"{name}/{number}", each) for number, each in enumerate(value))
        else:
            yield name, value


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_outputs_losses_and_gradients(case):
    model, tensors = open_model(case), load_file(FOLDER / f"{case['case']}.safetensors")
    output = model(**part(tensors, "given/"), output_hidden_states=True, output_attentions=True)
    ours, theirs = dict(flat(output)), part(tensors, "output/")
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-5, atol=1e-5)
    gradients = part(tensors, "gradient/")
    if gradients:
        output.loss.backward()
        rename = to_bert_file if case["class"].startswith("Bert") else str
        found = {rename(n): p.grad for n, p in model.named_parameters() if p.grad is not None}
        assert found.keys() == gradients.keys()
        for name, expected in gradients.items():
            torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "varlen"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_fast_attention(case, attention):
    model, tensors = open_model(case), load_file(FOLDER / f"{case['case']}.safetensors")
    model.set_attn_implementation(attention)
    given = part(tensors, "given/")
    output = model(**{name: x for name, x in given.items() if not name.endswith("_positions")})
    real = given["attention_mask"].bool()
    for name, value in output.items():
        expected = tensors[f"output/{name}"]
        if value.shape[:2] == real.shape and not case["class"].endswith("MultipleChoice"):
            value, expected = value[real], expected[real]
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)


def test_what_the_files_are():
    """The fixtures hold what they are there for."""
    names = {
        path.name: {p.name for p in path.iterdir()} for path in FOLDER.iterdir() if path.is_dir()
    }
    assert "pytorch_model.bin" in names["bin"]
    assert "pytorch_model.bin.index.json" in names["bin-shards"]
    assert "model.safetensors.index.json" in names["shards"]
    pruned = open_model(CASES["classification-pruned"])
    assert pruned.config.pruned_heads == {0: [1], 1: [0, 2]}
    assert pruned.distilbert.transformer.layer[1].attention.q_lin.weight.shape == (2, 6)
    assert not open_model(CASES["masked-lm-untied"]).config.tie_word_embeddings
    assert open_model(CASES["sinusoidal"]).config.sinusoidal_pos_embds
    assert {case["class"] for case in CASES.values()} >= {
        name for name in distilbert.__all__ if name.startswith("DistilBertFor")
    }
