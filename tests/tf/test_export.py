"""What Keras writes: `.keras`, SavedModel, LiteRT; each opened again and compared."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import distilbert as d

HALF = {"optimizations": [tf.lite.Optimize.DEFAULT],
        "target_spec": {"supported_types": [tf.float16]}}  # fmt: skip
INT8 = {"optimizations": [tf.lite.Optimize.DEFAULT]}


@pytest.fixture
def model(tiny):
    tiny.update({"n_layers": 1, "initializer_range": 0.2})
    return d.TFDistilBertForTokenClassification(tiny)


@pytest.fixture
def batch(ids):
    """Ids and a mask with padding, int32 as exported models take them."""
    keep = (np.arange(5) < np.array([[5], [2], [4]])).astype("int32")
    return {"input_ids": ids.astype("int32"), "attention_mask": keep}


def part(batch, rows, tokens):
    return {name: value[:rows, :tokens] for name, value in batch.items()}


def test_keras_files(class_name, draw_config, draw_inputs, tmp_path):
    config = draw_config(2)
    config.update({"id2label": {0: "no", 1: "yes", 2: "perhaps"}, "problem_type": None})
    model = getattr(d, f"TF{class_name}")(config, name="mine")
    given = draw_inputs(class_name, config, "left")
    model.save(tmp_path / "model.keras")
    back = keras.models.load_model(tmp_path / "model.keras")
    assert type(back) is type(model)
    assert (back.name, back.config) == ("mine", model.config)
    for name, value in model(given).items():
        np.testing.assert_array_equal(back(given)[name], value)
    model.save_weights(tmp_path / "own.weights.h5")
    other = type(model)(config)
    other.load_weights(tmp_path / "own.weights.h5")
    np.testing.assert_array_equal(other(given)[0], model(given)[0])


class Around(keras.Model):
    """A model of one's own with one of ours in it; its own layer is built by a call."""

    def __init__(self, inner, **options):
        super().__init__(**options)
        self.inner, self.out = inner, keras.layers.Dense(2)

    def call(self, given):
        return self.out(list(self.inner(given).values())[-1])

    def get_config(self):
        inner = keras.saving.serialize_keras_object(self.inner)
        return {**super().get_config(), "inner": inner}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("inner")), **config)


def test_inside_a_model_of_ones_own(class_name, tiny, draw_inputs, tmp_path):
    """Keras builds it again with floats for ids and labels (a failure would only be a warning)."""
    tiny.n_layers = 1
    given = draw_inputs(class_name, tiny, "right")
    given["position_ids"] = given["input_ids"] * 0 + np.arange(6)
    model = Around(getattr(d, f"TF{class_name}")(tiny))
    expected = model(given)
    model.save(tmp_path / "model.keras")
    back = keras.models.load_model(tmp_path / "model.keras", {"Around": Around})
    np.testing.assert_array_equal(back(given), expected)
    with pytest.raises(TypeError, match="input_ids must be int64 or int32, got float"):
        back({**given, "input_ids": given["input_ids"].astype("float32")})


def test_frozen_layers_stay_frozen(tiny, ids, tmp_path):
    model = d.TFDistilBertForSequenceClassification(tiny)
    model.distilbert.embeddings.trainable = False
    model.distilbert.transformer.layer[0].ffn.lin1.trainable = False
    model.compile(optimizer="adam", run_eagerly=True)
    model.fit({"input_ids": ids}, np.array([0, 1, 2]), verbose=0)
    model.save(tmp_path / "model.keras")
    back = keras.models.load_model(tmp_path / "model.keras")
    names = [weight.path for weight in model.trainable_weights]
    assert [weight.path for weight in back.trainable_weights] == names
    for old, new in zip(model.optimizer.variables, back.optimizer.variables, strict=True):
        np.testing.assert_array_equal(old, new)
    assert not back.distilbert.embeddings.trainable
    back.distilbert.embeddings.trainable = True  # and can be thawed, layer by layer
    assert len(back.trainable_weights) == len(names) + 4

    encoder = d.TFDistilBertModel(tiny)
    encoder.trainable = False
    tokens = keras.Input((None,), dtype="int32")
    states = encoder(tokens).last_hidden_state
    whole = keras.Model(tokens, keras.layers.Dense(2)(states[:, 0]))
    copied = keras.models.clone_model(whole)
    assert len(copied.trainable_weights) == len(whole.trainable_weights) == 2
    copied.layers[1].trainable = True
    assert len(copied.trainable_weights) == 2 + len(encoder.weights)


