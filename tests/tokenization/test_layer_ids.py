"""Working on ids: special tokens, padding, truncating, decoding, adding tokens."""

import numpy as np
import pytest
import torch
from tokenizers import AddedToken

from distilbert import DistilBertTokenizer, DistilBertTokenizerFast


@pytest.fixture(params=[DistilBertTokenizer, DistilBertTokenizerFast])
def tokenizer(request, tiny_vocab):
    return request.param(tiny_vocab)


def test_special_tokens_around_ids(tokenizer):
    assert tokenizer.num_special_tokens_to_add() == 2
    assert tokenizer.num_special_tokens_to_add(pair=True) == 3
    assert tokenizer.build_inputs_with_special_tokens([8], [9]) == [2, 8, 3, 9, 3]
    assert tokenizer.build_inputs_with_special_tokens([8]) == [2, 8, 3]
    assert tokenizer.create_token_type_ids_from_sequences([8], [9]) == [0, 0, 0, 1, 1]
    assert tokenizer.create_token_type_ids_from_sequences([8]) == [0, 0, 0]
    assert tokenizer.get_special_tokens_mask([8], [9]) == [1, 0, 1, 0, 1]
    assert tokenizer.get_special_tokens_mask([8]) == [1, 0, 1]
    row = [2, 8, 4, 3, 0]
    assert tokenizer.get_special_tokens_mask(row, already_has_special_tokens=True) == [
        1,
        0,
        1,
        1,
        1,
    ]
    with pytest.raises(ValueError, match="token_ids_1"):
        tokenizer.get_special_tokens_mask(row, [1], already_has_special_tokens=True)


def test_pad_takes_what_collators_have(tokenizer):
    rows = [tokenizer("a"), {**tokenizer("a b c")}]
    expected = tokenizer(["a", "a b c"], padding=True)
    assert dict(tokenizer.pad(rows)) == dict(expected)
    assert dict(tokenizer.pad(tokenizer(["a", "a b c"]))) == dict(expected)
    arrays = [{k: np.array(v) for k, v in row.items()} for row in rows]
    assert tokenizer.pad(arrays).input_ids.tolist() == expected.input_ids
    tensors = [{k: torch.tensor(v) for k, v in row.items()} for row in rows]
    padded = tokenizer.pad(tensors)
    assert isinstance(padded.input_ids, torch.Tensor)
    assert padded.attention_mask.tolist() == expected.attention_mask
    labelled = [{"input_ids": [1], "label": 0.5}, {"input_ids": [1, 2], "label": 1.5}]
    batch = tokenizer.pad(labelled, return_tensors="pt", pad_to_multiple_of=4)
    assert batch.label.tolist() == [0.5, 1.5]
    assert batch.input_ids.shape == (2, 4)


def test_pad_one_row(tokenizer):
    row = {"input_ids": [2, 3], "token_type_ids": [0, 1], "special_tokens_mask": [1, 1]}
    padded = tokenizer.pad(row, padding="max_length", max_length=4, padding_side="left")
    assert dict(padded) == {
        "input_ids": [0, 0, 2, 3],
        "token_type_ids": [0, 0, 0, 1],
        "special_tokens_mask": [1, 1, 1, 1],
        "attention_mask": [0, 0, 1, 1],
    }
    assert row["input_ids"] == [2, 3]
    assert dict(tokenizer.pad({"input_ids": [2]}, padding=False, return_attention_mask=False)) == {
        "input_ids": [2]
    }
    assert tokenizer.pad({"input_ids": []}).input_ids == []


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "expected encoded rows"),
        ([1, 2], "expected encoded rows"),
        ("text", "not str"),
        ({"labels": [1]}, r"only \['labels'\]"),
        ([{"input_ids": [1]}, {"input_ids": [1], "x": 1}], "different keys"),
        ({"input_ids": [[1], [2]], "labels": [1]}, "one value for each of 2 rows"),
    ],
)
def test_pad_refuses(tokenizer, inputs, message):
    with pytest.raises(ValueError, match=message):
        tokenizer.pad(inputs)


