import numpy as np
import pytest

import distilbert
from distilbert.pipelines.token_classification import _join

NAMES = ("O", "B-X", "I-X", "B-Y", "I-Y")


@pytest.fixture(params=[distilbert.DistilBertTokenizer, distilbert.DistilBertTokenizerFast])
def make(request, tiny_vocab):
    """A tagger of given labels and scores: token (as spelt) to label number and logit."""
    tokenizer = request.param(tiny_vocab, model_max_length=48)

    def tagger(by_token, names=NAMES, positions=48, **options):
        table = np.zeros((len(tokenizer), len(names)))
        table[:, 0] = 1
        for token, (label, logit) in by_token.items():
            table[tokenizer.convert_tokens_to_ids(token), [0, label]] = 0, logit
        config = distilbert.DistilBertConfig(
            id2label=dict(enumerate(names)), max_position_embeddings=positions
        )
        model = lambda input_ids, attention_mask: table[input_ids]  # noqa: E731
        return distilbert.pipeline(
            "token-classification", model, tokenizer, config=config, **options
        )

    return tagger


def score(logit):
    return np.exp(logit) / (np.exp(logit) + len(NAMES) - 1)


def test_tokens(make):
    tag = make({"small": (1, 4), "##er": (2, 3)})
    first, second = tag("The smaller!")
    assert first == {
        "entity": "B-X", "score": pytest.approx(score(4)), "index": 2, "word": "small",
        "start": 4, "end": 9,
    }  # fmt: skip
    assert (second["word"], second["index"], second["start"], second["end"]) == ("##er", 3, 9, 11)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("simple", [("X", "un", 0, 2), ("Y", "##aff", 2, 5)]),
        ("first", [("X", "unaffable", 0, 9)]),
        ("max", [("Y", "unaffable", 0, 9)]),
        ("average", [("Y", "unaffable", 0, 9)]),
    ],
)
def test_a_word_has_one_label_but_for_simple(make, strategy, expected):
    tag = make({"un": (1, 3), "##aff": (3, 9)})  # "##able" is O
    found = tag("unaffable", aggregation_strategy=strategy)
    assert [(e["entity_group"], e["word"], e["start"], e["end"]) for e in found] == expected


def test_scores_of_groups(make):
    tag = make({"un": (1, 3), "the": (2, 5)})
    (found,) = tag("un the", aggregation_strategy="simple")
    assert found["score"] == pytest.approx((score(3) + score(5)) / 2)
    tag = make({"un": (1, 3), "##aff": (1, 5), "##able": (1, 1)})
    for strategy, expected in (
        ("first", score(3)), ("max", score(5)), ("average", (score(3) + score(5) + score(1)) / 3),
    ):  # fmt: skip
        (found,) = tag("unaffable", aggregation_strategy=strategy)
        assert found["score"] == pytest.approx(expected)


def test_entities_begin_where_conlleval_says(make):
    tag = make({"un": (1, 9), "the": (2, 9), "small": (4, 9)}, aggregation_strategy="simple")
    found = [(e["entity_group"], e["start"], e["end"]) for e in tag("un the un small . the")]
    assert found == [("X", 0, 6), ("X", 7, 9), ("Y", 10, 15), ("X", 18, 21)]
    names = ("O", "S-X", "E-X", "B-X", "I-X")
    tag = make({"un": (1, 9), "the": (3, 9), "small": (2, 9)}, names)
    found = tag("un un the small small", aggregation_strategy="simple")
    assert [(e["start"], e["end"]) for e in found] == [(0, 2), (3, 5), (6, 15), (16, 21)]


def test_words_are_joined_as_they_are_written(make):
    tag = make({"'": (2, 9), "s": (2, 9), ".": (2, 9), "un": (2, 9), "##aff": (2, 9)})
    (found,) = tag("un's unaff.", aggregation_strategy="simple")
    assert found["word"] == "un ' s unaff."
    assert (found["start"], found["end"]) == (0, 11)


def test_labels_without_prefix(make):
    tag = make({"un": (1, 9), "the": (2, 9)}, ("O", "PER", "LOC", "a", "b"))
    found = tag("un un the", aggregation_strategy="simple")
    assert [(e["entity_group"], e["start"], e["end"]) for e in found] == [
        ("PER", 0, 5),
        ("LOC", 6, 9),
    ]


def test_what_is_ignored(make):
    tag = make({"un": (1, 9)})
    assert [e["entity"] for e in tag("un the", ignore_labels=[])] == ["B-X", "O"]
    assert tag("un", ignore_labels=["B-X"]) == []
    grouped = tag("the un", aggregation_strategy="simple", ignore_labels=["X"])
    assert [(e["entity_group"], e["start"], e["end"]) for e in grouped] == [("O", 0, 3)]


def test_places_are_characters_of_the_text(make):
    tag = make({"e": (1, 9), "中": (3, 9), "[UNK]": (1, 9)})
    text = "É\u200b  \U0001f600中e\u0301 x"
    found = tag(text, aggregation_strategy="first")
    assert [(text[e["start"] : e["end"]], e["entity_group"]) for e in found] == [
        ("É", "X"),
        ("\U0001f600", "X"),
        ("中", "Y"),
        ("e", "X"),
    ]
    assert tag("\U0001f600")[0]["word"] == "\U0001f600"


@pytest.mark.parametrize("stride", [None, 0, 1, 2, 5, 8])
@pytest.mark.parametrize("strategy", ["none", "simple", "average"])
def test_windows_change_nothing_for_a_model_that_sees_single_tokens(make, stride, strategy):
    tokens = {"un": (1, 3), "##aff": (3, 9), "small": (1, 4), "the": (2, 2)}
    text = "un smaller the unaffable models. " * 9
    whole = make(tokens, positions=500, aggregation_strategy=strategy)
    whole.tokenizer.model_max_length = 500
    expected = whole(text)
    windows = make(tokens, positions=12, aggregation_strategy=strategy, stride=stride)
    assert len(expected) > 20
    assert windows(text) == expected


def test_each_token_is_taken_from_the_window_with_more_context():
    windows = [np.array([[0, i] for i in range(4)]), np.array([[1, i] for i in range(4)])]
    assert _join(windows, 2).tolist() == [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [1, 3]]
    assert len(_join(windows, 3)) == 5
    assert len(_join(windows, 0)) == 8


def test_bad_input(make):
    with pytest.raises(ValueError, match="must be one of none, simple, first, average, max"):
        make({}, aggregation_strategy="grouped")
    with pytest.raises(TypeError, match="ignore_labels must be a list of strings, got 'O'"):
        make({}, ignore_labels="O")
    with pytest.raises(ValueError, match="stride=46 must be from 0 to below the 46 tokens"):
        make({}, stride=46)
    with pytest.raises(ValueError, match="has no tokens"):
        make({})("\u200b")
