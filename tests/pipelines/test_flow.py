"""What holds for every pipeline, with real models."""

import contextlib
import gc
import itertools
import subprocess
import sys
import time
import tracemalloc
import types
import weakref

import numpy as np
import pytest

import distilbert
from distilbert.pipelines.flow import softmax
from distilbert.pipelines.inputs import text_of
from distilbert.pipelines.opening import TASKS
from distilbert.pipelines.progress import with_bar

from .conftest import HEAD_OF


def assert_close(one, other):
    """Equal, numbers to 1e-5."""
    if isinstance(other, dict):
        assert one.keys() == other.keys()
        for key in other:
            assert_close(one[key], other[key])
    elif isinstance(other, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_close(a, b)
    elif isinstance(other, float | np.ndarray):
        np.testing.assert_allclose(one, other, atol=1e-5)
    else:
        assert one == other


@pytest.fixture(params=["sdpa", "varlen"])
def pipe(request, task, head, make_model, tokenizer):
    model = make_model(head)
    model.set_attn_implementation(request.param)
    return distilbert.pipeline(task, model, tokenizer)


def single(pipe, item, options):
    """The answer to one input; text classification alone gives a list of a text's."""
    answer = pipe(item, **options)
    return answer[0] if pipe.task == "text-classification" else answer


def test_an_answer_does_not_depend_on_its_neighbours(pipe, inputs, options):
    alone = [single(pipe, item, options) for item in inputs]
    assert_close(pipe(inputs, **options), alone)
    assert_close(pipe(inputs[::-1], **options)[::-1], alone)
    assert_close(pipe(inputs * 3, **options), alone * 3)


def test_batches_and_reading_ahead_change_nothing(
    task, head, make_model, tokenizer, inputs, options
):
    model = make_model(head)
    expected = distilbert.pipeline(task, model, tokenizer)(inputs, **options)
    for batch_tokens, read_ahead in ((1, 1), (20, 2), (10_000, 3)):
        pipe = distilbert.pipeline(
            task, model, tokenizer, batch_tokens=batch_tokens, read_ahead=read_ahead
        )
        assert_close(pipe(inputs, **options), expected)


def test_an_iterable_is_answered_lazily_and_in_order(pipe, inputs, options):
    read = 0

    def endless():
        nonlocal read
        for item in itertools.cycle(inputs):
            read += 1
            yield item

    pipe.read_ahead = 4
    answers = pipe(endless(), **options)
    assert isinstance(answers, types.GeneratorType)
    assert read == 0
    first = list(itertools.islice(answers, 7))
    assert read == 8
    assert_close(first, (pipe(inputs, **options) * 2)[:7])


def test_a_folder_opens(task, head, folder, inputs, options, make_model, tokenizer):
    place = folder(head)
    expected = distilbert.pipeline(task, make_model(head), tokenizer)(inputs, **options)
    pipe = distilbert.pipeline(task, str(place))
    assert pipe.model.config.attn_implementation == "varlen"
    assert_close(pipe(inputs, **options), expected)
    slow = distilbert.DistilBertTokenizer.from_pretrained(place)
    assert_close(distilbert.pipeline(task, place, slow)(inputs, **options), expected)


def test_any_callable_will_do(task, head, make_model, tokenizer, inputs, options):
    """Such as the model in ONNX, which returns a list, and knows nothing of a configuration."""
    import torch

    model = make_model(head)

    def session(**arrays):
        assert all(isinstance(values, np.ndarray) for values in arrays.values())
        assert arrays.keys() == {"input_ids", "attention_mask"}
        with torch.no_grad():
            outputs = model(**{k: torch.from_numpy(v) for k, v in arrays.items()})
        return [values.numpy() for values in outputs.values()]

    expected = distilbert.pipeline(task, model, tokenizer)(inputs, **options)
    pipe = distilbert.pipeline(task, session, tokenizer, config=model.config)
    assert_close(pipe(inputs, **options), expected)
    with pytest.raises(TypeError, match="function has no config; pass config="):
        distilbert.pipeline(task, session, tokenizer)


def test_a_bert_gets_its_segments(task, head, make_model, tokenizer, inputs, options):
    model = make_model(head, "Bert")
    seen = []
    pipe = distilbert.pipeline(task, model, tokenizer)
    model.register_forward_pre_hook(
        lambda _, given, named: seen.append(named["token_type_ids"]), with_kwargs=True
    )
    pipe(inputs, **options)
    in_pairs = task in ("question-answering", "multiple-choice", "zero-shot-classification")
    assert any(types.any() for types in seen) == in_pairs


def test_the_model_is_the_one_that_was_given(task, head, make_model, tokenizer, inputs, options):
    model = make_model(head)
    pipe = distilbert.pipeline(task, model, tokenizer)
    assert pipe.model is model
    assert pipe.device == model.device
    other = make_model(head, activation="relu")
    expected = distilbert.pipeline(task, other, tokenizer)(inputs, **options)
    pipe.model = other
    assert_close(pipe(inputs, **options), expected)


def test_the_model_that_a_folder_has_takes_tensors(folder):
    fill = distilbert.pipeline("fill-mask", folder("ForMaskedLM"))
    encoded = fill.tokenizer(["the small model", "un"], padding=True, return_tensors="pt")
    assert fill.model(**encoded.to(fill.device)).logits.shape[:2] == encoded["input_ids"].shape


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("preprocess", "change the inputs in __call__"),
        ("forward", "override compute"),
        ("_forward", "override compute"),
        ("postprocess", "override answer"),
        ("_sanitize_parameters", "take options of your own in __call__"),
    ],
)
def test_methods_that_transformers_would_call_are_refused(name, remedy):
    mixin = type("Mixin", (), {name: lambda self, *_: None})
    with pytest.raises(TypeError, match=rf"^Own\.{name} would never be called: .*; {remedy}"):
        type("Own", (mixin, distilbert.FillMaskPipeline), {})


