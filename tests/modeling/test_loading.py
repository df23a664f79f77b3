"""Checkpoints into models: names, what is new or unused, shapes, dtypes, the report."""

import json
import logging

import pytest
import torch
from safetensors.torch import load_file, save_file

import distilbert as d
from distilbert.modeling.model import sinusoids

SAFE = "model.safetensors"
WORDS = "distilbert.embeddings.word_embeddings.weight"


@pytest.fixture
def model(tiny):
    torch.manual_seed(0)
    return d.DistilBertForMaskedLM(tiny).eval()


@pytest.fixture
def folder(model, tmp_path):
    model.save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def change(folder):
    """Rewrite the weights of the folder by a function from dict to dict."""

    def rewrite(function):
        changed = function(load_file(folder / SAFE))
        save_file({n: w.clone().contiguous() for n, w in changed.items()}, folder / SAFE)

    return rewrite


def same(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def load(folder, cls=d.DistilBertForMaskedLM, **options):
    return cls.from_pretrained(folder, **options)


class TestNames:
    def test_own_files(self, model, folder, caplog):
        caplog.set_level(logging.INFO)
        loaded, info = load(folder, output_loading_info=True)
        assert same(loaded, model)
        assert not loaded.training
        assert not any(info.values())
        assert not caplog.records

    @pytest.mark.parametrize(
        "rename",
        [
            lambda name: name.removeprefix("distilbert."),
            lambda name: name.replace("distilbert.embeddings", "embeddings"),
            lambda name: name.replace("distilbert.", "bert."),
            lambda name: (
                name.replace("LayerNorm.weight", "LayerNorm.gamma")
                .replace("layer_norm.weight", "layer_norm.gamma")
                .replace("LayerNorm.bias", "LayerNorm.beta")
                .replace("layer_norm.bias", "layer_norm.beta")
            ),
        ],
    )
    def test_other_spellings(self, model, folder, change, rename):
        change(lambda weights: {rename(n): w for n, w in weights.items()})
        loaded, info = load(folder, output_loading_info=True)
        assert same(loaded, model)
        assert not any(info.values())

    def test_buffers_of_old_files_are_ignored(self, model, folder, change, caplog):
        caplog.set_level(logging.INFO)
        change(lambda w: {**w, "distilbert.embeddings.position_ids": torch.arange(16)[None]})
        assert same(load(folder), model)
        assert not caplog.records

    def test_head_into_base(self, model, folder, caplog):
        caplog.set_level(logging.INFO)
        base = load(folder, d.DistilBertModel)
        assert same(base, model.distilbert)
        assert [r.levelno for r in caplog.records] == [logging.INFO]
        assert "not used: vocab_layer_norm, vocab_projector, vocab_transform" in caplog.text

    def test_base_into_head(self, model, tmp_path, caplog):
        model.distilbert.save_pretrained(tmp_path)
        loaded, info = load(
            tmp_path, d.DistilBertForSequenceClassification, output_loading_info=True
        )
        assert same(loaded.distilbert, model.distilbert)
        assert sorted(info["missing_keys"]) == [
            *("classifier.bias", "classifier.weight"),
            *("pre_classifier.bias", "pre_classifier.weight"),
        ]
        assert [r.levelno for r in caplog.records] == [logging.WARNING]
        assert "new, to be trained before use: pre_classifier, classifier" in caplog.text
        assert "\n" not in caplog.records[0].getMessage()


class TestDecoder:
    def test_absent(self, folder):
        loaded = load(folder)
        assert loaded.vocab_projector.weight is loaded.get_input_embeddings().weight

    def test_present_and_equal(self, model, folder, change, caplog):
        change(lambda w: {**w, "vocab_projector.weight": w[WORDS]})
        loaded = load(folder)
        assert loaded.vocab_projector.weight is loaded.get_input_embeddings().weight
        assert same(loaded, model)
        assert not caplog.records

    def test_present_and_different(self, folder, change, caplog):
        change(lambda w: {**w, "vocab_projector.weight": w[WORDS] + 1})
        loaded = load(folder)
        words = loaded.get_input_embeddings().weight
        assert torch.equal(loaded.vocab_projector.weight, words + 1)
        assert loaded.vocab_projector.weight.requires_grad
        assert loaded.config.tie_word_embeddings is False
        assert [r.levelno for r in caplog.records] == [logging.WARNING]
        assert "its decoder differs from its word embeddings" in caplog.text
        loaded.save_pretrained(folder)
        assert same(load(folder), loaded)

    def test_of_another_shape(self, folder, change):
        change(lambda w: {**w, "vocab_projector.weight": w[WORDS][:50]})
        with pytest.raises(ValueError, match=r"vocab_projector\.weight has shape \(50, 32\)"):
            load(folder)
        loaded = load(folder, ignore_mismatched_sizes=True)
        assert loaded.vocab_projector.weight is loaded.get_input_embeddings().weight

    def test_untied_by_the_configuration(self, folder, caplog):
        loaded, info = load(folder, tie_word_embeddings=False, output_loading_info=True)
        assert info["missing_keys"] == ["vocab_projector.weight"]
        assert loaded.vocab_projector.weight is not loaded.get_input_embeddings().weight
        assert loaded.vocab_projector.weight.std().item() == pytest.approx(0.1, rel=0.1)


class TestLayers:
    def test_more_in_the_file(self, model, folder, caplog):
        loaded, info = load(folder, n_layers=1, output_loading_info=True)
        assert len(info["unexpected_keys"]) == 16
        assert "in the files but not in the model: transformer.layer.1\n" in caplog.text
        assert len(caplog.records) == 1
        assert same(loaded.distilbert.transformer.layer[0], model.distilbert.transformer.layer[0])

    def test_names_forge_no_lines(self, folder, change, caplog):
        caplog.set_level("INFO")
        change(lambda state: state | {"x\n\x1b[2Jall is well.weight": torch.ones(1)})
        load(folder)
        assert r"not used: x\n\x1b[2Jall is well" in caplog.text

    def test_fewer_in_the_file(self, folder, caplog):
        torch.manual_seed(5)
        loaded, info = load(folder, n_layers=3, output_loading_info=True)
        assert len(info["missing_keys"]) == 16
        assert "new, to be trained before use: distilbert.transformer.layer.2\n" in caplog.text
        assert len(caplog.records) == 1
        drawn = loaded.distilbert.transformer.layer[2]
        assert drawn.ffn.lin1.weight.std().item() == pytest.approx(0.1, rel=0.1)
        assert drawn.ffn.lin1.bias.eq(0).all()
        assert drawn.sa_layer_norm.weight.eq(1).all()


class TestShapes:
    def test_error_names_key_and_both_shapes(self, folder):
        with pytest.raises(ValueError, match="shape") as caught:
            load(folder, vocab_size=61)
        message = str(caught.value)
        assert f"{WORDS} has shape (60, 32), the model needs (61, 32) (and 1 more)" in message
        assert str(folder) in message
        assert "ignore_mismatched_sizes=True" in message

    def test_ignored_on_request(self, folder, caplog):
        loaded, info = load(
            folder, vocab_size=61, ignore_mismatched_sizes=True, output_loading_info=True
        )
        assert (WORDS, (60, 32), (61, 32)) in info["mismatched_keys"]
        assert set(info["missing_keys"]) == {WORDS, "vocab_projector.bias"}
        assert "word_embeddings" in caplog.text
        assert loaded.get_input_embeddings().weight[1:].std().item() == pytest.approx(0.1, rel=0.1)

    def test_nothing_is_allocated_before_the_shapes_fit(self, folder):
        with pytest.raises(ValueError, match=r"\(60, 32\), the model needs \(2147483647, 32\)"):
            load(folder, vocab_size=2**31 - 1)

    def test_other_width(self, folder):
        with pytest.raises(ValueError, match=r"has shape \(60, 32\), the model needs \(60, 64\)"):
            load(folder, dim=64)


class TestForeign:
    def test_weights_of_something_else(self, folder, change):
        change(lambda w: {f"roberta.{n.removeprefix('distilbert.')}": t for n, t in w.items()})
        with pytest.raises(ValueError, match=r"none of its .* weights belongs to a distilbert"):
            load(folder)

    def test_model_of_another_type(self, folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "model_type": "roberta"}))
        with pytest.raises(ValueError, match=r"config\.json: .*'distilbert', .* type 'roberta'"):
            load(folder)

    def test_distilbert_as_bert(self, folder):
        with pytest.raises(ValueError, match=r"type 'bert', this one is of type 'distilbert'"):
            load(folder, d.BertModel)

    def test_no_configuration(self, folder):
        (folder / "config.json").unlink()
        with pytest.raises(OSError, match=r"has no file config\.json"):
            load(folder)

    def test_no_weights(self, folder):
        (folder / SAFE).unlink()
        with pytest.raises(
            OSError, match=r"has no weights \(looked for model\.safetensors.*bin.*\)$"
        ):
            load(folder)
        (folder / "model.onnx").touch()
        with pytest.raises(
            OSError, match=r"model\.onnx is an export, which pipelines, predict, serve and"
        ):
            load(folder)

    def test_unknown_keyword(self, folder):
        with pytest.raises(TypeError, match="no field 'atn_implementation'; did you mean 'attn_im"):
            load(folder, atn_implementation="eager")

    @pytest.mark.parametrize("wrong", ["int8", "float8_e4m3fn", "big", torch.int64, 3])
    def test_dtype_that_is_none(self, folder, wrong):
        with pytest.raises(ValueError, match="dtype must be"):
            load(folder, dtype=wrong)


