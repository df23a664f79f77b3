"""Words replaced by what a masked LM proposes: few passes, the same every time."""

import copy

import numpy as np
import pytest
import torch

import distilbert as d
from distilbert.tasks.augmentation import PROPOSALS, augment, augment_texts, propose


@pytest.fixture(scope="module")
def tokenizer(tiny_vocab):
    return d.DistilBertTokenizerFast(tiny_vocab)


@pytest.fixture(scope="module", params=["distilbert", "bert"])
def model(request, tiny_vocab):
    torch.manual_seed(0)
    size = len(tiny_vocab)
    if request.param == "bert":
        config = d.BertConfig(
            vocab_size=size, num_hidden_layers=2, num_attention_heads=2, hidden_size=16,
            intermediate_size=32, max_position_embeddings=24, attn_implementation="varlen",
        )  # fmt: skip
        return d.BertForMaskedLM(config).eval()
    config = d.DistilBertConfig(
        vocab_size=size, n_layers=2, n_heads=2, dim=16, hidden_dim=32, max_position_embeddings=24,
        attn_implementation="varlen",
    )  # fmt: skip
    return d.DistilBertForMaskedLM(config).eval()


SENTENCES = [["the", "smaller", "model", "a", "!"], ["b", "c"], [], ["."]]


def test_proposals_are_the_likeliest_words(model, tokenizer):
    """By hand: one masked word at a time, padded by nothing."""
    found = propose(model, tokenizer, SENTENCES, 64)
    assert [list(each) for each in found] == [[0, 2, 3], [0, 1], [], []]
    for words, known in zip(SENTENCES, found, strict=True):
        for place, proposals in known.items():
            masked = [*words[:place], "[MASK]", *words[place + 1 :]]
            inputs = tokenizer(masked, is_split_into_words=True, return_tensors="pt")
            at = inputs["input_ids"][0].tolist().index(tokenizer.mask_token_id)
            order = model(**inputs).logits[0, at].argsort(descending=True)[: 2 * PROPOSALS]
            tokens = tokenizer.convert_ids_to_tokens(order.tolist())
            expected = [t for t in tokens if t.isalpha() and t != words[place]][:PROPOSALS]
            assert proposals == expected


def test_entries_that_are_no_tokens_are_not_proposed(model, tokenizer):
    padded = copy.deepcopy(model)
    padded.resize_token_embeddings(len(tokenizer) + 40)
    with torch.no_grad():
        padded.vocab_projector.bias[len(tokenizer) :] = 100.0
    found = propose(padded, tokenizer, SENTENCES, 64)
    assert found == propose(model, tokenizer, SENTENCES, 64)


def test_copies(model, tokenizer):
    one = augment(model, tokenizer, SENTENCES, 3, seed=0, batch_tokens=64)
    assert one == augment(model, tokenizer, SENTENCES, 3, seed=0, batch_tokens=500)
    assert one != augment(model, tokenizer, SENTENCES, 3, seed=1, batch_tokens=64)
    assert [len(words) for words in one] == [5] * 3 + [2] * 3 + [0] * 3 + [1] * 3
    for words in one[:3]:
        assert (words[1], words[4]) == ("smaller", "!")  # of several pieces, and no word
    assert len({tuple(words) for words in one[:3]}) > 1
    changed = np.mean(
        [w != o for words in one[:3] for w, o in zip(words, SENTENCES[0], strict=True)]
    )
    assert 0 < changed < 0.6


def test_long_sentences_keep_their_words(model, tokenizer):
    words = [["a", "b", "c"][i % 3] for i in range(60)]
    [known] = propose(model, tokenizer, [words], 64)
    assert list(known) == list(range(22))  # what the model has positions for
    [copy] = augment(model, tokenizer, [words], 1, seed=0, batch_tokens=64)
    assert copy[22:] == words[22:]


CHINESE = "今天气很好我们去北京上海"


@pytest.fixture(scope="module")
def chinese(tiny_vocab):
    """A model and a tokenizer that know some Chinese, and a word with marks on its letters."""
    words = [*tiny_vocab, *CHINESE, *(f"##{each}" for each in CHINESE), "है", "हैं"]
    tokenizer = d.DistilBertTokenizerFast(
        {word: i for i, word in enumerate(words)}, do_lower_case=False
    )
    torch.manual_seed(0)
    config = d.DistilBertConfig(
        vocab_size=len(words), n_layers=1, n_heads=2, dim=16, hidden_dim=16,
        max_position_embeddings=24, attn_implementation="varlen",
    )  # fmt: skip
    model = d.DistilBertForMaskedLM(config).eval()
    with torch.no_grad():  # Chinese is likely, as it is to a model that knows it
        model.vocab_projector.bias[[words.index(each) for each in (*CHINESE, "हैं")]] = 1.0
    return model, tokenizer


def test_every_chinese_character_is_a_word(chinese):
    model, tokenizer = chinese
    text = "今天, 天气 很好！ the!"
    copies = augment_texts(model, tokenizer, [text, "un smaller"], 6, seed=0, batch_tokens=64)
    assert all(each != text for each in copies[:6])
    for each in copies[:6]:
        assert (each[2:4], each[6], each[9:]) == (", ", " ", "！ the!")
        assert set(each[:2] + each[4:6] + each[7:9]) <= set(CHINESE)
    assert {each[-8:] for each in copies[6:]} == {" smaller"}  # of two pieces


def test_characters_that_are_no_words_to_the_tokenizer_stay(chinese):
    model, tokenizer = chinese
    whole = d.DistilBertTokenizerFast(tokenizer.get_vocab(), tokenize_chinese_chars=False)
    text = "今天 天气"
    assert augment_texts(model, whole, [text], 3, seed=0, batch_tokens=64) == [text] * 3


def test_texts_between_spaces_are_changed_as_lists_of_words_are(model, tokenizer):
    texts = ["a  b c, (d)\te ", "", "the smaller model!"]
    words = [text.split() for text in texts]
    for text, expected in zip(
        augment_texts(model, tokenizer, texts, 4, seed=3, batch_tokens=64),
        augment(model, tokenizer, words, 4, seed=3, batch_tokens=64),
        strict=True,
    ):
        assert text.split() == expected
    assert augment_texts(model, tokenizer, texts, 1, seed=3, batch_tokens=64)[0][1:3] == "  "


def test_letters_with_marks_are_words(chinese):
    model, tokenizer = chinese
    assert not "है".isalpha()
    [known] = propose(model, tokenizer, [["है", "\u0948", "!"]], 64)
    assert list(known) == [0]
    assert "हैं" in known[0]
