"""Our tokenizers against those of the installed transformers, 4.57 or 5.

Version 4 has a slow and a fast tokenizer: ours must give what both give wherever they agree.
"""

import json
import logging
import random
from pathlib import Path

import pytest

import distilbert

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
transformers = pytest.importorskip("transformers")
OLD = transformers.__version__.startswith("4.")
VOCABS = ["uncased", "cased", "multilingual-cased", "chinese"]
TEXTS = [
    "The quick brown fox, aren't you? It's unaffable!",
    "naïve café Ünïcödé — “quotes” … ﬁ",
    "中国人民 日本語 한국어 ภาษาไทย हिन्दी العربية",
    "a [MASK] b [SEP] [mask] <x> Foo foobar new token",
    " tabs\tand\nlines  ",
    "😀 🇺🇳 👨‍👩‍👧 \u200b\u00ad end",
    "",
    "x" * 120,
    "2019-12-31 $3.50 http://a.b/c?d=e&f=g @me #tag",
]
PIECES = ["the", "a", "[MASK]", "foo,", "don't", "é", "中国", "unaffable", "😀", "[SEP]"]
PIECES += ["zz", "##s", "<x>", "."]
ROUNDS = 150


def draw_text(draw: random.Random) -> str:
    return " ".join(draw.choices(PIECES, k=draw.randint(0, 8)))


def draw_texts(draw: random.Random, count: int) -> list[str]:
    return [draw_text(draw) for _ in range(count)]


def draw_options(draw: random.Random) -> dict:
    return {
        "add_special_tokens": draw.random() < 0.8,
        "padding": draw.choice([False, True, "max_length"]),
        "truncation": draw.choice([False, True, "only_first", "only_second"]),
        "max_length": draw.choice([None, 5, 8, 11]),
        "pad_to_multiple_of": draw.choice([None, None, 4]),
        "return_token_type_ids": draw.choice([None, True]),
        "return_special_tokens_mask": draw.random() < 0.5,
    }


@pytest.fixture(autouse=True)
def silent(caplog):
    """What either says of lengths and truncation is not compared here."""
    caplog.set_level(logging.CRITICAL, "transformers")
    caplog.set_level(logging.CRITICAL, "distilbert")


def theirs_of(folder, **kwargs):
    """Open a folder with every tokenizer of the installed transformers."""
    classes = [transformers.DistilBertTokenizerFast]
    if OLD:
        classes.append(transformers.DistilBertTokenizer)
    return [cls.from_pretrained(folder, **kwargs) for cls in classes]


def ours_of(folder, **kwargs):
    classes = [distilbert.DistilBertTokenizer, distilbert.DistilBertTokenizerFast]
    return [cls.from_pretrained(folder, **kwargs) for cls in classes]


def outcome(call):
    try:
        return call()
    except BaseException as error:  # the Rust library's panics are no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return type(error)


def check(theirs, ours, call):
    """Compare the results of a call wherever theirs agree; what they refuse, ours may answer."""
    expected = [outcome(lambda t=t: call(t)) for t in theirs]
    if isinstance(expected[0], type) or any(other != expected[0] for other in expected):
        return
    for tokenizer in ours:
        assert call(tokenizer) == expected[0]


@pytest.fixture(scope="module", params=VOCABS)
def kinds(request, shared_data, tmp_path_factory):
    """Theirs and ours on one of the canonical vocabularies, from files that we wrote."""
    name = request.param
    vocab = shared_data / "vocab" / f"bert-base-{name}-vocab.txt"
    folder = tmp_path_factory.mktemp(name)
    made = distilbert.DistilBertTokenizerFast(
        vocab, do_lower_case=name == "uncased", model_max_length=512
    )
    made.save_pretrained(folder)
    return theirs_of(folder), ours_of(folder)


def test_texts(kinds):
    theirs, ours = kinds
    for sample in TEXTS:
        check(theirs, ours, lambda t, sample=sample: t(sample)["input_ids"])
        check(theirs, ours, lambda t, sample=sample: t.tokenize(sample))
        check(theirs, ours, lambda t, sample=sample: t.encode(sample, TEXTS[0]))
        check(theirs, ours, lambda t, sample=sample: t(sample, return_special_tokens_mask=True))
    check(theirs, ours, lambda t: dict(t(TEXTS, padding=True)))
    check(theirs, ours, lambda t: dict(t(TEXTS, TEXTS[::-1], padding=True)))
    for skip in (False, True):
        check(theirs, ours, lambda t, skip=skip: t.batch_decode(t(TEXTS)["input_ids"], skip))
        if not OLD:
            check(theirs, ours, lambda t, skip=skip: t.decode(t(TEXTS)["input_ids"], skip))
    for fast in theirs[:1]:
        expected = fast(TEXTS, return_offsets_mapping=True)
        for tokenizer in ours:
            encoding = tokenizer(TEXTS, return_offsets_mapping=True)
            assert encoding.offset_mapping == expected["offset_mapping"]
            for i in range(len(TEXTS)):
                assert encoding.word_ids(i) == expected.word_ids(i)
                assert encoding.sequence_ids(i) == expected.sequence_ids(i)


