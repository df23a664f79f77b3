"""Fine-tunes every model of the experiment on every task, many runs at once on one device.

    python runs/finetuning.py --out OUT [--workers 12] [--precision bf16]

A run is claimed by one worker, begins as soon as what it needs is there, and adds a line to
`OUT/scores.jsonl` when it ends. Started again, the script goes on with what has no line yet.
"""

import argparse
import dataclasses
import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import settings as plan

from distilbert.recipes import evaluate, finetune, task_data
from distilbert.runtime import launch as launching
from distilbert.tasks.features import Features

SCORES = "scores.jsonl"
TRAINED = "trained"  # a file in OUT, once no further model will be made
LAST_FILE = "vocab.txt"  # that a published model gets: its files are moved there in order of names
KEPT_TASKS = ("sst2", "conll2003", "squad")  # of which a student's fine-tuned model is kept


@dataclass(frozen=True)
class Job:
    """One run.

    Args:
        model: "minilm", "teacher" or a row.
        task: of `settings.TASKS` or `LARGE`; "embedding" or "mlm".
        kind: "plain", "taught" by the fine-tuned teacher, "augmented" as well, "longer" as well; or
            one of `settings.TEXTS`, which makes the texts; or "score" of what needs no training.
        seed: of everything random.
    """

    model: str
    task: str
    kind: str = "plain"
    seed: int = 0

    @property
    def name(self) -> str:
        """A file name."""
        return f"{self.model}.{self.task}.{self.kind}.{self.seed}"


def jobs(rows: list[str], tasks: list[str], large: list[str], kinds: list[str]) -> list[Job]:
    """Return all runs of these models and the teacher, the most important first.

    Args:
        kinds: of `settings.WEIGHTS`, besides plain fine-tuning.
    """
    chosen = {name: plan.TASKS[name] for name in tasks}
    models = ["teacher", *rows]
    students = [row for row in rows if row in plan.ROWS]
    first = [Job("teacher", name) for name in chosen]  # which teaches
    first += [Job(m, "mlm", "score") for m in ["teacher", *students]]
    first += [Job(m, "embedding", "score") for m in models]
    first += [Job(m, name) for m in models[1:] for name in chosen]
    grown = [n for n, t in chosen.items() if t.augment]
    first += [Job(row, name, "taught") for row in students for name in chosen]
    most = max((t.seeds for t in chosen.values()), default=0)
    by_seed = [[n for n, t in chosen.items() if seed < t.seeds] for seed in range(most)]
    for seed, several in enumerate(by_seed[1:], 1):
        first += [Job(m, name, "plain", seed) for m in models for name in several]
        first += [Job(row, name, "taught", seed) for row in students for name in several]
    first += [Job("teacher", name, "texts") for name in grown if students]
    for seed, several in enumerate(by_seed):
        augmented = [name for name in several if name in grown]
        first += [Job(row, name, "augmented", seed) for row in students for name in augmented]
    longer = [row for row in plan.LONGER if row in rows]
    if longer:
        first += [Job("teacher", n, "more-texts") for n, t in chosen.items() if t.more]
        first += [
            Job(row, name, "longer", seed)
            for row in longer
            for name, task in chosen.items()
            for seed in range(task.seeds)
        ]
    wanted = {"plain", "score", *kinds, *(plan.TEXTS[k] for k in kinds if k in plan.TEXTS)}
    first = [job for job in first if job.kind in wanted]
    return [*first[: len(chosen)], *(Job("teacher", n) for n in large), *first[len(chosen) :]]


def _task(job: Job) -> plan.Task:
    return plan.TASKS.get(job.task) or plan.LARGE[job.task]


