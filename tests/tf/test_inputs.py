"""What may be given to a Keras model, in which form, and what is refused, in PyTorch's words."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

import distilbert as d

FIRST = ["self", "input_ids", "attention_mask", "head_mask", "inputs_embeds"]
FLAGS = ["output_attentions", "output_hidden_states", "return_dict"]


@pytest.fixture
def model(tiny):
    return d.TFDistilBertModel(tiny)


def test_the_order_of_arguments(class_name):
    """That of transformers' TensorFlow classes, and then what they lacked."""
    labels = {"Model": [], "Answering": ["start_positions", "end_positions"]}
    own = next((n for end, n in labels.items() if class_name.endswith(end)), ["labels"])
    names = list(inspect.signature(getattr(d, f"TF{class_name}").call).parameters)
    assert names == [*FIRST, *FLAGS, *own, "training", "position_ids", "token_type_ids"]


def test_every_form_of_inputs(ids, model):
    keep = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 1, 0, 1, 1]])
    expected = model(input_ids=ids, attention_mask=keep).last_hidden_state.numpy()
    tensors = {"input_ids": tf.constant(ids), "attention_mask": tf.constant(keep)}
    narrow = {name: tf.cast(value, tf.int32) for name, value in tensors.items()}
    for given in (
        model(tensors),
        model(narrow),
        model([ids, keep]),
        model((tensors["input_ids"], keep)),
        model(ids, keep),
        model(ids, attention_mask=keep),
        model({"input_ids": ids}, attention_mask=keep),
        model(d.BatchEncoding({"input_ids": ids, "attention_mask": keep})),
        tf.function(model)(narrow),
        tf.function(model, jit_compile=True)(narrow),
    ):
        np.testing.assert_allclose(given.last_hidden_state, expected, rtol=1e-5, atol=1e-5)


def test_the_encoder_called_by_itself(ids, tiny):
    """What it gives is read as transformers' main layer's: by position, the last state first."""
    model = d.TFDistilBertForSequenceClassification(tiny)
    keep = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 1, 0, 1, 1]])
    expected = model(ids, keep, output_hidden_states=True, output_attentions=True)
    named = {"input_ids": ids, "attention_mask": keep}
    for output in (
        model.distilbert(ids, keep),
        model.distilbert(ids, attention_mask=keep),
        model.distilbert(named),
        model.distilbert(d.BatchEncoding(named)),
        tf.function(model.distilbert)(tf.constant(ids), tf.constant(keep)),
    ):
        np.testing.assert_allclose(output[0], expected.hidden_states[-1], rtol=1e-5, atol=1e-5)
        assert output.last_hidden_state is output[0]
        assert len(output.hidden_states) == 3
        np.testing.assert_allclose(
            output.attentions[-1], expected.attentions[-1], rtol=1e-5, atol=1e-5
        )
    with pytest.raises(TypeError, match="input_ids"):
        model.distilbert(named, input_ids=ids)


def test_a_functional_model(ids, tiny):
    encoder = d.TFDistilBertModel(tiny)
    tokens = keras.Input((None,), dtype="int32")
    keep = keras.Input((None,), dtype="int32")
    states = encoder(tokens, attention_mask=keep).last_hidden_state
    scores = keras.layers.Dense(2)(states[:, 0])
    model = keras.Model([tokens, keep], scores)
    ones = np.ones_like(ids)
    assert model([ids, ones]).shape == (3, 2)
    assert model.count_params() == encoder.count_params() + 66
    np.testing.assert_allclose(
        model.layers[-1](encoder(ids)[0][:, 0]), model([ids, ones]), rtol=1e-5, atol=1e-5
    )


def test_outputs_as_tuples_and_by_configuration(ids, tiny, model):
    output = model(ids, output_hidden_states=True, output_attentions=True)
    as_tuple = model(ids, output_hidden_states=True, output_attentions=True, return_dict=False)
    assert isinstance(as_tuple, tuple)
    assert [len(part) for part in as_tuple[1:]] == [3, 2]
    np.testing.assert_array_equal(as_tuple[0], output[0])
    np.testing.assert_array_equal(output["hidden_states"][-1], output.last_hidden_state)
    tiny.return_dict = False
    tiny.output_hidden_states = True
    assert len(d.TFDistilBertModel(tiny)(ids)) == 2


