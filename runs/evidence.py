"""What a student keeps: the whole experiment, from a teacher to scores on tasks.

    python runs/data.py --data DATA --out WORK --tokenizer BASE
    python runs/evidence.py --base BASE --tasks WORK/tasks --corpus WORK/corpus --out OUT
    python runs/results.py --out OUT

BASE is the folder of all-MiniLM-L6-v2. With `--teacher-layers 12` the teacher begins with its six
layers twice over (stacking, Gong et al., 2019), and students have six layers. Every stage skips
what is done, and goes on with what was interrupted: the same command again continues. `settings.py`
says what is compared.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import settings as plan
from finetuning import LAST_FILE, SCORES, TRAINED, arguments, done

from distilbert.distillation.corpus import Corpus

HERE = Path(__file__).resolve().parent
MINILM_LAYERS = 6


def flags(settings: dict[str, Any]) -> list[str]:
    """Return settings as arguments of the command line."""
    found = []
    for name, value in settings.items():
        values = value if isinstance(value, tuple) else () if value is True else (value,)
        found += [f"--{name}", *map(str, values)]
    return found


class Processes:
    """Commands that run at the same time, and end with this one.

    Args:
        logs: folder of what they print.
        until: when all have to be over, by `time.monotonic`.
    """

    def __init__(self, logs: Path, until: float) -> None:
        self.logs, self.until = logs, until
        logs.mkdir(parents=True, exist_ok=True)
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str]) -> None:
        """Start one, in a group of its own."""
        with (self.logs / f"{name}.log").open("ab") as log:
            log.write(f"$ {shlex.join(command)}\n".encode())
            log.flush()
            environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2")}
            self.running[name] = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env=environment
            )

    def wait(self, most: int) -> None:
        """Wait until at most so many run, or the time is over."""
        while len(self.running) > most and time.monotonic() < self.until:
            for name, process in list(self.running.items()):
                code = process.poll()
                if code is not None:
                    del self.running[name]
                    print(f"{clock()} {name}: {'done' if code == 0 else f'FAILED ({code})'}",
                          flush=True)  # fmt: skip
            time.sleep(0.1)

    def stop(self) -> None:
        """End what still runs."""
        for name, process in self.running.items():
            print(f"{clock()} {name}: stopped, to be continued", flush=True)
            os.killpg(process.pid, signal.SIGTERM)
        for process in self.running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with suppress(ProcessLookupError):  # what it has started may not have ended with it
                os.killpg(process.pid, signal.SIGKILL)
        self.running.clear()


_BEGUN = time.monotonic()


def clock() -> str:
    """Return how long this command has run."""
    return f"{time.monotonic() - _BEGUN:6.1f} s"


def teacher_command(options: argparse.Namespace) -> list[str]:
    """Return the command that makes the teacher."""
    steps = max(
        1, round(options.teacher_tokens / plan.SEQUENCE / plan.TEACHER["sequences_per_step"])
    )
    start = options.out / "start" if options.teacher_layers else options.base
    settings = {**plan.TEACHER, "model": start, "corpus": options.corpus, "steps": steps,
                "out": options.out / "teacher", "precision": options.precision}  # fmt: skip
    return [sys.executable, "-m", "distilbert", "pretrain", *flags(settings)]


def grow(options: argparse.Namespace) -> None:
    """Make what a deeper teacher begins with: the layers of MiniLM, stacked on themselves."""
    from distilbert.distillation.student import from_teacher
    from distilbert.modeling.bert import BertForMaskedLM
    from distilbert.recipes.job import publish

    layers = [number % MINILM_LAYERS for number in range(options.teacher_layers)]
    grown = from_teacher(BertForMaskedLM.from_pretrained(options.base), layers)
    publish(grown, options.base, options.out / "start")


def student_command(options: argparse.Namespace, name: str) -> list[str]:
    """Return the command that trains a row's student."""
    row = plan.ROWS[name]
    settings = {**plan.STUDENT, **row.changes}
    tokens = row.tokens * options.student_tokens
    settings |= {
        "steps": max(1, round(tokens / plan.SEQUENCE / settings["sequences_per_step"])),
        "layers": row.layers(options.teacher_layers or MINILM_LAYERS),
        "teacher": options.out / "teacher/model",
        "corpus": options.corpus,
        "out": options.out / "students" / name,
        "precision": options.precision,
    }
    return [sys.executable, "-m", "distilbert", "distill", *flags(settings)]


