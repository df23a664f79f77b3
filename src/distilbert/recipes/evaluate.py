"""`distilbert evaluate`: what a model scores on a task, how large it is and how fast.

Any checkpoint, this package's or transformers', DistilBERT or BERT, on labelled examples; or a
masked LM on the validation split of a corpus, with exactly what its training printed.
"""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table as Grid

from distilbert.distillation.masking import Masking
from distilbert.hub import staged, write_json
from distilbert.modeling.heads import Head
from distilbert.modeling.opening import open_head, open_masked_lm
from distilbert.recipes.masked_lm import check_vocabulary, masked_lm_scores, open_source
from distilbert.recipes.task_job import Reader, labels_of, outputs_of
from distilbert.runtime import launch as launching
from distilbert.runtime.launch import Launch
from distilbert.tasks.catalog import NAMES, make_task
from distilbert.tasks.features import Features
from distilbert.tasks.step import logits_of, run, to_inputs
from distilbert.tokenization import DistilBertTokenizerFast

MASKED_LM = "mlm"
_LATENCY_RUNS = 50  # examples that are timed one by one

_logger = logging.getLogger("distilbert")


@dataclass
class Settings:
    """Which model, on what.

    Args:
        model: folder or hub id of a BERT or DistilBERT with the task's head.
        data: as for `distilbert finetune`; for mlm the folder that `distilbert prepare` wrote.
        task: one of `distilbert finetune`, or mlm (masked tokens).
        out: JSON file to write the result to.
        text_column: of the text; by default the task's.
        second_text_column: of the second text of a pair.
        label_column: of what is to be predicted; by default the task's.
        max_length: tokens of a text, special ones included; longer ones are cut, and counted. 0 is
            what the model has positions for, and a longer text an error. Contexts of questions are
            split into windows, sentences of words into parts.
        stride: question answering: pieces that two windows of a context share; by default 128.
        micro_tokens: real tokens that are computed at a time.
        mask_rate: mlm: share of the tokens to guess, as in training.
        mask_smoothing: mlm: as in training; distill has 0.7 and pretrain 0.
        precision: no (fp32), bf16 or fp16.
    """

    model: str
    data: str
    task: str = "classification"
    out: str | None = None
    text_column: str | None = None
    second_text_column: str | None = None
    label_column: str | None = None
    max_length: int = 0
    stride: int | None = None
    micro_tokens: int = 4096
    mask_rate: float = 0.15
    mask_smoothing: float = 0.7
    precision: launching.Precision = "no"


def main(settings: Settings) -> dict[str, Any]:
    """Evaluate, print tables, and return scores, confusion, size and speed.

    Raises:
        OSError: a file or folder cannot be read or written.
        ValueError: a model without the task's head, or data that do not fit it.
    """
    launch = launching.start(settings.precision)
    if settings.task == MASKED_LM:
        result = _masked_lm(settings, launch)
    elif settings.task in NAMES:
        result = _task(settings, launch)
    else:
        raise ValueError(
            f"task must be one of {', '.join((*NAMES, MASKED_LM))}; got {settings.task!r}"
        )
    if launch.is_main:
        _show(result)
        if settings.out is not None:
            path = Path(settings.out)
            with staged(path.parent) as scratch:
                write_json(scratch / path.name, result)
    return result


def _masked_lm(settings: Settings, launch: Launch) -> dict[str, Any]:
    source = open_source(
        launch,
        settings.data,
        seed=0,
        sequences_per_step=launch.ranks,
        micro_tokens=settings.micro_tokens,
        masking=Masking(settings.mask_rate, settings.mask_smoothing),
    )
    model = open_masked_lm(settings.model, attn_implementation="varlen")
    check_vocabulary(settings.model, model, source.corpus)
    model.to(launch.device)
    scores = masked_lm_scores(launch, model, source)
    return {"model": settings.model, "task": MASKED_LM, "scores": scores, "size": _size(model)}


def _task(settings: Settings, launch: Launch) -> dict[str, Any]:
    task = make_task(
        settings.task,
        text_column=settings.text_column,
        second_text_column=settings.second_text_column,
        label_column=settings.label_column,
        stride=settings.stride,
    )
    model = open_head(settings.model, task.head, is_trained=True, attn_implementation="varlen")
    model.config.problem_type = task.problem_type
    tokenizer = DistilBertTokenizerFast.from_pretrained(settings.model)
    reader = Reader(
        task,
        labels_of(model),
        tokenizer,
        model.config.max_position_embeddings,
        settings.max_length,
    )
    table = task.read(settings.data)
    examples = reader.read(table)
    _logger.info("%s", reader.note(table, examples))
    model.to(launch.device)
    started = time.perf_counter()
    outputs, loss = outputs_of(launch, model, examples.features, settings.micro_tokens)
    seconds = time.perf_counter() - started
    result: dict[str, Any] = {
        "model": settings.model,
        "data": settings.data,
        "task": task.name,
        "scores": {"loss": loss, **examples.score(outputs)},
        "size": _size(model),
        "speed": {
            "latency_ms": _latency_ms(launch, model, examples.features),
            "examples_per_s": len(examples.features) / seconds,
        },
        "cut": examples.cut,
        "examples": len(examples.features),
    }
    if examples.detail is not None:
        result["detail"] = examples.detail(outputs)._asdict()
    return result


def _size(model: Head) -> dict[str, float]:
    parameters = model.num_parameters()
    return {
        "parameters": parameters,
        "encoder_parameters": model.base_model.num_parameters(exclude_embeddings=True),
        "megabytes": model.get_memory_footprint() / 1e6,
    }


@torch.no_grad()
def _latency_ms(launch: Launch, model: Head, features: Features) -> float:
    """Return the median time of one example at a time."""
    model.eval()
    times = []
    for number in range(min(_LATENCY_RUNS, len(features))):
        batch = features.batch(torch.tensor([number]).numpy())
        started = time.perf_counter()
        ids, types, lengths, *_ = to_inputs(batch, model.device)
        with launch.autocast():
            logits_of(model, run(model, ids, types, lengths), lengths).cpu()
        times.append(time.perf_counter() - started)
    return 1000 * sorted(times)[len(times) // 2]


def _show(result: dict[str, Any]) -> None:
    """Print the result as tables, to standard output."""
    console = Console()
    grid = Grid(title=f"{result['model']}: {result['task']}", show_header=False)
    grid.add_column()
    grid.add_column(justify="right")
    for part in ("scores", "size", "speed"):
        for name, value in result.get(part, {}).items():
            text = f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"
            grid.add_row(name.replace("_", " "), text)
    console.print(grid)
    if "detail" in result:
        grid = Grid(*result["detail"]["columns"], title=result["detail"]["title"])
        for row in result["detail"]["rows"]:
            grid.add_row(*(f"{each:.4f}" if isinstance(each, float) else str(each) for each in row))
        console.print(grid)
