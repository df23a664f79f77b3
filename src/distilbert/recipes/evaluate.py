"""`distilbert evaluate`: what a model scores on a task, how large it is and how fast.

Any checkpoint, this package's or transformers', DistilBERT or BERT, or its export, on labelled
examples; or a masked LM on the validation split of a corpus, with exactly what its training
printed.
"""

import dataclasses
import logging
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distilbert.distillation.corpus import Corpus
from distilbert.distillation.masking import Masking
from distilbert.folders import json_text, read_json
from distilbert.hub import CONFIG_FILE, Source
from distilbert.modeling.opening import open_masked_lm
from distilbert.modeling.pretrained import PreTrainedModel
from distilbert.pipelines.models import is_exported
from distilbert.recipes.exported import Exported
from distilbert.recipes.given import given
from distilbert.recipes.job import size_of
from distilbert.recipes.masked_lm import check_vocabulary, masked_lm_scores, open_source
from distilbert.recipes.output import target_of, write_output
from distilbert.recipes.report import Comparison, show, show_comparison, write_report
from distilbert.recipes.start import agree
from distilbert.recipes.task_model import (
    labels_of,
    open_exported,
    open_trained,
    outputs_of,
    refuse_not_finite,
)
from distilbert.recipes.task_reading import Reader, require_labels, task_of
from distilbert.runtime import checkpoint
from distilbert.runtime import launch as launching
from distilbert.runtime.launch import Launch
from distilbert.tasks.catalog import NAMES
from distilbert.tasks.features import Features
from distilbert.tasks.step import logits_of, run, to_inputs
from distilbert.tasks.tables import fingerprint
from distilbert.weight_files import ONNX_WEIGHTS

MASKED_LM = "mlm"
_OF_MASKED_LM = ("mask_rate", "mask_smoothing")
_OF_TASKS = ("text_column", "second_text_column", "label_column", "max_length", "stride")
_OF_MODELS = ("data", "task", "micro_tokens", "precision", *_OF_TASKS, *_OF_MASKED_LM)
_PATHS = ("model", "data", "out", "compare")
_LATENCY_RUNS = 50  # examples that are timed one by one

_logger = logging.getLogger("distilbert")


@dataclass
class Settings:
    """Score a model on a task, or compare models or their results.

    Args:
        model: folder or hub id of a BERT or DistilBERT with the task's head, or of its export.
        data: labelled examples, in a format that `distilbert finetune` trains on; for mlm the
            folder that `distilbert prepare` wrote.
        task: task to score: one of `distilbert finetune`, or mlm (guessing masked tokens).
        out: JSON file to write the result to, or of a comparison the folder to write report.html
            to; by default nothing is written.
        compare: models to compare, or folders of results that `distilbert evaluate --out` wrote,
            one file per task. The others are compared with the first.
        text_column: column with the text; by default that of the task.
        second_text_column: column with the second text of a pair; by default that of the task, if
            it has one.
        label_column: column with what is to be predicted; by default that of the task.
        max_length: longest text in tokens, special ones included; longer ones are cut, and counted.
            0 is what the model has positions for, and a longer text an error. Contexts of questions
            are split into windows, sentences of words into parts.
        stride: question answering: tokens that consecutive windows of a context share; by default
            128.
        micro_tokens: tokens (padding does not count) that a process computes at a time; fewer take
            less memory.
        mask_rate: mlm: share of the tokens, between 0 and 1, that are masked for the model to
            guess.
        mask_smoothing: mlm: a token is masked with a probability proportional to its frequency to
            the power of minus this, rare ones more often; 0 masks all alike. Training uses 0.7 in
            distill, 0 in pretrain, unless told otherwise.
        precision: number format of the computation: fp32, or mixed precision in bf16 or fp16; an
            export has its own.
    """

    model: str | None = None
    data: str | None = None
    task: str = "classification"
    out: str | None = None
    compare: tuple[str, ...] = ()
    text_column: str | None = None
    second_text_column: str | None = None
    label_column: str | None = None
    max_length: int = 0
    stride: int | None = None
    micro_tokens: int = 4096
    mask_rate: float = 0.15
    mask_smoothing: float = 0.7
    precision: launching.Precision = "fp32"