@dataclass
class Place:
    """Where everything is.

    Args:
        base: the folder of the model that the teacher was made of.
        tasks: as `data.py` wrote them.
        corpus: the same.
        out: of the experiment.
        scale: factor on the steps of every task.
        rate: factor on the highest learning rate of every task.
    """

    base: Path
    tasks: Path
    corpus: Path
    out: Path
    precision: Any
    scale: float = 1.0
    rate: float = 1.0

    def model(self, name: str) -> Path:
        """Return the folder of a pre-trained model."""
        if name == "minilm":
            return self.base
        return self.out / ("teacher" if name == "teacher" else f"students/{name}") / "model"

    def texts(self, job: Job) -> Path | None:
        """Return the file of the texts that a run makes, or learns from in the place of its own."""
        kind = plan.TEXTS.get(job.kind, job.kind)
        if kind not in plan.TEXTS.values() or (kind == "more-texts" and not _task(job).more):
            return None
        return self.out / kind / f"{job.task}.npz"

    def needs(self, job: Job) -> list[Path]:
        """Return what has to be there before a run can begin."""
        needed = [self.model(job.model) / LAST_FILE]
        if job.kind in plan.WEIGHTS:
            needed.append(self.run(Job("teacher", job.task)) / "model" / LAST_FILE)
            needed += [file for file in [self.texts(job)] if file]
        return needed

    def is_hopeless(self, job: Job) -> bool:
        """Whether what a run needs will never be there: its model, or a run that has failed."""
        trained = (self.out / TRAINED).exists()  # asked first: models may come until it is there
        if trained and not (self.model(job.model) / LAST_FILE).exists():
            return True
        before = [Job("teacher", job.task)] if job.kind in plan.WEIGHTS else []
        if job.kind in plan.TEXTS:
            before.append(Job("teacher", job.task, plan.TEXTS[job.kind]))
        return any((self.out / "failures" / each.name).exists() for each in before)

    def run(self, job: Job) -> Path:
        """Return the folder of a run."""
        return self.out / "finetuned" / job.name

    def settings(self, job: Job) -> finetune.Settings:
        """Return the settings of a run, those of `distilbert finetune`."""
        task = _task(job)
        options = dict(task.options)
        source = job.task
        copies = {"texts": task.augment, "more-texts": task.copies}.get(job.kind, 0)
        if copies:
            options |= {"augment": copies, "augmenter": str(self.model("teacher"))}
        elif job.kind == "more-texts":
            source = task.unlabelled
        if job.kind in plan.WEIGHTS:
            teacher = self.run(Job("teacher", job.task)) / "model"
            options |= {"teacher": str(teacher), **plan.WEIGHTS[job.kind]}
        steps = task.steps * (task.longer if job.kind == "longer" else 1)
        return finetune.Settings(
            model=str(self.model(job.model)),
            train=str(self.tasks / source / "train.parquet"),
            validation=str(self.tasks / job.task / "dev.parquet"),
            out=str(self.run(job)),
            task=task.name,
            metric=task.metric,
            steps=max(1, round(steps * self.scale)),
            batch_size=task.batch,
            micro_tokens=32768,
            learning_rate=task.rate * self.rate,
            save_every=10**9,  # one validation, at the end: no weights are chosen by it
            precision=self.precision,
            seeds=(job.seed,),
            **options,
        )


def read(place: Place, tasks: list[str]) -> dict[str, task_data.Data]:
    """Return the examples of tasks, which all models share, as they share the vocabulary."""
    found = {}
    for name in tasks:
        own = dataclasses.replace(place.settings(Job("minilm", name)), model=str(place.base))
        found[name] = task_data.read_data(own, None)
    return found


