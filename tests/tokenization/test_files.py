"""Opening and saving: either tokenizer opens either's files, and bad files are refused."""

import argparse
import copy
import enum
import inspect
import json
import logging
import pickle

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from distilbert import BertConfig, DistilBertConfig, DistilBertTokenizer, DistilBertTokenizerFast
from distilbert.tokenization.files import fit_to_model, vocab_text
from distilbert.tokenization.spec import check_vocab

BOTH = [DistilBertTokenizer, DistilBertTokenizerFast]
TEXTS = ["The smaller [MASK], new token <x> Foo", "É ünaffable 中", "don't [SEP] zz"]


def made(cls, vocab, **kwargs):
    tokenizer = cls(vocab, model_max_length=64, padding_side="left", **kwargs)
    tokenizer.add_tokens(["new token", "Foo", AddedToken("zz", rstrip=True)])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<x>"]})
    return tokenizer


def same(a, b):
    assert a.get_vocab() == b.get_vocab()
    assert a.special_tokens_map == b.special_tokens_map
    assert a.model_max_length == b.model_max_length
    assert a.padding_side == b.padding_side
    options = {"padding": True, "return_offsets_mapping": True, "return_special_tokens_mask": True}
    assert dict(a(TEXTS, **options)) == dict(b(TEXTS, **options))
    ids = a(TEXTS).input_ids
    assert a.batch_decode(ids, skip_special_tokens=True) == b.batch_decode(ids, True)


def fitted(folder, config, **content):
    """Return what the file says of `content` for a model."""
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(content))
    fit_to_model(folder, config)
    return json.loads(path.read_text())


@pytest.mark.parametrize("speed", ["", "Fast"])
@pytest.mark.parametrize("kind", ["Bert", "DistilBert"])
def test_the_class_in_a_models_folder_is_that_of_the_model(tmp_path, kind, speed):
    before = {"tokenizer_class": f"{kind}Tokenizer{speed}", "do_lower_case": False}
    for config, name in (
        (BertConfig(), "BertTokenizer"),
        (BertConfig(type_vocab_size=1), "DistilBertTokenizer"),  # 1 would be no segment
        (DistilBertConfig(), "DistilBertTokenizer"),
    ):
        after = fitted(tmp_path, config, **before)
        assert (after["tokenizer_class"], after["do_lower_case"]) == (name, False)


def test_other_classes_in_a_models_folder_stay(tmp_path):
    """They may cut text otherwise; without one transformers asks config.json."""
    name = "PreTrainedTokenizerFast"
    assert fitted(tmp_path, BertConfig(), tokenizer_class=name)["tokenizer_class"] == name
    assert "tokenizer_class" not in fitted(tmp_path, BertConfig())


def test_a_model_without_segments_has_no_input_for_them(tmp_path):
    names = ["input_ids", "token_type_ids", "attention_mask"]
    after = fitted(tmp_path, DistilBertConfig(), model_input_names=names)
    assert after["model_input_names"] == ["input_ids", "attention_mask"]
    assert fitted(tmp_path, BertConfig(), model_input_names=names)["model_input_names"] == names


@pytest.mark.parametrize(
    ("content", "limit"),
    [
        ({}, 128),
        ({"model_max_length": None}, 128),
        ({"model_max_length": 1e30}, 128),
        ({"model_max_length": 512}, 128),
        ({"model_max_length": 64}, 64),
        ({"max_len": 512}, 128),
        ({"max_len": 64}, 64),
        ({"max_len": 64, "model_max_length": 100}, 100),
    ],
)
def test_the_limit_in_a_models_folder_is_at_most_its_positions(tmp_path, content, limit):
    for kind in (BertConfig, DistilBertConfig):
        after = fitted(tmp_path, kind(max_position_embeddings=128), **content)
        assert after == {"model_max_length": limit}


def test_a_models_folder_without_a_configuration_of_the_tokenizer_gets_one(tmp_path):
    fit_to_model(tmp_path, BertConfig(max_position_embeddings=1024))
    assert json.loads((tmp_path / "tokenizer_config.json").read_text()) == {
        "model_max_length": 1024
    }


@pytest.mark.parametrize("writer", BOTH)
@pytest.mark.parametrize("reader", BOTH)
@pytest.mark.parametrize("keep", ["all", "tokenizer.json", "without tokenizer.json"])
@pytest.mark.parametrize("cased", [False, True])
def test_either_opens_the_files_of_either(tmp_path, tiny_vocab, writer, reader, keep, cased):
    tokenizer = made(writer, tiny_vocab, do_lower_case=not cased, strip_accents=cased)
    paths = tokenizer.save_pretrained(tmp_path)
    assert sorted(paths) == sorted(str(path) for path in tmp_path.iterdir())
    if keep == "without tokenizer.json":
        (tmp_path / "tokenizer.json").unlink()
    opened = reader.from_pretrained(tmp_path)
    if keep == "tokenizer.json":
        for path in tmp_path.iterdir():
            if path.name != keep:
                path.unlink()
        opened = reader.from_pretrained(
            tmp_path,
            model_max_length=64,
            padding_side="left",
            additional_special_tokens=["<x>"],
        )
    same(tokenizer, opened)
    assert opened.do_lower_case is not cased


