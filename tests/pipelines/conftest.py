"""Tiny models of every head, with a tokenizer."""

import pytest

import distilbert

NLI = {0: "contradiction", 1: "neutral", 2: "entailment"}
HEAD_OF = {
    "fill-mask": "ForMaskedLM",
    "text-classification": "ForSequenceClassification",
    "zero-shot-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
    "multiple-choice": "ForMultipleChoice",
    "feature-extraction": "Model",
    "sentence-embedding": "Model",
}


@pytest.fixture(scope="session")
def tokenizer(tiny_vocab):
    return distilbert.DistilBertTokenizerFast(tiny_vocab, model_max_length=48)


@pytest.fixture(scope="session")
def make_model(tiny_vocab):
    """Make a model: family and head, and fields of the configuration."""
    torch = pytest.importorskip("torch")

    def make(head, family="DistilBert", **settings):
        sizes = {
            "vocab_size": len(tiny_vocab), "max_position_embeddings": 48, "hidden_size": 32,
            "num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.3,
            "hidden_dim" if family == "DistilBert" else "intermediate_size": 48,
        }  # fmt: skip
        config = getattr(distilbert, f"{family}Config")(**sizes, **{"id2label": NLI} | settings)
        torch.manual_seed(0)
        return getattr(distilbert, family + head)(config).eval()

    return make


@pytest.fixture(scope="session")
def folder(make_model, tokenizer, tmp_path_factory):
    """Make a folder with a model of a head and its tokenizer."""

    def make(head, **settings):
        place = tmp_path_factory.mktemp(head)
        make_model(head, **settings).save_pretrained(place)
        tokenizer.save_pretrained(place)
        return place

    return make


@pytest.fixture(params=HEAD_OF)
def task(request):
    return request.param


@pytest.fixture
def head(task):
    """The end of the name of the task's class."""
    return HEAD_OF[task]


@pytest.fixture
def inputs(task):
    """Inputs of the task, of different lengths."""
    texts = [
        "the small model",
        "un",
        "Élan, 中 \U0001f600 is unaffable!",
        "a quick brown fox jumps",
        "models 'n' models",
    ]
    if task == "fill-mask":
        return [f"{text} [MASK]" for text in texts]
    if task == "question-answering":
        return [{"question": "what?", "context": text * n} for n, text in enumerate(texts, 1)]
    if task == "multiple-choice":
        return [
            {"text": text, "choices": texts[:n]}
            for text, n in zip(texts, (2, 3, 2, 4, 5), strict=True)
        ]
    return texts


@pytest.fixture
def options(task):
    """What has to be said in each call."""
    asked = {"candidate_labels": ["small", "a model"]}
    return asked if task == "zero-shot-classification" else {}