def test_what_a_subclass_may_override(pipe, inputs, options):
    class Own(type(pipe)):
        def __call__(self, inputs, **options):
            return super().__call__(inputs, **options)

        def compute(self, rows):
            counted.append(len(rows))
            return super().compute(rows)

        def answer(self, request, kept):
            counted.append("answer")
            return super().answer(request, kept)

    own = Own(pipe.model, pipe.tokenizer)
    for given in (inputs, inputs[0], iter(inputs)):
        counted = []
        answers = own(given, **options)
        if given is not inputs[0]:
            assert_close(list(answers), pipe(inputs, **options))
        assert len(counted) == 2
        assert counted[1] == "answer"


def test_a_model_of_another_package_needs_a_configuration(tokenizer):
    torch = pytest.importorskip("torch")

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.words = torch.nn.Embedding(200, 2)

        def forward(self, input_ids, attention_mask):
            return {"logits": self.words(input_ids)[:, 1]}

    with pytest.raises(TypeError, match="Model has no config; pass config="):
        distilbert.pipeline("text-classification", Model(), tokenizer)
    config = distilbert.DistilBertConfig(vocab_size=200)
    classify = distilbert.pipeline("text-classification", Model(), tokenizer, config=config)
    assert classify("the small model")[0]["label"] in ("LABEL_0", "LABEL_1")


def test_a_pipeline_is_saved(task, head, make_model, tokenizer, inputs, options, tmp_path):
    pipe = distilbert.pipeline(task, make_model(head), tokenizer)
    pipe.save_pretrained(tmp_path)
    assert_close(distilbert.pipeline(task, tmp_path)(inputs, **options), pipe(inputs, **options))


