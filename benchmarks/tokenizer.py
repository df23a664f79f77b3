"""`DistilBertTokenizer` against the class of that name in transformers 4.57, on English.

Run it where transformers 4.57 is: `.venv-4.57/bin/python benchmarks/tokenizer.py`. Without it, or
in its 5.x, which has none, only our times and those of the Rust library are shown.

Every contender is called with the same list of paragraphs. *First pass*: a tokenizer that has
seen nothing. *Steady*: one that has seen the text. The other side has no offsets: ours with
offsets is compared with theirs without. The outputs are compared before anything is timed.
The last line printed is one JSON document.
"""

import argparse
import ast
import gc
import json
import platform
import statistics
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from distilbert import DistilBertTokenizer
from distilbert.tokenization.wordpiece import load_vocab

SHARED = Path(__file__).resolve().parents[2] / "shared/data"

REFERENCE = "transformers, ids"

Contender = Callable[[list[str]], Any]


def wikipedia() -> list[str]:
    import pyarrow.parquet as pq

    table = pq.read_table(SHARED / "text_wikipedia_squad/train.parquet")
    return table.column("text").to_pylist()


def docstrings() -> list[str]:
    found = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                found.append(ast.get_docstring(node) or "")
    return [text for text in found if len(text) > 200]


def english() -> tuple[str, list[str]]:
    try:
        return "text_wikipedia_squad", wikipedia()
    except (ImportError, FileNotFoundError):
        return "docstrings of the standard library", docstrings()


def small_vocab(texts: list[str]) -> dict[str, int]:
    from tokenizers.trainers import WordPieceTrainer

    tokenizer = rust({"[UNK]": 0})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        texts, WordPieceTrainer(vocab_size=10_000, special_tokens=special, show_progress=False)
    )
    return tokenizer.get_vocab()


def rust(vocab: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def theirs(vocab: dict[str, int], folder: Path) -> dict[str, Contender]:
    """Return the ways to ids that version 4 has, the one that others are measured by first."""
    try:
        import transformers
    except ImportError:
        return {}
    if not transformers.__version__.startswith("4."):
        return {}
    path = folder / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in sorted(vocab, key=vocab.__getitem__)))
    tokenizer = transformers.DistilBertTokenizer(str(path), model_max_length=10**9)
    build = tokenizer.build_inputs_with_special_tokens
    return {
        REFERENCE: lambda texts: tokenizer(texts)["input_ids"],
        "transformers, tokenize and convert": lambda texts: [
            build(tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))) for text in texts
        ],
    }


def ids(tokenizer: DistilBertTokenizer) -> Contender:
    return lambda texts: tokenizer(texts)["input_ids"]


def offsets(tokenizer: DistilBertTokenizer) -> Contender:
    return lambda texts: tokenizer(texts, return_offsets_mapping=True)


def one_by_one(tokenizer: DistilBertTokenizer) -> Contender:
    return lambda texts: [tokenizer(text) for text in texts]


def seconds(contender: Contender, texts: list[str]) -> float:
    # Every contender runs in one thread: its CPU time is its time on a machine of its own.
    gc.collect()
    start = time.process_time()
    contender(texts)
    return time.process_time() - start


def ours(vocab: dict[str, int], seen: DistilBertTokenizer) -> Iterator[tuple[str, Contender]]:
    for name, way in (("ids", ids), ("ids, text by text", one_by_one), ("with offsets", offsets)):
        yield f"ours, {name}, first pass", way(DistilBertTokenizer(vocab))
        yield f"ours, {name}, steady", way(seen)


def one_thread(tokenizer: Tokenizer) -> Contender:
    return lambda texts: [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paragraphs", type=int, default=8000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workdir", type=Path, default=Path("/tmp"))
    arguments = parser.parse_args()

    source, texts = english()
    vocab_file = SHARED / "vocab/bert-base-uncased-vocab.txt"
    vocab = load_vocab(vocab_file) if vocab_file.exists() else small_vocab(texts)
    texts = texts[: arguments.paragraphs]

    peers = theirs(vocab, arguments.workdir)
    seen = DistilBertTokenizer(vocab)
    library = rust(vocab)
    cls, sep = seen.cls_token_id, seen.sep_token_id
    expected = [[cls, *row, sep] for row in one_thread(library)(texts)]
    assert ids(seen)(texts) == expected
    offsets(seen)(texts)
    agreeing = len(texts)
    for peer in peers.values():
        agreeing = sum(a == b for a, b in zip(peer(texts), expected, strict=True))
        assert agreeing > 0.99 * len(texts), f"only {agreeing} of {len(texts)} texts agree"

    times: dict[str, list[float]] = {}
    for _ in range(arguments.repeats):
        contenders = [*ours(vocab, seen), ("Rust, one thread", one_thread(library)), *peers.items()]
        for name, contender in contenders:
            times.setdefault(name, []).append(seconds(contender, texts))

    median = {name: statistics.median(measured) for name, measured in times.items()}
    characters = sum(map(len, texts))
    print(f"{source}: {len(texts)} paragraphs, {characters / 1e6:.1f} million characters")
    print(f"{'':36} {'CPU s':>8} {'M chars/s':>10} {'ratio':>7}")
    reference = median.get(REFERENCE)
    ratios = {}
    for name, value in sorted(median.items(), key=lambda item: -item[1]):
        ratio = f"{reference / value:6.1f}x" if reference else ""
        if reference:
            ratios[name] = round(reference / value, 2)
        print(f"{name:36} {value:8.3f} {characters / value / 1e6:10.2f} {ratio:>7}")
    print(
        json.dumps(
            {
                "benchmark": "tokenizer",
                "text": source,
                "paragraphs": len(texts),
                "characters": characters,
                "texts_equal_to_transformers": agreeing if peers else None,
                "median_cpu_seconds": {name: round(value, 4) for name, value in median.items()},
                "times_as_fast_as_transformers": ratios,
                "repeats": arguments.repeats,
                "python": platform.python_version(),
                "tokenizers": tokenizers.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