def test_prepare_for_model(tokenizer):
    row = tokenizer.prepare_for_model(
        [8, 9, 10],
        [11, 12],
        truncation="only_first",
        max_length=7,
        stride=1,
        padding="max_length",
        return_overflowing_tokens=True,
        return_special_tokens_mask=True,
        return_token_type_ids=True,
        return_length=True,
    )
    assert dict(row) == {
        "overflowing_tokens": [9, 10],
        "num_truncated_tokens": 1,
        "input_ids": [2, 8, 9, 3, 11, 12, 3],
        "token_type_ids": [0, 0, 0, 0, 1, 1, 1],
        "special_tokens_mask": [1, 0, 0, 1, 0, 0, 1],
        "attention_mask": [1] * 7,
        "length": 7,
    }
    with pytest.raises(ValueError, match="only_first"):
        tokenizer.prepare_for_model(
            [8], [9], truncation=True, max_length=9, return_overflowing_tokens=True
        )
    with pytest.raises(ValueError, match="no offsets"):
        tokenizer.prepare_for_model([8], return_offsets_mapping=True)


def test_ids_give_the_inputs_that_text_gives(tokenizer):
    ids, pair = tokenizer.encode("the", "a b", add_special_tokens=False)[:1], [5, 6]
    for names in (["input_ids", "token_type_ids", "attention_mask"], ["input_ids"]):
        tokenizer.model_input_names = names
        row = dict(tokenizer("the", "a b"))
        assert list(row) == names
        assert dict(tokenizer.prepare_for_model(ids, pair)) == row
        assert dict(tokenizer.encode_plus(ids, pair)) == row
        assert list(tokenizer.pad({"input_ids": [5]})) == [
            n for n in names if n != "token_type_ids"
        ]
    assert "token_type_ids" in tokenizer.prepare_for_model(ids, return_token_type_ids=True)


def test_truncate_sequences(tokenizer):
    ids, pair = [1, 2, 3, 4, 5], [6, 7, 8]
    assert tokenizer.truncate_sequences(ids, None, 2) == ([1, 2, 3], None, [4, 5])
    assert tokenizer.truncate_sequences(ids, None, 2, stride=1) == ([1, 2, 3], None, [3, 4, 5])
    assert tokenizer.truncate_sequences(ids, pair, 3) == ([1, 2, 3], [6, 7], [])
    assert tokenizer.truncate_sequences(ids, pair, 1, "only_second") == (ids, [6, 7], [8])
    assert tokenizer.truncate_sequences(ids, pair, 0) == (ids, pair, [])
    tokenizer.truncation_side = "left"
    assert tokenizer.truncate_sequences(ids, None, 2) == ([3, 4, 5], None, [1, 2])
    with pytest.raises(ValueError, match="cannot remove 9 ids"):
        tokenizer.truncate_sequences(ids, pair, 9)


