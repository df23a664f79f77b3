"""The Keras classes against transformers 4.57's TensorFlow classes, from the files they write."""

import numpy as np
import pytest

import distilbert as d

tf = pytest.importorskip("tensorflow")
transformers = pytest.importorskip("transformers")
if not hasattr(transformers, "TFDistilBertModel"):
    pytest.skip("this transformers has no TensorFlow classes", allow_module_level=True)
pytest.importorskip("tf_keras")

pytestmark = pytest.mark.parity
B, T, CHOICES = 3, 6, 2
HEADS = (
    "Model",
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForMultipleChoice",
    "ForTokenClassification",
    "ForQuestionAnswering",
)


@pytest.fixture(scope="module", params=HEADS)
def pair(request, tmp_path_factory):
    """One network twice, ours opened from the `tf_model.h5` that theirs wrote."""
    seed = HEADS.index(request.param)
    folder = tmp_path_factory.mktemp("peer")
    tf.keras.utils.set_random_seed(seed)
    config = transformers.DistilBertConfig(
        vocab_size=40, max_position_embeddings=12, n_layers=2, n_heads=2, dim=8 + 4 * (seed % 2),
        hidden_dim=20, activation=["gelu", "relu"][seed % 2], initializer_range=0.4,
        num_labels=2 if request.param == "ForQuestionAnswering" else 3,
    )  # fmt: skip
    theirs = getattr(transformers, f"TFDistilBert{request.param}")(config)
    theirs(theirs.dummy_inputs)
    for weight in theirs.trainable_weights:
        if len(weight.shape) == 1:  # biases and normalisations that matter
            weight.assign_add(tf.random.normal(weight.shape, stddev=0.2))
    theirs.save_pretrained(folder / "h5")
    theirs.save_pretrained(folder / "safe", safe_serialization=True)
    ours, info = getattr(d, f"TFDistilBert{request.param}").from_pretrained(
        folder / "h5", output_loading_info=True
    )
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    return request.param, theirs, ours, folder


def random_inputs(head, mask):
    draw = np.random.default_rng(len(head))
    shape = (B, CHOICES, T) if head == "ForMultipleChoice" else (B, T)
    given = {"input_ids": draw.integers(1, 40, shape).astype("int32")}
    if mask:
        keep = np.ones(shape, "int32")
        keep[0, ..., 4:] = keep[1, ..., :2] = keep[2, ..., 3] = 0
        given["attention_mask"] = keep
    labels = {
        "ForMaskedLM": {"labels": np.where(draw.random(shape) < 0.5, 7, -100)},
        "ForSequenceClassification": {"labels": np.array([2, 0, 1])},
        "ForMultipleChoice": {"labels": np.array([1, 0, 1])},
        "ForTokenClassification": {"labels": np.where(draw.random(shape) < 0.5, 2, -100)},
        "ForQuestionAnswering": {
            "start_positions": np.array([1, 0, 3]),
            "end_positions": np.array([3, 1, 5]),
        },
    }
    return given, labels.get(head, {})


@pytest.mark.parametrize("mask", [False, True])
def test_outputs_and_losses(pair, mask):
    head, theirs, ours, _ = pair
    given, labels = random_inputs(head, mask)
    wants = {"output_hidden_states": True, "output_attentions": True}
    expected, found = theirs(given, **labels, **wants), ours(given, **labels, **wants)
    assert list(found) == list(expected)
    for name, value in expected.items():
        # Where nothing is reduced they return a loss per row.
        value = tf.reduce_mean(value) if name == "loss" else value
        for one, other in zip(
            found[name] if isinstance(value, tuple) else [found[name]],
            value if isinstance(value, tuple) else [value],
            strict=True,
        ):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5, err_msg=name)


def test_gradients(pair):
    head, theirs, ours, _ = pair
    # No padding token in it: theirs trains its row, ours, as PyTorch's, does not.
    given, _ = random_inputs(head, True)
    found = []
    for model in (theirs, ours):
        with tf.GradientTape() as tape:
            values = [value for value in model(given).values() if value is not None]
            total = sum(tf.reduce_sum(tf.sin(value)) for value in values)
        weights = model.trainable_weights
        gradients = tape.gradient(total, weights)
        found.append(
            sorted(
                (tuple(w.shape), float(tf.reduce_sum(g**2)), float(tf.reduce_sum(g)))
                for w, g in zip(weights, map(tf.convert_to_tensor, gradients), strict=True)
            )
        )
    assert [each[0] for each in found[0]] == [each[0] for each in found[1]]
    for shape in {each[0] for each in found[0]}:
        one, other = (np.array([e[1:] for e in each if e[0] == shape]) for each in found)
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4, err_msg=str(shape))


def test_their_safetensors(pair):
    head, _, ours, folder = pair
    again, info = type(ours).from_pretrained(folder / "safe", output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    given, _ = random_inputs(head, False)
    np.testing.assert_array_equal(again(given)[0], ours(given)[0])


def test_ours_open_there(pair, tmp_path):
    head, theirs, ours, _ = pair
    ours.save_pretrained(tmp_path)
    # Without from_pt, 4.57 fails on every PyTorch safetensors: it iterates over a file handle.
    back = type(theirs).from_pretrained(tmp_path, from_pt=True)
    given, _ = random_inputs(head, True)
    np.testing.assert_allclose(back(given)[0], ours(given)[0], rtol=1e-5, atol=1e-5)
