"""A text alone and among 100,000 in one call, from one thread and from eight at once.

The same texts go through a pipeline over a prepared model in one call, as an iterator; then some of
them one by one, and all of them from eight threads at once, an eighth each. What is printed: the
largest difference of a score, the labels that differ, texts per second, and what memory grew by
while the second half was answered.

    python benchmarks/many_texts.py --model FOLDER --texts FILE.parquet [--precision int8]
"""

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

import numpy as np
import pyarrow.parquet
import torch

import distilbert


def megabytes():
    """Return the memory of this process (Linux only)."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))


def scores_of(answer):
    ordered = sorted(answer, key=lambda each: each["label"])
    return [each["score"] for each in ordered]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", required=True, help="folder of a text classifier")
    parser.add_argument("--texts", required=True, help="a Parquet file")
    parser.add_argument("--column", default="sentence")
    parser.add_argument("--count", type=int, default=100_000, help="texts repeat if there are less")
    parser.add_argument("--alone", type=int, default=500, help="texts that are answered one by one")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    table = pyarrow.parquet.read_table(options.texts, columns=[options.column])
    texts = list(islice(cycle(table.column(0).to_pylist()), options.count))
    classify = distilbert.pipeline(
        "text-classification",
        options.model,
        precision=options.precision,
        threads=options.threads,
        top_k=None,
    )
    at_half, started = 0.0, time.perf_counter()
    together = np.empty((len(texts), len(classify.config.id2label)))
    for number, answer in enumerate(classify(iter(texts))):
        together[number] = scores_of(answer)
        if number == len(texts) // 2:
            at_half = megabytes()
            print(f"{number} texts, {at_half:.0f} MB", file=sys.stderr)
    seconds, grown = time.perf_counter() - started, megabytes() - at_half
    chosen = np.random.default_rng(0).choice(len(texts), min(options.alone, len(texts)), False)
    alone = np.array([scores_of(classify([texts[i]])[0]) for i in chosen])
    parts = np.array_split(np.arange(len(texts)), 8)
    started = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda part: [*classify(texts[i] for i in part)], parts)
        at_once = np.array([scores_of(answer) for part in answers for answer in part])
    result = {
        "benchmark": "many texts",
        "model": options.model,
        "precision": options.precision,
        "texts": len(texts),
        "threads": options.threads,
        "texts_per_s": len(texts) / seconds,
        "texts_per_s_from_8_threads": len(texts) / (time.perf_counter() - started),
        "megabytes_grown_in_the_second_half": grown,
    }
    for name, found, expected in (
        ("alone", alone, together[chosen]),
        ("from_8_threads", at_once, together),
    ):
        result[f"{name}_largest_difference"] = float(np.abs(found - expected).max())
        result[f"{name}_other_labels"] = int((found.argmax(1) != expected.argmax(1)).sum())
    print(json.dumps(result))


if __name__ == "__main__":
    main()
