"""Pipelines give transformers' answers for the same weights, except where those are wrong."""

import numpy as np
import pytest
import torch

import distilbert
from distilbert.pipelines.token_classification import STRATEGIES
from distilbert.tasks.windows import answer_positions, make_windows

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # theirs
]

TEXTS = [
    "The small model, unaffable!",
    "models",
    "Élan vital in the caf\u00e9 (中国) is small-models' un \U0001f600 aff.",
    "\u201cnaïve\u201d \u200bRÉSUMÉ.models\tthe\u00a0small",
    "The model's small. Isn't it, un-aff? 'the' [small]!",
    "the quick brown fox jumps over a lazy dog " * 3,
]
SIZES = {
    "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 128,
}  # fmt: skip
NER = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


@pytest.fixture(scope="module")
def place(transformers, tmp_path_factory, tiny_vocab, tools):
    """Make a folder with a model of random weights and its tokenizer, by head."""

    def make(head, *, weights=None, **settings):
        folder = tmp_path_factory.mktemp(head)
        torch.manual_seed(0)
        config = transformers.DistilBertConfig(vocab_size=len(tiny_vocab), **SIZES, **settings)
        model = getattr(transformers, f"DistilBert{head}")(config)
        if weights is None:
            tools.shake(model)
        else:
            model.load_state_dict(weights)
        model.save_pretrained(folder)
        tokenizer = distilbert.DistilBertTokenizerFast(tiny_vocab, model_max_length=128)
        tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="module")
def both(transformers, place):
    """Make the pipelines of a task, theirs and ours, of one folder."""

    def make(task, head, *, weights=None, settings=None, **options):
        folder = place(head, weights=weights, **settings or {})
        theirs = transformers.pipeline(
            task,
            model=getattr(transformers, f"DistilBert{head}").from_pretrained(folder),
            tokenizer=transformers.AutoTokenizer.from_pretrained(folder),
            **options,
        )
        return theirs, distilbert.pipeline(task, folder, **options)

    return make


def assert_same(ours, theirs):
    """Equal structures, numbers to 1e-5."""
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            assert_same(ours[key], theirs[key])
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    elif isinstance(theirs, float | np.floating):
        assert ours == pytest.approx(float(theirs), abs=1e-5, rel=1e-4)
    else:
        assert ours == theirs


def test_fill_mask(both):
    theirs, ours = both("fill-mask", "ForMaskedLM")
    texts = ["the [MASK] model", "Élan [MASK], 中[MASK] \U0001f600!", "[MASK]"]
    for text in texts:
        assert_same(ours(text), theirs(text))
    assert_same(ours(texts, top_k=2), theirs(texts, top_k=2))
    targets = ["small", "model", "the"]
    assert_same(
        ours(texts[0], targets=targets, top_k=3), theirs(texts[0], targets=targets, top_k=3)
    )


def test_a_vocabulary_that_is_filled_up(transformers, place):
    """Scores are theirs; theirs has ids among its answers that the tokenizer does not know."""
    folder = place("ForMaskedLM")
    model = distilbert.DistilBertForMaskedLM.from_pretrained(folder)
    size = model.config.vocab_size
    model.resize_token_embeddings(size + 16)
    model.save_pretrained(folder)
    theirs = transformers.pipeline(
        "fill-mask",
        model=transformers.DistilBertForMaskedLM.from_pretrained(folder),
        tokenizer=transformers.AutoTokenizer.from_pretrained(folder),
    )
    text = "the [MASK] model"
    expected = [each for each in theirs(text, top_k=size + 16) if each["token"] < size]
    assert_same(distilbert.pipeline("fill-mask", folder)(text, top_k=size), expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_labels": 3},
        {"num_labels": 3, "problem_type": "multi_label_classification"},
        {"num_labels": 1, "problem_type": "regression"},
        {"num_labels": 1},
    ],
)
def test_text_classification(both, settings):
    theirs, ours = both("text-classification", "ForSequenceClassification", settings=settings)
    assert_same(ours(TEXTS[0]), theirs(TEXTS[0]))
    assert_same(ours(TEXTS), theirs(TEXTS))
    assert_same(ours(TEXTS, top_k=None), theirs(TEXTS, top_k=None))
    assert_same(ours(TEXTS[0], top_k=2), theirs(TEXTS[0], top_k=2))
    for top_k in (1, 2, None):
        assert_same(ours(TEXTS[0], top_k=top_k), theirs(TEXTS[0], top_k=top_k))
        assert_same(ours(TEXTS, top_k=top_k), theirs(TEXTS, top_k=top_k))
    pair = {"text": TEXTS[0], "text_pair": TEXTS[1]}
    for item in (pair, [pair]):
        assert_same(ours(item), theirs(item))
        assert_same(ours(item, top_k=1), theirs(item, top_k=1))
    for function in ("softmax", "sigmoid", "none"):
        assert_same(
            ours(TEXTS, function_to_apply=function), theirs(TEXTS, function_to_apply=function)
        )