def test_decode(tokenizer):
    ids = tokenizer.encode("the smaller model, isn't it?")
    assert tokenizer.decode(ids) == "[CLS] the smaller model, isn't it? [SEP]".replace(
        "[SEP]", "[SEP]"
    )
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the smaller model, isn't it?"
    loose = tokenizer.decode(ids, True, clean_up_tokenization_spaces=False)
    assert loose == "the smaller model , i ' t it ?".replace("i ' t", "isn ' t")
    for form in (np.array(ids), torch.tensor(ids), tuple(ids)):
        assert tokenizer.decode(form, True) == "the smaller model, isn't it?"
    assert (
        tokenizer.batch_decode(torch.tensor([ids, ids]), True) == [tokenizer.decode(ids, True)] * 2
    )
    texts = ["the", "the small"]
    rows = [tokenizer.encode(text) for text in texts]
    row_tensors = [torch.tensor(row) for row in rows]
    for several in (rows, tuple(rows), [tuple(row) for row in rows], row_tensors):
        assert tokenizer.decode(several, True) == tokenizer.batch_decode(several, True) == texts
    for several in (np.array([ids]), torch.tensor([ids]), [ids]):
        assert tokenizer.decode(several, True) == ["the smaller model, isn't it?"]
    assert tokenizer.decode([[]]) == [""]
    for flat in (rows[1], np.array(rows[1]), torch.tensor(rows[1])):  # 4.x's; 5.x: one text
        assert tokenizer.batch_decode(flat) == ["[CLS]", "the", "small", "[SEP]"]
    assert tokenizer.decode(ids[1]) == tokenizer.decode(torch.tensor(ids[1])) == "the"
    assert tokenizer.decode([]) == ""
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert tokenizer.convert_tokens_to_string(tokens[1:4]) == "the smaller"
    assert tokenizer.clean_up_tokenization("it 's . do n't") == "it's. don't"


@pytest.mark.parametrize("one", [5, np.int64(5), np.array(5), torch.tensor(5)])
def test_one_id_is_a_row_of_one(tokenizer, one):
    assert tokenizer.batch_decode(one) == [tokenizer.decode(one)] == [tokenizer.decode([5])]


def test_ids_that_are_none(tokenizer):
    with pytest.raises(ValueError, match="-100 marks a label"):
        tokenizer.decode([5, -100])
    with pytest.raises(ValueError, match="id 99999 is outside the vocabulary of"):
        tokenizer.convert_ids_to_tokens(99999)
    with pytest.raises(ValueError, match="batch_decode"):
        tokenizer.decode([[[5, 6]]])
    assert tokenizer.convert_tokens_to_ids("nowhere") == tokenizer.unk_token_id
    assert tokenizer.convert_tokens_to_ids(["a", "nowhere"]) == [5, 1]


def test_roles(tokenizer):
    assert tokenizer.all_special_tokens == ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    assert tokenizer.all_special_ids == [1, 3, 0, 2, 4]
    assert tokenizer.special_tokens_map["mask_token"] == "[MASK]"
    assert (tokenizer.cls_token, tokenizer.cls_token_id) == ("[CLS]", 2)
    assert tokenizer.bos_token is tokenizer.eos_token_id is None
    tokenizer.bos_token = "[CLS]"
    assert tokenizer.bos_token_id == 2
    tokenizer.sep_token_id = 4
    assert tokenizer("a").tokens() == ["[CLS]", "a", "[MASK]"]
    with pytest.raises(ValueError, match="add it with add_special_tokens"):
        tokenizer.pad_token = "<pad>"
    with pytest.raises(ValueError, match="must be a string"):
        tokenizer.pad_token = 3


def test_special_tokens_with_their_flags(tokenizer):
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken("<x>", lstrip=True)]})
    extended = tokenizer.special_tokens_map_extended
    assert list(extended) == list(tokenizer.special_tokens_map)
    assert extended["mask_token"].content == "[MASK]"
    assert [token.lstrip for token in extended["additional_special_tokens"]] == [True]
    assert list(map(str, tokenizer.all_special_tokens_extended)) == tokenizer.all_special_tokens
    assert tokenizer.sanitize_special_tokens() == 0
    tokenizer.additional_special_tokens_ids = [5, 6]
    assert tokenizer.additional_special_tokens == tokenizer.convert_ids_to_tokens([5, 6])
    tokenizer.extra_special_tokens_ids = []
    assert tokenizer.additional_special_tokens_ids == []