class TestOptions:
    def test_config_instead_of_the_files(self, tiny, folder):
        tiny.dropout = 0.7
        loaded = load(folder, config=tiny, n_layers=1)
        assert (loaded.config.dropout, loaded.config.n_layers) == (0.7, 1)
        assert tiny.n_layers == 2
        with pytest.raises(TypeError, match=r"takes a distilbert\.DistilBertConfig, got a"):
            load(folder, config=d.BertConfig())

    @pytest.mark.parametrize("cls", [d.DistilBertModel, d.DistilBertForMaskedLM, d.BertModel])
    def test_constructor_wants_its_own_configuration(self, cls, tiny):
        wrong = d.BertConfig() if cls.config_class is d.DistilBertConfig else tiny
        for config in (wrong, {}, None, "distilbert-base-uncased"):
            with pytest.raises(TypeError, match=f"{cls.__name__} takes a"):
                cls(config)

    def test_state_dict_instead_of_the_files(self, model, folder):
        state = {name: weight + 1 for name, weight in model.state_dict().items()}
        loaded = load(folder, state_dict=state)
        assert torch.equal(loaded.vocab_transform.bias, model.vocab_transform.bias + 1)

    def test_default_dtype_and_device(self, folder):
        torch.set_default_dtype(torch.float64)
        try:
            assert load(folder).dtype == torch.float64
            assert load(folder, dtype="auto").dtype == torch.float32
        finally:
            torch.set_default_dtype(torch.float32)
        assert load(folder, device="cpu").device.type == "cpu"
        assert load(folder, device="meta").device.type == "meta"

    @pytest.mark.gpu
    def test_device(self, model, folder):
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
        loaded = load(folder, device="cuda")
        assert {p.device.type for p in loaded.parameters()} == {"cuda"}
        assert same(loaded.cpu(), model)

    def test_attention_of_the_run(self, folder):
        loaded = load(folder, attn_implementation="eager")
        assert loaded.config.attn_implementation == "eager"
        assert loaded.distilbert.config is loaded.config

    def test_subfolder(self, model, tmp_path):
        model.save_pretrained(tmp_path / "a" / "b")
        assert same(load(tmp_path / "a", subfolder="b"), model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_weight_is_left_without_a_value(tiny, tmp_path, dtype):
    d.DistilBertModel(tiny).save_pretrained(tmp_path)
    for cls in (d.DistilBertForMaskedLM, d.DistilBertForSequenceClassification):
        loaded = load(tmp_path, cls, dtype=dtype, n_layers=3)
        for name, tensor in [*loaded.named_parameters(), *loaded.named_buffers()]:
            assert not tensor.is_meta, name
            assert tensor.isfinite().all(), name
            assert tensor.abs().max() < 1.01, name
            assert tensor.requires_grad, name


def test_new_weights_follow_the_seed(folder):
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(load(folder, d.DistilBertForQuestionAnswering).qa_outputs.weight)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


class TestSinusoids:
    def test_new(self, tiny):
        tiny.sinusoidal_pos_embds = True
        positions = d.DistilBertModel(tiny).get_position_embeddings().weight
        torch.testing.assert_close(positions.data, sinusoids(16, 32))
        assert not positions.requires_grad

    def test_absent_in_the_file(self, model, folder, change):
        change(lambda w: {n: t for n, t in w.items() if "position" not in n})
        positions = load(folder, sinusoidal_pos_embds=True).get_position_embeddings().weight
        torch.testing.assert_close(positions.data, sinusoids(16, 32))
        assert not positions.requires_grad

    def test_of_the_file(self, model, folder):
        loaded = load(folder, sinusoidal_pos_embds=True)
        assert same(loaded, model)
        assert not loaded.get_position_embeddings().weight.requires_grad


@pytest.mark.parametrize("device", ["cuda:99", "gpu", -1])
def test_a_device_that_is_not_there(folder, device):
    with pytest.raises(ValueError, match=f"device={device!r} cannot be used"):
        d.DistilBertModel.from_pretrained(folder, device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA")
@pytest.mark.parametrize("device", ["cuda", 0])
def test_no_cuda(folder, device):
    with pytest.raises(ValueError, match="PyTorch has no CUDA here"):
        d.DistilBertModel.from_pretrained(folder, device=device)