def test_a_function_is_not_saved(tokenizer, tmp_path):
    pipe = distilbert.pipeline("text-classification", CountingModel(), tokenizer)
    assert pipe.device is None
    with pytest.raises(TypeError, match=r"\(CountingModel\) has no save_pretrained; a model in"):
        pipe.save_pretrained(tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_progress_bar_changes_no_answer(pipe, inputs, options, capsys):
    assert_close(pipe(inputs, progress=True, **options), pipe(inputs, **options))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "100%" in captured.err


def test_a_progress_bar_of_nobody_knows_how_many_shows_the_speed(capsys):
    def slowly():
        for i in range(20):
            time.sleep(0.02)
            yield i

    assert list(with_bar(slowly(), None)) == list(range(20))
    assert "it/s" in capsys.readouterr().err


def test_a_progress_bar_leaves_standard_output_alone(pipe, inputs, options, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    for _ in pipe(iter(inputs), progress=True, **options):
        print("an answer")
    assert capsys.readouterr().out == "an answer\n" * len(inputs)


def test_nothing_in_nothing_out(pipe, options):
    assert pipe([], **options) == []
    assert list(pipe(iter(()), **options)) == []


def test_a_model_in_training_is_in_evaluation_for_the_call_alone(
    task, head, make_model, tokenizer, inputs, options
):
    model = make_model(head)
    pipe = distilbert.pipeline(task, model, tokenizer)
    expected = pipe(inputs, **options)
    model.train()
    assert_close(pipe(inputs, **options), expected)
    assert all(module.training for module in model.modules())


def test_outputs_of_another_head(task, head, make_model, tokenizer, inputs, options):
    """A callable does not say what it is; its outputs do."""
    model = make_model("ForMaskedLM" if head != "ForMaskedLM" else "ForSequenceClassification")

    def session(**arrays):
        import torch

        with torch.no_grad():
            flat = {k: torch.from_numpy(v).flatten(0, -2) for k, v in arrays.items()}
            return {k: v.numpy() for k, v in model(**flat).items()}

    pipe = distilbert.pipeline(task, session, tokenizer, config=model.config)
    with pytest.raises(ValueError, match=r"the model gave .*(needs (a|one)|has another head)"):
        pipe(inputs, **options)


class Numbered:
    """A dataset as PyTorch's are: neither an iterable, nor does it say where it ends."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, number):
        return self.items[number % len(self.items)]


def test_a_dataset_by_number_is_an_iterable(pipe, inputs, options, capsys):
    answers = pipe(Numbered(inputs), progress=True, **options)
    assert isinstance(answers, types.GeneratorType)
    assert_close(list(answers), pipe(inputs, **options))
    assert "100%" in capsys.readouterr().err
    request = pipe.read(Numbered(inputs), **options)
    assert_close(pipe.answer(request, pipe.compute(request.rows)), pipe(inputs, **options))


def test_answers_before_a_wrong_input_are_given_first(pipe, inputs, options):
    expected = pipe(inputs, **options)
    no_tokens = {
        "question-answering": {"question": "x", "context": "\u200b"},
        "multiple-choice": ("x" * 400, ["the small model " * 40, "a"]),
        "fill-mask": "[MASK]" + "the small model " * 40,
    }.get(pipe.task, "\u200b")
    if pipe.task == "zero-shot-classification":
        no_tokens = "the small model " * 40
    for bad, kind in ((3, TypeError), (no_tokens, ValueError)):
        given = []
        with pytest.raises(kind, match=r"^input 5: "):
            given.extend(pipe(iter([*inputs, bad, *inputs, 3]), **options))
        assert_close(given, expected)


class CountingModel:
    """Two labels, and how many rows it has computed."""

    config = distilbert.DistilBertConfig(vocab_size=200)
    rows = 0

    def __call__(self, input_ids, attention_mask):
        self.rows += len(input_ids)
        return np.eye(2)[input_ids.sum(-1) % 2]


def test_a_list_with_a_wrong_input_is_not_computed(tokenizer):
    pipe = distilbert.pipeline("text-classification", CountingModel(), tokenizer)
    with pytest.raises(ValueError, match="input 2"):
        pipe(["the", "small", ""])
    assert pipe.model.rows == 0


@pytest.mark.parametrize("kind", [list, iter])
def test_an_error_does_not_keep_the_model(kind, tokenizer):
    model = CountingModel()
    gone = weakref.ref(model)
    pipe = distilbert.pipeline("text-classification", model, tokenizer)
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(ValueError):
            list(pipe(kind(["the", "", "small"])))
        del pipe, model
        assert gone() is None
    finally:
        gc.enable()


def test_a_dataset_that_stops_early_is_an_error(tokenizer):
    class Dataset:
        def __len__(self):
            return 3

        def __getitem__(self, number):
            return next(iter([])) if number == 1 else "the"

    pipe = distilbert.pipeline("text-classification", CountingModel(), tokenizer)
    answers = pipe(Dataset())
    assert next(answers)
    with pytest.raises(RuntimeError):
        next(answers)


def test_a_bar_for_what_does_not_know_its_length(tokenizer, capsys):
    class Stream:
        def __iter__(self):
            return iter(["the", "small"])

        def __len__(self):
            raise NotImplementedError

    pipe = distilbert.pipeline("text-classification", CountingModel(), tokenizer)
    assert len(list(pipe(Stream(), progress=True))) == 2


def test_answers_before_an_error_of_the_source_are_given_first(pipe, inputs, options):
    def source():
        yield from inputs
        raise KeyError("text")

    given = []
    with pytest.raises(KeyError, match="text"):
        given.extend(pipe(source(), **options))
    assert_close(given, pipe(inputs, **options))


HARMLESS = {
    "batch_size": 8, "num_workers": 0, "padding": "longest", "framework": "pt",
    "trust_remote_code": False, "feature_extractor": None, "model_kwargs": {}, "use_fast": False,
    "tokenizer_kwargs": {},
}  # fmt: skip


def test_options_of_transformers_that_change_nothing(
    task, head, folder, make_model, tokenizer, inputs, options
):
    expected = distilbert.pipeline(task, make_model(head), tokenizer)(inputs, **options)
    pipe = distilbert.pipeline(task, folder(head), torch_dtype="float32", **HARMLESS)
    assert_close(pipe(inputs, **HARMLESS, **options), expected)
    assert_close(pipe(inputs, **HARMLESS | {"padding": "max_length"}, **options), expected)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("fill-mask", {"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ("fill-mask", {"batch_size": "8"}, "batch_size must be an integer, got '8'"),
        ("fill-mask", {"padding": "left"}, "fill-mask has no option 'padding': leave it out"),
        ("fill-mask", {"framework": "tf"}, "no option 'framework': leave it out"),
        ("fill-mask", {"tokenizer_kwargs": {"truncation": True}}, "say truncation=True"),
        ("fill-mask", {"model_kwargs": {"x": 1}}, "open the model with them by from_pretrained"),
        ("fill-mask", {"dtype": "float32"}, r"no option 'dtype': .* a model has model.to"),
        ("text-classification", {"return_all_scores": True}, "say top_k=None"),
        ("token-classification", {"grouped_entities": True}, "say aggregation_strategy="),
        ("token-classification", {"is_split_into_words": True}, "join the words"),
        ("zero-shot-classification", {"multi_class": True}, "say multi_label="),
        ("feature-extraction", {"return_tensors": True}, "torch.from_numpy"),
    ],
)
def test_options_of_transformers_that_ask_for_something(
    task, options, message, make_model, tokenizer
):
    with pytest.raises((TypeError, ValueError), match=message):
        distilbert.pipeline(task, make_model(HEAD_OF[task]), tokenizer, **options)


def test_a_device_is_no_option_of_a_call(pipe, inputs):
    with pytest.raises(TypeError, match="no option 'device': say it when the pipeline is made"):
        pipe(inputs, device="cpu")


def test_unknown_options(pipe, inputs):
    message = f"{pipe.task} has no option 'zzz'; it has max_length, .* when it is made batch_tok"
    with pytest.raises(TypeError, match=message):
        pipe(inputs, zzz=3)
    if "top_k" in vars(pipe.options):
        with pytest.raises(
            TypeError, match=r"no option 'topk'; did you mean top_k\? It has max_le"
        ):
            pipe(inputs, topk=3)
    with pytest.raises(ValueError, match="max_length=49 must be from 1 to the model's 48"):
        pipe(inputs, max_length=49)


@pytest.mark.parametrize("name", ["batch_tokens", "read_ahead"])
def test_sizes_are_positive(name, make_model, tokenizer):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        distilbert.pipeline("fill-mask", make_model("ForMaskedLM"), tokenizer, **{name: 0})


@pytest.mark.parametrize(
    ("task", "option", "value", "kind"),
    [
        ("fill-mask", "max_length", "8", "an integer"),
        ("fill-mask", "batch_tokens", "8", "an integer"),
        ("fill-mask", "read_ahead", 2.0, "an integer"),
        ("fill-mask", "top_k", 1.5, "an integer"),
        ("fill-mask", "targets", 3, "a list of strings"),
        ("text-classification", "top_k", 1.5, "an integer"),
        ("question-answering", "top_k", True, "an integer"),
        ("question-answering", "max_seq_len", "8", "an integer"),
        ("question-answering", "max_answer_len", None, "an integer"),
        ("question-answering", "doc_stride", 0.5, "an integer"),
        ("question-answering", "handle_impossible_answer", "no", "true or false"),
        ("question-answering", "align_to_words", 0, "true or false"),
        ("token-classification", "stride", "4", "an integer"),
        ("token-classification", "ignore_labels", "O", "a list of strings"),
        ("token-classification", "ignore_labels", [0], "a list of strings"),
        ("zero-shot-classification", "candidate_labels", 3, "a list of strings"),
        ("zero-shot-classification", "multi_label", "no", "true or false"),
        ("feature-extraction", "normalize", "no", "true or false"),
    ],
)
def test_options_of_the_wrong_type(make_model, tokenizer, task, option, value, kind):
    with pytest.raises(TypeError, match=f"^{option} must be {kind}"):
        distilbert.pipeline(task, make_model(HEAD_OF[task]), tokenizer, **{option: value})


def test_sizes_may_be_of_numpy(make_model, tokenizer):
    fill = distilbert.pipeline("fill-mask", make_model("ForMaskedLM"), tokenizer)
    assert len(fill("the [MASK]", top_k=np.int64(3), max_length=np.int32(9))) == 3


def test_empty_and_other_inputs_are_told_with_their_number(pipe, inputs, options):
    empty = {
        "question-answering": {"question": " ", "context": "x"},
        "multiple-choice": ("", ["a", "b"]),
    }
    bad = empty.get(pipe.task, " \n")
    with pytest.raises(ValueError, match=r"^input 1: the (text|question) is empty"):
        pipe([inputs[0], bad], **options)
    with pytest.raises(ValueError, match=r"^the (text|question) is empty"):
        pipe(bad, **options)
    with pytest.raises(TypeError, match=r"^input 2: "):
        list(pipe(iter([*inputs[:2], 3]), **options))
    with pytest.raises(TypeError, match="expected a"):
        pipe(3, **options)


def test_a_string_is_one_input_even_if_it_is_a_wrong_one(pipe, options):
    with pytest.raises(TypeError, match=r"^(expected a|the text must be a string, not b'ab')"):
        pipe(b"ab", **options)
    if pipe.task in ("question-answering", "multiple-choice"):
        with pytest.raises(TypeError, match=r"^expected a .* not 'ab'"):
            pipe("ab", **options)


def test_what_is_found_wrong_when_texts_are_encoded_has_its_number_too(pipe, inputs, options):
    no_tokens, long = "\u200b", "the small model " * 40
    bad = {
        "question-answering": [
            {"question": long, "context": "x"}, {"question": "x", "context": no_tokens},
        ],
        "multiple-choice": [(long, ["a", "b"])],
        "zero-shot-classification": [long],
        "token-classification": [no_tokens],
        "fill-mask": ["[MASK]" + long],
    }.get(pipe.task, [long, no_tokens])  # fmt: skip
    pipe.read_ahead = 3
    for item in bad:
        with pytest.raises(ValueError, match=r"^input 4: the (text|question|context) .* tokens"):
            pipe([*inputs[:4], item, item], **options)
        with pytest.raises(ValueError, match=r"^the (text|question|context) .* tokens"):
            pipe(item, **options)


def test_a_tokenizer_larger_than_the_model(task, head, make_model, tokenizer, tiny_vocab):
    more = distilbert.DistilBertTokenizerFast(tiny_vocab, model_max_length=48)
    more.add_tokens(["zzz"])
    size, model = len(tokenizer), make_model(head)
    message = rf"has {size + 1} ids and the model {size} .*resize_token_embeddings\({size + 1}\)"
    with pytest.raises(ValueError, match=message):
        distilbert.pipeline(task, model, more)
    model.resize_token_embeddings(size + 1)
    distilbert.pipeline(task, model, more)


def test_options_that_are_iterators_serve_every_input(tokenizer, make_model):
    classify = distilbert.pipeline(
        "zero-shot-classification", make_model("ForSequenceClassification"), tokenizer
    )
    labels, texts = ["small", "a model"], ["the", "un"]
    assert classify(texts, (label for label in labels)) == classify(texts, labels)
    fill = distilbert.pipeline("fill-mask", make_model("ForMaskedLM"), tokenizer)
    assert fill("[MASK]", targets=iter(labels[:1])) == fill("[MASK]", targets=labels[:1])


def test_long_inputs_are_refused_or_cut_or_read_in_windows(pipe, options):
    long = "the small model " * 40
    if pipe.task == "question-answering":
        assert pipe(question="what?", context=long)["answer"]
        return
    if pipe.task == "token-classification":
        assert pipe(long, ignore_labels=[])[-1]["end"] == len(long) - 1
        return
    item = f"[MASK] {long}" if pipe.task == "fill-mask" else long
    item = {"text": long, "choices": ["a", "b"]} if pipe.task == "multiple-choice" else item
    with pytest.raises(
        ValueError, match=r"has 1[23]\d tokens, and at most 48 fit: .*set truncation"
    ):
        pipe(item, **options)
    assert pipe(item, truncation=True, **options) is not None


def test_unknown_tasks():
    with pytest.raises(ValueError, match="no task 'fill-masks'; did you mean fill-mask"):
        distilbert.pipeline("fill-masks", "x")
    with pytest.raises(
        ValueError, match=r"no task 'zzz'\. There are feature-extraction, fill-mask, "
    ):
        distilbert.pipeline("zzz", "x")


def test_other_names_of_tasks(make_model, tokenizer):
    ner = distilbert.pipeline("ner", make_model("ForTokenClassification"), tokenizer)
    assert isinstance(ner, distilbert.TokenClassificationPipeline)
    mood = distilbert.pipeline(
        "sentiment-analysis", make_model("ForSequenceClassification"), tokenizer
    )
    assert isinstance(mood, distilbert.TextClassificationPipeline)


def test_every_task_has_its_class():
    assert {cls.__name__ for cls in TASKS.values()} == {
        name for name in distilbert.__all__ if name.endswith("Pipeline")
    }


def test_a_stream_needs_constant_memory(tokenizer):
    config = distilbert.DistilBertConfig(vocab_size=len(tokenizer))

    def model(input_ids, attention_mask):
        return np.zeros((len(input_ids), 2))

    pipe = distilbert.pipeline(
        "text-classification", model, tokenizer, config=config, read_ahead=16
    )

    def peak(count):
        tracemalloc.start()
        for _ in pipe(f"the small model {i % 7}" for i in range(count)):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(50)
    assert peak(2000) < 2 * peak(100)


def read_before_an_answer(pipe, text, **options):
    """How many of ten texts a pipeline reads before it gives the first answer."""
    read = []

    def texts():
        for _ in range(10):
            read.append(1)
            yield text

    next(pipe(texts(), **options))
    return len(read)


def test_long_inputs_end_the_reading_ahead(tokenizer, monkeypatch):
    monkeypatch.setattr("distilbert.pipelines.flow.MOST_CHARACTERS_AHEAD", 1000)
    config = distilbert.DistilBertConfig(vocab_size=len(tokenizer))

    def model(input_ids, attention_mask):
        return np.zeros((*input_ids.shape, 2))

    pipe = distilbert.pipeline("token-classification", model, tokenizer, config=config)
    assert read_before_an_answer(pipe, "the " * 100) == 3


def test_texts_that_become_many_rows_end_it_sooner(tokenizer, make_model, monkeypatch):
    monkeypatch.setattr("distilbert.pipelines.flow.MOST_CHARACTERS_AHEAD", 1000)
    classify = distilbert.pipeline(
        "zero-shot-classification", make_model("ForSequenceClassification"), tokenizer
    )
    labels = ["small", "model", "able", "the", "un"]
    options = {"candidate_labels": labels, "hypothesis_template": "{}"}
    assert read_before_an_answer(classify, "the " * 20, **options) == 3


def test_reading_counts_the_tokens_of_its_rows(task, head, make_model, tokenizer, inputs, options):
    pipe = distilbert.pipeline(task, make_model(head), tokenizer, read_ahead=2)
    if task == "token-classification":
        inputs = [*inputs, "the small model " * 40]  # several windows
    for asked in (inputs, inputs[0]):
        counted = []
        request = pipe.read(asked, counted.append, **options)
        assert sum(counted) == sum(len(row.ids) for row, _ in request.rows)
        assert len(counted) > 1 or asked == inputs[0]


class EnoughError(Exception):
    pass


@pytest.mark.parametrize(
    ("task", "inputs", "options"),
    [
        ("text-classification", ["the"] * 1000 + [""], {}),
        ("zero-shot-classification", "the", {"candidate_labels": ["the"] * 9999 + ["un " * 50]}),
        ("multiple-choice", {"text": "the", "choices": ["the"] * 29_999 + ["un " * 50]}, {}),
    ],
)
def test_no_more_is_read_than_is_counted(task, inputs, options, make_model, tokenizer):
    pipe = distilbert.pipeline(task, make_model(HEAD_OF[task]), tokenizer)

    def count(tokens):
        raise EnoughError

    with pytest.raises(ValueError, match=r"is empty|at most 48 fit"):
        pipe.read(inputs, **options)
    with pytest.raises(EnoughError):  # before the last row, which is wrong
        pipe.read(inputs, count, **options)


@pytest.mark.parametrize(
    ("task", "stride", "tokens"),
    # 1000 windows, but for those of the first tokens: with [CLS], [SEP] and the question.
    [("token-classification", {"stride": 45}, 46), ("question-answering", {"doc_stride": 42}, 43)],
)
def test_windows_are_counted_before_they_are_made(
    task, stride, tokens, make_model, tokenizer, monkeypatch
):
    pipe = distilbert.pipeline(task, make_model(HEAD_OF[task]), tokenizer)
    text = "the " * 1000
    inputs = {"question": "un?", "context": text} if "question" in task else text
    counted = []

    def count(tokens):
        counted.append(tokens)
        raise EnoughError

    windows = tokenizer.__class__.__call__

    def call(self, *args, **options):
        assert not options.get("return_overflowing_tokens"), "windows were made"
        return windows(self, *args, **options)

    monkeypatch.setattr(tokenizer.__class__, "__call__", call)
    with pytest.raises(EnoughError):
        pipe.read(inputs, count, **stride)
    assert counted == [(1000 - tokens + 1) * 48]


def test_making_a_pipeline_of_a_callable_needs_no_framework():
    code = """
import sys, numpy as np, distilbert as d
words = "[PAD] [UNK] [CLS] [SEP] [MASK] a".split()
tokenizer = d.DistilBertTokenizer({word: i for i, word in enumerate(words)})
model = lambda input_ids, attention_mask: np.ones((len(input_ids), 2))
print(d.pipeline("text-classification", model, tokenizer, config=d.DistilBertConfig())("a"))
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    roots = {name.partition(".")[0] for name in done.stdout.split()}
    assert "distilbert" in roots
    assert not roots & {"torch", "tensorflow", "keras", "transformers", "rich", "sklearn", "scipy"}


def test_softmax_stays_finite():
    np.testing.assert_allclose(softmax(np.array([[1e4, 0], [-1e4, 0]])), [[1, 0], [0, 1]])


def test_text_of():
    assert text_of(" a ") == " a "
    with pytest.raises(TypeError, match=r"the label must be a string, not 3 \(int\)"):
        text_of(3, "the label")