def write_arrays(file: Path, features: Features) -> None:
    """Write the arrays of examples, whole or not at all."""
    values = {field.name: getattr(features, field.name) for field in dataclasses.fields(features)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    part = file.with_suffix(".part")
    with part.open("wb") as opened:
        np.savez(opened, **arrays)
    part.rename(file)


def read_arrays(file: Path, like: Features) -> Features:
    """Return examples that are like others but for their arrays."""
    with np.load(file, allow_pickle=False) as arrays:
        return dataclasses.replace(like, **arrays)


def do(place: Place, job: Job, shared: dict[str, task_data.Data]) -> dict[str, float]:
    """Do one run and return its scores."""
    if job.kind == "score":
        return score(place, job)
    chosen = place.settings(job)
    launch = launching.start(chosen.precision, seed=job.seed)
    texts = place.texts(job)
    if job.kind in plan.TEXTS.values():
        assert texts is not None
        data = task_data.read_data(chosen, launch)
        texts.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(texts, data.training.features)
        return {"examples": float(len(data.training.features))}
    data = shared.get(job.task) or read(place, [job.task])[job.task]
    if texts is not None:
        grown = read_arrays(texts, data.training.features)
        training = dataclasses.replace(data.training, features=grown)
        data = dataclasses.replace(data, training=training)
    folder = place.run(job)
    shutil.rmtree(folder, ignore_errors=True)
    data = task_data.with_teacher(chosen, launch, data)
    scores = finetune.fit(chosen, launch, data, job.seed, folder, checkpoints=False)
    is_kept = job.seed == 0 and (job.model == "teacher" or job.task in KEPT_TASKS)
    if not is_kept:
        shutil.rmtree(folder)
    return scores


def score(place: Place, job: Job) -> dict[str, float]:
    """Return the scores of a model that needs no training for it."""
    model, precision = str(place.model(job.model)), place.precision
    if job.task == "mlm":
        chosen = evaluate.Settings(
            model=model, data=str(place.corpus), task="mlm", micro_tokens=32768, precision=precision
        )
    else:
        chosen = evaluate.Settings(
            model=model,
            data=str(place.tasks / "stsb/dev.parquet"),
            task="embedding",
            precision=precision,
        )
    result = evaluate.main(chosen)
    size = {name: result["size"][name] for name in ("parameters", "encoder_parameters")}
    return result["scores"] | size


def done(out: Path) -> set[str]:
    """Return the names of the runs that have ended well."""
    path = out / SCORES
    if not path.exists():
        return set()
    return {line["job"] for line in map(json.loads, path.read_text().splitlines())}


def work(place: Place, todo: list[Job], shared: dict[str, task_data.Data]) -> None:
    """Do runs that nobody has claimed, until none is left."""
    import torch

    torch.set_num_threads(1)
    os.nice(5)  # the training of models, which others wait for, comes first
    claims, failures = place.out / "claims", place.out / "failures"
    left = todo
    while left:
        left = [job for job in left if not place.is_hopeless(job)]
        ready = next((job for job in left if all(p.exists() for p in place.needs(job))), None)
        if ready is None:
            time.sleep(0.3)
            continue
        left.remove(ready)
        try:
            os.close(os.open(claims / ready.name, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        started = time.monotonic()
        try:
            scores = do(place, ready, shared)
        except Exception:
            traceback.print_exc()
            (failures / ready.name).touch()
            continue
        seconds = round(time.monotonic() - started, 2)
        record = {"job": ready.name, **vars(ready), "scores": scores, "scale": place.scale,
                  "rate": place.rate}  # fmt: skip
        with (place.out / SCORES).open("a") as file:
            file.write(json.dumps({**record, "seconds": seconds, "ended": time.time()}) + "\n")


def start(number: int, log: Path, target: Callable[[], None]) -> int:
    """Run a function in a process of its own, which shares what has been read, and return its id.

    Nothing here may have used the GPU yet.
    """
    child = os.fork()
    if child:
        return child
    file = os.open(log / f"worker-{number}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    code = 1
    try:
        target()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that this script and `evidence.py` share."""
    parser.add_argument("--base", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--tasks", type=Path, required=True, help="as data.py wrote them")
    parser.add_argument("--corpus", type=Path, required=True, help="the same")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--precision", default="bf16", choices=["fp32", "bf16"])
    parser.add_argument("--workers", type=int, default=12, help="runs of fine-tuning at once")
    parser.add_argument("--rows", nargs="*", default=["minilm", *plan.ROWS],
                        help="models besides the teacher")  # fmt: skip
    parser.add_argument("--taught", nargs="*", default=list(plan.WEIGHTS),
                        help="kinds of fine-tuning with a teacher")  # fmt: skip
    parser.add_argument("--only", nargs="*", default=list(plan.TASKS), help="tasks")
    parser.add_argument("--large", nargs="*", default=[], help="of settings.LARGE")
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps of fine-tuning")
    parser.add_argument("--rate", type=float, default=1.0,
                        help="of its learning rates; deeper models want lower ones")  # fmt: skip


def main() -> None:
    """Do all runs that have no line yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    arguments(parser)
    options = parser.parse_args()
    place = Place(
        options.base, options.tasks, options.corpus, options.out, options.precision,
        options.scale, options.rate,
    )  # fmt: skip
    out = options.out
    for folder in ("claims", "failures", "logs"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for mark in (*(out / "claims").iterdir(), *(out / "failures").iterdir()):
        mark.unlink()
    begun = time.monotonic()
    shared = read(place, options.only)
    print(f"{len(shared)} tasks read in {time.monotonic() - begun:.0f} s", flush=True)
    over = done(out)
    todo = [
        j
        for j in jobs(options.rows, options.only, options.large, options.taught)
        if j.name not in over
    ]
    workers = min(options.workers, len(todo))
    print(f"{len(todo)} runs by {workers} workers", flush=True)
    children = [
        start(number, out / "logs", lambda: work(place, todo, shared)) for number in range(workers)
    ]
    for child in children:
        os.waitpid(child, 0)
    print(f"{len(done(out)) - len(over)} runs in {time.monotonic() - begun:.0f} s", flush=True)
    for failed in sorted((out / "failures").iterdir()):
        print(f"FAILED: {failed.name}", flush=True)


if __name__ == "__main__":
    main()