@pytest.fixture(scope="module")
def taggers(both):
    return both("token-classification", "ForTokenClassification", settings={
        "id2label": dict(enumerate(NER)), "label2id": {name: i for i, name in enumerate(NER)},
    })  # fmt: skip


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_token_classification(taggers, strategy):
    theirs, ours = taggers
    expected = theirs(TEXTS, aggregation_strategy=strategy)
    assert sum(map(len, expected)) >= 20
    assert_same(ours(TEXTS, aggregation_strategy=strategy), expected)
    assert_same(
        ours(TEXTS[0], aggregation_strategy=strategy, ignore_labels=["PER", "B-PER"]),
        theirs(TEXTS[0], aggregation_strategy=strategy, ignore_labels=["PER", "B-PER"]),
    )


def test_a_soft_hyphen_does_not_make_a_word_part_of_the_one_before(taggers):
    """transformers takes a token of another length than its text for the end of a word."""
    theirs, ours = taggers
    options = {"aggregation_strategy": "first", "ignore_labels": []}
    words = ("the", "small", "un", "a", "quick", "fox", ".", "models", "lazy")
    first = next(word for word in words if len(ours(f"{word} model", **options)) == 2)
    text = f"{first} mo\u00addel"
    assert [each["word"] for each in theirs(text, **options)] == [f"{first} model"]
    found = [(each["word"], each["start"]) for each in ours(text, **options)]
    assert found == [(first, 0), ("model", len(first) + 1)]


def test_a_long_text_is_not_cut(taggers):
    """transformers silently tags the first 128 tokens; ours reads windows."""
    theirs, ours = taggers
    text = " ".join(TEXTS[:4] * 8)
    assert max(e["end"] for e in theirs(text, aggregation_strategy="first")) < len(text) / 2
    assert max(e["end"] for e in ours(text, aggregation_strategy="first")) > len(text) * 0.9


def test_zero_shot_classification(both):
    names = {0: "contradiction", 1: "neutral", 2: "entailment"}
    theirs, ours = both(
        "zero-shot-classification",
        "ForSequenceClassification",
        settings={"id2label": names, "label2id": {name: i for i, name in names.items()}},
    )
    labels = ["small", "a model", "中é"]
    for options in ({}, {"multi_label": True}, {"hypothesis_template": "it is {}!"}):
        assert_same(
            ours(TEXTS, candidate_labels=labels, **options),
            theirs(TEXTS, candidate_labels=labels, **options),
        )
    assert_same(ours(TEXTS[0], "small, the"), theirs(TEXTS[0], "small, the"))
    assert_same(ours(TEXTS[0], ["small"]), theirs(TEXTS[0], ["small"]))


@pytest.mark.parametrize("task", ["feature-extraction", "fill-mask", "text-classification"])
def test_a_tokenizer_of_transformers(transformers, place, task):
    head = {"feature-extraction": "Model", "fill-mask": "ForMaskedLM"}
    folder = place(head.get(task, "ForSequenceClassification"))
    text = "the [MASK] model"
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    found = distilbert.pipeline(task, str(folder), theirs)(text)
    expected = distilbert.pipeline(task, str(folder))(text)
    assert np.array_equal(found, expected) if task[:2] == "fe" else found == expected


def test_contradiction_is_found_by_its_name(both):
    """transformers takes label 0 or the last one for contradiction, here neutral."""
    names = {0: "neutral", 1: "contradiction", 2: "entailment"}
    theirs, ours = both(
        "zero-shot-classification",
        "ForSequenceClassification",
        settings={"id2label": names, "label2id": {name: i for i, name in names.items()}},
    )
    logits = ours.model(
        **ours.tokenizer("the model", "This example is small.", return_tensors="pt")
    ).logits[0]
    by_name, by_place = logits[[1, 2]].softmax(0)[1].item(), logits[[0, 2]].softmax(0)[1].item()
    assert ours("the model", ["small"])["scores"] == pytest.approx([by_name], abs=1e-5)
    assert theirs("the model", ["small"])["scores"] == pytest.approx([by_place], abs=1e-5)
    assert abs(by_name - by_place) > 1e-3


def test_feature_extraction(both):
    theirs, ours = both("feature-extraction", "Model")
    for one, other in zip(ours(TEXTS), theirs(TEXTS), strict=True):
        np.testing.assert_allclose(one, other[0], atol=1e-5, rtol=1e-4)


# Question answering: 4.57 is the last transformers that has it.


@pytest.fixture(scope="module")
def peer_answers(peer_version):
    if peer_version >= (5, 0):
        pytest.skip("transformers 5 has no question-answering pipeline")


def context_of(draw, length, answer=True):
    """Words, among them perhaps the answer, which is always "small models"."""
    words = list(draw.choice(["the", "un", "quick", "é", "unaffable,", "fox", "中"], length))
    at = int(draw.integers(length))
    if answer:
        words.insert(at, "Small models")
    text = " ".join(words)
    start = text.find("Small")
    return text, start, start + 12 if answer else -1


