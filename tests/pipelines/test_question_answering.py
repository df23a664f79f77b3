import numpy as np
import pytest

import distilbert

LONG = "the un small model. " * 5000 + "Élan \U0001f600 models"


@pytest.fixture
def answerer(tokenizer):
    """A model that looks for tokens: the start and the end of an answer, by their spelling."""

    def make(start, end, null=0.0, positions=512, **options):
        first, last = tokenizer.convert_tokens_to_ids([start, end])

        def model(input_ids, attention_mask):
            starts, ends = 9.0 * (input_ids == first), 9.0 * (input_ids == last)
            starts[:, 0] = ends[:, 0] = null
            return starts, ends

        config = distilbert.DistilBertConfig(max_position_embeddings=positions)
        return distilbert.pipeline("question-answering", model, tokenizer, config=config, **options)

    return make


def test_the_answer(answerer):
    answer = answerer("small", "##s", max_length=48)
    found = answer(question="what?", context="The un small models.")
    assert (found["answer"], found["start"], found["end"]) == ("small models", 7, 19)
    all_of_them = np.exp(9) + 6  # [CLS] and five tokens of the context
    widened = np.exp(9) + 1  # an end at "model" is one at "models"
    assert found["score"] == pytest.approx(np.exp(9) / all_of_them * widened / all_of_them)


def test_in_a_hundred_thousand_characters(answerer):
    answer = answerer("[UNK]", "##s", max_length=48)
    found = answer(question="what?", context=LONG)
    assert LONG[found["start"] : found["end"]] == found["answer"] == "\U0001f600 models"
    assert found["end"] == len(LONG) > 100_000


def test_words_are_whole_if_wanted(answerer):
    context = {"question": "what?", "context": "the unaffable model"}
    pieces = answerer("##aff", "##aff", align_to_words=False)
    assert pieces(context)["answer"] == "aff"
    assert pieces(context, align_to_words=True)["answer"] == "unaffable"


def test_top_k(answerer):
    found = answerer("the", "model")(question="what?", context="the un the model", top_k=3)
    assert [each["answer"] for each in found][:2] == ["the un the model", "the model"]
    scores = [each["score"] for each in found]
    assert scores == sorted(scores, reverse=True)
    assert isinstance(answerer("the", "the")(question="x", context="the", top_k=9), list)


def test_no_answer(answerer):
    asked = {"question": "what?", "context": "the small model"}
    answer = answerer("[MASK]", "[MASK]", null=5.0)
    assert answer(asked)["answer"] != ""
    silent = answer(asked, handle_impossible_answer=True)
    assert (silent["answer"], silent["start"], silent["end"]) == ("", 0, 0)
    assert silent["score"] == pytest.approx((np.exp(5) / (np.exp(5) + 3)) ** 2)


def test_one_context_for_several_questions_and_the_other_way(answerer):
    answer = answerer("small", "model")
    both = answer(question=["what?", "x"], context="the small model")
    assert [each["answer"] for each in both] == ["small model"] * 2
    both = answer(question="what?", context=["the small model", "small un model"])
    assert [each["answer"] for each in both] == ["small model", "small un model"]
    paired = answer(question=["a", "b"], context=["the small model", "small un model"])
    assert [each["answer"] for each in paired] == [each["answer"] for each in both]
    assert answer(["a", "b"], ["the small model", "small un model"]) == paired
    assert answer("a", "the small model") == paired[0]


def test_long_questions_are_refused_if_asked(answerer):
    answer = answerer("small", "##s", max_question_len=3)
    given = {"question": "the un small", "context": "The un small models."}
    assert answer(given) == answerer("small", "##s")(given)
    with pytest.raises(
        ValueError, match=r"^input 1: the question 'what is the un' has . tokens, and"
    ):
        answer([given, given | {"question": "what is the un"}])
    assert answer(given | {"question": "what is the un"}, max_question_len=64)["score"] > 0


def test_names_of_length(answerer):
    context = "the small model " * 9
    short = answerer("small", "model", doc_stride=4)
    asked = {"question": "x", "context": context}
    assert short(asked, max_seq_len=16) == short(asked, max_length=16)
    with pytest.raises(ValueError, match="give one of them"):
        short(asked, max_seq_len=16, max_length=16)
    with pytest.raises(ValueError, match="max_seq_len=600 must be from 1 to the model's 512"):
        short(asked, max_seq_len=600)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"question": "what?"}, ValueError, "there is no context"),
        ({"context": "the"}, ValueError, "there is no question"),
        ({"question": "what?", "context": ""}, ValueError, "the context is empty"),
        ({"question": ["a", "b"], "context": ["c"]}, ValueError, "2 questions and 1 contexts"),
        ({"question": ["a", "b"]}, ValueError, "2 questions and 0 contexts"),
        ({"inputs": {"question": "a"}, "context": "b"}, TypeError, "question must be a string"),
        ({}, ValueError, "give either question=… and context=…"),
        ({"inputs": ["what?"]}, TypeError, "input 0: expected a dict with question and context"),
        ({"inputs": [{"question": "x"}]}, ValueError, "input 0: there is no context"),
        ({"question": "a " * 50, "context": "the"}, ValueError, r"has 50 tokens: windows of"),
        ({"question": "a", "context": "\u200b"}, ValueError, "has no tokens"),
    ],
)
def test_bad_input(answerer, given, error, message):
    with pytest.raises(error, match=message):
        answerer("small", "model", max_length=48)(**given)


@pytest.mark.parametrize("name", ["top_k", "max_answer_len"])
def test_bad_numbers(answerer, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        answerer("small", "model", **{name: 0})
    with pytest.raises(ValueError, match="doc_stride must be at least 0, got -1"):
        answerer("small", "model", doc_stride=-1)
