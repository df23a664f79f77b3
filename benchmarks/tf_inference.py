"""Our Keras classes against transformers 4.57's TensorFlow classes, on the CPU.

One DistilBERT (of the published size, random weights) twice, on the same padded batches; calls
compiled by `tf.function` (the contenders named XLA: with `jit_compile=True`), or with `--train`
steps of `fit` with Adam; interleaved, the median counts. Outputs are compared first. It needs
transformers 4.57, tensorflow, keras 3 and tf_keras: the environment of `make parity`. The last line
is one JSON document.

    python benchmarks/tf_inference.py [--head TokenClassification] [--batches 8x128:0.5] [--train]
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
import tf_keras
import transformers as peer

import distilbert as d


def make_batch(name, vocabulary=30522):
    """`ROWSxTOKENS:SHARE`: right-padded rows, the longest full, lengths uniform from that share."""
    size, _, share = name.partition(":")
    rows, tokens = map(int, size.split("x"))
    draw = np.random.default_rng(0)
    lengths = draw.integers(int(tokens * float(share or 1)), tokens + 1, rows)
    lengths[0] = tokens
    keep = (np.arange(tokens) < lengths[:, None]).astype("int32")
    ids = draw.integers(1000, vocabulary, (rows, tokens)).astype("int32") * keep
    return {"input_ids": tf.constant(ids), "attention_mask": tf.constant(keep)}


def inference(model, xla):
    """A function from a batch to logits."""
    run = tf.function(lambda batch: model(batch).logits, jit_compile=xla)
    return lambda batch: run(batch).numpy()


def training(model, xla):
    """A function that makes one step on a batch and returns its loss."""
    optimizers = (tf_keras if isinstance(model, tf_keras.Model) else keras).optimizers
    model.compile(optimizer=optimizers.Adam(1e-5), jit_compile=xla)
    return model.train_on_batch


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", nargs="*", default=["1x16", "8x128", "8x128:0.5", "64x60:0.1"])
    parser.add_argument("--head", default="SequenceClassification")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--layers", type=int, default=6)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    peer.logging.set_verbosity_error()
    config = peer.DistilBertConfig(n_layers=options.layers)
    theirs = getattr(peer, f"TFDistilBertFor{options.head}")(config)
    theirs(theirs.dummy_inputs)
    ours = getattr(d, f"TFDistilBertFor{options.head}")
    compiled = training if options.train else inference
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        contenders = {
            "transformers": compiled(theirs, False),
            "distilbert": compiled(ours.from_pretrained(folder), False),
            "distilbert varlen": compiled(
                ours.from_pretrained(folder, attn_implementation="varlen"), False
            ),
        }
        if not options.train:
            contenders["transformers XLA"] = compiled(theirs, True)
            contenders["distilbert XLA"] = compiled(ours.from_pretrained(folder), True)
    results = {}
    for name in options.batches:
        batch = make_batch(name)
        real = batch["attention_mask"].numpy().astype(bool)
        times = {contender: [] for contender in contenders}
        if options.train:
            labels = real if options.head == "TokenClassification" else real[:, 0]
            batch["labels"] = tf.constant(labels.astype("int32"))
        expected = None if options.train else contenders["transformers"](batch)
        for repeat in range(options.repeats + 1):
            for contender, run in contenders.items():
                start = time.perf_counter()
                output = run(batch)
                if repeat:
                    times[contender].append(time.perf_counter() - start)
                elif expected is not None:
                    by_token = output.shape[:2] == real.shape
                    where = real if by_token else slice(None)
                    np.testing.assert_allclose(output[where], expected[where], rtol=1e-4, atol=1e-4)
        results[name] = {
            contender: statistics.median(values) for contender, values in times.items()
        }
        for contender, value in results[name].items():
            ratio = results[name]["transformers"] / value
            print(
                f"{name:10} {real.mean():4.0%} real {contender:18} {value * 1000:8.1f} ms", end=" "
            )
            print(f"{ratio:5.2f}", flush=True)
    document = {
        "benchmark": "tf_inference",
        "head": options.head,
        "train": options.train,
        "seconds": results,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "transformers": peer.__version__,
        "threads": options.threads,
        "machine": platform.machine(),
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