@pytest.mark.parametrize("cls", BOTH)
def test_files_of_old_versions_without_added_tokens_decoder(tmp_path, tiny_vocab, cls):
    tokenizer = made(cls, tiny_vocab)
    tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del config["added_tokens_decoder"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").unlink()
    opened = cls.from_pretrained(tmp_path)
    assert opened.get_vocab() == tokenizer.get_vocab()
    assert opened.tokenize("new token <x>") == ["new token", "<x>"]


@pytest.mark.parametrize("cls", BOTH)
def test_pickle_and_copy(tiny_vocab, cls):
    tokenizer = made(cls, tiny_vocab)
    same(tokenizer, pickle.loads(pickle.dumps(tokenizer)))
    for copied in (copy.deepcopy, copy.copy):
        other = copied(tokenizer)
        same(tokenizer, other)
        other.add_tokens("another")
        assert len(other) == len(tokenizer) + 1 == len(tokenizer.get_vocab()) + 1


@pytest.mark.parametrize("cls", BOTH)
def test_a_pickle_does_not_change_with_use(tiny_vocab, cls):
    tokenizer = made(cls, tiny_vocab)
    before = pickle.dumps(tokenizer)
    tokenizer(TEXTS, padding="max_length", max_length=64, return_offsets_mapping=True)
    tokenizer("the small model " * 30)  # too long, which is told once
    tokenizer.decode(tokenizer(TEXTS[0]).input_ids, skip_special_tokens=True)
    assert len(tokenizer) > 0
    assert pickle.dumps(tokenizer) == before


def agrees_everywhere(tokenizer, folder):
    texts = [*TEXTS, "the model zyx {}", "<new> unkmodel 中", tokenizer.unk_token]
    tokenizer.save_pretrained(folder)
    others = [pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)]
    for _ in range(2):
        others += [reader.from_pretrained(folder) for reader in BOTH]
        (folder / "tokenizer.json").unlink(missing_ok=True)
    for other in others:
        same(tokenizer, other)
        assert other(texts, padding=True) == tokenizer(texts, padding=True)
        assert other.special_tokens_map == tokenizer.special_tokens_map
        assert other.added_tokens_decoder == tokenizer.added_tokens_decoder
        assert other.vocab_size == tokenizer.vocab_size


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize("role", ["unk", "cls", "sep", "pad", "mask"])
@pytest.mark.parametrize("name", ["model", "<new>"])
def test_a_changed_role_is_saved_and_copied(tmp_path, tiny_vocab, cls, role, name):
    tokenizer = made(cls, tiny_vocab)
    tokenizer(TEXTS)  # fills the caches
    before = tokenizer.get_vocab()
    if name in before:
        setattr(tokenizer, f"{role}_token", name)
    else:
        assert tokenizer.add_special_tokens({f"{role}_token": name}) == 1
    index = before.get(name, len(before))
    assert getattr(tokenizer, f"{role}_token_id") == index
    assert tokenizer.get_vocab() == {**before, name: index}
    assert tokenizer.tokenize(f"a{name}") == ["a", name]
    unknown = name if role == "unk" else "[UNK]"
    assert tokenizer.tokenize("Ω new token") == [unknown, "new token"]
    if cls is DistilBertTokenizer:
        assert tokenizer.wordpiece_tokenizer.tokenize("Ω") == [unknown]
    agrees_everywhere(tokenizer, tmp_path)
    tokenizer.add_tokens("later")
    assert tokenizer.convert_tokens_to_ids("later") == len({*before, name})
    agrees_everywhere(tokenizer, tmp_path)


@pytest.mark.parametrize("cls", BOTH)
def test_flags_of_a_token_that_takes_a_role(tmp_path, tiny_vocab, cls):
    tokenizer = made(cls, tiny_vocab)
    tokenizer.mask_token = AddedToken("model", lstrip=True, special=True, normalized=False)
    tokenizer.unk_token = "small"
    tokenizer.unk_token = "[UNK]"
    tokenizer.mask_token = "model"  # as it is
    assert tokenizer("a  model", return_offsets_mapping=True).offset_mapping[2] == (1, 8)
    tokenizer.additional_special_tokens = ["the"]
    assert tokenizer.tokenize("xthe") == ["x", "the"]
    agrees_everywhere(tokenizer, tmp_path)