def main(settings: Settings) -> dict[str, Any]:
    """Evaluate, print tables, and return scores, confusion, size and speed; or the comparison.

    Raises:
        OSError: a file or folder cannot be read or written.
        ValueError: a model without the task's head, or data that do not fit it.
    """
    launch = launching.start(settings.precision)
    if settings.compare:
        return _compare(settings, launch)
    if settings.model is None:
        raise ValueError("say which model, or which ones to compare")
    target = target_of(settings.out) if settings.out is not None and launch.is_main else None
    result = _evaluate(settings, settings.model, launch)
    if target is not None:
        write_output(target, json_text(result))
    if launch.is_main:
        show(result)
    return result


def _evaluate(settings: Settings, model: str, launch: Launch) -> dict[str, Any]:
    if settings.data is None:
        raise ValueError("say which data to evaluate on")
    for name in given(settings, _OF_TASKS if settings.task == MASKED_LM else _OF_MASKED_LM):
        raise ValueError(f"{settings.task} has no {name}: leave it out")
    if settings.task == MASKED_LM:
        if is_exported(Source(model)):
            raise ValueError(
                f"{model} is an export, which can be scored on labelled examples only: give the "
                "model that it was made from"
            )
        return _masked_lm(settings, model, settings.data, launch)
    if settings.task not in NAMES:
        raise ValueError(
            f"task must be one of {', '.join((*NAMES, MASKED_LM))}; got {settings.task!r}"
        )
    return _task(settings, model, settings.data, launch)


def _compare(settings: Settings, launch: Launch) -> dict[str, Any]:
    if settings.model is not None:
        raise ValueError("give the models to compare, or one model, not both")
    names = settings.compare
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"compare needs two or more different models or folders, got {names}")
    if all(map(_has_results, names)):
        for name in given(settings, _OF_MODELS):
            raise ValueError(f"{name} is for models; {', '.join(names)} hold results: leave it out")
    for name in names:
        if not _has_results(name):
            _refuse_precision(settings, name)
    results = {name: _results(settings, name, launch) for name in names}
    metrics = {task: result["metric"] for task, result in results[names[0]].items()}
    for name in names[1:]:
        if results[name].keys() != metrics.keys():
            raise ValueError(
                f"{names[0]} has results of {', '.join(metrics)}, {name} of "
                f"{', '.join(results[name])}: compare the same tasks"
            )
    comparison = Comparison(names, metrics, results)
    if launch.is_main:
        show_comparison(comparison)
        if settings.out is not None:
            _logger.info("%s", write_report(Path(settings.out), comparison))
    return {
        "retention": {
            name: {task: comparison.retention(name, task) for task in metrics} for name in names
        },
        "results": results,
    }


def _refuse_precision(settings: Settings, name: str) -> None:
    if given(settings, ("precision",)) and is_exported(Source(name)):
        raise ValueError(f"{name} is an export, which has its own precision: leave it out")


def _has_results(name: str) -> bool:
    """Whether this is a folder, and not of a model."""
    return Path(name).is_dir() and not (Path(name) / CONFIG_FILE).exists()


def _is_result(content: dict[str, Any]) -> bool:
    """Whether a file has what is compared: a task, and the number that it is scored by."""
    scores = content.get("scores")
    score = scores.get(content.get("metric")) if isinstance(scores, dict) else None
    return "task" in content and isinstance(score, int | float)


