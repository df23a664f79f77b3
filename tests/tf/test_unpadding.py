"""`varlen`: padding is dropped; at real tokens everything is as on the padded path."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import distilbert as d
from distilbert.tf.weights import named_weights


@pytest.fixture
def make_pair(draw_config):
    """The same weights twice: padded and unpadded."""

    def make(class_name, seed):
        keras.utils.set_random_seed(seed)
        config = draw_config(seed)
        config.update({"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0,
                       "qa_dropout": 0.0})  # fmt: skip
        padded = getattr(d, f"TF{class_name}")(config)
        config.attn_implementation = "varlen"
        unpadded = type(padded)(config)
        for name, weight in named_weights(unpadded).items():
            weight.assign(named_weights(padded)[name].read())
        return padded, unpadded

    return make


def flat(x, class_name):
    return x.reshape(-1, x.shape[-1]) if class_name.endswith("MultipleChoice") else x


@pytest.mark.parametrize("mask", ["right", "holed"])
def test_outputs_losses_and_gradients(class_name, mask, make_pair, draw_inputs):
    padded, unpadded = make_pair(class_name, 2)
    given = draw_inputs(class_name, padded.config, mask, 2)
    real = flat(given["attention_mask"], class_name).astype(bool)
    if "labels" in given and given["labels"].shape == real.shape:
        given["labels"] = np.where(real, given["labels"], -100)
    found = []
    for model in (padded, unpadded):
        with tf.GradientTape() as tape:
            output = model(given, output_hidden_states=True)
            total = output.get("loss", 0.0)
            for name, value in output.items():
                if name not in ("loss", "hidden_states") and "Question" not in class_name:
                    where = real if value.shape[:2] == real.shape else slice(None)
                    total += tf.reduce_sum(tf.sin(value[where]))
        if class_name.endswith("Answering"):
            total = None  # the loss is over real tokens there: compared with PyTorch below
        variables = [weight.variable for weight in named_weights(model).values()]
        found.append((output, None if total is None else tape.gradient(total, variables)))
    (one, ours), (other, theirs) = found
    for name in one:
        values = one[name] if isinstance(one[name], tuple) else (one[name],)
        others = other[name] if isinstance(other[name], tuple) else (other[name],)
        for x, y in zip(values, others, strict=True):
            x, y = x.numpy(), y.numpy()
            if name == "loss" and class_name.endswith("Answering"):
                continue
            if x.shape[:2] == real.shape:
                if mask == "right" and "hidden" in name:
                    assert not y[~real].any()
                x, y = x[real], y[real]
            np.testing.assert_allclose(y, x, rtol=1e-5, atol=1e-5, err_msg=name)
    for x, y in zip(ours or [], theirs or [], strict=True):
        if x is not None:
            x, y = tf.convert_to_tensor(x), tf.convert_to_tensor(y)
            np.testing.assert_allclose(y, x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", ["ForMaskedLM", "ForTokenClassification", "ForQuestionAnswering"])
def test_labels_of_masked_tokens_are_left_out_as_in_pytorch(head, make_pair, tmp_path, draw_inputs):
    torch = pytest.importorskip("torch")
    _, ours = make_pair(f"DistilBert{head}", 3)
    ours.save_pretrained(tmp_path)
    theirs = getattr(d, f"DistilBert{head}").from_pretrained(tmp_path, attn_implementation="varlen")
    given = draw_inputs(f"DistilBert{head}", ours.config, "right", 3)
    if head.endswith("Answering"):  # the second ones are masked
        given |= {"start_positions": np.array([2, 4, 1]), "end_positions": np.array([3, 5, 1])}
    expected = theirs(**{name: torch.from_numpy(value) for name, value in given.items()})
    output = ours(given)
    for name, value in expected.items():
        np.testing.assert_allclose(output[name], value.detach(), rtol=1e-5, atol=1e-5)
    ours.compile(optimizer="sgd", run_eagerly=True)
    names = ours.label_names
    labels = {name: given.pop(name) for name in names}
    beside = labels if len(names) > 1 else labels[names[0]]
    loss = ours.evaluate(given, beside, verbose=0)
    assert loss == pytest.approx(expected.loss.item(), rel=1e-5)


def test_in_a_graph_and_in_fit(make_pair, draw_inputs):
    name = "DistilBertForSequenceClassification"
    padded, unpadded = make_pair(name, 2)
    given = draw_inputs(name, padded.config, "left", 2)
    run = tf.function(lambda batch: unpadded(batch).logits)
    tensors = {key: tf.constant(value) for key, value in given.items()}
    np.testing.assert_allclose(run(tensors), padded(given).logits, rtol=1e-5, atol=1e-5)
    unpadded.compile(optimizer=keras.optimizers.SGD(0.1))
    assert not unpadded.jit_compile  # XLA would have to know the number of tokens
    padded.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=True)
    losses = [m.fit(given, epochs=2, verbose=0).history["loss"] for m in (padded, unpadded)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