@pytest.mark.parametrize("cls", BOTH)
def test_an_unknown_token_that_cannot_be_set(tiny_vocab, cls):
    tokenizer = cls(tiny_vocab)
    with pytest.raises(ValueError, match="unk_token must be a string or an AddedToken, not None"):
        tokenizer.unk_token = None
    with pytest.raises(ValueError, match="unk_token='<new>' is not in the vocabulary; add it"):
        tokenizer.unk_token = "<new>"
    assert tokenizer.tokenize("Ω") == [tokenizer.unk_token] == ["[UNK]"]


@pytest.mark.parametrize("cls", BOTH)
def test_an_added_unknown_token_needs_an_id_of_its_own(tiny_vocab, cls):
    with pytest.raises(ValueError, match="'the' and '<new>' the same id"):
        cls(
            tiny_vocab,
            unk_token="<new>",
            added_tokens_decoder={tiny_vocab["the"]: AddedToken("<new>", special=True)},
        )


@pytest.mark.parametrize("cls", BOTH)
def test_only_vocab_txt(tmp_path, tiny_vocab, cls):
    [path] = DistilBertTokenizer(tiny_vocab).save_vocabulary(tmp_path)
    assert path == str(tmp_path / "vocab.txt")
    assert cls.from_pretrained(tmp_path).get_vocab() == tiny_vocab
    assert cls(path).get_vocab() == tiny_vocab
    assert cls.from_pretrained(tmp_path, do_lower_case=False).tokenize("The") != ["the"]


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize(
    ("word", "config", "options", "warns"),
    [
        ("Word", None, {}, True),
        ("##É", {"model_max_length": 64}, {"do_lower_case": None}, True),
        ("Word", {"do_lower_case": True}, {}, False),
        ("Word", None, {"do_lower_case": True}, False),
        ("Word", None, {"do_lower_case": False}, False),
        ("[unused7X]", None, {}, False),
        ("<S>", None, {}, False),
    ],
)
def test_capitals_that_lower_casing_loses(
    tmp_path, tiny_vocab, caplog, cls, word, config, options, warns
):
    (tmp_path / "vocab.txt").write_text("\n".join([*tiny_vocab, word]), encoding="utf-8")
    if config is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with caplog.at_level(logging.WARNING, "distilbert"):
        for _ in range(2):
            cls.from_pretrained(tmp_path, **options)
    told = [each for each in caplog.messages if f"capitals, such as {word!r}" in each]
    assert len(told) == warns == len(caplog.messages)


def test_gaps_in_the_ids_survive_vocab_txt(tmp_path, tiny_vocab):
    vocab = {**tiny_vocab, "late": len(tiny_vocab) + 2}
    path = tmp_path / "vocab.txt"
    path.write_text(vocab_text(vocab, path))
    assert DistilBertTokenizerFast(path).convert_tokens_to_ids("late") == vocab["late"]


def test_configuration_wins_over_tokenizer_json_about_cutting(tmp_path, tiny_vocab):
    DistilBertTokenizer(tiny_vocab).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["do_lower_case"] = False
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    for cls in BOTH:
        assert cls.from_pretrained(tmp_path).tokenize("THE") == ["[UNK]"]


def test_a_cased_tokenizer_json_alone_stays_cased(tmp_path, tiny_vocab):
    DistilBertTokenizer(tiny_vocab, do_lower_case=False).save_pretrained(tmp_path)
    fast = DistilBertTokenizerFast(tokenizer_file=tmp_path / "tokenizer.json")
    assert fast.tokenize("THE the") == ["[UNK]", "the"]
    assert not fast.do_lower_case


def test_never_split_is_kept_by_the_slow_one_and_warned_of_by_the_fast(
    tmp_path, tiny_vocab, caplog
):
    tokenizer = DistilBertTokenizer(tiny_vocab, never_split=["un-able"])
    tokenizer.save_pretrained(tmp_path)
    assert not (tmp_path / "tokenizer.json").exists()
    assert DistilBertTokenizer.from_pretrained(tmp_path).never_split == ["un-able"]
    with caplog.at_level(logging.WARNING, "distilbert"):
        DistilBertTokenizerFast.from_pretrained(tmp_path)
    assert "never_split" in caplog.text
    caplog.clear()
    DistilBertTokenizerFast(tiny_vocab, never_split=["un-able"])
    assert "the vocabulary: never_split and do_basic_tokenize=False are ignored" in caplog.text


def test_saving_again_removes_what_is_superseded(tmp_path, tiny_vocab):
    made(DistilBertTokenizer, tiny_vocab).save_pretrained(tmp_path)
    assert (tmp_path / "added_tokens.json").exists()
    DistilBertTokenizer(tiny_vocab).save_pretrained(tmp_path)
    assert not (tmp_path / "added_tokens.json").exists()