@pytest.fixture(scope="module")
def trained(peer_answers, transformers, tiny_vocab):
    """The weights of a model that finds "Small models", and [CLS] where there are none."""
    torch.manual_seed(0)
    draw = np.random.default_rng(0)
    tokenizer = distilbert.DistilBertTokenizerFast(tiny_vocab)
    config = distilbert.DistilBertConfig(vocab_size=len(tiny_vocab), **SIZES, dropout=0.0)
    model = distilbert.DistilBertForQuestionAnswering(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(80):
        contexts, starts, ends = zip(
            *(context_of(draw, draw.integers(5, 40), draw.random() < 0.7) for _ in range(16)),
            strict=True,
        )
        windows = make_windows(tokenizer, ["what?"] * 16, contexts, 64, 16)
        first, last = answer_positions(windows, starts, ends)
        inputs = tokenizer.pad({"input_ids": windows.input_ids}, return_tensors="pt")
        loss = model(
            **inputs, start_positions=torch.tensor(first), end_positions=torch.tensor(last)
        ).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    return model.state_dict()


OPTIONS = (
    {},
    {"top_k": 3},
    {"top_k": 4, "align_to_words": False, "max_answer_len": 4},
    {"handle_impossible_answer": True, "top_k": 2},
)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_question_answering_in_one_window(peer_answers, both, options):
    theirs, ours = both("question-answering", "ForQuestionAnswering")
    for text in TEXTS:
        given = {"question": "what is small?", "context": text}
        expected = theirs(**given, **options)
        if isinstance(expected, dict) and options.get("top_k", 1) > 1:
            expected = [expected]  # theirs is no list where there is one answer only
        if isinstance(expected, list):  # nor are all of theirs spans where there are few
            expected = [each for each in expected if each["score"]]
        assert_same(ours(**given, **options), expected)


@pytest.mark.parametrize("answerable", [True, False])
def test_question_answering_over_many_windows(trained, both, answerable):
    theirs, ours = both("question-answering", "ForQuestionAnswering", weights=trained)
    draw, above_one = np.random.default_rng(1), False
    for length in (100, 300, 1000):
        text, start, end = context_of(draw, length, answerable)
        given = {"question": "what?", "context": text}
        options = {"max_seq_len": 64, "doc_stride": 0, "handle_impossible_answer": True}
        expected = theirs(**given, **options)
        found = ours(**given, **options)
        assert_same(found, expected)
        if answerable:
            assert (found["start"], found["end"], found["answer"]) == (start, end, "Small models")
            assert found["score"] > 0.5
        # The same span of two overlapping windows is one event: transformers adds it up.
        options["doc_stride"] = 40
        expected, found = theirs(**given, **options), ours(**given, **options)
        assert found["answer"] == expected["answer"] == ("Small models" if answerable else "")
        assert (found["start"], found["end"]) == (expected["start"], expected["end"])
        assert found["score"] <= min(expected["score"] + 1e-5, 1)
        above_one |= expected["score"] > 1
    assert above_one == answerable


def test_squad_scores_of_random_answers(transformers):
    """The scripts of SQuAD as transformers carries them, thresholds included."""
    squad_metrics = pytest.importorskip(  # gone in 5
        "transformers.data.metrics.squad_metrics", exc_type=ImportError
    )
    from transformers.data.processors.squad import SquadExample

    from distilbert.tasks import metrics

    draw = np.random.default_rng(0)
    words = ["the", "red", "Car,", "car", "new", "York", "in"]

    def phrase():
        return " ".join(draw.choice(words, draw.integers(1, 4)))

    examples, answers, predictions, odds = [], {}, {}, {}
    for i in range(300):
        key, texts = str(i), [phrase() + " x" for _ in range(draw.integers(0, 4))]
        examples.append(
            SquadExample(key, "q", "c", None, None, "t", [{"text": t} for t in texts], not texts)
        )
        answers[key] = texts
        predictions[key] = "" if draw.random() < 0.2 else phrase()
        odds[key] = float(draw.normal())
    theirs = squad_metrics.squad_evaluate(examples, predictions)
    ours = metrics.squad(predictions, answers, odds)
    for name, key in {
        "exact_match": "exact", "f1": "f1", "has_answer_f1": "HasAns_f1",
        "has_answer_exact_match": "HasAns_exact", "no_answer_f1": "NoAns_f1",
    }.items():  # fmt: skip
        assert 100 * ours[name] == pytest.approx(theirs[key])
    exact, overlap = squad_metrics.get_raw_scores(examples, predictions)
    has_answer = {key: bool(texts) for key, texts in answers.items()}
    best = {}
    squad_metrics.find_all_best_thresh(best, predictions, exact, overlap, odds, has_answer)
    assert 100 * ours["best_exact_match"] == pytest.approx(best["best_exact"])
    assert 100 * ours["best_f1"] == pytest.approx(best["best_f1"])
