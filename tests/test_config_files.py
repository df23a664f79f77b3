"""Configurations in files: ours, published ones, transformers', and broken ones."""

import json
import os
from typing import ClassVar

import pytest
import torch

from distilbert import BertConfig, DistilBertConfig

BASE_UNCASED = {
    "activation": "gelu",
    "architectures": ["DistilBertForMaskedLM"],
    "attention_dropout": 0.1,
    "dim": 768,
    "dropout": 0.1,
    "hidden_dim": 3072,
    "initializer_range": 0.02,
    "max_position_embeddings": 512,
    "model_type": "distilbert",
    "n_heads": 12,
    "n_layers": 6,
    "pad_token_id": 0,
    "qa_dropout": 0.1,
    "seq_classif_dropout": 0.2,
    "sinusoidal_pos_embds": False,
    "tie_weights_": True,
    "transformers_version": "4.10.0.dev0",
    "vocab_size": 30522,
}
SST2 = {
    **BASE_UNCASED,
    "architectures": ["DistilBertForSequenceClassification"],
    "finetuning_task": "sst-2",
    "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
    "label2id": {"NEGATIVE": 0, "POSITIVE": 1},
    "output_past": True,
}
OLDEST = {  # 2019: nulls, num_labels beside names that disagree, no model_type
    **{k: v for k, v in SST2.items() if k not in ("model_type", "transformers_version")},
    "num_labels": 9,
    "pruned_heads": {},
    "torchscript": False,
    "use_bfloat16": False,
    "problem_type": None,
    "architectures": None,
}
BERT_BASE = {
    "architectures": ["BertForMaskedLM"],
    "attention_probs_dropout_prob": 0.1,
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
    "transformers_version": "4.6.0.dev0",
    "type_vocab_size": 2,
    "use_cache": True,
    "vocab_size": 30522,
}


def write(folder, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "config.json").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("content", [BASE_UNCASED, SST2, OLDEST])
def test_published_distilbert_opens_and_survives_a_round_trip(content, tmp_path):
    config = DistilBertConfig.from_pretrained(write(tmp_path, content))
    for name, value in content.items():
        if name not in ("id2label", "num_labels"):
            assert getattr(config, name) == value, name
    if "id2label" in content:
        assert config.id2label == {0: "NEGATIVE", 1: "POSITIVE"}
        assert config.num_labels == 2
    config.save_pretrained(tmp_path / "again")
    written = json.loads((tmp_path / "again" / "config.json").read_text())
    defaults = {"num_labels", "pruned_heads", "problem_type", "architectures"}
    assert {k: v for k, v in written.items() if k not in ("architectures", "model_type")} == {
        k: v
        for k, v in content.items()
        if k not in ("architectures", "model_type") and not (content is OLDEST and k in defaults)
    }
    assert written["model_type"] == "distilbert"
    assert DistilBertConfig.from_pretrained(tmp_path / "again") == config


def test_published_bert_opens(tmp_path):
    config = BertConfig.from_pretrained(write(tmp_path, BERT_BASE))
    assert config.to_diff_dict() == {**BERT_BASE, "classifier_dropout": None}
    assert config.to_distilbert() == DistilBertConfig(
        n_layers=12, architectures=["BertForMaskedLM"]
    )