def test_options_of_the_hub_without_it(tmp_path, tiny_vocab):
    with pytest.raises(TypeError, match="no option 'private'; those of push_to_hub need"):
        DistilBertTokenizer(tiny_vocab).save_pretrained(tmp_path, private=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cls", BOTH)
def test_the_format_of_the_files_is_no_choice(tmp_path, tiny_vocab, cls):
    assert cls(tiny_vocab).save_pretrained(tmp_path, legacy_format=None)
    for asked in (True, False):
        with pytest.raises(ValueError, match=f"legacy_format={asked} asks for some of the files"):
            cls(tiny_vocab).save_pretrained(tmp_path / "other", legacy_format=asked)
    assert not (tmp_path / "other").exists()


def test_saving_the_fast_one_builds_no_second_vocabulary(tmp_path, tiny_vocab, monkeypatch):
    tokenizer = made(DistilBertTokenizerFast, tiny_vocab)
    made(DistilBertTokenizer, tiny_vocab).save_pretrained(tmp_path / "slow")
    monkeypatch.delattr(models, "WordPiece")
    tokenizer.save_pretrained(tmp_path / "fast")
    texts = [(tmp_path / name / "tokenizer.json").read_text() for name in ("slow", "fast")]
    assert texts[0] == texts[1]


def test_a_copy_has_its_vocabulary_once(tiny_vocab):
    copied = copy.deepcopy(DistilBertTokenizerFast(tiny_vocab))
    assert copied._spec.vocab is copied._base is copied._engine.vocab


def test_ids_may_be_of_a_class_of_their_own():
    index = enum.IntEnum("Index", {"unk": 0, "a": 1})
    vocab = {"[UNK]": index.unk, "a": index.a}
    assert check_vocab(vocab, "it") == vocab
    with pytest.raises(ValueError, match="'a' the same id 0"):
        check_vocab({**vocab, "a": index.unk}, "it")


@pytest.mark.parametrize("cls", BOTH)
def test_init_kwargs_are_what_the_configuration_says(tmp_path, tiny_vocab, cls):
    cls(tiny_vocab, model_max_length=64).save_pretrained(tmp_path)
    kwargs = cls.from_pretrained(tmp_path).init_kwargs
    assert kwargs.pop("name_or_path") == str(tmp_path)
    assert kwargs == json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert kwargs["model_max_length"] == 64


@pytest.mark.parametrize("cls", BOTH)
def test_special_tokens_that_are_split_stay_so(tmp_path, tiny_vocab, cls):
    cls(tiny_vocab).save_pretrained(tmp_path)
    assert "split_special_tokens" not in cls.from_pretrained(tmp_path).init_kwargs
    cls.from_pretrained(tmp_path, split_special_tokens=True).save_pretrained(tmp_path)
    for reader in BOTH:
        tokenizer = reader.from_pretrained(tmp_path)
        assert tokenizer.split_special_tokens
        assert tokenizer.encode("[SEP]", add_special_tokens=False)[0] == tiny_vocab["["]
        assert not reader.from_pretrained(tmp_path, split_special_tokens=False).split_special_tokens
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "split_special_tokens": "yes"}))
    with pytest.raises(ValueError, match="split_special_tokens='yes' is not of type bool"):
        cls.from_pretrained(tmp_path)


@pytest.mark.parametrize("cls", BOTH)
def test_options_of_transformers(cls, tmp_path, tiny_vocab):
    cls(tiny_vocab).save_pretrained(tmp_path)
    cls.from_pretrained(
        tmp_path,
        config=None,
        proxies=None,
        resume_download=False,
        tokenizer_file=None,
        trust_remote_code=False,
        use_auth_token=None,
        use_fast=cls.is_fast,
    )
    with pytest.raises(TypeError, match="no option 'use_fast': DistilBertTokenizerFast is"):
        cls.from_pretrained(tmp_path, use_fast=not cls.is_fast)
    with pytest.raises(TypeError, match="no option 'trust_remote_code': leave it out"):
        cls.from_pretrained(tmp_path, trust_remote_code=True)