def test_a_frozen_layer_with_lora_stays_frozen(tiny):
    model = d.TFDistilBertForSequenceClassification(tiny)
    model.distilbert.trainable = False
    model.distilbert.transformer.layer[0].attention.q_lin.enable_lora(2)
    back = type(model).from_config(model.get_config())
    assert len(back.trainable_weights) == 4  # of the head


def test_a_layer_that_the_constructor_has_not_built(tiny):
    class Own(d.TFDistilBertForSequenceClassification):
        def __init__(self, config, **options):
            super().__init__(config, **options)
            self.extra = keras.layers.Dense(2)

    with pytest.raises(
        ValueError, match=r"the layer extra has no weights yet: build it in the con"
    ):
        Own(tiny).get_config()


def test_a_keras_file_of_a_resized_model(tiny, ids, tmp_path):
    tiny.tie_word_embeddings = False
    model = d.TFDistilBertForMaskedLM(tiny)
    model.resize_token_embeddings(64)
    model.resize_position_embeddings(8)
    assert [w.shape for w in d.TFDistilBertForMaskedLM(model.config).weights] == [
        w.shape for w in model.weights
    ]
    model.compile(optimizer="adam", run_eagerly=True)
    model.fit({"input_ids": ids, "labels": ids}, verbose=0)
    model.save(tmp_path / "model.keras")
    back = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(back(ids).logits, model(ids).logits)
    for old, new in zip(model.optimizer.variables, back.optimizer.variables, strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_keras_file_of_a_model_that_its_file_untied(tiny, ids, tmp_path):
    model = d.TFDistilBertForMaskedLM(tiny)
    bias = np.arange(60, dtype="float32")
    model.get_output_embeddings().bias.assign(bias)
    model.untie_if_different(np.ones((60, 32), "float32"), "a file")
    np.testing.assert_array_equal(model.get_output_embeddings().bias, bias)
    model.save(tmp_path / "model.keras")
    back = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(back(ids).logits, model(ids).logits)


def test_quantised_by_keras(tiny, ids, tmp_path):
    model = d.TFDistilBertForMaskedLM(tiny)
    remedies = r'load\(folder, precision="int8"\) .* distilbert export .*"litert", optimizations='
    with pytest.raises(ValueError, match=remedies):
        model.quantize("int8")
    model.save_pretrained(tmp_path / "good")
    before = (tmp_path / "good" / "model.safetensors").read_bytes()
    model.get_input_embeddings().quantize("int8")
    with pytest.raises(ValueError, match=r"word_embeddings is quantised \(int8\)\. .*distilbert"):
        model.save_pretrained(tmp_path / "good")
    assert (tmp_path / "good" / "model.safetensors").read_bytes() == before
    with pytest.raises(ValueError, match="word_embeddings is quantised"):
        model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="the word embeddings are quantised"):
        model(ids)
    with pytest.raises(ValueError, match="dtype='int8_from_float32': Keras's quantisation"):
        type(model).from_pretrained(tmp_path / "good", dtype="int8_from_float32")


def test_a_keras_file_of_a_compiled_model_in_mixed_precision(tiny, ids, tmp_path):
    model = d.TFDistilBertForSequenceClassification(tiny, dtype="mixed_bfloat16")
    model.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=True)
    model.fit({"input_ids": ids}, np.array([0, 1, 2]), verbose=0)
    model.save(tmp_path / "model.keras")
    back = keras.models.load_model(tmp_path / "model.keras")
    assert back.dtype_policy.name == "mixed_bfloat16"
    np.testing.assert_array_equal(back(ids).logits, model(ids).logits)
    back.fit({"input_ids": ids}, np.array([0, 1, 2]), verbose=0)
    assert back.optimizer.iterations == 2