class TestTransformers:
    """Files that either writes open in the other."""

    THEIR_OWN = ("is_encoder_decoder", "bos_token_id", "eos_token_id", "use_cache")
    FIELDS: ClassVar = {
        "n_layers": 3,
        "dim": 24,
        "n_heads": 4,
        "dropout": 0.3,
        "activation": "relu",
        "id2label": {0: "a", 1: "b", 2: "c"},
        "label2id": {"a": 0, "b": 1, "c": 2},
        "problem_type": "regression",
        "output_hidden_states": True,
        "tie_word_embeddings": False,
        "dtype": "bfloat16",
        "chunk_size_feed_forward": 2,
    }

    def compare(self, theirs, ours):
        for name, value in theirs.to_dict().items():
            if name in ("_name_or_path", "transformers_version", *self.THEIR_OWN):
                continue
            value = str(value).removeprefix("torch.") if name == "dtype" and value else value
            assert getattr(ours, name) == value, name

    @pytest.mark.parametrize("fields", [{}, FIELDS])
    def test_theirs_in_ours(self, fields, tmp_path):
        from transformers import DistilBertConfig as Theirs

        theirs = Theirs(**fields)
        theirs.save_pretrained(tmp_path)
        self.compare(theirs, DistilBertConfig.from_pretrained(tmp_path))
        self.compare(theirs, DistilBertConfig(**theirs.to_dict()))
        self.compare(theirs, DistilBertConfig.from_dict(theirs.to_dict()))

    @pytest.mark.parametrize("fields", [{}, FIELDS])
    def test_ours_in_theirs(self, fields, tmp_path):
        from transformers import DistilBertConfig as Theirs

        ours = DistilBertConfig(**fields)
        ours.save_pretrained(tmp_path)
        self.compare(Theirs.from_pretrained(tmp_path), ours)

    def test_bert_both_ways(self, tmp_path):
        from transformers import BertConfig as Theirs

        theirs = Theirs(hidden_size=24, num_attention_heads=4, num_labels=3)
        theirs.save_pretrained(tmp_path)
        ours = BertConfig.from_pretrained(tmp_path)
        self.compare(theirs, ours)
        ours.save_pretrained(tmp_path / "ours")
        self.compare(Theirs.from_pretrained(tmp_path / "ours"), ours)


class TestWriting:
    def test_to_dict_has_every_field_and_no_choice_of_the_run(self):
        content = DistilBertConfig(attn_implementation="eager", name_or_path="x", note=1).to_dict()
        assert content.keys() >= set(DistilBertConfig.checks) | {"model_type", "note", "id2label"}
        assert not content.keys() & {"attn_implementation", "name_or_path", "_name_or_path"}

    def test_to_dict_is_a_copy(self):
        config = DistilBertConfig(note=[1])
        content = config.to_dict()
        content["note"].append(2)
        content["id2label"][0] = "x"
        assert config == DistilBertConfig(note=[1])

    def test_diff_leaves_out_shared_defaults_only(self):
        diff = DistilBertConfig().to_diff_dict()
        assert diff.keys() == set(DistilBertConfig.checks) | {"model_type"}
        changed = DistilBertConfig(return_dict=False, id2label={0: "n", 1: "y"}).to_diff_dict()
        assert changed["return_dict"] is False
        assert changed["id2label"] == {0: "n", 1: "y"}
        assert changed["label2id"] == {"n": 0, "y": 1}

    @pytest.mark.parametrize("use_diff", [True, False])
    def test_json_string_and_file(self, use_diff, tmp_path):
        config = DistilBertConfig(num_labels=12, note="é", pruned_heads={0: [1]})
        text = config.to_json_string(use_diff)
        expected = config.to_diff_dict() if use_diff else config.to_dict()
        assert json.loads(text) == json.loads(json.dumps(expected))
        config.to_json_file(tmp_path / "c.json", use_diff)
        assert (tmp_path / "c.json").read_text(encoding="utf-8") == text
        assert DistilBertConfig.from_json_file(tmp_path / "c.json") == config

    @pytest.mark.parametrize(
        "fields",
        [
            {"label2id": {"x": 0, "y": 1}},
            {"label2id": {"x": 0, "y": 1}, "num_labels": 2},
            {"id2label": {0: "x", 1: "y"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}},
            {"dtype": "float16", "architectures": ["A"], "pruned_heads": {2: [1, 0]}},
            {"note": None, "deep": {"a": [1, {"b": None}]}, "n_ctx": 5, "to_dict": "taken"},
            {"pad_token_id": None},
        ],
    )
    def test_round_trip(self, fields, tmp_path):
        config = DistilBertConfig(**fields)
        config.save_pretrained(tmp_path)
        assert DistilBertConfig.from_pretrained(tmp_path) == config
        assert DistilBertConfig.from_dict(config.to_dict()) == config
        assert DistilBertConfig(**config.to_dict()) == config

    def test_attention_choice_is_never_written(self, tmp_path):
        DistilBertConfig(attn_implementation="varlen").save_pretrained(tmp_path)
        assert "attn" not in (tmp_path / "config.json").read_text()
        write(tmp_path, {**BASE_UNCASED, "attn_implementation": "flash_attention_2"})
        assert DistilBertConfig.from_pretrained(tmp_path).attn_implementation == "sdpa"
        chosen = DistilBertConfig.from_pretrained(tmp_path, attn_implementation="eager")
        assert chosen.attn_implementation == "eager"

    def test_save_makes_the_folder_and_refuses_a_file(self, tmp_path):
        DistilBertConfig().save_pretrained(tmp_path / "a" / "b")
        assert os.listdir(tmp_path / "a" / "b") == ["config.json"]
        (tmp_path / "file").touch()
        with pytest.raises(OSError, match="file is a file; give a folder"):
            DistilBertConfig().save_pretrained(tmp_path / "file")

    def test_save_refuses_unknown_options(self, tmp_path):
        with pytest.raises(TypeError, match="no option 'usediff'"):
            DistilBertConfig().save_pretrained(tmp_path, usediff=True)