def test_a_disk_that_is_full_is_an_oserror(tiny_vocab, tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limits[1]))  # tokenizer.json has more
    try:
        with pytest.raises(OSError, match="too large"):
            DistilBertTokenizer(tiny_vocab).save_pretrained(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_unknown_entries_of_the_configuration_survive(tmp_path, tiny_vocab):
    DistilBertTokenizer(tiny_vocab).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat": [1]}))
    DistilBertTokenizerFast.from_pretrained(tmp_path).save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / path.name).read_text())["chat"] == [1]


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a valid JSON"),
        ("[1]", "JSON object"),
        ("{}", "no model"),
        ('{"model": {"type": "BPE", "vocab": {}}}', "BPE model"),
        ('{"model": {"type": "WordPiece"}}', "normalizer None"),
    ],
)
def test_a_hostile_tokenizer_json(tmp_path, cls, content, message):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        cls.from_pretrained(tmp_path)
    assert "tokenizer.json" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"type": "WordPiece", "vocab": {"a": "x"}}}, "not a token and its id"),
        ({"model": {"type": "WordPiece", "vocab": {"a": 1, "b": 1}}}, "'a' and 'b' the same id 1"),
        ({"model": {"type": "WordPiece", "vocab": {"a": -1}}}, "out of range"),
        ({"model": {"type": "WordPiece", "vocab": []}}, "no vocabulary"),
        ({"model": {"type": "WordPiece", "vocab": {"\ud800": 1}}}, "lone surrogate, U[+]D800"),
        ({"normalizer": {"type": "Lowercase"}}, "normalizer Lowercase"),
        ({"normalizer": {"type": "BertNormalizer", "lowercase": "yes"}}, "lowercase='yes'"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer Whitespace"),
        ({"added_tokens": [{"content": "a"}]}, "has no id"),
        ({"added_tokens": [{"id": 9999, "content": "far"}]}, "without a gap"),
        ({"added_tokens": 3}, "not a list"),
        ({"added_tokens": [{"content": "\ud800", "id": 9}]}, r"token='\\ud800': .* U[+]D800"),
    ],
)
@pytest.mark.parametrize("cls", BOTH)
def test_a_tokenizer_json_that_is_not_ours(tmp_path, tiny_vocab, cls, change, message):
    DistilBertTokenizer(tiny_vocab).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    (tmp_path / "tokenizer_config.json").unlink()
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=message) as caught:
        cls.from_pretrained(tmp_path)
    assert "tokenizer.json" in str(caught.value)


@pytest.mark.parametrize("cls", BOTH)
def test_a_tokenizer_json_that_uses_other_special_tokens(tmp_path, tiny_vocab, cls):
    DistilBertTokenizer(tiny_vocab).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text())
    ours = content["post_processor"]
    before, behind = tiny_vocab["[CLS]"], tiny_vocab["[SEP]"]
    bert = {"type": "BertProcessing", "sep": ["[SEP]", behind], "cls": ["[CLS]", before]}
    for processor in ours, bert, {"type": "Sequence", "processors": [bert]}:
        path.write_text(json.dumps(content | {"post_processor": processor}))
        assert cls.from_pretrained(tmp_path)("the", "the").input_ids == [
            before, tiny_vocab["the"], behind, tiny_vocab["the"], behind,
        ]  # fmt: skip
    renumbered = ours | {"special_tokens": copy.deepcopy(ours["special_tokens"])}
    renumbered["special_tokens"]["[CLS]"]["ids"] = [101]
    for processor in (
        None,
        [],
        {"type": "TemplateProcessing"},
        {**bert, "type": "RobertaProcessing"},
        {"type": "Sequence", "processors": []},
        {"type": "Sequence", "processors": [bert, bert]},
        {"type": "Sequence", "processors": [{**bert, "cls": ["[MASK]", tiny_vocab["[MASK]"]]}]},
        {**bert, "cls": ["[MASK]", tiny_vocab["[MASK]"]]},
        ours | {"single": ours["single"][:2]},
        ours | {"pair": ours["pair"][:4]},
        renumbered,
    ):
        path.write_text(json.dumps(content | {"post_processor": processor}))
        with pytest.raises(ValueError, match=r"its post_processor does not put '\[CLS\]' before"):
            cls.from_pretrained(tmp_path)
    path.write_text(json.dumps(content | {"model": content["model"] | {"unk_token": "the"}}))
    with pytest.raises(ValueError, match=r"puts 'the' in the place of .* is '\[UNK\]': .* remove"):
        cls.from_pretrained(tmp_path)


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize(
    "change",
    [
        {"do_lower_case": "yes"},
        {"model_max_length": "long"},
        {"padding_side": 3},
        {"added_tokens_decoder": [1]},
        {"added_tokens_decoder": {"x": {"content": "a"}}},
        {"mask_token": 5},
        {"never_split": [3]},
        {"max_input_chars_per_word": "4"},
        {"continuing_subword_prefix": 2},
        {"model_input_names": "input_ids"},
        {"model_input_names": [3]},
        {"additional_special_tokens": "hello"},
        {"additional_special_tokens": 3},
        {"extra_special_tokens": "hello"},
        {"additional_special_tokens": ["\ud800"]},
        {"added_tokens_decoder": {"99": {"content": "\ud800"}}},
        {"mask_token": "\ud800"},
        {"continuing_subword_prefix": "\ud800"},
        {"never_split": ["\ud800"]},
    ],
)
def test_a_configuration_with_wrong_types(tmp_path, tiny_vocab, cls, change):
    DistilBertTokenizer(tiny_vocab).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=r"tokenizer_config\.json"):
        cls.from_pretrained(tmp_path)