def test_adding_tokens(tokenizer):
    size = len(tokenizer)
    assert tokenizer.add_tokens(["<new>", "the", "", AddedToken("Two words")]) == 2
    assert len(tokenizer) == size + 2
    assert tokenizer.vocab_size == size
    assert tokenizer.get_vocab()["<new>"] == tokenizer.convert_tokens_to_ids("<new>") == size
    assert tokenizer.add_tokens("<new>") == 0
    assert tokenizer.tokenize("a<new> two words") == ["a", "<new>", "two words"]
    assert tokenizer.get_added_vocab()["Two words"] == size + 1
    assert tokenizer.added_tokens_decoder[size].content == "<new>"
    assert not tokenizer.added_tokens_decoder[size].special
    assert tokenizer.decode(size + 1) == "Two words"
    with pytest.raises(TypeError, match="not 3"):
        tokenizer.add_tokens([3])


def test_adding_special_tokens(tokenizer):
    size = len(tokenizer)
    assert tokenizer.add_special_tokens({"mask_token": "<mask>"}) == 1
    assert tokenizer.mask_token_id == size
    assert tokenizer.add_special_tokens({"additional_special_tokens": ["<a>", "<b>"]}) == 2
    assert tokenizer.additional_special_tokens == ["<a>", "<b>"]
    assert tokenizer.additional_special_tokens_ids == [size + 1, size + 2]
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<c>"]}, replace_additional_special_tokens=False
    )
    assert tokenizer.additional_special_tokens == ["<a>", "<b>", "<c>"]
    tokenizer.add_special_tokens(
        {"extra_special_tokens": ["<d>"]}, replace_extra_special_tokens=False
    )
    assert tokenizer.extra_special_tokens == ["<a>", "<b>", "<c>", "<d>"]
    assert tokenizer.extra_special_tokens_ids == [*range(size + 1, size + 5)]
    tokenizer.extra_special_tokens = ["<a>", "<b>"]
    assert tokenizer.additional_special_tokens == ["<a>", "<b>"]
    with pytest.raises(ValueError, match="not in the vocabulary"):
        tokenizer.extra_special_tokens = ["<q>"]
    assert tokenizer.tokenize("a<b><mask>") == ["a", "<b>", "<mask>"]
    assert tokenizer.decode(tokenizer.encode("a <b>"), skip_special_tokens=True) == "a"
    with pytest.raises(ValueError, match="not the role"):
        tokenizer.add_special_tokens({"mask": "<mask>"})
    with pytest.raises(ValueError, match="list of tokens"):
        tokenizer.add_special_tokens({"additional_special_tokens": "<a>"})


def test_added_tokens_are_gone_through_once(tokenizer, monkeypatch):
    """Not for every row that is decoded, nor for every length that is asked for."""
    tokenizer.add_tokens(["<a>", "<b>"], special_tokens=True)
    engine, asked = type(tokenizer._engine), []
    added = engine.added_tokens.fget
    monkeypatch.setattr(
        engine, "added_tokens", property(lambda self: asked.append(1) or added(self))
    )
    assert len({len(tokenizer) for _ in range(9)}) == 1
    ids = tokenizer.encode("a <b>")
    assert tokenizer.batch_decode([ids] * 9, skip_special_tokens=True) == ["a"] * 9
    assert len(asked) <= 2


def test_special_tokens_are_listed_once(tokenizer, monkeypatch):
    """Not for every token that is added."""
    listed = []
    names = type(tokenizer).all_special_tokens.fget
    monkeypatch.setattr(
        type(tokenizer),
        "all_special_tokens",
        property(lambda self: listed.append(1) or names(self)),
    )
    new = [f"<{i}>" for i in range(20)]
    assert tokenizer.add_tokens([*new, "<0>", "[MASK]"], special_tokens=True) == 20
    assert len(listed) <= 1
    assert tokenizer.additional_special_tokens == new