def test_saved_model(model, batch, tmp_path):
    model.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved")
    for given in (batch, part(batch, 2, 3)):
        output = served.serve({name: tf.constant(value) for name, value in given.items()})
        np.testing.assert_allclose(output["logits"], model(given).logits, rtol=1e-5, atol=1e-5)
    again = served.signatures["serving_default"](**{n: tf.constant(v) for n, v in batch.items()})
    np.testing.assert_allclose(again["logits"], model(batch).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("sizes", "options", "tolerance"),
    [((None, None), {}, 1e-5), ((None, None), HALF, 1e-2), ((3, 5), INT8, 0.15)],
    ids=["dynamic fp32", "dynamic fp16", "fixed int8"],
)
def test_litert(sizes, options, tolerance, model, batch, tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    path = tmp_path / "model.tflite"
    signature = model.input_signature(*sizes)
    model.export(path, "litert", verbose=False, input_signature=signature, **options)
    run = interpreter.Interpreter(model_path=str(path)).get_signature_runner()
    shape = run.get_input_details()["input_ids"]["shape"]
    assert tuple(shape) == ((1, 1) if sizes == (None, None) else sizes)
    for given in (batch,) if sizes == (3, 5) else (batch, part(batch, 2, 3)):
        found, expected = run(**given)["logits"], model(given).logits
        assert not np.array_equal(found, expected) or tolerance == 1e-5
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    if options:
        plain = 4 * model.num_parameters()
        assert path.stat().st_size < plain * (0.75 if options is HALF else 0.55) + 30_000


def test_litert_of_an_unpadded_model(tiny, batch, tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    tiny.update({"n_layers": 1, "attn_implementation": "varlen"})
    model = d.TFDistilBertForSequenceClassification(tiny)
    path = tmp_path / "model.tflite"
    model.export(path, "litert", verbose=False)
    run = interpreter.Interpreter(model_path=str(path)).get_signature_runner()
    np.testing.assert_allclose(run(**batch)["logits"], model(batch).logits, rtol=0, atol=1e-5)
    assert model.distilbert.unpadded


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16", "float64"])
def test_litert_is_float32_whatever_the_model_computes_in(policy, tiny, batch, tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    tiny.update({"n_layers": 1, "attn_implementation": "varlen", "initializer_range": 0.2})
    model = d.TFDistilBertForMaskedLM(tiny, dtype=policy)
    path = tmp_path / "model.tflite"
    model.export(path, "litert", verbose=False)
    run = interpreter.Interpreter(model_path=str(path)).get_signature_runner()
    model.save_pretrained(tmp_path / "saved")
    exact = type(model).from_pretrained(tmp_path / "saved", dtype="float32")
    np.testing.assert_allclose(run(**batch)["logits"], exact(batch).logits, rtol=0, atol=1e-5)
    assert model.dtype_policy.name == policy


@pytest.mark.parametrize("name", ["output_hidden_states", "output_attentions"])
def test_all_layers_are_not_exported(name, model, tmp_path):
    setattr(model.config, name, True)
    with pytest.raises(ValueError, match=rf"say model\.config\.{name} = False"):
        model.export(tmp_path / "served", verbose=False)


def test_multiple_choice_has_choices(tiny):
    model = d.TFDistilBertForMultipleChoice(tiny)
    assert model.input_signature(2, 8)[0]["input_ids"].shape == (2, None, 8)
    assert model.input_signature(None, 8, 4)[0]["input_ids"].shape == (None, 4, 8)


def test_jax_needs_sizes(model, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    for given in (None, model.input_signature(1)):
        with pytest.raises(ValueError, match=r"None\): fix .*input_signature\(tokens=128\)"):
            model.export(tmp_path / "served", verbose=False, input_signature=given)
    choices = d.TFDistilBertForMultipleChoice(tiny)
    with pytest.raises(ValueError, match=r"input_signature\(tokens=128, choices=4\)"):
        choices.export(
            tmp_path / "served", verbose=False, input_signature=choices.input_signature(2, 8)
        )
    assert not (tmp_path / "served").exists()


def test_onnx_is_written_from_the_saved_model(model, batch, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    with pytest.raises(ValueError, match=r"save_pretrained\(folder\), then distilbert.export_onnx"):
        model.export(tmp_path / "model.onnx", "onnx")
    model.save_pretrained(tmp_path / "saved")
    d.export_onnx(tmp_path / "saved", tmp_path / "onnx")
    found = d.OnnxModel(tmp_path / "onnx")(**batch)["logits"]
    real = batch["attention_mask"] != 0
    np.testing.assert_allclose(found[real], model(batch).logits.numpy()[real], atol=1e-5)