def copy_student(options: argparse.Namespace, name: str) -> None:
    """Make a student of the teacher's weights and no training."""
    from distilbert.distillation.student import from_teacher
    from distilbert.modeling.opening import open_masked_lm
    from distilbert.recipes.job import publish

    teacher = options.out / "teacher/model"
    layers = plan.ROWS[name].layers(options.teacher_layers or MINILM_LAYERS)
    student = from_teacher(open_masked_lm(str(teacher)), layers)
    publish(student, teacher, options.out / "students" / name / "model")


def is_published(run: Path) -> bool:
    """Whether a run has been trained to its end."""
    return (run / "model" / LAST_FILE).exists()


def train(options: argparse.Namespace, processes: Processes) -> None:
    """Make the teacher, then all students, some at once."""
    out = options.out
    if not is_published(out / "teacher"):
        if options.teacher_layers and not (out / "start").exists():
            grow(options)
        at = len(processes.running)
        processes.start("teacher", teacher_command(options))
        processes.wait(at)
    if not is_published(out / "teacher"):
        return
    waiting = [n for n in options.rows if n in plan.ROWS and not is_published(out / "students" / n)]
    for name in [n for n in waiting if not plan.ROWS[n].tokens]:
        copy_student(options, name)
    for name in [n for n in waiting if plan.ROWS[n].tokens]:
        processes.wait(int("finetuning" in processes.running) + options.jobs - 1)
        if time.monotonic() > processes.until:
            return
        processes.start(name, student_command(options, name))
    processes.wait(int("finetuning" in processes.running))


def main() -> None:
    """Run what is not done yet, as far as the time goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    arguments(parser)
    parser.add_argument("--teacher-tokens", type=float, default=100e6)
    parser.add_argument("--teacher-layers", type=int, default=0,
                        help="of a teacher of MiniLM's layers, stacked")  # fmt: skip
    parser.add_argument("--student-tokens", type=float, default=30e6, help="of each row")
    parser.add_argument("--jobs", type=int, default=5, help="students trained at once")
    parser.add_argument("--seconds", type=float, default=86400, help="stop after so many")
    parser.add_argument("--stages", nargs="*", default=["train", "finetune"])
    options = parser.parse_args()
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    (out / TRAINED).unlink(missing_ok=True)
    with (out / "commands.jsonl").open("a") as file:
        file.write(json.dumps({"time": time.time(), "command": sys.argv}) + "\n")
    corpus = Corpus.open(options.corpus)
    (out / "corpus.json").write_text(
        json.dumps({"sequences": len(corpus), "tokens": corpus.tokens, "hash": corpus.hash})
    )
    processes = Processes(out / "logs", _BEGUN + options.seconds)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # end them as well
    try:
        if "finetune" in options.stages:
            shared = ["base", "tasks", "corpus", "out", "precision", "workers", "scale", "rate"]
            given = {n: getattr(options, n) for n in shared}
            given |= {n: tuple(getattr(options, n)) for n in ("rows", "taught", "only", "large")}
            processes.start(
                "finetuning", [sys.executable, str(HERE / "finetuning.py"), *flags(given)]
            )
        if "train" in options.stages:
            train(options, processes)
        (out / TRAINED).touch()
        processes.wait(0)
    finally:
        processes.stop()
    print(f"{clock()} {len(done(out))} runs in {out / SCORES}", flush=True)


if __name__ == "__main__":
    main()
