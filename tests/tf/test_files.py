"""Files in and out, without PyTorch; what a file lacks or has too much; other sizes."""

import json
import logging
import subprocess
import sys

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import distilbert as d
from distilbert.keymap import from_keras_file
from distilbert.tf.weights import named_weights

NOTHING = {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}


@pytest.fixture
def saved(tiny, tmp_path):
    """A model and the folder that it is saved in."""
    model = d.TFDistilBertForSequenceClassification(tiny)
    model.save_pretrained(tmp_path / "saved")
    return model, tmp_path / "saved"


def assert_same_weights(one, other):
    weights = named_weights(other)
    for name, weight in named_weights(one).items():
        np.testing.assert_array_equal(weight.read(), weights[name].read(), err_msg=name)


@pytest.mark.parametrize("seed", [0, 3])
def test_there_and_back(class_name, seed, draw_config, tmp_path):
    model = getattr(d, f"TF{class_name}")(draw_config(seed))
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == [class_name]
    assert config["dtype"] == "float32"
    back, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert info == NOTHING
    assert_same_weights(model, back)


def test_configuration_in_another_folder(saved, tmp_path):
    model, folder = saved
    model.config.output_attentions = True
    model.config.save_pretrained(tmp_path / "shape")
    again = type(model).from_pretrained(folder, config=tmp_path / "shape", dropout=0.3)
    assert (again.config.output_attentions, again.config.dropout) == (True, 0.3)
    assert again.main_input_name == "input_ids"
    with pytest.raises(TypeError, match=r"or the folder or hub id of one; got a builtins\.dict"):
        type(model).from_pretrained(folder, config={})


def test_pytorch_is_not_needed(saved, tmp_path):
    """In a process where importing it fails, and transformers with it."""
    _, folder = saved
    code = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Blocker())
import numpy as np
import distilbert as d
model = d.TFDistilBertForSequenceClassification.from_pretrained({str(folder)!r})
model.compile(optimizer="sgd", run_eagerly=True)
model.fit({{"input_ids": np.ones((4, 3), int)}}, np.array([0, 1, 2, 1]), verbose=0)
model.save_pretrained({str(tmp_path / "trained")!r})
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "trained" / "model.safetensors").is_file()


def test_what_is_new_and_what_is_left_over(saved, caplog):
    model, folder = saved
    caplog.set_level(logging.INFO, "distilbert")
    _, info = d.TFDistilBertForTokenClassification.from_pretrained(folder, output_loading_info=True)
    assert info["missing_keys"] == []  # a classifier of the same shape
    assert info["unexpected_keys"] == ["pre_classifier.bias", "pre_classifier.weight"]
    assert "not used: pre_classifier" in caplog.text
    bare = d.TFDistilBertModel.from_pretrained(folder)
    np.testing.assert_array_equal(
        bare.get_input_embeddings().embeddings.numpy(),
        model.get_input_embeddings().embeddings.numpy(),
    )
    caplog.clear()
    _, info = d.TFDistilBertForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert "new, to be trained before use: vocab_" in caplog.text
    assert "vocab_projector.bias" in info["missing_keys"]


