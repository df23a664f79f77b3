"""`distilbert trim`: the same answers from a smaller model."""

import json

import pytest
import torch

import distilbert as d
from distilbert.cli import main

TEXTS = ["the small model", "unaffable models", "a model, the small!"]


@pytest.fixture
def save(tmp_path, tiny_vocab):
    """Return a function that saves a model of a class, with more rows than its tokenizer has."""

    def save(cls, vocab=tiny_vocab, **options):
        config = cls.config_class(
            vocab_size=128, max_position_embeddings=32, n_layers=2, n_heads=2, dim=32,
            hidden_dim=48, initializer_range=0.3, **options,
        )  # fmt: skip
        cls(config).save_pretrained(tmp_path / "model")
        d.DistilBertTokenizerFast(vocab).save_pretrained(tmp_path / "model")
        return str(tmp_path / "model")

    return save


def trim(tmp_path, model, *flags, texts=TEXTS):
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(texts) + "\n")
    out = tmp_path / "small"
    return out, main(["trim", "--model", model, "--sources", str(file), "--out", str(out), *flags])


@pytest.mark.parametrize(
    "cls",
    [d.DistilBertForSequenceClassification, d.BertForTokenClassification, d.DistilBertModel],
    ids=lambda cls: cls.__name__,
)
def test_the_same_outputs(cls, save, tmp_path, capsys):
    big = save(cls)
    out, code = trim(tmp_path, big)
    said = capsys.readouterr().err
    assert code == 0, said
    rows = len(d.DistilBertTokenizerFast.from_pretrained(out))
    assert f"{rows} of 128 tokens are kept, 100 % of what is in the texts; " in said
    assert cls.config_class.from_pretrained(out).vocab_size == rows < 90
    found, expected = (
        cls.from_pretrained(folder)(
            **d.DistilBertTokenizerFast.from_pretrained(folder)(
                TEXTS, padding=True, return_tensors="pt"
            )
        )[0]
        for folder in (out, big)
    )
    assert torch.equal(found, expected)


def test_a_berts_tokenizer_says_that_it_is_one(save, tmp_path):
    """So that others give it segment ids for pairs."""
    for cls, name in (
        (d.BertForSequenceClassification, "BertTokenizer"),
        (d.DistilBertForSequenceClassification, "DistilBertTokenizer"),
    ):
        out, code = trim(tmp_path, save(cls))
        assert code == 0
        assert json.loads((out / "tokenizer_config.json").read_text())["tokenizer_class"] == name


def test_letters_of_unknown_words_stay(save, tmp_path, tiny_vocab):
    big = save(d.DistilBertModel)
    out, code = trim(tmp_path, big, texts=["中\u2603 the"])  # a snowman: one unknown word
    assert code == 0
    assert "\u4e2d" in d.DistilBertTokenizer.from_pretrained(out).get_vocab()
    out, code = trim(tmp_path, big, texts=["the"])
    assert "\u4e2d" not in d.DistilBertTokenizer.from_pretrained(out).get_vocab()


def test_special_tokens_in_texts_are_no_text(save, tmp_path):
    big = save(d.DistilBertModel)
    tokenizer = d.DistilBertTokenizerFast.from_pretrained(big)
    tokenizer.add_special_tokens({"additional_special_tokens": ["@u"]})
    tokenizer.save_pretrained(big)
    out, code = trim(tmp_path, big, texts=["the @umodel"])
    assert code == 0
    small = d.DistilBertTokenizerFast.from_pretrained(out)
    assert small.tokenize("the @umodel") == ["the", "@u", "model"]


def test_a_tokenizer_that_the_fast_one_reads_otherwise(save, tmp_path, tiny_vocab):
    big = save(d.DistilBertModel)
    d.DistilBertTokenizer(tiny_vocab, do_basic_tokenize=False).save_pretrained(big)
    text = "the Small model, unaffable"  # "Small" and "model," are unknown as they are
    out, code = trim(tmp_path, big, texts=[text])
    assert code == 0
    for cls in (d.DistilBertTokenizer, d.DistilBertTokenizerFast):
        before, after = cls.from_pretrained(big), cls.from_pretrained(out)
        assert after.tokenize(text) == before.tokenize(text)


@pytest.mark.parametrize("pad", [127, 40])
def test_a_padding_token_that_no_text_has(save, tmp_path, pad):
    big = save(d.DistilBertForMaskedLM, pad_token_id=pad)
    out, code = trim(tmp_path, big)
    assert code == 0
    small = d.DistilBertForMaskedLM.from_pretrained(out)
    row = d.DistilBertForMaskedLM.from_pretrained(big).get_input_embeddings().weight[pad]
    assert torch.equal(small.get_input_embeddings().weight[small.config.pad_token_id], row)
    assert d.DistilBertTokenizerFast.from_pretrained(out).tokenize(TEXTS[0]) == TEXTS[0].split()


def test_a_checkpoint_of_pre_training(save, tmp_path):
    big = save(d.BertForMaskedLM)
    file = tmp_path / "model" / "config.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"architectures": ["BertForPreTraining"]}))
    assert trim(tmp_path, big)[1] == 0
    file.write_text(json.dumps(content | {"architectures": None}))
    assert trim(tmp_path, big)[1] == 1
    assert trim(tmp_path, big, "--head", "ForMaskedLM")[1] == 0


