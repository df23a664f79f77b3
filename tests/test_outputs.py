"""Outputs as dicts, attributes and tuples."""

import copy
import pickle

import pytest

from distilbert import outputs
from distilbert.outputs import ALL_OUTPUTS, MaskedLMOutput, ModelOutput


@pytest.fixture
def output():
    return MaskedLMOutput(attentions=(3,), logits=[1, 2], loss=0.5)


def test_access_by_attribute_key_index_and_slice(output):
    assert output.loss == output["loss"] == output[0] == 0.5
    assert output.logits == output["logits"] == output[1] == [1, 2]
    assert output[-1] == output.attentions == (3,)
    assert output[:2] == (0.5, [1, 2])
    assert output[1:] == ([1, 2], (3,))


def test_order_is_the_fields_not_the_arguments(output):
    assert list(output) == list(output.keys()) == ["loss", "logits", "attentions"]
    assert output.to_tuple() == tuple(output.values()) == (0.5, [1, 2], (3,))
    loss, logits = MaskedLMOutput(logits=1, loss=2).to_tuple()
    assert (loss, logits) == (2, 1)


def test_what_is_none_is_not_there(output):
    assert output.hidden_states is None
    assert "hidden_states" not in output
    assert len(output) == 3
    assert MaskedLMOutput(loss=None, logits=1)[0] == 1
    with pytest.raises(KeyError):
        output["hidden_states"]
    with pytest.raises(IndexError):
        output[3]


def test_unknown_names(output):
    with pytest.raises(AttributeError, match="MaskedLMOutput has no attribute 'logit'"):
        _ = output.logit
    with pytest.raises(AttributeError, match="no field 'logit'"):
        output.logit = 1
    with pytest.raises(TypeError, match="no field 'logit'; its fields are loss, logits"):
        MaskedLMOutput(logit=1)


def test_new_keys_come_last(output):
    output["input_ids"] = [7]
    output.update(texts=["a"])
    output["hidden_states"] = 4
    assert list(output) == ["loss", "logits", "hidden_states", "attentions", "input_ids", "texts"]
    assert output.input_ids == output["input_ids"] == output[4] == [7]
    for twin in (copy.copy(output), copy.deepcopy(output), pickle.loads(pickle.dumps(output))):
        assert type(twin) is MaskedLMOutput
        assert list(twin.items()) == list(output.items())
    output["texts"] = None
    assert "texts" not in output


@pytest.mark.parametrize("by_key", [True, False])
def test_setting_keeps_the_order_and_none_takes_away(by_key):
    output = MaskedLMOutput(logits=1, attentions=3)

    def put(name, value):
        if by_key:
            output[name] = value
        else:
            setattr(output, name, value)

    put("loss", 0.5)
    assert output.to_tuple() == (0.5, 1, 3)
    put("logits", 2)
    assert output.to_tuple() == (0.5, 2, 3)
    put("loss", None)
    put("hidden_states", None)
    assert list(output) == ["logits", "attentions"]
    output.update({"loss": 7}, hidden_states=8)
    assert output.to_tuple() == (7, 2, 8, 3)


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))]
)
def test_copies_keep_the_class(output, duplicate):
    twin = duplicate(output)
    assert type(twin) is MaskedLMOutput
    assert twin == output
    assert twin.to_tuple() == output.to_tuple()
    twin.loss = 9
    assert output.loss == 0.5


def test_made_again_from_pairs_or_a_dict(output):
    for again in (
        type(output)((name, value) for name, value in output.items()),
        type(output)(dict(output)),
        type(output)(list(output.items())),
        type(output)(**output),
    ):
        assert type(again) is type(output)
        assert again == output


def test_values_of_arrays_need_no_truth():
    np = pytest.importorskip("numpy")
    output = MaskedLMOutput(logits=np.zeros((2, 3)))
    output.loss = np.ones(2)
    assert output[0].shape == (2,)


def test_repr_names_class_and_fields(output):
    assert repr(output) == "MaskedLMOutput(loss=0.5, logits=[1, 2], attentions=(3,))"


def test_is_a_dict(output):
    assert isinstance(output, dict)
    assert {**output} == {"loss": 0.5, "logits": [1, 2], "attentions": (3,)}


def test_every_class_is_listed_and_documented():
    classes = [
        value
        for value in vars(outputs).values()
        if isinstance(value, type) and issubclass(value, ModelOutput) and value is not ModelOutput
    ]
    assert set(ALL_OUTPUTS) == set(classes)
    for cls in classes:
        assert cls.__doc__
        assert cls.fields[-2:] == ("hidden_states", "attentions")
        assert list(cls(dict.fromkeys(reversed(cls.fields), 1))) == list(cls.fields)