def test_what_is_skipped_and_counted_follows_every_change(tokenizer):
    size = len(tokenizer)

    def read(text="a the b [MASK] c <x>"):
        return tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True), len(tokenizer)

    assert read()[0].startswith("a the b c")
    tokenizer.add_tokens("<x>", special_tokens=True)
    assert read() == ("a the b c", size + 1)
    tokenizer.pad_token = "the"
    assert read() == ("a b c", size + 1)
    tokenizer.additional_special_tokens = ["b"]
    assert read() == ("a c", size + 1)
    tokenizer.add_special_tokens({"additional_special_tokens": ["c", "<y>"]})
    assert read() == ("a", size + 2)
    tokenizer.unk_token = "[MASK]"
    assert read("a 漢") == ("a", size + 2)


def test_pieces_handed_out_stay_as_they_were(tokenizer):
    encoding = tokenizer(["a<new>", "b"])
    tokenizer.add_tokens("<new>")
    assert len(encoding.tokens()) == len(encoding.input_ids[0])
    assert "<new>" not in encoding.tokens()


def test_one_row_of_ids_in_whatever_it_comes(tokenizer):
    row = tokenizer.encode("the a")
    for form in (np.array(row), torch.tensor(row), tuple(row), [np.int64(i) for i in row]):
        mask = tokenizer.get_special_tokens_mask(form, already_has_special_tokens=True)
        assert mask == [1, 0, 0, 1]
        assert tokenizer.prepare_for_model(form, add_special_tokens=False).input_ids == row
        assert tokenizer.prepare_for_model([5], form).input_ids == [2, 5, 3, *row, 3]
        assert tokenizer.build_inputs_with_special_tokens(form) == [2, *row, 3]
        assert tokenizer.encode_plus(form, add_special_tokens=False).input_ids == row
        assert tokenizer.truncate_sequences(form, None, 1)[0] == row[:-1]
    assert all(type(i) is int for i in tokenizer.prepare_for_model(torch.tensor(row)).input_ids)


@pytest.mark.parametrize("bad", ["abc", None, 1.5, {"input_ids": [1]}])
def test_what_is_no_row_of_ids(tokenizer, bad):
    for call in (
        tokenizer.prepare_for_model,
        tokenizer.build_inputs_with_special_tokens,
        tokenizer.get_special_tokens_mask,
        tokenizer.truncate_sequences,
        tokenizer.decode,
    ):
        if call == tokenizer.get_special_tokens_mask:
            with pytest.raises(TypeError, match="expected a row of ids, not"):
                call(bad, already_has_special_tokens=True)
            continue
        with pytest.raises(TypeError, match="expected a row of ids, not"):
            call(bad)


@pytest.mark.parametrize("bad", [[1, "a"], [1.5], [[[1]], [2]], [None]])
def test_ids_that_are_no_integers(tokenizer, bad):
    for call in (tokenizer.prepare_for_model, tokenizer.encode_plus, tokenizer.decode):
        with pytest.raises(ValueError, match="an id is an integer"):
            call(bad)


def test_tokens_that_are_none(tokenizer):
    with pytest.raises(TypeError, match="a token is a string, not None"):
        tokenizer.convert_tokens_to_ids(None)
    with pytest.raises(TypeError, match="a token is a string, not 3"):
        tokenizer.convert_tokens_to_ids(["a", 3])
    for bad in (None, 3, [None]):
        with pytest.raises(TypeError, match="a string or an AddedToken"):
            tokenizer.add_tokens(bad)
    for bad in (None, ["<a>"]):
        with pytest.raises(TypeError, match="expected roles and their tokens"):
            tokenizer.add_special_tokens(bad)
    with pytest.raises(ValueError, match="lone surrogate"):
        tokenizer.add_tokens("\ud800")


def test_labels_of_different_lengths_are_not_ours_to_pad(tokenizer):
    rows = [{"input_ids": [1], "labels": [1, 2]}, {"input_ids": [1, 2], "labels": [3]}]
    with pytest.raises(ValueError, match=r"'labels' .* pad or drop it first"):
        tokenizer.pad(rows, return_tensors="pt")