def test_the_type_of_the_weights_stays(save, tmp_path):
    big = save(d.DistilBertForMaskedLM)
    d.DistilBertForMaskedLM.from_pretrained(big).half().save_pretrained(big)
    out, code = trim(tmp_path, big)
    assert code == 0
    small = d.DistilBertForMaskedLM.from_pretrained(out, dtype="auto")
    assert small.dtype == torch.float16
    assert small.vocab_projector.weight is small.get_input_embeddings().weight


def test_two_columns_and_frequencies(save, tmp_path, capsys):
    big = save(d.DistilBertModel)
    rows = [
        {"premise": "the small", "hypothesis": "unaffable"},
        {"premise": "the", "hypothesis": "the"},
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = ["trim", "--model", big, "--sources", str(file), "--out", str(tmp_path / "small")]
    columns = ["--text_column", "premise", "hypothesis"]
    assert main([*flags, *columns]) == 0
    vocab = d.DistilBertTokenizer.from_pretrained(tmp_path / "small").get_vocab()
    assert {"the", "small", "un", "##aff", "##able"} <= set(vocab)
    assert "model" not in vocab
    capsys.readouterr()
    assert main([*flags, *columns, "--min_frequency", "2"]) == 0
    vocab = d.DistilBertTokenizer.from_pretrained(tmp_path / "small").get_vocab()
    assert "the" in vocab
    assert "small" not in vocab
    assert main([*flags, *columns, "b"]) == 1
    assert "has no column 'b'" in capsys.readouterr().err
    with (tmp_path / "more.txt").open("w") as more:
        more.write("small\n")  # which is read once, whatever the columns are
    both = ["--sources", str(file), str(tmp_path / "more.txt"), "--min_frequency", "3"]
    assert main([*flags, *columns, *both]) == 0
    vocab = d.DistilBertTokenizer.from_pretrained(tmp_path / "small").get_vocab()
    assert "the" in vocab
    assert "small" not in vocab
    # Of the texts' 8 tokens 3 are `the`.
    assert "37.5 % of what is in the texts" in capsys.readouterr().err


def test_a_largest_number_of_tokens(save, tmp_path):
    """The most frequent words stay, with the alphabet and the special tokens."""
    big = save(d.DistilBertModel)
    for size, words in (("1", set()), ("67", {"the"}), ("1000", {"the", "small", "model"})):
        texts = ["the small", "the model", "the"]
        out, code = trim(tmp_path, big, "--vocab_size", size, texts=texts)
        assert code == 0
        vocab = d.DistilBertTokenizer.from_pretrained(out).get_vocab()
        assert {"the", "small", "model"} & set(vocab) == words
        assert {"a", "##z", "[MASK]"} <= set(vocab)


def test_what_was_in_the_folder_is_replaced(save, tmp_path):
    """Other files of an older model would be opened beside or instead of the new ones."""
    big = save(d.DistilBertForMaskedLM)
    out = tmp_path / "small"
    d.DistilBertForMaskedLM.from_pretrained(big).save_pretrained(out, max_shard_size="8KB")
    (out / "added_tokens.json").write_text('{"zzz": 73}')
    assert trim(tmp_path, big)[1] == 0
    assert [path.name for path in out.glob("model*")] == ["model.safetensors"]
    assert not (out / "added_tokens.json").exists()


def test_a_tokenizer_with_more_tokens_than_the_model_has(save, tmp_path, tiny_vocab, capsys):
    big = save(d.DistilBertModel)
    more = d.DistilBertTokenizerFast(tiny_vocab)
    more.add_tokens([f"more{i}" for i in range(128)])
    more.save_pretrained(big)
    assert trim(tmp_path, big)[1] == 1
    assert "entries, its model vectors for 128" in capsys.readouterr().err
    assert not [*(tmp_path / "small").iterdir()]


def test_words_that_the_slow_tokenizer_never_splits(save, tmp_path, tiny_vocab):
    """The fast one cuts them, and has to find the pieces."""
    big = save(d.DistilBertModel, vocab=tiny_vocab | {"small.model": len(tiny_vocab)})
    slow = d.DistilBertTokenizer.from_pretrained(big, never_split=["small.model"])
    slow.save_pretrained(big)
    text = "the small.model"
    out, code = trim(tmp_path, big, texts=[text])
    assert code == 0
    for cls in (d.DistilBertTokenizer, d.DistilBertTokenizerFast):
        before, after = cls.from_pretrained(big), cls.from_pretrained(out)
        assert after.tokenize(text) == before.tokenize(text)


def test_wrong_settings(save, tmp_path, capsys):
    big = save(d.DistilBertModel)
    for flags, message in (
        (["--min_frequency", "0"], "min_frequency=0 must be at least 1"),
        (["--vocab_size", "0"], "vocab_size=0 must be at least 1"),
        (["--out", big], "is the model itself: give another folder"),
    ):
        assert trim(tmp_path, big, *flags)[1] == 1
        assert message in capsys.readouterr().err
    assert trim(tmp_path, big, texts=[" "])[1] == 1
    assert "there is no text in" in capsys.readouterr().err
    assert not [*(tmp_path / "small").iterdir()]
