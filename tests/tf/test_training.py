"""Training as Keras users do it: compile without a loss, fit, evaluate, predict, callbacks.

Most of it runs eagerly: tracing a graph takes longer than what is tested.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import distilbert as d

SIZES = {"vocab_size": 30, "max_position_embeddings": 8, "n_heads": 2, "dim": 16, "hidden_dim": 16}


@pytest.fixture
def config():
    return d.DistilBertConfig(n_layers=1, num_labels=3, initializer_range=0.2, **SIZES)


@pytest.fixture
def texts():
    """Twelve rows of ids with a mask, and labels that the first token decides."""
    draw = np.random.default_rng(0)
    ids = draw.integers(3, 30, (12, 6))
    keep = (np.arange(6) < draw.integers(3, 7, 12)[:, None]).astype(int)
    return {"input_ids": ids, "attention_mask": keep}, ids[:, 0] % 3


def without_dropout(config):
    config.update({"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0,
                   "qa_dropout": 0.0})  # fmt: skip
    return config


def given_to(class_name, config, draw_inputs):
    """Inputs and labels apart."""
    given = draw_inputs(class_name, config, "right")
    names = [name for name in given if name not in ("input_ids", "attention_mask")]
    return given, {name: given.pop(name) for name in names}


def test_labels_inside_or_beside_the_inputs(class_name, config, draw_inputs):
    """Every head: one step of fit, evaluate, predict; the loss is the task's, as by hand."""
    model = getattr(d, f"TF{class_name}")(without_dropout(config))
    inputs, labels = given_to(class_name, config, draw_inputs)
    if not labels:
        predicted = model.predict(inputs, verbose=0)
        np.testing.assert_allclose(
            predicted.last_hidden_state, model(inputs)[0], rtol=1e-5, atol=1e-5
        )
        return
    expected = float(model(inputs, **labels).loss)
    beside = next(iter(labels.values())) if len(labels) == 1 else labels
    model.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=True)
    assert model.evaluate({**inputs, **labels}, verbose=0) == pytest.approx(expected, rel=1e-4)
    assert model.evaluate(inputs, beside, verbose=0) == pytest.approx(expected, rel=1e-4)
    history = model.fit({**inputs, **labels}, epochs=2, verbose=0)
    assert history.history["loss"][0] == pytest.approx(expected, rel=1e-4)
    assert history.history["loss"][1] < expected
    plain = model.predict(inputs, verbose=0)
    labelled = model.predict({**inputs, **labels}, verbose=0)
    assert type(labelled) is type(plain) is model.output_class
    assert plain.loss is None
    for name, value in plain.items():
        np.testing.assert_array_equal(labelled[name], value)


def test_it_learns_under_xla(config, texts):
    keras.utils.set_random_seed(0)
    model = d.TFDistilBertForSequenceClassification(without_dropout(config))
    model.compile(
        optimizer=keras.optimizers.SGD(0.5), weighted_metrics=["accuracy"], jit_compile=True
    )
    stop = keras.callbacks.EarlyStopping("accuracy", baseline=2.0, patience=40)
    history = model.fit(*texts, epochs=40, batch_size=4, verbose=0, callbacks=[stop]).history
    assert history["loss"][-1] < history["loss"][0] / 2
    assert model.evaluate(*texts, verbose=0, return_dict=True)["accuracy"] > 0.9


def test_boolean_labels(config, texts):
    inputs, labels = texts
    config.num_labels = 2
    model = d.TFDistilBertForSequenceClassification(without_dropout(config))
    model.compile(optimizer="sgd", weighted_metrics=["accuracy"], jit_compile=False)
    boolean = model.evaluate(inputs, labels == 1, verbose=0, return_dict=True)
    assert boolean == model.evaluate(inputs, (labels == 1) * 1, verbose=0, return_dict=True)
    model.fit({**inputs, "labels": labels == 1}, verbose=0)