@pytest.mark.parametrize("cls", BOTH)
def test_missing_files_and_tokens(tmp_path, tiny_vocab, cls):
    with pytest.raises(OSError, match=r"neither tokenizer\.json nor vocab\.txt"):
        cls.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nothing\.txt"):
        cls(tmp_path / "nothing.txt")
    with pytest.raises(OSError, match="from_pretrained"):
        cls(tmp_path)
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match=r"vocab.txt has no '\[UNK\]', the unk_token"):
        cls(tmp_path / "vocab.txt")
    with pytest.raises(ValueError, match=r"the vocabulary has no '\\ud800', the mask_token"):
        cls(tiny_vocab, mask_token="\ud800")
    with pytest.raises(TypeError, match="unknown arguments: 'do_lowercase'"):
        cls(tiny_vocab, do_lowercase=True)
    DistilBertTokenizer(tiny_vocab).save_pretrained(tmp_path)
    with pytest.raises(TypeError, match="'do_lowercase'"):
        cls.from_pretrained(tmp_path, do_lowercase=True)


def test_the_fast_one_needs_a_file():
    with pytest.raises(ValueError, match="give vocab_file"):
        DistilBertTokenizerFast()


def test_a_tokenizer_object(tiny_vocab):
    backend = Tokenizer(models.WordPiece(tiny_vocab, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer = DistilBertTokenizerFast(tokenizer_object=backend)
    assert tokenizer.tokenize("the THE") == ["the", "[UNK]"]


def test_training_is_repeatable(tiny_vocab):
    texts = inspect.getsource(argparse).split("\n")
    tokenizer = made(DistilBertTokenizerFast, tiny_vocab)
    vocabs = [
        tokenizer.train_new_from_iterator(source, 800, None, ["<y>"]).get_vocab()
        for source in (texts, iter(texts), [texts[:400], texts[400:]])
    ]
    assert vocabs[0] == vocabs[1] == vocabs[2]
    trained = tokenizer.train_new_from_iterator(texts, 800, len(texts), ["<y>"])
    assert trained.get_vocab() == vocabs[0]
    order = sorted(vocabs[0], key=vocabs[0].__getitem__)
    assert len(trained) == 800
    assert order[:7] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<x>", "<y>"]
    assert trained.additional_special_tokens == ["<x>", "<y>"]
    assert trained.tokenize("self <y> action") == ["self", "<y>", "action"]
    assert trained.unk_token_id not in trained.encode(texts[100])
    assert trained.padding_side == "left"
    with pytest.raises(ValueError, match="no text"):
        tokenizer.train_new_from_iterator([], 100)
    with pytest.raises(TypeError, match=r"length must be an integer, got \['<y>'\]"):
        tokenizer.train_new_from_iterator(texts, 800, ["<y>"])


def test_training_keeps_the_flags_of_special_tokens(tiny_vocab):
    mask = AddedToken("[MASK]", lstrip=True)
    tokenizer = DistilBertTokenizerFast(tiny_vocab, mask_token=mask)
    new = [AddedToken("<y>", lstrip=True, single_word=True)]
    trained = tokenizer.train_new_from_iterator(
        ["a model"] * 2, 40, new_special_tokens=new, special_tokens_map={"[MASK]": "<mask>"}
    )
    tokens = {token.content: token for token in trained.added_tokens_decoder.values()}
    assert tokens["<mask>"].lstrip
    assert tokens["<y>"].lstrip
    assert tokens["<y>"].single_word
    assert tokens["<y>"].special
    assert trained.mask_token == "<mask>"


@pytest.mark.parametrize(
    ("texts", "options", "error", "message"),
    [
        ("a text", {}, TypeError, "expected texts or lists of texts, not 'a text'"),
        ({"text": ["a"]}, {}, TypeError, r"dataset\['text'\]"),
        ([{"text": "a"}], {}, TypeError, r"dataset\['text'\]"),
        (None, {}, TypeError, "not None"),
        ([None], {}, TypeError, "not None"),
        ([(text for text in ["a"])], {}, TypeError, "generator"),
        ([["a", 3]], {}, TypeError, "a text must be a str, not int: 3"),
        ([["a\ud800"]], {}, ValueError, "lone surrogate"),
        (["a"], {"vocab_size": -1}, ValueError, "vocab_size must be at least 0, got -1"),
        (["a"], {"min_frequency": 0.5}, TypeError, "min_frequency must be an integer"),
        (["a"], {"special_tokens_map": {"nope": "x"}}, ValueError, r"renames \['nope'\]"),
    ],
)
def test_what_no_vocabulary_is_learned_from(tiny_vocab, texts, options, error, message):
    with pytest.raises(error, match=message):
        DistilBertTokenizerFast(tiny_vocab).train_new_from_iterator(
            texts, **{"vocab_size": 20, **options}
        )


def test_training_on_arrays_of_texts(tiny_vocab):
    tokenizer = DistilBertTokenizerFast(tiny_vocab)
    expected = tokenizer.train_new_from_iterator(["a model", "models"], 40).get_vocab()
    array = np.array(["a model", "models"])

    class Texts:  # a data set as PyTorch has them
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return ["a model", "models"][index]

    for texts in (array, [array], array.reshape(2, 1), Texts()):
        assert tokenizer.train_new_from_iterator(texts, 40).get_vocab() == expected


def test_an_id_far_beyond_the_others_is_no_line_of_a_vocabulary(tmp_path):
    with pytest.raises(ValueError, match="'far' has the id 2000000000"):
        vocab_text({"[PAD]": 0, "far": 2_000_000_000}, tmp_path / "vocab.txt")


CUTS = {"clean_text": False, "max_input_chars_per_word": 4, "continuing_subword_prefix": "#"}


@pytest.mark.parametrize("writer", BOTH)
@pytest.mark.parametrize("reader", BOTH)
@pytest.mark.parametrize("option", CUTS)
def test_every_option_of_cutting_survives_without_tokenizer_json(
    tmp_path, tiny_vocab, writer, reader, option
):
    tokenizer = writer(tiny_vocab, **{option: CUTS[option]})
    texts = ["\x01small", "models", "small un"]
    assert tokenizer(texts).input_ids != writer(tiny_vocab)(texts).input_ids
    tokenizer.save_pretrained(tmp_path)
    for _ in range(2):
        opened = reader.from_pretrained(tmp_path)
        assert opened(texts).input_ids == tokenizer(texts).input_ids
        (tmp_path / "tokenizer.json").unlink(missing_ok=True)
    assert reader.from_pretrained(tmp_path, **{option: CUTS[option]})(texts) == tokenizer(texts)


def test_what_tokenizer_json_says_survives_where_it_is_left_out(tmp_path, tiny_vocab):
    short = DistilBertTokenizerFast(tiny_vocab, max_input_chars_per_word=4)
    short.save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    opened = DistilBertTokenizer.from_pretrained(tmp_path, never_split=["x"])
    assert opened.tokenize("small") == ["[UNK]"]
    opened.save_pretrained(tmp_path / "again")
    assert not (tmp_path / "again" / "tokenizer.json").exists()
    assert DistilBertTokenizer.from_pretrained(tmp_path / "again").tokenize("small") == ["[UNK]"]


@pytest.mark.parametrize("cls", BOTH)
def test_model_input_names_survive(tmp_path, tiny_vocab, cls):
    names = ["input_ids", "token_type_ids", "attention_mask"]
    cls(tiny_vocab, model_input_names=names).save_pretrained(tmp_path)
    opened = cls.from_pretrained(tmp_path)
    assert opened.model_input_names == list(opened("a")) == names
    assert cls.from_pretrained(tmp_path, model_input_names=["input_ids"])("a").keys() == {
        "input_ids"
    }
    with pytest.raises(TypeError, match="must be a list of strings, got 'input_ids'"):
        cls(tiny_vocab, model_input_names="input_ids")
    cls(tiny_vocab).save_pretrained(tmp_path)
    assert "model_input_names" not in (tmp_path / "tokenizer_config.json").read_text()


@pytest.mark.parametrize("cls", BOTH)
def test_options_of_cutting_that_are_none(tiny_vocab, cls):
    with pytest.raises(TypeError, match="max_input_chars_per_word must be of type int, not '4'"):
        cls(tiny_vocab, max_input_chars_per_word="4")
    with pytest.raises(ValueError, match="max_input_chars_per_word=0 must be from 1 to"):
        cls(tiny_vocab, max_input_chars_per_word=0)
    with pytest.raises(ValueError, match="must be from 1 to 2147483647"):
        cls(tiny_vocab, max_input_chars_per_word=10**30)
    with pytest.raises(TypeError, match="continuing_subword_prefix must be of type str, not 2"):
        cls(tiny_vocab, continuing_subword_prefix=2)


@pytest.mark.parametrize("cls", BOTH)
def test_overrides_under_another_name_and_without_a_value(tmp_path, tiny_vocab, cls):
    cls(tiny_vocab, model_max_length=64, do_lower_case=False).save_pretrained(tmp_path)
    assert cls.from_pretrained(tmp_path, max_len=5).model_max_length == 5
    assert cls.from_pretrained(tmp_path, max_len=5, model_max_length=6).model_max_length == 6
    unsaid = dict.fromkeys(["do_lower_case", "tokenize_chinese_chars", "clean_text"])
    opened = cls.from_pretrained(tmp_path, **unsaid)
    assert opened.do_lower_case is False
    cls(tiny_vocab, strip_accents=True).save_pretrained(tmp_path)
    assert cls.from_pretrained(tmp_path, strip_accents=None).strip_accents is None


@pytest.mark.parametrize("cls", BOTH)
def test_one_vocabulary_by_its_path(tmp_path, tiny_vocab, cls):
    cls(tiny_vocab, do_lower_case=False, model_max_length=9).save_pretrained(tmp_path)
    opened = cls.from_pretrained(tmp_path / "vocab.txt")
    same(opened, cls(tmp_path / "vocab.txt"))  # what lies beside it is not read
    assert opened.do_lower_case
    again = cls.from_pretrained(str(tmp_path / "vocab.txt"), do_lower_case=False, unk_token="[PAD]")
    assert (again.do_lower_case, again.unk_token) == (False, "[PAD]")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        with pytest.raises(OSError, match=rf"{name} is a file: .* or DistilBertTokenizerFast\("):
            cls.from_pretrained(tmp_path / name)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\na\n")
    with pytest.raises(ValueError, match=r"vocab\.txt.*\[SEP\]"):
        cls.from_pretrained(tmp_path / "vocab.txt")


def own(cls):
    class Own(cls):
        def __init__(self, vocab_file=None, do_lower_case=False, lang="en", **kwargs):
            super().__init__(vocab_file=vocab_file, do_lower_case=do_lower_case, **kwargs)
            self.lang = lang

    return Own


@pytest.mark.parametrize("cls", [DistilBertTokenizer, DistilBertTokenizerFast])
def test_the_constructor_of_a_subclass_is_given_what_the_files_say(cls, tmp_path, tiny_vocab):
    made(cls, tiny_vocab, mask_token=None).save_pretrained(tmp_path)
    opened = own(cls).from_pretrained(tmp_path, lang="fr", model_max_length=9)
    assert opened.lang == "fr"
    plain = cls.from_pretrained(tmp_path, model_max_length=9)
    assert opened.init_kwargs == plain.init_kwargs
    assert opened("the [MASK] small").input_ids == plain("the [MASK] small").input_ids
    content = json.loads((tmp_path / "tokenizer_config.json").read_text())
    content |= {"lang": "de", "other": 1, "never_split": ["un-able"], "do_basic_tokenize": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(content))
    opened = own(cls).from_pretrained(tmp_path)
    assert opened.lang == "de"
    assert opened.init_kwargs == cls.from_pretrained(tmp_path).init_kwargs
    with pytest.raises(TypeError, match="unknown arguments: 'lung'"):
        own(cls).from_pretrained(tmp_path, lung="fr")


@pytest.mark.parametrize("cls", [DistilBertTokenizer, DistilBertTokenizerFast])
def test_a_subclass_says_what_files_leave_open(cls, tmp_path, tiny_vocab):
    (tmp_path / "vocab.txt").write_text("\n".join(tiny_vocab))
    assert not own(cls).from_pretrained(tmp_path).do_lower_case
    assert own(cls).from_pretrained(tmp_path, do_lower_case=True).do_lower_case
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    assert own(cls).from_pretrained(tmp_path).do_lower_case


@pytest.mark.parametrize("cls", [DistilBertTokenizer, DistilBertTokenizerFast])
def test_a_subclass_that_takes_little_opens_ordinary_files(cls, tmp_path, tiny_vocab):
    class Renamed(cls):
        def __init__(self, vocab, **kwargs):
            super().__init__(vocab, **kwargs)

    class Stripping(cls):
        def __init__(self, vocab_file, **kwargs):
            super().__init__(vocab_file, strip_accents=True, **kwargs)

    class Cased(cls):
        def __init__(self, vocab_file, do_lower_case=True):
            super().__init__(vocab_file, do_lower_case=do_lower_case)

    class Bare(cls):
        def __init__(self, vocab_file):
            super().__init__(vocab_file)

    cls(tiny_vocab).save_pretrained(tmp_path)
    for own in (Renamed, Stripping, Cased, Bare):
        opened = own.from_pretrained(tmp_path, model_max_length=9)
        expected = cls.from_pretrained(tmp_path, model_max_length=9).init_kwargs
        assert opened.init_kwargs == {**expected, "strip_accents": own is Stripping or None}
    assert not Cased.from_pretrained(tmp_path, do_lower_case=False).do_lower_case
    for own in (Stripping, Cased, Bare):
        with pytest.raises(TypeError, match=r"strip_accents.*__init__ is given .*\*\*kwargs"):
            own.from_pretrained(tmp_path, strip_accents=False)


def test_training_runs_the_constructor_of_a_subclass(tiny_vocab):
    tokenizer = own(DistilBertTokenizerFast)(tiny_vocab, lang="fr", model_max_length=9)
    trained = tokenizer.train_new_from_iterator(["a model"] * 2, 20)
    assert (trained.lang, trained.model_max_length, trained.do_lower_case) == ("en", 9, False)
    assert trained.tokenize("model") == ["model"]