def test_attributes(kinds):
    theirs, ours = kinds
    for name in (
        "vocab_size",
        "model_max_length",
        "padding_side",
        "truncation_side",
        "model_input_names",
        "pad_token",
        "pad_token_id",
        "unk_token_id",
        "cls_token_id",
        "sep_token_id",
        "mask_token_id",
        "pad_token_type_id",
        "clean_up_tokenization_spaces" if OLD else "vocab_size",
        "special_tokens_map",
    ):
        check(theirs, ours, lambda t, name=name: getattr(t, name))
    check(theirs, ours, len)
    check(theirs, ours, lambda t: t.get_vocab())
    check(theirs, ours, lambda t: sorted(t.all_special_ids))
    check(theirs, ours, lambda t: t.num_special_tokens_to_add(pair=True))
    check(theirs, ours, lambda t: {i: str(tok) for i, tok in t.added_tokens_decoder.items()})
    check(theirs, ours, lambda t: t.convert_ids_to_tokens([101, 102, 103]))
    check(theirs, ours, lambda t: t.convert_tokens_to_ids(["the", "nowhere-to-be-found"]))
    check(theirs, ours, lambda t: t.convert_tokens_to_string(["un", "##aff", "able", "a"]))
    if OLD:
        check(theirs, ours, lambda t: t.build_inputs_with_special_tokens([5], [6]))
        check(theirs, ours, lambda t: t.create_token_type_ids_from_sequences([5], [6, 7]))
        check(theirs, ours, lambda t: t.get_special_tokens_mask([101, 5, 102], None, True))
        check(theirs, ours, lambda t: dict(t.prepare_for_model([5, 6, 7], [8], max_length=6)))
        check(theirs, ours, lambda t: t.truncate_sequences([1, 2, 3], [4], 1, "only_first", 1))


