"""The same classes with JAX as Keras's backend, in a process of its own."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

import distilbert as d

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed"
)

SCRIPT = """
import sys
import keras
import numpy as np
import distilbert as d

assert keras.backend.backend() == "jax"
folder = sys.argv[1]
given = dict(np.load(f"{folder}/inputs.npz"))
results = {}
for name in sys.argv[2:]:
    model = getattr(d, name).from_pretrained(f"{folder}/{name}")
    inputs = {k.split("/")[1]: v for k, v in given.items() if k.startswith(f"{name}/")}
    output = model(inputs, output_hidden_states=True)
    for field, value in output.items():
        results[f"{name}/{field}"] = np.asarray(value[1] if isinstance(value, tuple) else value)
    if name.endswith("SequenceClassification"):
        model.compile(optimizer=keras.optimizers.SGD(0.5))
        history = model.fit(inputs, epochs=3, verbose=0, shuffle=False).history["loss"]
        results["history"] = np.array(history)
        results["predicted"] = model.predict(inputs, verbose=0).logits
        model.save(f"{folder}/model.keras")
        again = keras.models.load_model(f"{folder}/model.keras")
        results["again"] = np.asarray(again(inputs).logits)
        model.save_pretrained(f"{folder}/trained")
        try:
            type(model).from_pretrained(f"{folder}/trained", attn_implementation="varlen")
        except ValueError as error:
            assert "needs the TensorFlow backend" in str(error)
        else:
            raise AssertionError("varlen was taken")
        try:
            model(inputs["input_ids"] * 0 + 1000)
        except IndexError as error:
            assert "the model knows" in str(error)
        else:
            raise AssertionError("an id outside the vocabulary was taken")
        signature = model.input_signature(tokens=6)
        model.export(f"{folder}/served", verbose=False, input_signature=signature)
    if name.endswith("QuestionAnswering"):
        labels = [inputs.pop("start_positions"), inputs.pop("end_positions")]
        model.compile(optimizer="sgd")
        try:
            model.fit(inputs, np.stack(labels, 1), verbose=0)
        except ValueError as error:
            assert "got one array (3, 2); of y (batch, 2) give (y[:, 0], y[:, 1])" in str(error)
        else:
            raise AssertionError("starts and ends in one array were taken")
np.savez(f"{folder}/results.npz", **results)
"""


def test_outputs_losses_and_training(tmp_path, tiny, draw_inputs):
    import keras

    tiny.update(
        {"n_layers": 1, "dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0}
    )
    heads = (
        "ForMaskedLM",
        "ForSequenceClassification",
        "ForMultipleChoice",
        "ForQuestionAnswering",
    )
    models, given, everything = {}, {}, {}
    for head in heads:
        name = f"TFDistilBert{head}"
        models[name] = getattr(d, name)(tiny)
        models[name].save_pretrained(tmp_path / name)
        given[name] = draw_inputs(name, tiny, "left")
        everything |= {f"{name}/{key}": value for key, value in given[name].items()}
    np.savez(tmp_path / "inputs.npz", **everything)
    subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), *models],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        check=True,
    )
    results = np.load(tmp_path / "results.npz")
    for name, model in models.items():
        expected = model(given[name], output_hidden_states=True)
        for field, value in expected.items():
            value = value[1] if isinstance(value, tuple) else value
            found = results[f"{name}/{field}"]
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-5, err_msg=name)
    model = models["TFDistilBertForSequenceClassification"]
    inputs = given["TFDistilBertForSequenceClassification"]
    model.compile(optimizer=keras.optimizers.SGD(0.5), jit_compile=False)
    history = model.fit(inputs, epochs=3, verbose=0, shuffle=False).history["loss"]
    np.testing.assert_allclose(results["history"], history, rtol=1e-4)
    trained = type(model).from_pretrained(tmp_path / "trained")
    for logits in (results["again"], trained(inputs).logits, model(inputs).logits):
        np.testing.assert_allclose(logits, results["predicted"], rtol=1e-4, atol=1e-5)