def test_shapes_that_do_not_fit(saved):
    _, folder = saved
    cls = d.TFDistilBertForSequenceClassification
    with pytest.raises(ValueError, match=r"classifier.* has shape \(3.*the model needs \(5"):
        cls.from_pretrained(folder, num_labels=5)
    model, info = cls.from_pretrained(
        folder, num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert ("classifier.weight", (3, 32), (5, 32)) in info["mismatched_keys"]
    assert model(np.ones((1, 2), int)).logits.shape == (1, 5)


def test_files_that_are_refused(saved, tmp_path):
    _, folder = saved
    cls = d.TFDistilBertModel
    with pytest.raises(OSError, match=r"has no weights|no file config"):
        cls.from_pretrained(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"only pytorch_model\.bin.*save_pretrained it once"):
        cls.from_pretrained(folder)
    (folder / "model.safetensors").write_bytes(b"not safe at all")
    with pytest.raises(ValueError, match="not a valid safetensors file"):
        cls.from_pretrained(folder)
    save_file({"one": np.ones(3)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="none of its 1 weights belongs to a distilbert"):
        cls.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    (folder / "tf_model.h5").write_bytes(b"neither")
    with pytest.raises(ValueError, match="not a valid HDF5 file"):
        cls.from_pretrained(folder)
    with pytest.raises(TypeError, match="from_flax"):
        cls.from_pretrained(folder, from_flax=True)
    with pytest.raises(TypeError, match=r"no field 'droput'; did you mean 'dropout'"):
        cls.from_pretrained(folder, droput=0.5)


def test_options_of_transformers(saved):
    _, folder = saved
    d.TFDistilBertModel.from_pretrained(
        folder,
        trust_remote_code=False,
        from_tf=True,
        use_safetensors=True,
        torch_dtype=None,
        low_cpu_mem_usage=True,
    )
    for option, remedy in (
        ("torch_dtype", 'say dtype=, .*"float16"; "auto" is none'),
        ("use_safetensors", "leave it out"),
    ):
        with pytest.raises(TypeError, match=f"no option '{option}': {remedy}"):
            d.TFDistilBertModel.from_pretrained(folder, **{option: "float16"})


def test_saving_is_safe_only(saved, tmp_path):
    model, _ = saved
    with pytest.raises(ValueError, match="safetensors only"):
        model.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(TypeError, match=r"no option 'saved_model'.*model\.export\(folder\)"):
        model.save_pretrained(tmp_path, saved_model=True)


def test_answers_have_no_labels(tiny, tmp_path):
    tiny.num_labels = 3
    for name in ("TFDistilBertForQuestionAnswering", "TFDistilBertForTokenClassification"):
        getattr(d, name)(tiny).save_pretrained(tmp_path)
        content = json.loads((tmp_path / "config.json").read_text())
        assert ("id2label" in content) is ("Token" in name)


def test_weights_in_half_precision(saved):
    model, folder = saved
    weights = load_file(folder / "model.safetensors")
    half = {name: value.astype(ml_dtypes.bfloat16) for name, value in weights.items()}
    save_file(half, folder / "model.safetensors", metadata={"format": "pt"})
    wide = type(model).from_pretrained(folder)
    assert wide.distilbert.embeddings.LayerNorm.gamma.dtype == "float32"
    for name, weight in named_weights(wide).items():
        np.testing.assert_array_equal(weight.read(), half[name].astype("float32"))
    narrow = type(model).from_pretrained(folder, dtype="bfloat16")
    narrow.save_pretrained(folder / "again")
    again = load_file(folder / "again" / "model.safetensors")
    assert {str(value.dtype) for value in again.values()} == {"bfloat16"}
    for name, value in again.items():
        np.testing.assert_array_equal(value, half[name])


def keras_name(name):
    """The name that transformers' TensorFlow classes write for one of PyTorch's."""
    *path, last = name.split(".")
    if last == "weight":
        norm = path[-1].endswith(("LayerNorm", "layer_norm"))
        last = "gamma" if norm else "kernel"
        if path[-1].endswith("embeddings"):
            last = "weight" if path[-1] == "word_embeddings" else "embeddings"
    elif path[-1].endswith(("LayerNorm", "layer_norm")):
        last = "beta"
    text = "/".join([*path, f"{last}:0"])
    return text.replace("/layer/", "/layer_._")


def test_names_that_tensorflow_classes_wrote(saved):
    """Their safetensors and `tf_model.h5` (tests/parity/test_tf.py has real ones)."""
    model, folder = saved
    weights = load_file(folder / "model.safetensors")
    kerased = {
        keras_name(n): w.T.copy() if keras_name(n).endswith("kernel:0") else w
        for n, w in weights.items()
    }
    assert {from_keras_file(name)[0] for name in kerased} == set(weights)
    save_file(kerased, folder / "model.safetensors", metadata={"format": "tf"})
    back, info = type(model).from_pretrained(folder, output_loading_info=True)
    assert info == NOTHING
    assert_same_weights(model, back)
    (folder / "model.safetensors").unlink()
    with h5py.File(folder / "tf_model.h5", "w") as file:
        for name, value in kerased.items():
            file[f"{name.split('/')[0]}/tf_model/{name}"] = value
    back, info = type(model).from_pretrained(folder, output_loading_info=True)
    assert info == NOTHING
    assert_same_weights(model, back)


def test_the_encoder_of_a_head(tiny):
    model = d.TFDistilBertForMaskedLM(tiny)
    assert model.base_model is model.distilbert


def test_sizes(tiny):
    model = d.TFDistilBertForMaskedLM(tiny)
    tables = (60 + 16) * 32
    assert model.num_parameters() == model.count_params()
    assert model.num_parameters(exclude_embeddings=True) == model.num_parameters() - tables
    model.distilbert.transformer.layer[0].trainable = False
    frozen = model.distilbert.transformer.layer[0].count_params()
    assert model.num_parameters(only_trainable=True) == model.num_parameters() - frozen
    assert model.num_labels == 3


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("count", [70, 50])
def test_resize_token_embeddings(count, tied, tiny, tmp_path):
    tiny.tie_word_embeddings = tied
    model = d.TFDistilBertForMaskedLM(tiny)
    ids = np.arange(1, 9)[None]
    before = model(ids).logits.numpy()
    assert model.resize_token_embeddings(count) is model.get_input_embeddings()
    assert model.config.vocab_size == count
    after = model(ids).logits
    assert after.shape == (1, 8, count)
    kept = min(60, count)
    np.testing.assert_allclose(after[..., :kept], before[..., :kept], rtol=1e-5, atol=1e-5)
    sizes = [weight.shape for weight in model.weights]
    assert not [shape for shape in sizes if 60 in shape]
    assert sizes.count((count, 32)) == (1 if tied else 2)
    model.compile(optimizer="sgd", run_eagerly=True)
    model.fit({"input_ids": ids, "labels": ids}, verbose=0)
    model.save_pretrained(tmp_path)
    back, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert info == NOTHING
    assert_same_weights(model, back)
    assert model.resize_token_embeddings() is model.get_input_embeddings()
    with pytest.raises(ValueError, match="new_num_tokens must be at least 1, got 0"):
        model.resize_token_embeddings(0)


@pytest.mark.parametrize("sinusoidal", [True, False])
def test_resize_position_embeddings(sinusoidal, tiny):
    tiny.sinusoidal_pos_embds = sinusoidal
    model = d.TFDistilBertModel(tiny)
    ids = np.ones((1, 10), int)
    before = model(ids)[0]
    model.resize_position_embeddings(40)
    np.testing.assert_array_equal(model(ids)[0], before)
    assert model(np.ones((1, 40), int))[0].shape == (1, 40, 32)
    table = model.get_position_embeddings().embeddings
    assert table.trainable is not sinusoidal
    if sinusoidal:
        expected = d.TFDistilBertModel(model.config).get_position_embeddings().embeddings
        np.testing.assert_array_equal(table.numpy(), expected.numpy())
    else:
        assert abs(table.numpy()[16:].std() - 0.1) < 0.02
    model.resize_position_embeddings(8)
    with pytest.raises(ValueError, match="10 tokens"):
        model(ids)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        model.resize_position_embeddings(0)


def test_resizing_freezes_and_thaws_nothing(tiny):
    tiny.tie_word_embeddings = False
    model = d.TFDistilBertForMaskedLM(tiny)
    model.distilbert.trainable = False
    model.vocab_projector.bias.trainable = False
    before = [weight.trainable for weight in model.weights]
    model.resize_token_embeddings(64)
    model.resize_position_embeddings(20)
    assert [weight.trainable for weight in model.weights] == before
    assert not model.distilbert.trainable_weights
    model.distilbert.trainable = True
    assert model.get_input_embeddings().embeddings.trainable


def test_low_rank_changes_are_merged(tiny, ids, tmp_path):
    model = d.TFDistilBertForSequenceClassification(tiny)
    model.get_input_embeddings().enable_lora(2)
    for block in model.distilbert.transformer.layer:
        block.attention.q_lin.enable_lora(2)
    model.compile(optimizer=keras.optimizers.SGD(1.0), run_eagerly=True)
    before = model(ids).logits.numpy()
    model.fit({"input_ids": ids}, np.array([0, 1, 2]), verbose=0, epochs=2)
    assert not np.allclose(model(ids).logits, before, atol=1e-3)
    model.save_pretrained(tmp_path / "merged")
    back = type(model).from_pretrained(tmp_path / "merged")
    np.testing.assert_allclose(back(ids).logits, model(ids).logits, rtol=1e-5, atol=1e-5)
    model.save(tmp_path / "model.keras")
    back = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(back(ids).logits, model(ids).logits, rtol=1e-5, atol=1e-5)
    assert model.num_parameters() == model.count_params()
    words, positions = 60 * 32 + (60 + 32) * 2, 16 * 32
    rest = model.count_params() - words - positions
    assert model.num_parameters(exclude_embeddings=True) == rest


def test_new_weights_follow_the_configuration(tiny):
    tiny.initializer_range, tiny.dim, tiny.vocab_size, tiny.pad_token_id = 0.3, 64, 500, 2
    model = d.TFDistilBertForSequenceClassification(tiny)
    words = model.get_input_embeddings().embeddings.numpy()
    assert not words[2].any()  # padding
    drawn = [words[3:], model.pre_classifier.kernel.numpy(),
             model.get_position_embeddings().embeddings.numpy()]  # fmt: skip
    for value in drawn:
        assert abs(value.std() - 0.3) < 0.02
    attention = model.distilbert.transformer.layer[0].attention
    assert not np.array_equal(attention.q_lin.kernel.numpy(), attention.k_lin.kernel.numpy())
    assert not model.pre_classifier.bias.numpy().any()
    assert (model.distilbert.embeddings.LayerNorm.gamma.numpy() == 1).all()
    keras.utils.set_random_seed(1)
    one = d.TFDistilBertModel(tiny)
    keras.utils.set_random_seed(1)
    assert_same_weights(one, d.TFDistilBertModel(tiny))
