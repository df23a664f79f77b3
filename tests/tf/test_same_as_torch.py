"""Outputs, losses and gradients are those of the PyTorch classes, to 1e-5 in float32."""

import numpy as np
import pytest
import tensorflow as tf

import distilbert as d
from distilbert.tf.weights import named_weights

torch = pytest.importorskip("torch")


class Pair:
    """The same model twice, the Keras one opened from the PyTorch one's file."""

    def __init__(self, class_name, config, folder):
        torch.manual_seed(0)
        self.torch = getattr(d, class_name)(config).eval()
        # The fused kernels have other gradients where a whole row is masked.
        self.torch.set_attn_implementation("eager")
        with torch.no_grad():
            for name, parameter in self.torch.named_parameters():
                if parameter.dim() == 1:  # biases and normalisations that matter
                    parameter.add_(0.2 * torch.randn(parameter.shape))
                if "position" in name and not config.sinusoidal_pos_embds:
                    parameter.add_(0.1)
        self.torch.save_pretrained(folder)
        self.keras, info = getattr(d, f"TF{class_name}").from_pretrained(
            folder, output_loading_info=True
        )
        assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}

    def check(self, given, *, gradients=False, **options):
        """Both give the same for the same: every output, and every gradient."""
        tensors = {name: torch.from_numpy(np.array(value)) for name, value in given.items()}
        expected = self.torch(**tensors, **options)
        with tf.GradientTape() as tape:
            output = self.keras(given, **options)
            total = objective(output) if gradients else None
        assert list(output) == list(expected)
        for name, value in expected.items():
            assert_close(output[name], value, name)
        if not gradients:
            return
        objective(expected).backward()
        weights = named_weights(self.keras)
        trained = {n: w for n, w in weights.items() if w.variable.trainable}
        found = tape.gradient(total, [weight.variable for weight in trained.values()])
        theirs = {n: p.grad for n, p in self.torch.named_parameters() if p.requires_grad}
        assert set(theirs) == set(trained)
        for (name, weight), gradient in zip(trained.items(), found, strict=True):
            if theirs[name] is None:
                assert gradient is None or not tf.convert_to_tensor(gradient).numpy().any()
                continue
            value = tf.convert_to_tensor(gradient).numpy()
            assert_close(value.T if weight.transposed else value, theirs[name], name)


def objective(output):
    """A number that every value of an output has its own part in, and the loss."""
    total = output.get("loss", 0.0)
    for name, value in output.items():
        if name != "loss" and not isinstance(value, tuple):
            draw = np.random.default_rng(len(name)).normal(size=value.shape).astype("float32")
            weights = torch.from_numpy(draw) if isinstance(value, torch.Tensor) else draw
            total = (
                total
                + (
                    (value * weights).sum()
                    if isinstance(value, torch.Tensor)
                    else tf.reduce_sum(value * weights)
                )
                / 10
            )
    return total


def assert_close(ours, theirs, name):
    if isinstance(theirs, tuple):
        assert len(ours) == len(theirs), name
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_close(one, other, f"{name}[{number}]")
        return
    np.testing.assert_allclose(
        np.asarray(ours), theirs.detach().numpy(), rtol=1e-5, atol=1e-5, err_msg=name
    )


@pytest.fixture
def make_pair(tmp_path, draw_config):
    def make(class_name, seed, **changes):
        config = draw_config(seed)
        config.update(changes)
        return Pair(class_name, config, tmp_path)

    return make


@pytest.mark.parametrize("seed", range(6))
def test_outputs_losses_and_gradients(class_name, seed, make_pair, draw_inputs):
    pair = make_pair(class_name, seed)
    mask = ("left", "right", "holed", "absent", "nothing", "left")[seed]
    pair.check(draw_inputs(class_name, pair.torch.config, mask, seed), gradients=True)


def test_hidden_states_and_attentions(class_name, make_pair, draw_inputs):
    pair = make_pair(class_name, 2)
    given = draw_inputs(class_name, pair.torch.config, "holed")
    pair.check(given, output_hidden_states=True, output_attentions=True)
    wants = {"output_hidden_states": True, "output_attentions": True, "return_dict": False}
    as_tuple = pair.keras(given, **wants)
    assert isinstance(as_tuple, tuple)
    tensors = {name: torch.from_numpy(value) for name, value in given.items()}
    assert_close(as_tuple, pair.torch(**tensors, **wants), "tuple")


@pytest.mark.parametrize(
    ("head", "dtype"),
    [("Model", dtype) for dtype in ("bool", "int64", "uint8", "float32")]
    + [("ForSequenceClassification", "bool")],
)
def test_masks_of_every_shape_and_type(head, dtype, make_pair):
    pair = make_pair(f"DistilBert{head}", 3)
    draw = np.random.default_rng(1)
    ids, heads = draw.integers(0, 10, (3, 5)), pair.torch.config.n_heads
    keep = draw.integers(0, 2, (3, 5, 5))
    keep[:, :, 0] = 1
    pairs = keep.astype(dtype)
    if dtype == "float32":  # added to the scores
        pairs = np.where(keep, draw.normal(size=keep.shape), -np.inf).astype(dtype)
    pair.check({"input_ids": ids, "attention_mask": keep[:, 1].astype(dtype)})
    wide = np.repeat(pairs[:, None], heads, 1)
    for mask in (pairs, pairs[:, None], wide, pairs[:1, None], pairs[:, None, :1]):
        pair.check({"input_ids": ids, "attention_mask": mask})
    pair.check({"input_ids": ids, "attention_mask": pairs}, gradients=True)


