"""`distilbert quickstart`: the paper in miniature, from text to a table, in minutes.

A small BERT learns the English of the documentation strings on this machine, a student of half its
layers is distilled from it, and both are compared with students that had no teacher: at masked
tokens, and at a task. Budgets are in steps, never in time, so a seed always gives the same scores.
Interrupted, it continues when the same command is given again.
"""

import logging
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from distilbert.distillation.docstrings import site_packages
from distilbert.distillation.masking import Masking
from distilbert.recipes import distill, finetune, prepare, pretrain
from distilbert.recipes.bench_runs import Workload, first_output, interleaved
from distilbert.recipes.bench_task import open_trial
from distilbert.recipes.masked_lm import open_source
from distilbert.recipes.quickstart_page import print_tables, sentences, write_report
from distilbert.recipes.quickstart_scores import (
    Row,
    answers,
    fill,
    guesses,
    mean_of,
    most_frequent,
    tfidf,
)
from distilbert.recipes.quickstart_text import VALIDATION_FRACTION, Texts, write_texts
from distilbert.runtime import launch as launching
from distilbert.runtime.launch import Precision, best_precision

_logger = logging.getLogger("distilbert")

TEACHER, STUDENT = "teacher", "student"
# Each student: what it is made of, and what it learns from.
STUDENTS: dict[str, dict[str, Any]] = {
    STUDENT: {},
    "same start, no teacher": {"ce": 0.0, "cos": 0.0},
    "random start, no teacher": {"start": "random", "ce": 0.0, "cos": 0.0},
}
ABLATION: dict[str, dict[str, Any]] = {
    "student without L_ce": {"ce": 0.0},
    "student without L_cos": {"cos": 0.0},
    "student without L_mlm": {"mlm": 0.0},
    "random start, with teacher": {"start": "random"},
}
TEACHER_STEPS, STUDENT_STEPS = 4400, 1100
SHAPE: dict[str, Any] = {"layers": 4, "dim": 128, "heads": 2, "hidden_dim": 256}
MICRO_TOKENS = 4096
MASK_RATE, MASK_SMOOTHING = 0.25, 0.0
TRAINING: dict[str, Any] = {
    "micro_tokens": MICRO_TOKENS,
    "sequences_per_step": 16,
    "learning_rate": 2e-3,
    "warmup": 0.06,
    "weight_decay": 0.01,
    "dropout": 0.0,
    "mask_rate": MASK_RATE,
    "mask_smoothing": MASK_SMOOTHING,
}
EXAMPLES = (
    "The [MASK] of the array.",
    "Returns a new [MASK] with the same shape as the input.",
    "If None, the default [MASK] is used.",
    "Raises an error if the [MASK] does not exist.",
)
LENGTH = 64  # tokens of a sequence
VOCABULARY = 4000
TASK_EPOCHS, TASK_BATCH = 2.0, 16
TASK_RUNS = 3  # of fine-tuning, with seeds of their own: one says little
TEXTS_AT_ONCE = 32  # where the speed of batches is measured


@dataclass
class Settings:
    """The paper in miniature: a teacher, its student, and what the student kept and gained.

    Args:
        out: folder of all that is made: texts, models, report.html.
        budget: factor on the usual number of training steps; 3 takes three times as long, and the
            models learn more.
        ablation: also train students without one of the losses, or without the teacher's layers.
        precision: number format of the computation: fp32, or mixed precision in bf16; auto is
            bf16 where that is faster.
        seed: seed of all random numbers.
    """

    out: str = "runs/quickstart"
    budget: float = 1.0
    ablation: bool = False
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = 0


def main(settings: Settings) -> list[Row]:
    """Train all models, print the table and write the report.

    Returns:
        The lines of the table.

    Raises:
        OSError: a file cannot be written.
        ValueError: a setting that cannot be, or too little text on this machine.
    """
    if not 0 < settings.budget < 1000:
        raise ValueError(f"budget must be above 0, such as 1 or 0.5; got {settings.budget}")
    out, started = Path(settings.out), time.monotonic()
    _logger.info("reading the documentation strings of the installed packages")
    texts = write_texts(out / "texts", site_packages())
    corpus = prepare.main(
        prepare.Settings(
            sources=[str(texts.corpus)],
            out=str(out / "corpus"),
            vocab_size=VOCABULARY,
            mode="pack",
            max_length=LENGTH,
            validation_fraction=VALIDATION_FRACTION,
        )
    )
    precision = best_precision() if settings.precision == "auto" else settings.precision
    runs = _train(settings, precision, out, str(corpus))
    classifiers = {
        name: _finetune(settings, precision, folder, texts) for name, folder in runs.items()
    }
    rows, floor = _measure(precision, str(corpus), texts, runs, classifiers)
    said = sentences(rows, floor)
    models = {name: run / "model" for name, run in runs.items()}
    filled = fill({name: models[name] for name in (TEACHER, STUDENT)}, EXAMPLES)
    print_tables(rows, said, filled)
    page = out / "report.html"
    commands = _commands(precision, corpus, texts, runs, classifiers)
    write_report(page, rows, runs, said, filled, commands)
    minutes = (time.monotonic() - started) / 60
    _logger.info(
        "%.1f minutes; the report is in %s, the student in %s", minutes, page, models[STUDENT]
    )
    return rows