@pytest.fixture(scope="module")
def uncased(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("options")
    vocab = shared_data / "vocab" / "bert-base-uncased-vocab.txt"
    made = distilbert.DistilBertTokenizerFast(vocab, model_max_length=512)
    made.add_special_tokens({"additional_special_tokens": ["<x>"]})
    made.save_pretrained(folder)
    return theirs_of(folder), ours_of(folder)


def test_options(uncased):
    theirs, ours = uncased
    draw = random.Random(1)
    for _ in range(ROUNDS):
        a = draw_texts(draw, draw.randint(1, 3))
        b = draw_text(draw) or "b"  # without a batch, theirs takes an empty second text for none
        options, pair = draw_options(draw), draw.random() < 0.5
        seconds = [b] * len(a) if pair else None
        check(theirs, ours, lambda t, a=a, b=seconds, o=options: dict(t(a, b, **o)))
        second = b if pair else None
        check(theirs, ours, lambda t, a=a[0], b=second, o=options: dict(t(a, b, **o)))
        check(theirs, ours, lambda t, a=a[0]: t.decode(t.encode(a), skip_special_tokens=True))


def test_words(uncased):
    theirs, ours = uncased
    draw = random.Random(2)
    for _ in range(ROUNDS):
        words, options = draw_texts(draw, draw.randint(1, 4)), draw_options(draw)
        check(
            theirs,
            ours,
            lambda t, w=words, o=options: dict(t(w, is_split_into_words=True, **o)),
        )


def test_overflow_rows_are_those_of_the_fast_one(uncased):
    [fast, *_], ours = uncased
    draw = random.Random(3)
    for _ in range(ROUNDS):
        a, b = draw_texts(draw, 2)
        batch = draw.choice([([a, b], [b, a]), ([a, b],)])
        max_length = draw.randint(4, 9)
        options = {
            "truncation": draw.choice([True, "only_first", "only_second"]),
            "max_length": max_length,
            "stride": draw.randint(0, 2),
            "return_overflowing_tokens": True,
            "return_offsets_mapping": True,
        }
        fast.truncation_side = draw.choice(["left", "right"])
        expected = outcome(lambda batch=batch, options=options: dict(fast(*batch, **options)))
        for tokenizer in ours:
            tokenizer.truncation_side = fast.truncation_side
            result = outcome(lambda t=tokenizer, b=batch, o=options: dict(t(*b, **o)))
            if isinstance(result, type):
                rows = [] if isinstance(expected, type) else expected["input_ids"]
                assert result is ValueError
                assert (
                    isinstance(expected, type)
                    or options["stride"] >= max_length - 3
                    or any(len(row) > max_length for row in rows)
                )
            else:
                assert result == expected
    for tokenizer in (fast, *ours):
        tokenizer.truncation_side = "right"


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("added", [True, False])
def test_files_both_ways(tmp_path, shared_data, lower, added):
    vocab = str(shared_data / "vocab" / "bert-base-cased-vocab.txt")
    if OLD:
        classes = [transformers.DistilBertTokenizer, transformers.DistilBertTokenizerFast]
        made = [cls(vocab, do_lower_case=lower, model_max_length=99) for cls in classes]
    else:
        tokens = Path(vocab).read_text(encoding="utf-8").split("\n")[:-1]
        ids = {token: i for i, token in enumerate(tokens)}
        made = [transformers.DistilBertTokenizer(ids, do_lower_case=lower, model_max_length=99)]
    made += [
        cls(vocab, do_lower_case=lower, model_max_length=99)
        for cls in (distilbert.DistilBertTokenizer, distilbert.DistilBertTokenizerFast)
    ]
    for i, writer in enumerate(made):
        if added:
            writer.add_tokens(["new token", "zzyzx"])
            writer.add_special_tokens({"additional_special_tokens": ["<x>"]})
        folder = tmp_path / str(i)
        writer.save_pretrained(folder)
        ours = ours_of(folder)
        from_theirs = type(writer).__module__.startswith("transformers")
        theirs = [writer] if from_theirs else theirs_of(folder)
        sample = "The Unaffable new token, zzyzx <x> [MASK] café 中国"
        for tokenizer in ours:
            for their in theirs:
                assert tokenizer(sample)["input_ids"] == their(sample)["input_ids"]
                assert tokenizer.decode(tokenizer.encode(sample)) == their.decode(
                    their.encode(sample)
                )
                assert tokenizer.get_vocab() == their.get_vocab()
                assert set(tokenizer.all_special_tokens) == set(their.all_special_tokens)
                if not OLD:
                    assert tokenizer.extra_special_tokens == their.extra_special_tokens
                assert tokenizer.model_max_length == their.model_max_length
        check(theirs, ours, lambda t: dict(t(TEXTS, padding=True)))


def test_what_only_our_configuration_says_does_not_disturb_theirs(tmp_path, tiny_vocab):
    names = ["input_ids", "token_type_ids"]
    distilbert.DistilBertTokenizer(
        tiny_vocab,
        never_split=["x"],
        clean_text=False,
        max_input_chars_per_word=4,
        model_input_names=names,
    ).save_pretrained(tmp_path)
    assert not (tmp_path / "tokenizer.json").exists()
    for their in theirs_of(tmp_path):
        assert list(their("the un")) == names
        assert their("the un")["input_ids"] == ours_of(tmp_path)[0]("the un").input_ids


def test_vocab_txt_alone(tmp_path, shared_data):
    vocab = shared_data / "vocab" / "bert-base-uncased-vocab.txt"
    (tmp_path / "vocab.txt").write_bytes(vocab.read_bytes())
    if OLD:
        check(theirs_of(tmp_path), ours_of(tmp_path), lambda t: dict(t(TEXTS)))
    assert len(ours_of(tmp_path)[0]) == 30522


def test_a_conflict_is_solved_as_in_version_4(tmp_path, shared_data):
    vocab = shared_data / "vocab" / "bert-base-uncased-vocab.txt"
    distilbert.DistilBertTokenizerFast(vocab).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    change = {"do_lower_case": False, "tokenize_chinese_chars": False, "strip_accents": True}
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    if OLD:
        check(theirs_of(tmp_path), ours_of(tmp_path), lambda t: dict(t(TEXTS)))
    assert ours_of(tmp_path)[0].tokenize("THE") == ["[UNK]"]


def test_transformers_collators_take_ours(uncased):
    _, ours = uncased
    for tokenizer in ours:
        rows = [tokenizer("the small model"), tokenizer("a")]
        batch = transformers.DataCollatorWithPadding(tokenizer)(rows)
        assert batch["input_ids"].shape == (2, 5)
        labels = [{**row, "labels": [0] * len(row["input_ids"])} for row in rows]
        batch = transformers.DataCollatorForTokenClassification(tokenizer)(labels)
        assert batch["labels"].shape == (2, 5)
        batch = transformers.DataCollatorForLanguageModeling(tokenizer)(rows)
        assert batch["labels"].shape == (2, 5)