def test_head_mask(class_name, make_pair, draw_inputs):
    pair = make_pair(class_name, 2)  # with pruned heads
    config = pair.torch.config
    given = draw_inputs(class_name, config, "right")
    draw = np.random.default_rng(0)
    for shape in ((config.n_heads,), (config.n_layers, config.n_heads)):
        given["head_mask"] = draw.integers(0, 3, shape).astype("float32") / 2
        pair.check(given, gradients=True, output_attentions=True)
        pair.torch.zero_grad()


def test_position_ids_and_embeddings(class_name, make_pair, draw_inputs):
    pair = make_pair(class_name, 4)
    config = pair.torch.config
    given = draw_inputs(class_name, config, "left")
    shape = given["input_ids"].shape
    given["position_ids"] = np.random.default_rng(2).integers(
        0, config.max_position_embeddings, shape
    )
    pair.check(given, gradients=True)
    pair.torch.zero_grad()
    del given["input_ids"]
    given["inputs_embeds"] = np.random.default_rng(3).normal(size=(*shape, config.dim))
    given["inputs_embeds"] = given["inputs_embeds"].astype("float32")
    pair.check(given, gradients=True)
    if not class_name.endswith("MultipleChoice"):
        for positions in (np.arange(6) + 1, np.arange(6)[None] + 1):
            pair.check({**given, "position_ids": positions % config.max_position_embeddings})


@pytest.mark.parametrize(
    ("labels", "settings"),
    [
        (np.array([0, 2, 1]), {}),
        (np.array([[0], [2], [1]]), {}),
        (np.array([0, -100, 1]), {}),
        (np.array([True, False, True]), {}),
        (np.array([[True], [False], [True]]), {}),
        (np.array([True, False, True]), {"num_labels": 1}),
        (np.eye(3, dtype=bool), {"problem_type": "multi_label_classification"}),
        (np.array([-100, -100, -100]), {}),
        (np.array([[1, 0, 1], [0, 0, 1], [1, 1, 1]]).astype("float32"), {}),
        (np.array([[1, 0, 1], [0, 0, 1], [1, 1, 1]]),
         {"problem_type": "multi_label_classification"}),
        (np.array([[0.1, 2, 3]] * 3), {"problem_type": "regression"}),
        (np.array([0.5, -1.5, 2.0]), {"num_labels": 1}),
        (np.array([[0.5], [-1.5], [2.0]]), {"num_labels": 1}),
        (np.array([1, 0, 3]), {"num_labels": 1}),
    ],
)  # fmt: skip
def test_every_kind_of_classification(labels, settings, make_pair):
    pair = make_pair("DistilBertForSequenceClassification", 6, **{"num_labels": 3, **settings})
    ids = np.random.default_rng(0).integers(0, 10, (3, 4))
    if labels.dtype == np.float64:
        labels = labels.astype("float32")
    pair.check({"input_ids": ids, "labels": labels}, gradients=True)


def test_nothing_labelled_is_a_loss_of_0(make_pair):
    for class_name in ("DistilBertForMaskedLM", "DistilBertForTokenClassification"):
        pair = make_pair(class_name, 1)
        ids = np.random.default_rng(0).integers(0, 10, (2, 4))
        given = {"input_ids": ids, "labels": np.full((2, 4), -100)}
        pair.check(given)
        assert pair.keras(given).loss == 0


def test_files_go_back_unchanged(class_name, make_pair, tmp_path):
    pair = make_pair(class_name, 3)
    pair.keras.save_pretrained(tmp_path / "back", max_shard_size="3KB")
    assert (tmp_path / "back" / "model.safetensors.index.json").is_file()
    back, info = type(pair.torch).from_pretrained(tmp_path / "back", output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    expected = pair.torch.state_dict()
    assert back.state_dict().keys() == expected.keys()
    for name, value in back.state_dict().items():
        assert torch.equal(value, expected[name]), name
    content = {**pair.torch.config.to_dict(), "architectures": [class_name], "dtype": "float32"}
    if class_name == "DistilBertForQuestionAnswering":  # has no labels, and its file names none
        content = {k: v for k, v in content.items() if k not in ("id2label", "label2id")}
    assert back.config == type(back.config).from_dict(content)


@pytest.mark.parametrize("head", ["Model", "ForMaskedLM", "ForTokenClassification"])
def test_a_bert_is_converted_alike(head, tmp_path, tiny):
    config = d.BertConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=16, num_labels=3, initializer_range=0.2,
    )  # fmt: skip
    torch.manual_seed(0)
    getattr(d, f"Bert{head}")(config).save_pretrained(tmp_path)
    theirs = getattr(d, f"DistilBert{head}").from_pretrained(tmp_path)
    ours = getattr(d, f"TFDistilBert{head}").from_pretrained(tmp_path)
    ids = np.random.default_rng(0).integers(0, 60, (3, 5))
    assert_close(ours(ids)[0], theirs(torch.from_numpy(ids))[0], head)


def test_a_decoder_that_is_not_tied_in_the_file(tmp_path, tiny, caplog):
    tiny.tie_word_embeddings = False
    theirs = d.DistilBertForMaskedLM(tiny).eval()
    theirs.save_pretrained(tmp_path)
    ours = d.TFDistilBertForMaskedLM.from_pretrained(tmp_path, tie_word_embeddings=True)
    assert "its decoder differs from its word embeddings" in caplog.text
    assert not ours.config.tie_word_embeddings
    ids = np.array([[1, 2, 3]])
    assert_close(ours(ids).logits, theirs(torch.from_numpy(ids)).logits, "logits")
