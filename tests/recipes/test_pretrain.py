"""`distilbert pretrain`: both kinds learn the toy language, from nothing or from a checkpoint."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import distilbert as d
from distilbert import cli
from distilbert.distillation.corpus import Corpus
from distilbert.distillation.evaluation import masked_lm_sums
from distilbert.distillation.masking import Masking
from distilbert.modeling.model import sinusoids
from distilbert.modeling.opening import open_masked_lm
from distilbert.recipes.masked_lm import open_source
from distilbert.recipes.pretrain import Settings, main
from distilbert.runtime import launch
from distilbert.runtime.metrics import read_metrics
from distilbert.runtime.run import RUN_FILE

from .conftest import TEACHER


@pytest.fixture
def pretrain(fresh, corpus, tmp_path):
    """Return a function that runs the recipe in `tmp_path / name`, briefly."""

    def run(name="run", **settings):
        fresh()
        options = {"layers": 2, "dim": 16, "heads": 2, "steps": 10, "sequences_per_step": 24}
        if "model" in settings:
            options = {"steps": 10, "sequences_per_step": 24}
        out = str(tmp_path / name)
        return main(Settings(**{**options, "corpus": corpus, "out": out, **settings}))

    return run


def numbers(folder):
    return [{k: v for k, v in line.items() if k != "time"} for line in read_metrics(folder)]


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_it_learns(pretrain, corpus, tmp_path, kind):
    scores = pretrain(kind=kind, **{**TEACHER, "layers": 1, "steps": 160})
    counts = Corpus.open(corpus).counts[5:]  # words
    shares = counts[counts > 0] / counts.sum()
    entropy = -(shares * torch.tensor(shares).log().numpy()).sum()
    assert entropy > 3.8
    assert scores["loss"] < 0.8 * entropy  # between 0.6 and 0.77 of it, by seed, at 120 steps
    assert scores["accuracy"] > 5 * shares.max()
    lines = numbers(tmp_path / "run")
    assert [line["step"] for line in lines] == [0, *range(10, 170, 10), 160]
    assert lines[0]["validation/loss"] == pytest.approx(math.log(53), abs=0.1)
    assert lines[-1]["validation/loss"] == scores["loss"]
    training = lines[1:-1]
    assert all(line["loss"] == pytest.approx(line["mlm"]) for line in training)
    assert training[-1]["loss"] < 0.8 * training[0]["loss"]
    assert (tmp_path / "run" / "tensorboard").is_dir()
    record = json.loads((tmp_path / "run" / RUN_FILE).read_text())
    assert record["settings"]["kind"] == kind
    assert record["starts"][0]["outcome"] == "finished"


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_what_is_published(pretrain, fresh, corpus, tmp_path, kind):
    scores = pretrain(kind=kind)
    folder = tmp_path / "run" / "model"
    cls = d.BertForMaskedLM if kind == "bert" else d.DistilBertForMaskedLM
    model = cls.from_pretrained(folder)
    assert model.config.dropout == 0.1
    assert model.config.max_position_embeddings == 512
    tokenizer = d.DistilBertTokenizerFast.from_pretrained(folder)
    assert tokenizer.get_vocab() == d.DistilBertTokenizerFast.from_pretrained(corpus).get_vocab()
    fresh()
    source = open_source(
        launch.start(), corpus, seed=5, sequences_per_step=7, micro_tokens=33,
        masking=Masking(0.15, 0.0),
    )  # fmt: skip
    loss, right, count = masked_lm_sums(model, source.validation(50)).tolist()
    assert loss / count == pytest.approx(scores["loss"], rel=1e-5)
    assert right / count == scores["accuracy"]


def test_from_a_checkpoint(pretrain, teacher, tmp_path):
    scores = pretrain(model=teacher, learning_rate=1e-3, dropout=0.0)
    first = numbers(tmp_path / "run")[0]["validation/loss"]
    assert first < 2.5  # it knows the language already
    assert scores["loss"] < first + 0.05
    assert type(open_masked_lm(str(tmp_path / "run" / "model"))) is d.BertForMaskedLM
    said = json.loads((tmp_path / "run" / "model" / "tokenizer_config.json").read_text())
    assert said["tokenizer_class"] == "BertTokenizer"  # so that others give it segment ids
    assert said["model_max_length"] == 512  # its positions: the corpus has no limit
    with pytest.raises(ValueError, match="layers 3 is for new models"):
        pretrain("other", model=teacher, layers=3)
    with pytest.raises(ValueError, match="kind distilbert is for new models"):
        pretrain("other", model=teacher, kind="distilbert")
    with pytest.raises(OSError, match="nowhere"):
        pretrain("other", model=str(tmp_path / "nowhere"))
    assert not (tmp_path / "other").exists()


def test_from_an_encoder(pretrain, teacher, tmp_path, caplog):
    """Whose masked-LM head is new."""
    d.DistilBertModel(
        d.DistilBertConfig(vocab_size=53, n_layers=1, n_heads=2, dim=16, hidden_dim=32)
    ).save_pretrained(tmp_path / "encoder")
    assert pretrain(model=str(tmp_path / "encoder"))["loss"] < 4.1
    assert "new, to be trained before use: vocab_transform" in caplog.text


def test_from_a_model_of_more_entries_than_tokens(pretrain, teacher, tmp_path):
    model = d.BertForMaskedLM.from_pretrained(teacher)
    model.resize_token_embeddings(64)
    model.save_pretrained(tmp_path / "padded")
    d.DistilBertTokenizerFast.from_pretrained(teacher).save_pretrained(tmp_path / "padded")
    pretrain(model=str(tmp_path / "padded"))
    published = d.BertForMaskedLM.from_pretrained(tmp_path / "run" / "model")
    assert published.config.vocab_size == 64


def test_sinusoidal_start(pretrain, fresh, tmp_path):
    pretrain(sinusoidal_start=True, learning_rate=1e-9, kind="distilbert")
    model = d.DistilBertForMaskedLM.from_pretrained(tmp_path / "run" / "model")
    positions = model.get_position_embeddings().weight
    assert positions.requires_grad
    torch.testing.assert_close(positions, sinusoids(512, 16) * 0.02 * 2**0.5, atol=1e-6, rtol=0)


def test_gradient_checkpointing_gives_the_same_losses(pretrain, tmp_path):
    pretrain("with", gradient_checkpointing=True, dropout=0.2)
    pretrain("without", dropout=0.2)
    assert numbers(tmp_path / "with") == numbers(tmp_path / "without")
    one, other = (
        load_file(tmp_path / n / "model" / "model.safetensors") for n in ("with", "without")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_micro_batches_do_not_matter(pretrain, tmp_path):
    """Within the order of sums, without dropout."""
    pretrain("whole", dropout=0.0)
    pretrain("parts", dropout=0.0, micro_tokens=40)
    for one, other in zip(numbers(tmp_path / "whole"), numbers(tmp_path / "parts"), strict=True):
        assert one == pytest.approx(other, rel=1e-5)


def test_bf16(pretrain, tmp_path):
    scores = pretrain(precision="bf16", steps=2, sequences_per_step=8, layers=1, deterministic=True)
    assert scores["loss"] == pytest.approx(math.log(53), abs=0.2)
    weights = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


def test_wrong_shapes(pretrain, tmp_path, fresh, corpus):
    with pytest.raises(ValueError, match="heads"):
        pretrain(heads=3)
    with pytest.raises(ValueError, match="kind must be bert or distilbert"):
        pretrain(kind="roberta")
    assert not (tmp_path / "run").exists()
    with pytest.raises(SystemExit, match="2"):
        cli.main(["pretrain", "--corpus", corpus, "--out", "x", "--kind", "roberta"])


def test_settings_are_few():
    assert len(dataclasses.fields(Settings)) <= 30


def test_no_input_is_replaced(pretrain, teacher, tmp_path):
    with pytest.raises(ValueError, match="would be replaced by the model of this run"):
        pretrain(model=teacher, out=str(Path(teacher).parent))
