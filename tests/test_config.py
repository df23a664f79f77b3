"""Configurations in memory: fields, aliases, labels, checks, copies."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest

from distilbert import BertConfig, DistilBertConfig
from distilbert.config import student_config

BOTH = [DistilBertConfig, BertConfig]
ALIASES = {"hidden_size": "dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"}
DEFAULTS = {
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "sinusoidal_pos_embds": False,
    "n_layers": 6,
    "n_heads": 12,
    "dim": 768,
    "hidden_dim": 3072,
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "activation": "gelu",
    "initializer_range": 0.02,
    "qa_dropout": 0.1,
    "seq_classif_dropout": 0.2,
    "pad_token_id": 0,
}


def test_defaults():
    config = DistilBertConfig()
    assert {name: getattr(config, name) for name in DEFAULTS} == DEFAULTS
    assert config.model_type == "distilbert"
    assert config.num_labels == 2
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1"}
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1}
    assert config.problem_type is config.architectures is config.dtype is None
    assert config.return_dict is config.tie_word_embeddings is True
    assert config.output_attentions is config.output_hidden_states is False
    assert config.chunk_size_feed_forward == 0
    assert config.pruned_heads == {}
    assert config.attn_implementation == "sdpa"


def test_arguments_keep_their_order():
    config = DistilBertConfig(*DEFAULTS.values())
    assert config == DistilBertConfig()
    assert DistilBertConfig(10, 20, True, 1, 2, 4, 8).hidden_dim == 8


@pytest.mark.parametrize(("alias", "field"), ALIASES.items())
def test_aliases_read_and_write_both_ways(alias, field):
    config = DistilBertConfig(**{alias: 24})
    assert getattr(config, field) == getattr(config, alias) == 24
    setattr(config, alias, 36)
    assert getattr(config, field) == 36
    setattr(config, field, 48)
    assert getattr(config, alias) == 48
    assert alias not in config.to_dict()
    config.update({alias: 12})
    assert getattr(config, field) == 12


@pytest.mark.parametrize(("alias", "field"), BertConfig.aliases.items())
def test_bert_answers_to_distilbert_names(alias, field):
    config = BertConfig()
    assert getattr(config, alias) == getattr(config, field)
    value = {"activation": "relu", "dropout": 0.3, "attention_dropout": 0.4}.get(alias, 24)
    setattr(config, alias, value)
    assert getattr(config, field) == value
    assert config.to_dict()[field] == value
    assert alias not in config.to_dict()


def test_a_student_is_like_its_teacher():
    """Heads are pruned in a layer; what the teacher shows and who wrote it is its own."""
    teacher = BertConfig(
        num_hidden_layers=4,
        hidden_size=12,
        pruned_heads={0: [1], 3: [2, 5]},
        output_attentions=True,
        output_hidden_states=True,
        architectures=["BertForMaskedLM"],
    )
    expected = DistilBertConfig(n_layers=2, dim=12, dropout=0.3, pruned_heads={1: [2, 5]})
    assert student_config(teacher, [2, 3], dropout=0.3) == expected
    assert student_config(teacher.to_distilbert(), [2, 3], dropout=0.3) == expected
    assert student_config(teacher, [1] * 6) == DistilBertConfig(dim=12)
    for layers in ([], [4], [-1], [0, 7]):
        with pytest.raises(ValueError, match="must be some of 0 to 3, the teacher's; got "):
            student_config(teacher, layers)


@pytest.mark.parametrize("cls", BOTH)
def test_names_of_transformers_that_are_no_fields(cls):
    config = cls()
    assert config.is_decoder is config.is_encoder_decoder is False
    assert config.bos_token_id is config.eos_token_id is config.finetuning_task is None
    assert "is_decoder" not in config.to_dict()
    config.update({"finetuning_task": "sst2", "bos_token_id": 101})
    assert (config.finetuning_task, config.bos_token_id) == ("sst2", 101)
    assert config.to_dict()["bos_token_id"] == 101
    assert cls.attribute_map == cls.aliases


@pytest.mark.parametrize("cls", BOTH)
def test_names_can_be_asked_for(cls):
    config = cls(extra_key=1)
    assert list(config) == list(config.to_dict())
    assert {"vocab_size", "pad_token_id", "extra_key"} <= set(config)
    assert "text_config" not in config


@pytest.mark.parametrize("cls", BOTH)
class TestLabels:
    def test_number_makes_names(self, cls):
        config = cls(num_labels=3)
        assert config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
        assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
        config.num_labels = 1
        assert config.id2label == {0: "LABEL_0"}

    def test_names_make_the_number_and_the_inverse(self, cls):
        config = cls(id2label={"0": "no", "1": "yes", "2": "maybe"})
        assert config.num_labels == 3
        assert config.id2label == {0: "no", 1: "yes", 2: "maybe"}
        assert config.label2id == {"no": 0, "yes": 1, "maybe": 2}

    def test_numbers_alone_make_the_names(self, cls, tmp_path):
        numbers, names = {"neg": 0, "pos": 2, "neu": 1}, {0: "neg", 1: "neu", 2: "pos"}
        cls().save_pretrained(tmp_path)
        configs = [
            cls(label2id=numbers),
            cls(label2id=numbers, num_labels=3),
            cls.from_dict({"label2id": numbers}),
            cls.from_pretrained(tmp_path, label2id=numbers),
            *(cls() for _ in range(3)),
        ]
        configs[-3].update({"label2id": numbers})
        configs[-2].update({"label2id": numbers, "num_labels": 3})
        configs[-1].num_labels = 3
        configs[-1].label2id = numbers
        for config in configs:
            assert (config.num_labels, config.id2label, config.label2id) == (3, names, numbers)

    @pytest.mark.parametrize(
        ("given", "error"),
        [
            ({"label2id": {"no": 0, "yes": 1}, "num_labels": 3}, "is 3, but label2id names 2"),
            (
                {"label2id": {"no": 1, "yes": 2}},
                r"label2id must name the labels 0 to 1, got \[1, 2",
            ),
            ({"label2id": {"no": 0, "never": 0}}, "label2id gives two labels one number, so say"),
        ],
    )
    def test_numbers_alone_that_are_no_names(self, given, error, cls):
        for make in (lambda: cls(**given), lambda: cls().update(given)):
            with pytest.raises(ValueError, match=error):
                make()
        opened = cls.from_dict(given)  # files say all kinds of things
        assert opened.label2id == given["label2id"]
        assert opened.num_labels == given.get("num_labels", 2)
        names = {0: "no", 1: "yes"}
        assert cls.from_dict(given, id2label=names).id2label == names

    def test_numbers_of_other_labels_change_nothing_in_a_model(self, cls):
        config = cls()
        config.label2id = {"neg": 0, "pos": 1, "neu": 2}
        assert config.num_labels == 2

    def test_names_stay_beside_numbers_that_say_less(self, cls):
        numbers, names = {"no": 0, "never": 0, "yes": 1}, {0: "no", 1: "yes"}
        config = cls(id2label=names, label2id=numbers)
        assert (config.id2label, config.label2id) == (names, numbers)
        config = cls(id2label=names)
        config.label2id = numbers
        assert (config.id2label, config.label2id) == (names, numbers)

    def test_same_number_keeps_the_names(self, cls):
        config = cls(id2label={0: "no", 1: "yes"}, num_labels=2)
        config.num_labels = 2
        assert config.id2label == {0: "no", 1: "yes"}

    def test_names_come_in_order(self, cls):
        names = {str(i): f"n{i}" for i in (0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9)}
        assert list(cls(id2label=names).id2label.values()) == [f"n{i}" for i in range(12)]

    def test_disagreement_is_refused(self, cls):
        with pytest.raises(ValueError, match="num_labels is 3, but id2label names 2"):
            cls(id2label={0: "no", 1: "yes"}, num_labels=3)
        for order in (("num_labels", "id2label"), ("id2label", "num_labels")):
            given = {"num_labels": 3, "id2label": {0: "no", 1: "yes"}}
            with pytest.raises(ValueError, match="num_labels is 3, but id2label names 2"):
                cls().update({name: given[name] for name in order})

    def test_update(self, cls):
        config = cls()
        config.update({"id2label": {0: "a", 1: "b", 2: "c"}, "num_labels": 3})
        assert config.id2label == {0: "a", 1: "b", 2: "c"}
        assert config.label2id == {"a": 0, "b": 1, "c": 2}

    def test_no_label_at_all(self, cls):
        for wrong in ({"num_labels": 0}, {"id2label": {}}, {"num_labels": -1}):
            with pytest.raises(ValueError, match="at least"):
                cls(**wrong)


@pytest.mark.parametrize(
    "allowed", ["regression", "single_label_classification", "multi_label_classification", None]
)
def test_problem_types(allowed):
    assert DistilBertConfig(problem_type=allowed).problem_type == allowed


def test_other_problem_type_is_refused():
    with pytest.raises(ValueError, match=r"problem_type must be one of regression.*'ranking'"):
        DistilBertConfig(problem_type="ranking")


@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
def test_dtype_has_two_names_and_three_spellings(name):
    import torch

    for value in ("bfloat16", "torch.bfloat16", torch.bfloat16):
        config = DistilBertConfig(**{name: value})
        kept = value if isinstance(value, torch.dtype) else "bfloat16"
        assert config.dtype == config.torch_dtype == kept
        assert config.to_dict()["dtype"] == "bfloat16"
        assert "torch_dtype" not in config.to_dict()
        assert config == DistilBertConfig(dtype="bfloat16")
        assert '"dtype": "bfloat16"' in config.to_json_string()
        for again in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
            assert again == config
            assert again.dtype == kept
    for wrong in ("int8", "float", 32, torch.int64):
        with pytest.raises(ValueError, match="dtype must be"):
            DistilBertConfig(**{name: wrong})


INTEGERS = [
    *("vocab_size", "max_position_embeddings", "n_layers", "n_heads", "dim", "hidden_dim"),
    *("chunk_size_feed_forward", "num_labels"),
]
NUMBERS = ["dropout", "attention_dropout", "initializer_range", "qa_dropout", "seq_classif_dropout"]
BOOLEANS = [
    *("sinusoidal_pos_embds", "output_hidden_states", "output_attentions", "return_dict"),
    "tie_word_embeddings",
]
MAPS = ["id2label", "label2id", "pruned_heads"]


def wrong_values():
    for name in INTEGERS:
        for value in ("12", 1.0, True, [12], {}, math.nan, -1, 10**30):
            yield name, value
    for name in ("dim", "hidden_dim"):
        yield name, 1_200_000_000
    yield "num_labels", 100_001
    for name in NUMBERS:
        for value in ("0.1", None, True, [0.1], math.nan, math.inf, -0.1):
            yield name, value
    for name in BOOLEANS:
        for value in ("true", None, 0, 1, []):
            yield name, value
    for name in MAPS:
        for value in ("x", 3, ["a"], {"a": "b", "c": None}):
            yield name, value
    for value in ("Gelu", None, 3, ["gelu"]):
        yield "activation", value
    for value in ("DistilBertModel", 3, [1]):
        yield "architectures", value
    for value in ("flash", 3, ["sdpa"]):
        yield "attn_implementation", value
    for value in ("0", 0.0, False, -1, 30522):
        yield "pad_token_id", value


@pytest.mark.parametrize(("name", "value"), list(wrong_values()))
def test_wrong_value_names_the_field(name, value):
    with pytest.raises((TypeError, ValueError), match=name):
        DistilBertConfig(**{name: value})


@pytest.mark.parametrize("name", ["vocab_size", "dim", "n_layers", "dropout", "activation"])
def test_none_is_no_value(name):
    with pytest.raises((TypeError, ValueError), match=name):
        DistilBertConfig(**{name: None})


@pytest.mark.parametrize("cls", BOTH)
def test_assignment_is_checked_as_well(cls):
    config = cls()
    with pytest.raises(TypeError, match="must be an integer, got '12'"):
        config.n_layers = "12"
    assert config.n_layers == cls().n_layers


def test_numpy_numbers_are_numbers():
    config = DistilBertConfig(n_layers=np.int64(3), dropout=np.float32(0.5))
    assert type(config.n_layers) is int
    assert type(config.dropout) is float


@pytest.mark.parametrize("cls", BOTH)
def test_width_must_be_a_multiple_of_the_heads(cls):
    with pytest.raises(ValueError, match=r"dim \(100\) must be a multiple of n_heads \(12\)"):
        cls(hidden_size=100)


@pytest.mark.parametrize(
    "pruned", [{6: [0]}, {-1: [0]}, {0: [12]}, {0: [-1]}, {1: list(range(12))}]
)
def test_pruned_heads_must_exist_and_leave_some(pruned):
    with pytest.raises(ValueError, match="pruned_heads"):
        DistilBertConfig(pruned_heads=pruned)


def test_model_type_cannot_be_another():
    config = DistilBertConfig(model_type="distilbert")
    config.model_type = "distilbert"
    assert config == DistilBertConfig()
    with pytest.raises(ValueError, match="type 'distilbert', this one is of type 'roberta'"):
        DistilBertConfig(model_type="roberta")


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("n_layer", "n_layers"), ("drop_out", "dropout"), ("numlabels", "num_l")],
)
def test_misspelt_keyword_warns(misspelt, meant):
    with pytest.warns(UserWarning, match=f"no field '{misspelt}'; did you mean '{meant}"):
        config = DistilBertConfig(**{misspelt: 3})
    assert getattr(config, misspelt) == 3


def test_extra_keyword_that_is_like_no_field_is_quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert DistilBertConfig(finetuning_task="sst-2").finetuning_task == "sst-2"


class TestUpdate:
    def test_replaces(self):
        config = DistilBertConfig(note="a")
        config.update({"dim": 48, "n_heads": 4, "note": "b"})
        assert (config.dim, config.n_heads, config.note) == (48, 4, "b")

    def test_takes_what_to_dict_gives(self):
        config = DistilBertConfig()
        config.update(DistilBertConfig(dim=48, num_labels=3).to_dict())
        assert config == DistilBertConfig(dim=48, num_labels=3)

    def test_unknown_name(self):
        with pytest.raises(TypeError, match="no field 'n_layer'; did you mean 'n_layers'"):
            DistilBertConfig().update({"n_layer": 3})
        with pytest.raises(TypeError, match=r"no field 'zzz'$"):
            DistilBertConfig().update({"zzz": 3})

    @pytest.mark.parametrize("wrong", [{"dropout": "x"}, {"n_heads": 7}, {"zzz": 1}])
    def test_all_or_nothing(self, wrong):
        config = DistilBertConfig()
        with pytest.raises((TypeError, ValueError)):
            config.update({"vocab_size": 99, "num_labels": 5, **wrong})
        assert config == DistilBertConfig()


@pytest.mark.parametrize("cls", BOTH)
class TestCopies:
    @pytest.mark.parametrize(
        "duplicate", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
    )
    def test_equal(self, cls, duplicate):
        config = cls(num_labels=3, note={"a": [1]}, pruned_heads={1: [2]}, name_or_path="here")
        twin = duplicate(config)
        assert twin == config
        assert twin.to_dict() == config.to_dict()
        assert (twin.note, twin.hidden_size, twin.name_or_path) == ({"a": [1]}, 768, "here")

    def test_deep_copy_is_independent(self, cls):
        config = cls(note={"a": [1]})
        twin = copy.deepcopy(config)
        twin.note["a"].append(2)
        twin.id2label[0] = "changed"
        twin.n_layers = 3
        assert config == cls(note={"a": [1]})

    def test_equality(self, cls):
        assert cls() != cls(dropout=0.5)
        assert cls() != cls(note=1)
        assert cls() != 3
        assert DistilBertConfig() != BertConfig()
        with pytest.raises(TypeError, match="unhashable"):
            hash(cls())

    def test_unknown_attribute(self, cls):
        with pytest.raises(AttributeError, match=f"{cls.__name__} has no attribute 'zzz'"):
            _ = cls().zzz
        assert not hasattr(cls.__new__(cls), "zzz")
        assert not hasattr(cls.__new__(cls), "n_layers")

    def test_repr_shows_class_and_fields(self, cls):
        text = repr(cls(note=1))
        assert text.startswith(f"{cls.__name__} {{")
        assert '"note": 1' in text
        assert f'"model_type": "{cls.model_type}"' in text


class TestBert:
    @pytest.mark.parametrize("name", ["is_decoder", "add_cross_attention"])
    def test_decoder_is_refused(self, name):
        with pytest.raises(ValueError, match=f"{name} is set: this is an encoder"):
            BertConfig(**{name: True})
        assert BertConfig(**{name: False}).num_labels == 2

    @pytest.mark.parametrize("kind", ["relative_key", "relative_key_query"])
    def test_relative_positions_are_refused(self, kind):
        with pytest.raises(ValueError, match=f"position_embedding_type.*absolute.*{kind}"):
            BertConfig(position_embedding_type=kind)

    def test_to_distilbert(self):
        bert = BertConfig(
            vocab_size=50,
            hidden_size=24,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=36,
            hidden_act="relu",
            hidden_dropout_prob=0.3,
            attention_probs_dropout_prob=0.4,
            id2label={0: "a", 1: "b", 2: "c"},
            tie_word_embeddings=False,
            pruned_heads={1: [0]},
            attn_implementation="eager",
        )
        assert bert.to_distilbert() == DistilBertConfig(
            vocab_size=50,
            dim=24,
            n_layers=3,
            n_heads=4,
            hidden_dim=36,
            activation="relu",
            dropout=0.3,
            attention_dropout=0.4,
            id2label={0: "a", 1: "b", 2: "c"},
            tie_word_embeddings=False,
            pruned_heads={1: [0]},
        )
        assert bert.to_distilbert().attn_implementation == "eager"

    def test_other_epsilon_stays_a_bert(self):
        with pytest.raises(ValueError, match="layer_norm_eps 1e-05, a DistilBERT always has 1e-12"):
            BertConfig(layer_norm_eps=1e-5).to_distilbert()


def test_names_that_older_code_reads_and_writes():
    config = DistilBertConfig()
    config._attn_implementation = "eager"
    config.use_return_dict = False
    assert (config.attn_implementation, config.return_dict) == ("eager", False)
    assert (config._attn_implementation, config.use_return_dict) == ("eager", False)
    assert "_attn_implementation" not in config.to_dict()
    from_file = DistilBertConfig.from_dict({"_attn_implementation": "flash_attention_2"})
    assert from_file.attn_implementation == "sdpa"


def test_a_misspelt_assignment_warns_once():
    config = DistilBertConfig()
    with pytest.warns(
        UserWarning, match="no field 'num_lables'; did you mean 'num_labels'"
    ) as seen:
        config.num_lables = 3
    assert seen[0].filename == __file__
    config.num_lables = 4
    config.my_own_note = "kept"
    assert config.to_dict()["num_lables"] == 4


def test_a_key_that_no_field_has_can_be_deleted():
    config = DistilBertConfig(note=1)
    del config.note
    assert "note" not in config.to_dict()
    for name in ("note", "dim", "hidden_size"):
        with pytest.raises(AttributeError, match=f"'{name}' is not an attribute"):
            delattr(config, name)
    assert config.dim == 768