class TestReading:
    def test_overrides(self, tmp_path):
        write(tmp_path, SST2)
        config = DistilBertConfig.from_pretrained(
            tmp_path, num_labels=3, hidden_size=384, finetuning_task="mnli"
        )
        assert (config.num_labels, config.dim, config.finetuning_task) == (3, 384, "mnli")
        assert config.id2label[2] == "LABEL_2"
        names = {0: "a", 1: "b", 2: "c"}
        config = DistilBertConfig.from_pretrained(tmp_path, num_labels=3, id2label=names)
        assert config.label2id == {"a": 0, "b": 1, "c": 2}
        with pytest.raises(TypeError, match="no field 'num_label'; did you mean"):
            DistilBertConfig.from_pretrained(tmp_path, num_label=3)
        assert DistilBertConfig.from_dict(SST2, n_layers=2).n_layers == 2

    def test_options_of_transformers(self, tmp_path):
        write(tmp_path, {"dim": 24})
        config = DistilBertConfig.from_pretrained(
            tmp_path,
            finetuning_task="sst2",
            trust_remote_code=False,
            use_auth_token=None,
            device_map={"": "cpu"},
            resume_download=False,
            return_unused_kwargs=False,
        )
        config.save_pretrained(tmp_path)
        again = DistilBertConfig.from_pretrained(tmp_path)
        assert (again.finetuning_task, again.dim) == ("sst2", 24)
        assert "trust_remote_code" not in again.to_dict()
        for option, remedy in (
            ({"use_auth_token": "secret"}, "say token="),
            ({"torchscript": True}, "return_dict=False"),
            ({"return_unused_kwargs": True}, "leave it out"),
        ):
            with pytest.raises(TypeError, match=f"no option '{next(iter(option))}'.*{remedy}") as e:
                DistilBertConfig.from_pretrained(tmp_path, **option)
            assert "secret" not in str(e.value)

    def test_tuples_are_not_asked_for_by_torchscript(self, tmp_path):
        with pytest.raises(TypeError, match="no field 'torchscript': say return_dict=False"):
            DistilBertConfig(torchscript=True)
        config = DistilBertConfig.from_pretrained(write(tmp_path, {**SST2, "torchscript": True}))
        assert config.torchscript
        with pytest.raises(TypeError, match="say return_dict=False"):
            config.torchscript = True
        assert not DistilBertConfig(torchscript=False).torchscript

    def test_path_of_the_file_itself(self, tmp_path):
        write(tmp_path, SST2)
        path = (tmp_path / "config.json").rename(tmp_path / "mine.json")
        assert DistilBertConfig.from_pretrained(path, dropout=0.3).dropout == 0.3
        assert DistilBertConfig.get_config_dict(path)[0] == SST2

    def test_content_as_it_is(self, tmp_path):
        write(tmp_path, {**SST2, "note": 1})
        content, left = DistilBertConfig.get_config_dict(tmp_path, revision="main", dim=3)
        assert content == {**SST2, "note": 1}
        assert left == {"dim": 3}

    def test_place_is_remembered_but_not_written(self, tmp_path):
        config = DistilBertConfig.from_pretrained(write(tmp_path, {**SST2, "_name_or_path": "x"}))
        assert config.name_or_path == str(tmp_path)
        assert "name_or_path" not in config.to_json_string()

    def test_input_is_left_alone(self):
        content = json.loads(json.dumps(SST2))
        DistilBertConfig.from_dict(content, num_labels=3)
        assert content == SST2

    @pytest.mark.parametrize("name", ["id2label", "problem_type", "return_dict", "pruned_heads"])
    def test_null_is_the_default(self, name):
        assert DistilBertConfig.from_dict({name: None}) == DistilBertConfig()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("{'a': 1}", "not a valid JSON file"),
            ("", "not a valid JSON file"),
            ('{"dim": 768', "not a valid JSON file"),
            ("[" * 100_000, "not a valid JSON file"),
            ('{"a":' * 100_000, "not a valid JSON file"),
            ('{"dim": ' + "9" * 10_000 + "}", "not a valid JSON file"),
            ([1, 2], "must hold a JSON object, it holds a list"),
            ("3", "must hold a JSON object, it holds a int"),
            ("null", "must hold a JSON object"),
            ({**BASE_UNCASED, "model_type": "roberta"}, "type 'distilbert'.*of type 'roberta'"),
            ({**BASE_UNCASED, "model_type": None}, "this one is of type None"),
            ({**BASE_UNCASED, "model_type": ["distilbert"]}, "this one is of type"),
            ({"dim": "768"}, "dim must be an integer, got '768'"),
            ({"dim": None}, "dim must be an integer, got None"),
            ({"dim": [768]}, "dim must be an integer"),
            ({"n_layers": True}, "n_layers must be an integer, got True"),
            ({"n_layers": 10**9}, "n_layers must be at most"),
            ({"num_labels": 10**12}, "num_labels must be at most"),
            ({"vocab_size": 10**30}, "vocab_size must be at most"),
            ('{"dropout": NaN}', "dropout must be between"),
            ('{"dropout": 1e999}', "dropout must be between"),
            ({"id2label": ["a"]}, "id2label must map"),
            ({"id2label": {"a": "b"}}, "id2label must map"),
            ({"id2label": {"2": "b", "1": "a"}}, r"must name the labels 0 to 1, got \[1, 2\]$"),
            ({"dim": 10, "n_heads": 3}, r"dim \(10\) must be a multiple of n_heads \(3\)"),
            ({"dtype": "int4"}, "dtype must be"),
        ],
    )
    def test_bad_file_is_named(self, content, message, tmp_path):
        write(tmp_path, content)
        with pytest.raises((TypeError, ValueError), match=message) as caught:
            DistilBertConfig.from_pretrained(tmp_path)
        assert str(tmp_path / "config.json") in str(caught.value)

    def test_not_utf8(self, tmp_path):
        (tmp_path / "config.json").write_bytes(b'{"note": "\xff"}')
        with pytest.raises(ValueError, match=r"config\.json is not a valid JSON file"):
            DistilBertConfig.from_pretrained(tmp_path)

    def test_decoder_in_a_file(self, tmp_path):
        write(tmp_path, {**BERT_BASE, "is_decoder": True})
        with pytest.raises(ValueError, match=r"config\.json: is_decoder is set"):
            BertConfig.from_pretrained(tmp_path)

    def test_keys_that_are_names_of_python(self, tmp_path):
        odd = {"self": 1, "checks": 2, "__class__": 3, "_extra": 4, "to_dict": 5, "num_labels": 3}
        config = DistilBertConfig.from_pretrained(write(tmp_path, odd))
        assert config.num_labels == 3
        written = config.to_diff_dict()
        assert {name: written[name] for name in odd if name != "num_labels"} == {
            name: value for name, value in odd.items() if name != "num_labels"
        }

    def test_the_model_s_dtype_reads_back(self, tmp_path):
        DistilBertConfig(dtype=torch.float16).save_pretrained(tmp_path)
        assert DistilBertConfig.from_pretrained(tmp_path).dtype == "float16"