@pytest.mark.parametrize("implementation", ["eager", "varlen"])
def test_the_last_layer_computes_what_is_read(implementation, ids, tiny):
    """First tokens alone, where a head reads nothing else and no layers are asked for."""
    tiny.attn_implementation = implementation
    encoder = d.TFDistilBertModel(tiny).distilbert
    keep = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 1, 0, 1, 1]])
    _, states, weights = encoder(ids, keep).to_tuple()
    first, first_states, first_weights = encoder(ids, keep, first_only=True).to_tuple()
    assert first is first_states[-1]
    assert [x.shape for x in first_states] == [(3, 5, 32), (3, 5, 32), (3, 1, 32)]
    np.testing.assert_allclose(first_states[-1], states[-1][:, :1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(first_weights[-1], weights[-1][:, :, :1], rtol=1e-5, atol=1e-5)
    classifier = d.TFDistilBertForSequenceClassification(tiny)
    everything = classifier(ids, keep, output_hidden_states=True, output_attentions=True)
    assert everything.hidden_states[-1].shape == (3, 5, 32)
    assert everything.attentions[-1].shape == (3, 4, 5, 5)
    np.testing.assert_allclose(
        classifier(ids, keep).logits, everything.logits, rtol=1e-5, atol=1e-5
    )


def test_dropout_acts_in_training_only(ids, tiny):
    tiny.dropout = 0.5
    model = d.TFDistilBertModel(tiny)
    assert np.array_equal(model(ids)[0], model(ids)[0])
    assert not np.array_equal(model(ids, training=True)[0], model(ids)[0])
    tiny.dropout, tiny.attention_dropout = 0.0, 0.5
    model = d.TFDistilBertModel(tiny)
    assert not np.array_equal(model(ids, training=True)[0], model(ids)[0])


def test_wrong_inputs(ids, tiny, model):
    def refused(error, match, *args, **kwargs):
        with pytest.raises(error, match=match):
            model(*args, **kwargs)

    refused(ValueError, "either input_ids or inputs_embeds; neither was given")
    refused(ValueError, "either input_ids or inputs_embeds; both were given",
            ids, inputs_embeds=np.zeros((3, 5, 32)))  # fmt: skip
    refused(IndexError, "input_ids holds 60; the model knows 0 to 59", ids * 0 + 60)
    refused(IndexError, "input_ids holds -1", tf.constant(ids * 0 - 1))
    refused(IndexError, "position_ids holds 16", ids, position_ids=np.arange(12, 17))
    refused(TypeError, "input_ids must be int64 or int32, got float64", ids.astype(float))
    refused(TypeError, "input_ids must be an array or a tensor, got list", [[1, 2]])
    refused(TypeError, "input_ids must be an array or a tensor, got list", input_ids=[[1, 2]])
    refused(ValueError, r"input_ids must be \(batch, tokens\), got \(5,\)", ids[0])
    refused(ValueError, "no token", ids[:, :0])
    refused(ValueError, r"inputs_embeds must be .* 32\), got \(3, 5, 31\)",
            inputs_embeds=np.zeros((3, 5, 31)))  # fmt: skip
    refused(ValueError, r"position_ids must be \(3, 5\)", ids, position_ids=np.arange(4))
    refused(ValueError, "attention_mask must be", ids, attention_mask=np.ones((3, 4)))
    refused(ValueError, "attention_mask must be", ids, attention_mask=np.ones((3, 5, 4)))
    refused(ValueError, "attention_mask must be", ids, attention_mask=np.ones((3, 2, 4, 5)))
    refused(ValueError, r"attention_mask must be .*\(3, 1 or 4, 5, 5\), got \(3, 3, 5, 5\)",
            ids, attention_mask=np.ones((3, 3, 5, 5)))  # fmt: skip
    refused(ValueError, "attention_mask must be", ids, attention_mask=np.ones(5))
    refused(TypeError, "attention_mask must be an array", ids, attention_mask=[[1]])
    refused(ValueError, r"head_mask must be \(4,\) or \(2, 4\), got \(3,\)",
            ids, head_mask=np.ones(3))  # fmt: skip
    refused(TypeError, r"head_mask must be an array or a tensor, got \[None, None\]",
            ids, head_mask=[None, None])  # fmt: skip
    refused(TypeError, "unexpected keyword argument 'atention_mask'", ids, atention_mask=ids)
    refused(TypeError, "unexpected keyword argument 'label'", {"input_ids": ids, "label": ids})
    refused(TypeError, "input_ids is given twice", {"input_ids": ids}, input_ids=ids)
    with pytest.raises(ValueError, match=r"must be \(batch, choices, tokens\), got \(3, 5\)"):
        d.TFDistilBertForMultipleChoice(tiny)(ids)
    with pytest.raises(IndexError, match="input_ids holds 60"):
        d.TFDistilBertForMultipleChoice(tiny)(np.full((1, 2, 3), 60))
    unknown = tf.function(
        d.TFDistilBertForMultipleChoice(tiny), input_signature=[tf.TensorSpec(None, tf.int32)]
    )
    with pytest.raises(ValueError, match="input_ids has an unknown number of axes"):
        unknown.get_concrete_function()
    with pytest.raises(TypeError, match=r"takes a distilbert\.DistilBertConfig, got a"):
        d.TFDistilBertModel(d.BertConfig())


def test_tensors_of_another_kind(ids, tiny, model):
    ragged = tf.ragged.constant([[1, 2], [3]])
    with pytest.raises(TypeError, match=r"give input_ids\.to_tensor\(\), padded, and an attention"):
        model(ragged)
    with pytest.raises(TypeError, match=r"input_ids is a RaggedTensor"):
        d.TFDistilBertForMultipleChoice(tiny)({"input_ids": ragged})
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"is a torch\.Tensor: give attention_mask\.numpy\(\)"):
        model(ids, attention_mask=torch.ones(3, 5))


def test_in_float64(ids, tiny):
    keep = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    for implementation in ("eager", "varlen"):
        tiny.attn_implementation = implementation
        model = d.TFDistilBertForQuestionAnswering(tiny, dtype="float64")
        logits = model(ids, keep).start_logits
        assert logits.dtype == "float64"
        assert np.isfinite(logits).all()


def test_a_sequence_that_is_too_long(model):
    with pytest.raises(ValueError, match=r"17 tokens.*16.*truncation=True.*embeddings\(17\)"):
        model(np.zeros((1, 17), "int64"))
    assert model(inputs_embeds=np.zeros((1, 16, 32), "float32"))[0].shape == (1, 16, 32)


def test_wrong_labels(ids, tiny):
    def refused(head, error, match, **labels):
        model = getattr(d, f"TFDistilBertFor{head}")(tiny)
        with pytest.raises(error, match=match):
            model(ids, **labels)

    refused("MaskedLM", ValueError, r"labels must be \(3, 5\), got \(3, 4\)", labels=ids[:, 1:])
    refused("MaskedLM", TypeError, "must be integers, got float64", labels=ids.astype(float))
    refused("MaskedLM", TypeError, "labels must be an array or a tensor, got list", labels=[1])
    refused("TokenClassification", ValueError, r"labels hold 7; there are 3 classes, 0 to 2",
            labels=np.full((3, 5), 7))  # fmt: skip
    refused("SequenceClassification", ValueError, r"labels must be \(3,\), one class per text",
            labels=ids)  # fmt: skip
    refused("SequenceClassification", ValueError, r"labels must be \(3, 3\), got \(3, 2\)",
            labels=np.zeros((3, 2)))  # fmt: skip
    refused("QuestionAnswering", ValueError, "give both start_positions and end_positions",
            start_positions=ids[:, 0])  # fmt: skip
    refused("QuestionAnswering", ValueError, r"positions must be \(3,\), got \(2,\)",
            start_positions=ids[:2, 0], end_positions=ids[:2, 0])  # fmt: skip
    refused("QuestionAnswering", TypeError, "positions must be integers",
            start_positions=ids[:, 0] / 2, end_positions=ids[:, 0])  # fmt: skip
    with pytest.raises(ValueError, match=r"labels must be \(1,\), got \(2,\)"):
        d.TFDistilBertForMultipleChoice(tiny)(ids[:1, None], labels=np.array([0, 0]))
    with pytest.raises(ValueError, match=r"labels hold 1; there are 1 classes"):
        d.TFDistilBertForMultipleChoice(tiny)(ids[:1, None], labels=np.array([1]))


def test_token_type_ids_are_ignored_with_a_word(ids, model):
    with pytest.warns(UserWarning, match="token_type_ids are ignored"):
        output = model(ids, token_type_ids=np.zeros_like(ids))
    np.testing.assert_array_equal(output[0], model(ids)[0])


def test_the_words_are_those_of_the_pytorch_classes(ids, tiny):
    torch = pytest.importorskip("torch")
    theirs, ours = d.DistilBertForMaskedLM(tiny), d.TFDistilBertForMaskedLM(tiny)
    for given in (
        {},
        {"input_ids": ids * 0 + 60},
        {"input_ids": ids * 0 - 1},
        {"input_ids": ids[0]},
        {"input_ids": ids[:, :0]},
        {"input_ids": np.zeros((1, 17), "int64")},
        {"input_ids": ids, "attention_mask": ids[:, 1:]},
        {"input_ids": ids, "position_ids": ids[:, 1:]},
        {"input_ids": ids, "position_ids": ids * 0 + 16},
        {"input_ids": ids, "head_mask": np.ones(3)},
        {"input_ids": ids, "labels": ids[:, 1:]},
        {"input_ids": ids, "labels": ids * 0 + 60},
        {"inputs_embeds": np.zeros((3, 5, 31), "float32")},
    ):
        tensors = {name: torch.from_numpy(value) for name, value in given.items()}
        with pytest.raises((ValueError, TypeError, IndexError)) as error:
            theirs(**tensors)
        with pytest.raises(error.type) as own:
            ours(given)
        assert str(error.value).startswith(str(own.value))


def test_an_empty_batch_gives_empty_outputs(ids, tiny):
    for head, shape in (("ForMaskedLM", (0, 5, 60)), ("ForSequenceClassification", (0, 3))):
        labels = ids[:0] if head == "ForMaskedLM" else ids[:0, 0]
        output = getattr(d, f"TFDistilBert{head}")(tiny)(ids[:0], labels=labels)
        assert output.logits.shape == shape
        assert output.loss == 0


def test_a_mask_per_head_is_refused_where_layers_have_other_heads(ids, tiny):
    tiny.pruned_heads = {0: [0]}
    model = d.TFDistilBertModel(tiny)
    with pytest.raises(ValueError, match=r"or \(3, 1, 5, 5\), got \(3, 4, 5, 5\)"):
        model(ids, attention_mask=np.ones((3, 4, 5, 5)))