def test_tf_data_of_unequal_lengths(config, texts):
    inputs, labels = texts
    rows = tf.data.Dataset.from_tensor_slices(({**inputs}, labels))
    model = d.TFDistilBertForSequenceClassification(config)
    model.compile(optimizer="sgd", jit_compile=False)
    short = rows.map(lambda x, y: ({n: v[:4] for n, v in x.items()}, y))
    both = rows.batch(4).concatenate(short.batch(5))
    assert len(model.fit(both, epochs=2, shuffle=False, verbose=0).history["loss"]) == 2
    assert model.predict(both, verbose=0).logits.shape == (24, 3)
    merged = rows.map(lambda x, y: {**x, "labels": y}).batch(12)
    assert model.evaluate(merged, verbose=0) == pytest.approx(
        model.evaluate(rows.batch(12), verbose=0)
    )


def test_a_loss_of_keras(config, texts):
    model = d.TFDistilBertForSequenceClassification(without_dropout(config))
    inputs, labels = texts
    model.compile(optimizer="sgd", run_eagerly=True)
    own = model.evaluate(inputs, labels, verbose=0)
    model.compile(
        optimizer="sgd",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        run_eagerly=True,
    )
    theirs = model.evaluate(inputs, labels, verbose=0, return_dict=True)
    assert theirs["loss"] == pytest.approx(own, rel=1e-5)
    logits = model.predict(inputs, verbose=0).logits
    assert theirs["accuracy"] == pytest.approx((logits.argmax(-1) == labels).mean())
    inside = model.evaluate({**inputs, "labels": labels}, verbose=0, return_dict=True)
    assert inside == theirs
    weights = np.arange(12) / 6
    model.fit(inputs, labels, sample_weight=weights, verbose=0)


def test_compiled_again(config, texts, tmp_path):
    """The loss and the metrics are those of the last `compile`, from a file too."""
    model = d.TFDistilBertForSequenceClassification(without_dropout(config))
    inputs, labels = texts
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    model.train_on_batch(inputs, labels)
    model.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    assert opened.loss == "sparse_categorical_crossentropy"
    assert opened.optimizer.iterations == 1
    assert len(opened.optimizer.variables) == len(model.optimizer.variables)
    expected = {"loss": pytest.approx(float(model(inputs, labels=labels).loss), rel=1e-4)}
    for each in (model, opened):
        assert "accuracy" in each.evaluate(inputs, labels, verbose=0, return_dict=True)
        each.compile("adam", run_eagerly=True)
        assert each.evaluate(inputs, labels, verbose=0, return_dict=True) == expected


def test_what_a_tokenizer_returns(config, texts):
    """It is a mapping but no dict, the only one that Keras knows."""
    model = d.TFDistilBertForSequenceClassification(without_dropout(config))
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    inputs, labels = texts
    encoded = d.BatchEncoding(inputs)
    loss = pytest.approx(model.evaluate(inputs, labels, verbose=0), rel=1e-5)
    history = model.fit(encoded, labels, validation_data=(encoded, labels), verbose=0).history
    assert history == {"loss": [loss], "val_loss": [loss]}
    assert model.evaluate(x=encoded, y=labels, verbose=0) == loss
    assert model.train_on_batch(encoded, labels) == loss
    assert model.test_on_batch(encoded, labels) == loss
    expected = model(inputs).logits
    for predicted in (model.predict(encoded, verbose=0), model.predict_on_batch(encoded)):
        np.testing.assert_allclose(predicted.logits, expected, rtol=1e-5, atol=1e-5)


def test_the_loss_by_the_names_of_older_scripts(config, texts):
    model = d.TFDistilBertForSequenceClassification(config)
    expected = float(model(texts[0], labels=texts[1]).loss)
    for loss in (model.compute_loss, model.hf_compute_loss):
        model.compile("sgd", loss=loss, run_eagerly=True)
        assert model.evaluate(*texts, verbose=0) == pytest.approx(expected, rel=1e-4)
    with pytest.raises(TypeError, match=r"labels among the inputs, and then \.loss"):
        model.hf_compute_loss(texts[1], model(texts[0]).logits)


