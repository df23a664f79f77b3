"""Inference of our Keras classes against transformers 4.57's TensorFlow classes, on the CPU.

One DistilBERT (of the published size, random weights) twice; both compiled by `tf.function` (the
contenders named XLA: with `jit_compile=True`), on the same padded batches; interleaved, the median
counts. Outputs are compared first. It needs transformers 4.57, tensorflow, keras 3 and tf_keras:
the environment of `make parity`. The last line is one JSON document.

    python benchmarks/tf_inference.py [--batches 1x16 8x128 32x128] [--repeats 7] [--threads 2]
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras
import numpy as np
import tensorflow as tf
import transformers as peer

import distilbert as d


def make_batch(rows, tokens, vocabulary=30522):
    """Right-padded rows, the longest full, lengths uniform from half."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(tokens // 2, tokens + 1, rows)
    lengths[0] = tokens
    keep = (np.arange(tokens) < lengths[:, None]).astype("int32")
    ids = draw.integers(1000, vocabulary, (rows, tokens)).astype("int32") * keep
    return {"input_ids": tf.constant(ids), "attention_mask": tf.constant(keep)}


def compiled(model, xla):
    """A function from a batch to logits."""
    return tf.function(lambda batch: model(batch).logits, jit_compile=xla)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", nargs="*", default=["1x16", "8x128", "32x128"])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--layers", type=int, default=6)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    peer.logging.set_verbosity_error()
    theirs = peer.TFDistilBertForSequenceClassification(
        peer.DistilBertConfig(n_layers=options.layers)
    )
    theirs(theirs.dummy_inputs)
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours = d.TFDistilBertForSequenceClassification.from_pretrained(folder)
        unpadded = type(ours).from_pretrained(folder, attn_implementation="varlen")
    contenders = {
        "transformers": compiled(theirs, False),
        "distilbert": compiled(ours, False),
        "distilbert varlen": compiled(unpadded, False),
        "transformers XLA": compiled(theirs, True),
        "distilbert XLA": compiled(ours, True),
    }
    results = {}
    for name in options.batches:
        batch = make_batch(*map(int, name.split("x")))
        expected = contenders["transformers"](batch)
        times = {contender: [] for contender in contenders}
        for repeat in range(options.repeats + 1):
            for contender, run in contenders.items():
                start = time.perf_counter()
                logits = run(batch).numpy()
                if repeat:
                    times[contender].append(time.perf_counter() - start)
                else:
                    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
        seconds = {contender: statistics.median(values) for contender, values in times.items()}
        results[name] = {
            **seconds,
            "real_tokens": int(batch["attention_mask"].numpy().sum()),
            "padded_tokens": int(tf.size(batch["attention_mask"])),
        }
        for contender, value in seconds.items():
            print(f"{name:8} {contender:18} {value * 1000:9.1f} ms")
    document = {
        "benchmark": "tf_inference",
        "seconds": results,
        "ratio": {n: s["transformers"] / s["distilbert"] for n, s in results.items()},
        "ratio_varlen": {n: s["transformers"] / s["distilbert varlen"] for n, s in results.items()},
        "ratio_xla": {n: s["transformers XLA"] / s["distilbert XLA"] for n, s in results.items()},
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "transformers": peer.__version__,
        "threads": options.threads,
        "machine": platform.machine(),
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
