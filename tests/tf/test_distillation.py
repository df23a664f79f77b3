"""The triple loss in Keras is that of the PyTorch step, and `fit` lowers it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import distilbert as d
from distilbert.tf.distillation import from_teacher
from distilbert.tf.weights import named_weights

SIZES = {"vocab_size": 60, "max_position_embeddings": 16, "hidden_dim": 48, "n_heads": 4}


def config(layers, dim=32):
    return d.DistilBertConfig(
        n_layers=layers, dim=dim, dropout=0.0, attention_dropout=0.0, initializer_range=0.2, **SIZES
    )


@pytest.fixture
def teacher():
    return d.TFDistilBertForMaskedLM(config(4))


@pytest.fixture
def batch():
    """Rows of unequal length, with unequal numbers of labels."""
    lengths = np.array([6, 3, 5, 3])
    keep = (np.arange(6) < lengths[:, None]).astype(int)
    ids = np.random.default_rng(0).integers(5, 60, (4, 6)) * keep
    labels = np.full((4, 6), -100)
    labels[0, 1], labels[0, 4], labels[1, 2], labels[3, 0] = 7, 9, 11, 13
    return {"input_ids": ids, "attention_mask": keep, "labels": labels}


@pytest.mark.parametrize(
    "weights",
    [{}, {"mlm": 0.0}, {"ce": 0.0}, {"cos": 0.0}, {"ce_at_masked": True, "temperature": 3.0}],
    ids=["all", "no mlm", "no ce", "no cos", "masked"],
)
def test_one_step_is_that_of_pytorch(weights, teacher, batch, tmp_path):
    torch = pytest.importorskip("torch")
    from distilbert.distillation.batches import Counts
    from distilbert.distillation.step import DistillationStep, Weights

    student = from_teacher(teacher, [0, 2])
    teacher.save_pretrained(tmp_path / "teacher")
    student.save_pretrained(tmp_path / "student")
    distiller = d.TFDistiller(student, teacher, **weights)
    with tf.GradientTape() as tape:
        terms = distiller(batch, training=True)
    own = {n: w for n, w in named_weights(student).items() if w.variable.trainable}
    gradients = tape.gradient(terms["loss"], [weight.variable for weight in own.values()])

    theirs = [
        d.DistilBertForMaskedLM.from_pretrained(tmp_path / name) for name in ("student", "teacher")
    ]
    options = {n: weights.pop(n) for n in ("temperature", "ce_at_masked") if n in weights}
    step = DistillationStep(*theirs, Weights(**weights), **options).train()
    lengths = batch["attention_mask"].sum(1).tolist()
    counts = Counts(sum(lengths), int((batch["labels"] != -100).sum()))
    ids, labels = (torch.from_numpy(batch[name]) for name in ("input_ids", "labels"))
    loss, sums = step(ids, labels, lengths, counts)
    loss.backward()
    np.testing.assert_allclose(terms["loss"], loss.item(), rtol=1e-5)
    for name, term in sums.items():
        if name in terms:
            np.testing.assert_allclose(terms[name], term.item(), rtol=1e-4)
    expected = {name: p.grad for name, p in theirs[0].named_parameters() if p.requires_grad}
    for (name, weight), gradient in zip(own.items(), gradients, strict=True):
        if gradient is None:
            assert expected.get(name) is None, name
            continue
        value = tf.convert_to_tensor(gradient).numpy()
        value = value.T if weight.transposed else value
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("dim", [32, 16])
def test_fit(dim, teacher, batch):
    keras.utils.set_random_seed(0)
    student = d.TFDistilBertForMaskedLM(config(2, dim))
    distiller = d.TFDistiller(student, teacher)
    before = [teacher.get_weights(), student.get_weights()]
    distiller.compile(optimizer=keras.optimizers.SGD(0.05), run_eagerly=True)
    history = distiller.fit(batch, epochs=8, verbose=0).history
    assert set(history) == {"loss", "ce", "mlm", "cos"}
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    sums = [5 * ce + 2 * mlm + cos for ce, mlm, cos in
            zip(history["ce"], history["mlm"], history["cos"], strict=True)]  # fmt: skip
    np.testing.assert_allclose(sums, history["loss"], rtol=1e-5)
    for old, new in zip(before[0], teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not np.array_equal(before[1][0], student.get_weights()[0])
    assert (distiller.projection is None) == (dim == 32)
    assert set(distiller.evaluate(batch, verbose=0, return_dict=True)) == set(history)


def test_a_student_of_its_teacher(teacher):
    student = from_teacher(teacher, [1, 3], dropout=0.5)
    assert (student.config.n_layers, student.config.dropout) == (2, 0.5)
    own, other = named_weights(student), named_weights(teacher)
    for name, weight in own.items():
        source = name.replace("layer.1.", "layer.3.").replace("layer.0.", "layer.1.")
        np.testing.assert_array_equal(weight.read(), other[source].read(), err_msg=name)


def test_a_student_has_its_teachers_pruned_heads(teacher, batch):
    content = {**teacher.config.to_dict(), "pruned_heads": {0: [1], 2: [0, 3]}}
    content.update(output_hidden_states=True, output_attentions=True)
    pruned = d.TFDistilBertForMaskedLM(d.DistilBertConfig.from_dict(content))
    student = from_teacher(pruned, [1, 2])
    assert student.config.pruned_heads == {1: [0, 3]}
    assert not student.config.output_hidden_states
    assert not student.config.output_attentions
    whole = from_teacher(pruned, [0, 1, 2, 3])
    given = {name: batch[name] for name in ("input_ids", "attention_mask")}
    np.testing.assert_allclose(whole(given).logits, pruned(given).logits, rtol=1e-5, atol=1e-5)


def test_what_is_refused(teacher, batch, tmp_path):
    student = d.TFDistilBertForMaskedLM(config(1))
    with pytest.raises(ValueError, match="all weights are 0"):
        d.TFDistiller(student, teacher, ce=0, mlm=0, cos=0)
    with pytest.raises(ValueError, match="temperature must be above 0 and finite, got 0"):
        d.TFDistiller(student, teacher, temperature=0)
    for wrong in ({"temperature": float("nan")}, {"cos": float("nan")}, {"ce": float("inf")}):
        with pytest.raises(ValueError, match="finite"):
            d.TFDistiller(student, teacher, **wrong)
    other = config(1)
    other.vocab_size = 61
    with pytest.raises(ValueError, match="the teacher has 60 entries, the student 61"):
        d.TFDistiller(d.TFDistilBertForMaskedLM(other), teacher)
    with pytest.raises(ValueError, match=r"some of 0 to 3, the teacher's; got \[4\]"):
        from_teacher(teacher, [4])
    distiller = d.TFDistiller(student, teacher)
    distiller.compile(optimizer="sgd", run_eagerly=True)
    with pytest.raises(ValueError, match="no labels in the inputs"):
        distiller({"input_ids": batch["input_ids"]})
    with pytest.raises(ValueError, match="labels in the inputs, and no sample weights"):
        distiller.fit(batch, batch["labels"], verbose=0)
    whole = keras.callbacks.ModelCheckpoint(tmp_path / "distiller.keras")
    with pytest.raises(NotImplementedError, match=r"student\.save_pretrained.*save_weights_only"):
        distiller.fit(batch, verbose=0, callbacks=[whole])
    assert distiller.optimizer.iterations == 0
    weights = keras.callbacks.ModelCheckpoint(
        tmp_path / "distiller.weights.h5", save_weights_only=True
    )
    distiller.fit(batch, verbose=0, callbacks=[weights])
    assert (tmp_path / "distiller.weights.h5").is_file()
    with pytest.raises(IndexError, match="input_ids holds 60"):
        distiller({**batch, "input_ids": batch["input_ids"] * 0 + 60})