def test_metrics_leave_out_what_has_no_label(config, texts):
    inputs, _ = texts
    draw = np.random.default_rng(1)
    labels = np.where(inputs["attention_mask"], draw.integers(0, 3, (12, 6)), -100)
    model = d.TFDistilBertForTokenClassification(config)
    model.compile(optimizer="sgd", weighted_metrics=["accuracy"], run_eagerly=True)
    found = model.evaluate(inputs, labels, verbose=0, return_dict=True)["accuracy"]
    right = model.predict(inputs, verbose=0).logits.argmax(-1) == labels
    assert found == pytest.approx(right[labels != -100].mean(), rel=1e-4)
    answers = d.TFDistilBertForQuestionAnswering(config)
    answers.compile(optimizer="sgd", metrics={"start_positions": "accuracy"}, run_eagerly=True)
    spans = {"start_positions": labels[:, 0] * 0 + 1, "end_positions": labels[:, 0] * 0 + 2}
    assert "accuracy" in str(answers.evaluate(inputs, spans, verbose=0, return_dict=True))


@pytest.mark.parametrize("labels", [1, 3])
def test_metrics_of_values_and_of_several_labels(labels, config, texts):
    """Integers there, but no numbers of classes: -100 is a value, and no row of labels weighs."""
    inputs, _ = texts
    config.update({"id2label": {i: str(i) for i in range(labels)}})
    config.problem_type = "regression" if labels == 1 else "multi_label_classification"
    targets = np.random.default_rng(1).integers(0, 2, (12, labels))
    targets[0] = -100 if labels == 1 else 1
    model = d.TFDistilBertForSequenceClassification(config)
    model.compile(optimizer="sgd", weighted_metrics=["mse"], run_eagerly=True)
    found = model.evaluate(inputs, targets, verbose=0, return_dict=True)["mse"]
    logits = model.predict(inputs, verbose=0).logits
    assert found == pytest.approx(((logits - targets) ** 2).mean(), rel=1e-4)


