"""An exported model gives what the model gives."""

import json
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch

import distilbert as d
from distilbert.export.session import Session

from .conftest import HEADS, LONGEST

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def answers(model, inputs):
    """The model's outputs as arrays, computed without padding."""
    with torch.no_grad():
        output = model(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    return {name: value.numpy() for name, value in output.items()}


def same(found, expected, inputs):
    """Equal in float32 at real tokens; elsewhere 0, or the lowest number for a span's scores."""
    assert found.keys() == expected.keys()
    shape = inputs["input_ids"].shape
    seen = inputs.get("attention_mask", np.ones(shape)) != 0
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        assert found[name].shape == value.shape
        real = seen if value.shape[:2] == shape else np.ones(value.shape, bool)
        error = np.linalg.norm(found[name][real] - value[real]) / np.linalg.norm(value[real])
        assert error < 5e-6
        elsewhere = np.finfo(np.float32).min if name in ("start_logits", "end_logits") else 0
        assert (found[name][~real] == elsewhere).all()


@pytest.mark.parametrize("family", ["DistilBert", "Bert"])
@pytest.mark.parametrize("head", HEADS)
def test_outputs_are_the_models(made, exported, batch, head, family):
    model, inputs = made(head, family), batch(head, family)
    file = exported(model)
    same(file(**inputs), answers(model, inputs), inputs)
    del inputs["attention_mask"]
    inputs.pop("token_type_ids", None)
    same(file(**inputs), answers(model, inputs), inputs)


@pytest.mark.parametrize("head", HEADS)
def test_int8_is_near(made, exported, batch, head):
    model, inputs = made(head), batch(head)
    found, expected = exported(model, precision="int8")(**inputs), answers(model, inputs)
    for name, value in expected.items():
        real = value > np.finfo(np.float32).min
        assert np.array_equal(real, found[name] > np.finfo(np.float32).min)
        error = np.linalg.norm((found[name] - value)[real]) / np.linalg.norm(value[real])
        assert 0 < error < 0.1


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_answer_does_not_depend_on_its_neighbours(made, exported, batch, precision):
    """Nor an empty sequence's, whatever it is."""
    file = exported(made("ForSequenceClassification", initializer_range=1.0), precision=precision)
    inputs = batch("ForSequenceClassification")
    inputs["attention_mask"][4] = 0
    together = file(**inputs)["logits"]
    for row in range(len(together)):
        alone = file(**{name: array[row : row + 1] for name, array in inputs.items()})["logits"]
        np.testing.assert_allclose(alone[0], together[row], atol=1e-5, rtol=1e-5)
    assert np.isfinite(together).all()


@pytest.mark.parametrize(
    "activation",
    ["gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu", "swish", "tanh"],
)
def test_activations(made, exported, batch, activation):
    model, inputs = made("ForMaskedLM", activation=activation), batch("ForMaskedLM")
    same(exported(model)(**inputs), answers(model, inputs), inputs)


def test_the_epsilon_of_layer_normalisation(made, exported, batch):
    """A BERT's, that is: a DistilBERT always has the same."""
    model, inputs = made("Model", "Bert", layer_norm_eps=0.1), batch("Model", "Bert")
    same(exported(model)(**inputs), answers(model, inputs), inputs)


def test_int8_of_rows_that_are_0(made, exported, batch):
    """As vectors of padding are, and what a ReLU leaves of some tokens."""
    model, inputs = made("Model", activation="relu"), batch("Model")
    model.embeddings.word_embeddings.weight.data[:40] = 0
    model.transformer.layer[0].ffn.lin1.bias.data[:] = -1e6
    assert np.isfinite(exported(model, precision="int8")(**inputs)["last_hidden_state"]).all()


def test_pruned_heads_and_odd_sizes(made, exported, batch):
    model, inputs = made("Model", dim=36, hidden_dim=7), batch("Model")
    model.prune_heads({0: [1, 2], 1: [3]})
    same(exported(model)(**inputs), answers(model, inputs), inputs)
    model, inputs = made("ForSequenceClassification"), batch("ForSequenceClassification")
    model.prune_heads({1: [0]})
    same(exported(model)(**inputs), answers(model, inputs), inputs)


@pytest.mark.parametrize("family", ["DistilBert", "Bert"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_tied_decoder_is_in_the_file_once(made, exported, batch, tmp_path, tied, family):
    model = made("ForMaskedLM", family, tie_word_embeddings=tied, dim=64)
    inputs = batch("ForMaskedLM", family)
    same(exported(model)(**inputs), answers(model, inputs), inputs)
    file = onnx.load(tmp_path / "onnx" / "model.onnx")
    tables = [t for t in file.graph.initializer if list(t.dims) == [model.config.vocab_size, 64]]
    assert len(tables) == (1 if tied else 2)


def test_int8_is_a_quarter_of_the_size(made, exported, tmp_path):
    model, sizes = made("Model", dim=128, hidden_dim=512, vocab_size=2000), {}
    for precision in ("fp32", "int8"):
        exported(model, precision=precision)
        sizes[precision] = (tmp_path / "onnx" / "model.onnx").stat().st_size
    assert 0.25 < sizes["int8"] / sizes["fp32"] < 0.3


def test_half_precision_shards_and_the_bare_encoder_of_a_head(made, batch, tmp_path):
    model, inputs = made("ForTokenClassification").bfloat16(), batch("Model")
    model.save_pretrained(tmp_path / "model", max_shard_size="8KB")
    assert len(list((tmp_path / "model").glob("*.safetensors"))) > 1
    d.export_onnx(tmp_path / "model", tmp_path / "onnx", head="Model")
    same(
        d.OnnxModel(tmp_path / "onnx")(**inputs), answers(model.float().base_model, inputs), inputs
    )


def test_a_mask_of_another_type(made, exported, batch):
    """What is not 0 is seen, as in the model."""
    model, inputs = made("Model"), batch("Model")
    file, mask = exported(model), inputs["attention_mask"]
    expected = file(**inputs)["last_hidden_state"]
    for other in (mask * 0.5, mask == 1, mask * 7, mask.tolist()):
        found = file(inputs["input_ids"], other)["last_hidden_state"]
        assert np.array_equal(found, expected)


def test_a_bert_without_pooler(made, batch, exported):
    model, inputs = d.BertModel(made("Model", "Bert").config, False).eval(), batch("Model", "Bert")
    same(exported(model)(**inputs), answers(model, inputs), inputs)


def test_the_file_is_written_for_others(made, exported, tmp_path):
    """It names its inputs and outputs, and every size but the model's is free."""
    exported(made("ForMultipleChoice", "Bert"))
    file = onnx.load(tmp_path / "onnx" / "model.onnx")
    assert file.producer_name == "distilbert"
    assert [value.name for value in file.graph.input] == [
        "input_ids", "attention_mask", "token_type_ids",
    ]  # fmt: skip
    dims = [dim.dim_param for dim in file.graph.output[0].type.tensor_type.shape.dim]
    assert dims == ["batch", "choices"]
    config = d.BertConfig.from_pretrained(tmp_path / "onnx")
    assert config.architectures == ["BertForMultipleChoice"]


def test_weights_that_no_file_holds(made, exported, monkeypatch):
    monkeypatch.setattr("distilbert.export.graph.LARGEST", 30_000)
    with pytest.raises(ValueError, match=r"more than 0.0 GB of weights.*; in int8 it is a quarter"):
        exported(made("Model"))
    exported(made("Model"), precision="int8")


MEMORY = r"""
import re, sys
import distilbert
def peak(): return 1024 * int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
distilbert.export_onnx(sys.argv[1] + "/small", sys.argv[1] + "/small-onnx")  # loads libraries
before = peak()
distilbert.export_onnx(sys.argv[1] + "/large", sys.argv[1] + "/large-onnx")
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_an_export_needs_little_memory(made, tmp_path):
    """The weights in the mapped file, in the graph and in what is written."""
    made("Model").save_pretrained(tmp_path / "small")
    made("Model", n_layers=12, dim=256, hidden_dim=1024).save_pretrained(tmp_path / "large")
    command = [sys.executable, "-c", MEMORY, str(tmp_path)]
    used = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert used < 4 * (tmp_path / "large-onnx" / "model.onnx").stat().st_size


def test_a_check_measures_int8_and_refuses_it(made, tmp_path, tiny_vocab):
    model = made("ForTokenClassification", vocab_size=len(tiny_vocab))
    model.save_pretrained(tmp_path / "model")
    d.DistilBertTokenizerFast(tiny_vocab).save_pretrained(tmp_path / "model")
    texts = ["the small model", ("a model", "the small one")]
    out = tmp_path / "onnx"
    harm = d.export_onnx(tmp_path / "model", out, check=texts)
    assert harm.error == 0
    with pytest.raises(ValueError, match=r"error .*above the tolerance of 1e-06: nothing was"):
        d.export_onnx(tmp_path / "model", out / "8", precision="int8", check=texts, tolerance=1e-6)
    assert not (out / "8").exists()
    harm = d.export_onnx(tmp_path / "model", out, precision="int8", check=texts)
    prepared = d.prepare(
        model, "int8", check=texts, tokenizer=d.DistilBertTokenizerFast(tiny_vocab)
    )
    assert 0.3 < harm.error / prepared.harm.error < 3


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "tf_model.h5"],
)
def test_a_folder_with_weights_is_refused(made, tmp_path, name):
    """A pipeline would open them, with a configuration that is not theirs."""
    made("Model").save_pretrained(tmp_path / "model")
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes(b"another model's")
    with pytest.raises(ValueError, match=rf"out holds weights \({name}\), which would be opened"):
        d.export_onnx(tmp_path / "model", out)
    assert [path.name for path in out.iterdir()] == [name]


def test_the_tokenizer_replaces_that_of_an_older_export(made, tmp_path, tiny_vocab):
    made("Model", vocab_size=len(tiny_vocab)).save_pretrained(tmp_path / "model")
    words = d.DistilBertTokenizerFast(tiny_vocab)
    words.save_pretrained(tmp_path / "model")
    older = d.DistilBertTokenizerFast(dict(reversed([*tiny_vocab.items()])), do_lower_case=False)
    older.add_tokens(["extra"])
    older.save_pretrained(tmp_path / "onnx")
    d.export_onnx(tmp_path / "model", tmp_path / "onnx")
    found = d.DistilBertTokenizerFast.from_pretrained(tmp_path / "onnx")
    assert found("The Small Extra") == words("The Small Extra")
    assert not (tmp_path / "onnx" / "added_tokens.json").exists()


def test_the_tokenizer_of_an_exported_bert_says_that_it_is_one(made, tmp_path, tiny_vocab):
    made("Model", "Bert", vocab_size=len(tiny_vocab)).save_pretrained(tmp_path / "model")
    d.DistilBertTokenizerFast(tiny_vocab).save_pretrained(tmp_path / "model")
    d.export_onnx(tmp_path / "model", tmp_path / "onnx")
    said = json.loads((tmp_path / "onnx" / "tokenizer_config.json").read_text())
    assert said["tokenizer_class"] == "BertTokenizer"


def test_a_check_keeps_the_answers_of_two_batches_at_most(made, tmp_path, tiny_vocab, monkeypatch):
    """A masked LM's are large: tokens x vocabulary."""
    made("ForMaskedLM", vocab_size=len(tiny_vocab)).save_pretrained(tmp_path / "model")
    d.DistilBertTokenizerFast(tiny_vocab).save_pretrained(tmp_path / "model")
    compute, answers, most = Session.__call__, [], 0

    def call(session, **arrays):
        nonlocal most
        found = compute(session, **arrays)
        answers.append(weakref.ref(found["logits"]))
        most = max(most, sum(answer() is not None for answer in answers))
        return found

    monkeypatch.setattr(Session, "__call__", call)
    d.export_onnx(tmp_path / "model", tmp_path / "onnx", check=["the small model"] * 100)
    assert len(answers) == 14
    assert most <= 4


def test_bad_input(made, tmp_path):
    model = made("ForMaskedLM")
    model.save_pretrained(tmp_path / "model")
    place, out = tmp_path / "model", tmp_path / "out"
    with pytest.raises(ValueError, match="precision='fp16' must be fp32 or int8"):
        d.export_onnx(place, out, precision="fp16")
    with pytest.raises(ValueError, match="is a DistilBertForMaskedLM, not a DistilBertForQ"):
        d.export_onnx(place, out, head="ForQuestionAnswering")
    with pytest.raises(ValueError, match=r"a head is one of .*; got 'QA'"):
        d.export_onnx(place, out, head="QA")
    with pytest.raises(ValueError, match="tolerance=nan must be a positive number"):
        d.export_onnx(place, out, check=["a"], tolerance=np.nan)
    with pytest.raises(TypeError, match="opset"):
        d.export_onnx(place, out, opset=17)
    with pytest.raises(OSError, match=r"has no file config\.json"):
        d.export_onnx(tmp_path, out)
    model.base_model.save_pretrained(tmp_path / "bare")
    with pytest.raises(ValueError, match=r"not a whole .*vocab_transform.weight is missing"):
        d.export_onnx(tmp_path / "bare", out, head="ForMaskedLM")
    model.config.hidden_dim = 50
    model.config.architectures = ["DistilBertForMaskedLM"]
    model.config.save_pretrained(place)
    with pytest.raises(
        ValueError, match=r"lin1.weight has shape \(48, 32\), and by config.json \(50, 32\)"
    ):
        d.export_onnx(place, out)
    model.config.hidden_dim = 48
    model.vocab_layer_norm.bias.data[3] = torch.nan
    model.save_pretrained(place)
    with pytest.raises(ValueError, match=r"vocab_layer_norm.bias has values that are not finite"):
        d.export_onnx(place, out)
    assert not out.exists()


def test_what_the_session_refuses(made, exported, tmp_path):
    model = exported(made("Model", "Bert"))
    with pytest.raises(ValueError, match=rf"{LONGEST + 1} tokens are more than the model has"):
        model(np.zeros((1, LONGEST + 1), np.int64))
    with pytest.raises(ValueError, match="input_ids has 0 to 97; the model has embeddings for"):
        model([[0, 97]])
    with pytest.raises(ValueError, match="token_type_ids has 0 to 2"):
        model([[0, 1]], token_type_ids=[[0, 2]])
    with pytest.raises(ValueError, match=r"attention_mask has shape \(1, 3\), input_ids \(1, 2\)"):
        model([[0, 1]], [[1, 1, 1]])
    with pytest.raises(ValueError, match=r"input_ids must be \(B, T\), and not empty; got \(2,\)"):
        model([0, 1])
    with pytest.raises(ValueError, match=r"not empty; got \(1, 0\)"):
        model(np.zeros((1, 0), np.int64))
    with pytest.raises(TypeError, match="input_ids must be integers, got float64"):
        model([[1.0, 2.7]])
    with pytest.raises(ValueError, match="input_ids has 9223372036854775809 to"):
        model(np.array([[2**63 + 1]], np.uint64))
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        d.OnnxModel(tmp_path / "onnx", threads=0)
    with pytest.raises(TypeError, match="threads must be an integer, got '2'"):
        d.OnnxModel(tmp_path / "onnx", threads="2")
    with pytest.raises(ValueError, match=r"ONNX Runtime has no Abacus here; it has .*CPU"):
        d.OnnxModel(tmp_path / "onnx", providers=["Abacus"])
    file = onnx.load(tmp_path / "onnx" / "model.onnx")
    file.graph.input.append(
        onnx.helper.make_tensor_value_info("position_ids", onnx.TensorProto.INT64, ["batch"])
    )
    onnx.save(file, tmp_path / "onnx" / "model.onnx")
    with pytest.raises(ValueError, match=r"model.onnx has an input position_ids, and a model has"):
        d.OnnxModel(tmp_path / "onnx")
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"model.onnx cannot be opened by ONNX Runtime"):
        d.OnnxModel(tmp_path / "onnx")