def _results(settings: Settings, name: str, launch: Launch) -> dict[str, dict[str, Any]]:
    """Return results by task: of the files in a folder, or of a model."""
    if not _has_results(name):
        found = [_evaluate(settings, name, launch)]
    else:
        found = [read_json(file) for file in sorted(Path(name).glob("*.json"))]
        if not found or not all(map(_is_result, found)):
            raise ValueError(
                f"{name} is neither a model nor a folder of results: evaluate with out={name}/"
                "TASK.json first"
            )
    tasks = [each["task"] for each in found]
    twice = [task for task in tasks if tasks.count(task) > 1]
    if twice:
        raise ValueError(
            f"{name} has several results of {twice[0]}: a folder has one file per task"
        )
    return dict(zip(tasks, found, strict=True))


def _masked_lm(settings: Settings, name: str, data: str, launch: Launch) -> dict[str, Any]:
    source = open_source(
        launch,
        data,
        seed=0,
        sequences_per_step=launch.ranks,
        micro_tokens=settings.micro_tokens,
        masking=Masking(settings.mask_rate, settings.mask_smoothing),
    )
    model = open_masked_lm(name, attn_implementation="varlen")
    check_vocabulary(name, model, source.corpus)
    _agree(settings, launch, name, model, data)
    model.to(launch.device)
    scores = masked_lm_scores(launch, model, source)
    refuse_not_finite(name, scores["loss"])
    head = {"model": name, "data": data, "task": MASKED_LM, "metric": "accuracy"}
    return head | {"scores": scores, "size": size_of(model)}


def _agree(
    settings: Settings, launch: Launch, name: str, model: PreTrainedModel, data: str
) -> None:
    """Check that all processes score the same model on the same data, as they were told."""
    if launch.ranks == 1:
        return
    is_corpus = settings.task == MASKED_LM
    contents = {
        "model": fingerprint(str(Source(name).require(ONNX_WEIGHTS)))
        if is_exported(Source(name))
        else checkpoint.fingerprint(model),
        "data": Corpus.open(data).hash if is_corpus else fingerprint(data),
    }
    agree(launch, dataclasses.asdict(settings), fingerprint=contents, free=_PATHS)


def _task(settings: Settings, name: str, data: str, launch: Launch) -> dict[str, Any]:
    task = task_of(settings)
    runner = None
    if is_exported(Source(name)):
        _refuse_precision(settings, name)
        model, tokenizer, runner = open_exported(name, task)
    else:
        model, tokenizer = open_trained(name, task)
        model.to(launch.device)
    reader = Reader(
        task,
        labels_of(model),
        tokenizer,
        model.config.max_position_embeddings,
        settings.max_length,
    )
    table = task.read(data)
    examples = reader.read(table)
    require_labels(table.path, examples)
    _agree(settings, launch, name, model, data)
    _logger.info("%s", reader.note(table, examples))
    started = time.perf_counter()
    outputs, loss = outputs_of(launch, model, examples.features, settings.micro_tokens, runner)
    seconds = time.perf_counter() - started
    refuse_not_finite(name, outputs)
    result: dict[str, Any] = {
        "model": name,
        "data": data,
        "task": task.name,
        "metric": task.metric_of(examples),
        "scores": {"loss": loss, **examples.score(outputs)},
        "size": size_of(model) | ({"megabytes": runner.megabytes} if runner else {}),
        "speed": {
            "latency_ms": _latency_ms(launch, model, runner, examples.features),
            "examples_per_s": len(examples.features) / seconds,
        },
        "cut": examples.cut,
        "examples": len(examples.features),
    }
    if examples.detail is not None:
        result["detail"] = examples.detail(outputs)._asdict()
    return result


@torch.no_grad()
def _latency_ms(
    launch: Launch, model: PreTrainedModel, runner: Exported | None, features: Features
) -> float:
    """Return the median time of one example at a time."""
    model.eval()
    times = []
    for number in range(min(_LATENCY_RUNS, len(features))):
        batch = features.batch(np.array([number]))
        started = time.perf_counter()
        ids, types, lengths, *_ = to_inputs(batch, launch.device)
        with launch.autocast():
            logits_of(model, run(runner or model, ids, types, lengths), lengths).cpu()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)