def test_configured_as_tuples(config, texts):
    inputs, labels = texts
    expected = d.TFDistilBertForSequenceClassification(without_dropout(config))
    config.return_dict = False
    model = d.TFDistilBertForSequenceClassification(config)
    model.set_weights(expected.get_weights())
    losses = []
    for each in (expected, model):
        each.compile(optimizer="sgd", run_eagerly=True)
        losses.append(each.evaluate(inputs, labels, verbose=0))
        losses.append(each.evaluate({**inputs, "labels": labels}, verbose=0))
    assert losses == pytest.approx([losses[0]] * 4)
    assert isinstance(model.predict(inputs, verbose=0), tuple)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy, config, texts, tmp_path):
    model = d.TFDistilBertForSequenceClassification(config, dtype=policy)
    inputs, labels = texts
    model.compile(optimizer="sgd", run_eagerly=True)
    losses = model.fit(inputs, labels, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    output = model(inputs, labels=labels)
    assert output.logits.dtype == policy.removeprefix("mixed_")
    assert output.loss.dtype == "float32"
    assert model.classifier.kernel.dtype == "float32"
    model.save_pretrained(tmp_path)
    exact = type(model).from_pretrained(tmp_path)(inputs).logits
    np.testing.assert_allclose(output.logits.numpy().astype("float32"), exact, atol=0.05)
    alone = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"] * 0}
    assert np.isfinite(model(alone).logits.numpy().astype("float32")).all()


def test_half_precision_with_low_scores_where_everything_is_masked(config, texts):
    """-65504 and a score below -16 are -inf in float16."""
    model = d.TFDistilBertModel(config, dtype="mixed_float16")
    attention = model.distilbert.transformer.layer[0].attention
    for linear, value in ((attention.q_lin, 10.0), (attention.k_lin, -10.0)):
        linear.kernel.assign(linear.kernel * 0)
        linear.bias.assign(linear.bias + value)
    inputs, _ = texts
    states = model(inputs["input_ids"], inputs["attention_mask"] * 0)[0].numpy()
    assert np.isfinite(states).all()


def test_regression_keeps_the_precision_of_its_targets(config, texts):
    config.num_labels = 1
    inputs, _ = texts
    targets = np.linspace(1000, 1001, 12).astype("float32")
    model = d.TFDistilBertForSequenceClassification(config, dtype="mixed_float16")
    logits = model(inputs).logits.numpy().astype("float32")[:, 0]
    expected = ((logits - targets) ** 2).mean()
    assert float(model(inputs, labels=targets).loss) == pytest.approx(expected, rel=1e-5)


def test_callbacks_see_and_save(config, texts, tmp_path):
    model = d.TFDistilBertForSequenceClassification(config)
    model.compile(optimizer="sgd", run_eagerly=True)
    path = tmp_path / "best.keras"
    keep = keras.callbacks.ModelCheckpoint(path, monitor="val_loss", save_best_only=True)
    history = model.fit(*texts, validation_data=texts, epochs=2, verbose=0, callbacks=[keep])
    assert set(history.history) == {"loss", "val_loss"}
    best = keras.models.load_model(path)
    assert best.evaluate(*texts, verbose=0) == pytest.approx(min(history.history["val_loss"]))


def test_frozen_layers_stay(config, texts):
    model = d.TFDistilBertForSequenceClassification(config)
    model.distilbert.trainable = False
    before = model.distilbert.get_weights()
    model.compile(optimizer="sgd", run_eagerly=True)
    model.fit(*texts, verbose=0)
    for old, new in zip(before, model.distilbert.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert len(model.trainable_weights) == 4


def test_what_is_refused(config, texts):
    inputs, labels = texts
    model = d.TFDistilBertForSequenceClassification(config)
    model.compile(optimizer="sgd", run_eagerly=True)

    def refused(match, *args, **kwargs):
        with pytest.raises(ValueError, match=match):
            model.fit(*args, verbose=0, **kwargs)

    refused("there are no labels to compute the loss from", inputs)
    refused("labels is in the inputs, and there are labels", {**inputs, "labels": labels}, labels)
    refused("must be named labels; got label", inputs, {"label": labels})
    refused("need a loss of Keras's", inputs, labels, sample_weight=np.ones(12))
    refused("need a loss of Keras's", inputs, labels, class_weight={0: 2.0, 1: 1.0, 2: 1.0})
    refused(r"labels hold 3; there are 3 classes", inputs, labels + 1)

    config.update({"num_labels": 1, "problem_type": "single_label_classification"})
    alone = d.TFDistilBertForSequenceClassification(config)
    alone.compile(optimizer="sgd", run_eagerly=True)
    with pytest.raises(ValueError, match="num_labels is 1: with one class there is nothing to"):
        alone.fit(inputs, labels * 0, verbose=0)
    with pytest.raises(ValueError, match="num_labels is 1: with one class there is nothing to"):
        alone(**inputs, labels=labels * 0)

    answers = d.TFDistilBertForQuestionAnswering(config)
    answers.compile(optimizer="sgd", jit_compile=False)
    starts = ends = labels
    for wrong, got in ((np.stack([starts, ends], 1), "one array"), ((starts,), "1 arrays")):
        with pytest.raises(ValueError, match=f"start_positions and end_positions, got {got}"):
            answers.fit(inputs, wrong, verbose=0)
    both = d.TFDistilBertForQuestionAnswering(config)
    both.compile(optimizer="sgd", run_eagerly=True)
    pair = both.evaluate(inputs, (starts, ends), verbose=0)
    named = {"start_positions": starts, "end_positions": ends}
    assert both.evaluate(inputs, [starts, ends], verbose=0) == pair
    assert both.evaluate(inputs, named, verbose=0) == pair


@pytest.mark.parametrize("lost", ["input_ids", "attention_mask", "labels"])
def test_a_shape_that_tensorflow_lost(lost, config, texts):
    inputs, labels = texts
    rows = tf.data.Dataset.from_tensor_slices({**inputs, "labels": labels}).batch(4)

    def lose(row, shape=None):
        x = tf.py_function(lambda x: x, [row[lost]], row[lost].dtype)
        if shape is not None:
            x.set_shape(shape)
        return {**row, lost: x}

    model = d.TFDistilBertForSequenceClassification(config)
    model.compile(optimizer="sgd", jit_compile=False)
    with pytest.raises(ValueError, match=rf"{lost} has an unknown .* {lost}\.set_shape\(\(None"):
        model.evaluate(rows.map(lose), verbose=0)
    shape = (None,) if lost == "labels" else (None, None)
    known = rows.map(lambda row: lose(row, shape))
    assert model.evaluate(known, verbose=0) == pytest.approx(model.evaluate(rows, verbose=0))