def _train(settings: Settings, precision: Precision, out: Path, corpus: str) -> dict[str, Path]:
    """Train the teacher and the students; return their folders."""
    teacher = out / TEACHER
    steps = max(1, round(TEACHER_STEPS * settings.budget))
    pretrain.main(
        pretrain.Settings(
            corpus=corpus,
            out=str(teacher),
            initializer_range=0.06,  # the usual 0.02 is for models six times as wide
            sinusoidal_start=True,
            steps=steps,
            save_every=-(-steps // 3),
            precision=precision,
            seed=settings.seed,
            **SHAPE,
            **TRAINING,
        )
    )
    runs = {TEACHER: teacher}
    steps = max(1, round(STUDENT_STEPS * settings.budget))
    for name, choice in (STUDENTS | (ABLATION if settings.ablation else {})).items():
        runs[name] = out / name.replace(", ", "-").replace(" ", "-")
        _logger.info("training: %s", name)
        distill.main(
            distill.Settings(
                teacher=str(teacher / "model"),
                corpus=corpus,
                out=str(runs[name]),
                ce_at="masked",
                steps=steps,
                save_every=steps,
                precision=precision,
                seed=settings.seed,
                **TRAINING,
                **choice,
            )
        )
    return runs


def _finetune(settings: Settings, precision: Precision, run: Path, texts: Texts) -> list[Path]:
    """Fine-tune a model on the task, several times; return the folders of the classifiers."""
    out = run / "task"
    seeds = tuple(TASK_RUNS * settings.seed + number for number in range(TASK_RUNS))
    finetune.main(
        finetune.Settings(
            model=str(run / "model"),
            train=str(texts.train),
            validation=str(texts.test),
            out=str(out),
            max_length=LENGTH,
            epochs=TASK_EPOCHS,
            batch_size=TASK_BATCH,
            learning_rate=5e-4,
            save_every=1_000_000,  # scored once, at the end: nothing is chosen by the test
            precision=precision,
            seeds=seeds,
        )
    )
    return [out / f"seed-{seed}" / "model" for seed in seeds]


def _measure(
    precision: Precision,
    corpus: str,
    texts: Texts,
    runs: dict[str, Path],
    classifiers: dict[str, list[Path]],
) -> tuple[list[Row], float]:
    """Return the table, and the accuracy of always guessing the most frequent token."""
    _logger.info("measuring")
    launch = launching.start(precision)
    source = open_source(
        launch,
        corpus,
        seed=0,
        sequences_per_step=1,
        micro_tokens=MICRO_TOKENS,
        masking=Masking(MASK_RATE, MASK_SMOOTHING),
    )
    trials = {
        name: [open_trial(str(each), str(texts.test), "classification", LENGTH) for each in folders]
        for name, folders in classifiers.items()
    }
    models = {name: several[0].model for name, several in trials.items()}
    contenders = {name: first_output(model) for name, model in models.items()}
    alone, together = (
        interleaved(
            contenders,
            [Workload("texts", (LENGTH,) * texts_at_once).inputs(VOCABULARY)],
            repeats=15,
            max_seconds=30,
        )
        for texts_at_once in (1, TEXTS_AT_ONCE)
    )
    rows = [
        Row(
            name,
            task=mean_of(answers(launch, trial) for trial in trials[name]),
            guesses=guesses(launch, run / "model", source),
            parameters=models[name].num_parameters(),
            encoder=sum(p.numel() for p in models[name].base_model.transformer.parameters()),
            size_mb=models[name].get_memory_footprint() / 1e6,
            latency_ms=1000 * alone[name],
            texts_per_s=TEXTS_AT_ONCE / together[name],
        )
        for name, run in runs.items()
    ]
    rows.append(Row("TF-IDF and logistic regression", task=tfidf(texts.train, texts.test)))
    return rows, most_frequent(source)


def _commands(
    precision: Precision,
    corpus: Path,
    texts: Texts,
    runs: dict[str, Path],
    classifiers: dict[str, list[Path]],
) -> list[str]:
    """Return the commands that give the scores of the table again."""
    shared = [] if precision == "fp32" else ["--precision", precision]
    commands = []
    for name, run in runs.items():
        masked = ["--task", "mlm", "--model", f"{run / 'model'}", "--data", f"{corpus}"]
        masked += ["--mask_rate", f"{MASK_RATE}", "--mask_smoothing", f"{MASK_SMOOTHING}"]
        commands.append(masked + shared)
        data = ["--data", f"{texts.test}", "--max_length", f"{LENGTH}"]
        for folder in classifiers[name]:
            commands.append(["--model", f"{folder}", *data, *shared])
    return [shlex.join(["distilbert", "evaluate", *words]) for words in commands]
