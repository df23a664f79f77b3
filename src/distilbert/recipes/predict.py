"""`distilbert predict`: texts in, a model's answers out as JSON lines, in the order of the texts.

Memory does not grow with the input.
"""

import io
import json
import logging
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from distilbert.errors import reworded
from distilbert.pipelines import pipeline
from distilbert.pipelines.inputs import text_of
from distilbert.pipelines.models import prepared_options
from distilbert.pipelines.opening import ALIASES
from distilbert.pipelines.records import STDIN, Record, as_json, kind_of, read_records
from distilbert.recipes.given import given
from distilbert.recipes.output import growing_output, target_of
from distilbert.runtime.progress import Progress
from distilbert.tasks.choice import continued

PREDICTION = "prediction"

_logger = logging.getLogger("distilbert")


@dataclass
class Settings:
    """Answer texts with a model, as JSON lines in the order of the texts.

    Args:
        task: task to answer: fill-mask, text-classification (or sentiment-analysis),
            token-classification (or ner), question-answering, multiple-choice,
            zero-shot-classification, feature-extraction or sentence-embedding.
        model: folder or hub id of a BERT or DistilBERT with the task's head, or of an export.
        input: text file (a text per line), JSON lines, CSV or TSV to answer; "-" is standard input.
        output: file of JSON lines to write, or "-" for standard output. Each is the record of the
            input with its prediction.
        input_format: format of the input: txt, jsonl, csv or tsv; by default what the file's name
            says, of standard input txt.
        text_column: column with the text.
        second_text_column: text-classification: column with the second text of a pair;
            multiple-choice: column with the text put before each choice. By default none.
        question_column: question-answering: column with the question.
        context_column: question-answering: column with the context.
        choice_columns: multiple-choice: columns with the choices; a single column holds a list.
        max_length: longest text, pair or window in tokens, special ones included; by default what
            the model takes, in question-answering at most 384.
        truncation: cut the end of a text that is too long, instead of an error.
        top_k: number of answers per text; text-classification: 0 is all labels. By default 1, in
            fill-mask 5.
        targets: fill-mask: words to choose among; by default the whole vocabulary.
        candidate_labels: zero-shot-classification: labels to choose among, words or one text with
            commas.
        hypothesis_template: zero-shot-classification: sentence with {} where the label goes; by
            default "This example is {}."
        multi_label: zero-shot-classification: score each label by itself, as several may be true.
        function_to_apply: text-classification: what makes scores of the model's outputs: softmax,
            sigmoid or none; by default what its configuration says.
        aggregation_strategy: token-classification: how tokens are joined to entities: none, simple,
            first, average or max; by default none.
        doc_stride: question-answering: tokens that consecutive windows of a context share; by
            default 128, or half of a short window.
        stride: token-classification: tokens that consecutive windows of a text share; by default a
            quarter of a window.
        max_answer_len: question-answering: longest answer in tokens; by default 15.
        handle_impossible_answer: question-answering: let "" (there is no answer) be an answer.
        pooling: feature-extraction, sentence-embedding: how a text's vectors become one: mean,
            first (that of [CLS]), or none; by default none, in sentence-embedding mean.
        batch_tokens: largest number of tokens that are computed at a time, padding included; by
            default 4096, in fill-mask 1024.
        device: device to compute on, such as cuda; by default the CPU.
        dtype: open the model as it is, not prepared, with weights in float32, bfloat16 or float16.
        precision: number format in which the model is prepared: fp32, bf16, fp16 (on a GPU), int8
            or auto (the fastest of them); by default fp32. An exported model has its own.
        threads: number of threads that compute; by default one per core.
    """

    task: str
    model: str
    input: str
    output: str = STDIN
    input_format: str | None = None
    text_column: str = "text"
    second_text_column: str | None = None
    question_column: str = "question"
    context_column: str = "context"
    choice_columns: tuple[str, ...] = ("choices",)
    max_length: int | None = None
    truncation: bool = False
    top_k: int | None = None
    targets: tuple[str, ...] = ()
    candidate_labels: tuple[str, ...] = ()
    hypothesis_template: str | None = None
    multi_label: bool = False
    function_to_apply: str | None = None
    aggregation_strategy: str | None = None
    doc_stride: int | None = None
    stride: int | None = None
    max_answer_len: int | None = None
    handle_impossible_answer: bool = False
    pooling: str | None = None
    batch_tokens: int | None = None
    device: str | None = None
    dtype: str | None = None
    precision: str | None = None
    threads: int | None = None


_COLUMNS = {
    "text-classification": ("text_column", "second_text_column"),
    "question-answering": ("question_column", "context_column"),
    "multiple-choice": ("text_column", "second_text_column", "choice_columns"),
}
"""The columns that a task reads; the others read text_column alone."""

_OPTIONS = (
    "max_length", "truncation", "top_k", "targets", "candidate_labels", "hypothesis_template",
    "multi_label", "function_to_apply", "aggregation_strategy", "doc_stride", "stride",
    "max_answer_len", "handle_impossible_answer", "pooling", "batch_tokens", "device",
    "dtype", "precision", "threads",
)  # fmt: skip


def main(settings: Settings) -> int:
    """Predict, and return how many records were answered.

    The output appears under its name once it is whole; what an interrupted or failed run has
    written is beside it, with `.partial` behind its name. A device, a pipe and what is open already
    (/dev/stdout) are written as they are.

    Raises:
        OSError: a file or folder cannot be found, read or written.
        TypeError: a setting that the task has not.
        ValueError: an unknown task, a dtype beside a precision, a model with another head, or a
            record that cannot be answered; the message has its line.
    """
    if settings.precision is not None and settings.dtype is not None:
        raise ValueError("precision chooses the type of a prepared model: leave out dtype")
    path = settings.input
    kind = settings.input_format or kind_of(path)
    total = None if path == STDIN else sum(1 for _ in read_records(path, kind))
    given = {name: getattr(settings, name) for name in _OPTIONS}
    # Not by `in`: 0 is False there.
    options = {n: v for n, v in given.items() if v is not None and v is not False and v != ()}
    task = ALIASES.get(settings.task, settings.task)
    if settings.top_k == 0 and task == "text-classification":
        options["top_k"] = None
    if len(settings.candidate_labels) == 1:  # as one text, which is split at its commas
        options["candidate_labels"] = settings.candidate_labels[0]
    pipe = pipeline(task, settings.model, **prepared_options(settings.model, options))
    _refuse_columns(task, settings)

    waiting: deque[Record] = deque()

    def inputs() -> Iterator[Any]:
        for line, record in read_records(path, kind):
            waiting.append((line, record))
            try:
                item = _input(task, record, settings)
            except (TypeError, ValueError) as error:
                raise reworded(error, f"line {line}: {error}") from None
            yield item

    done, started = 0, time.monotonic()
    bar = Progress(total=total, description=settings.task, unit="texts") if total else None
    with _writer(settings.output) as write, bar or nullcontext():
        try:
            for answer in pipe(inputs()):
                line, record = waiting.popleft()
                write(_json(line, record, answer))
                done += 1
                if bar:
                    bar.advance(done, 1)
        except (TypeError, ValueError) as error:
            lines = {done + i: line for i, (line, _) in enumerate(waiting)}
            raise reworded(error, _with_line(str(error), lines)) from error
    _logger.info("%d answers in %.1f s", done, time.monotonic() - started)
    return done


def _refuse_columns(task: str, settings: Settings) -> None:
    """Raise TypeError for a column that is said and that the task does not read."""
    read = _COLUMNS.get(task, ("text_column",))
    others = {name for names in _COLUMNS.values() for name in names} - set(read)
    for name in given(settings, sorted(others)):
        raise TypeError(f"{task} has no {name}; it has {', '.join(read)}")


def _with_line(message: str, lines: dict[int, int]) -> str:
    """Say the line of the input whose number a pipeline's error says."""
    wrong = re.match(r"input (\d+): (.*)", message, re.DOTALL)
    return f"line {lines[int(wrong[1])]}: {wrong[2]}" if wrong else message


def _input(task: str, record: dict[str, Any], settings: Settings) -> Any:
    """Return what the pipeline reads of a record.

    As in fine-tuning, nothing is an empty text in a pair, or before a choice.
    """
    if PREDICTION in record:
        raise ValueError(f"there is a column {PREDICTION!r} already: rename it")
    _refuse_unwritable(record)

    def column(name: str, setting: str) -> Any:
        if name not in record:
            raise ValueError(
                f"there is no column {name!r} but {', '.join(record)}; say which one with {setting}"
            )
        return record[name]

    if task == "question-answering":
        return {
            "question": column(settings.question_column, "question_column"),
            "context": column(settings.context_column, "context_column"),
        }
    text = column(settings.text_column, "text_column")
    second = None
    if settings.second_text_column is not None:
        second = column(settings.second_text_column, "second_text_column")
        second = "" if second is None else second
    if task == "multiple-choice":
        choices = [column(name, "choice_columns") for name in settings.choice_columns]
        choices = choices[0] if len(choices) == 1 else choices
        return text, choices if second is None else _continued(second, choices)
    if second is not None:
        return ("" if text is None else text), second
    return text


def _continued(beginning: Any, choices: Any) -> Any:
    """Put a beginning before each choice; what is no choice is left to the pipeline to refuse."""
    beginning = text_of(beginning, "the second text", may_be_empty=True)
    if not isinstance(choices, list):
        return choices
    return [
        continued(beginning, choice) if isinstance(choice, str) and choice.strip() else choice
        for choice in choices
    ]


def _refuse_unwritable(record: dict[str, Any]) -> None:
    """Raise ValueError for a column that could be read but not be written again."""
    for name, value in record.items():
        try:
            as_json({name: value}).encode()
        except UnicodeEncodeError as error:
            code = ord(error.object[error.start])
            raise ValueError(
                f"column {name!r} has a lone surrogate, U+{code:04X}, which stands for no "
                "character: remove it"
            ) from None
        except ValueError:
            what = f"is {json.dumps(value)}" if isinstance(value, float) else "has NaN or infinity"
            raise ValueError(
                f"column {name!r} {what}, which JSON does not have: write null"
            ) from None


@contextmanager
def _writer(path: str) -> Iterator[Callable[[str], None]]:
    """Open the output, and give it its name when it is whole."""
    if path == STDIN:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # JSON lines are, whatever the locale
        yield lambda line: print(line, flush=True)
        return
    with growing_output(target_of(path)) as file:
        yield lambda line: print(line, file=file)


def _json(line: int, record: dict[str, Any], answer: Any) -> str:
    """Return a record of the input with its prediction.

    Raises:
        ValueError: the model answers with NaN or infinity, which JSON does not have.
    """
    try:
        return as_json(record | {PREDICTION: answer})
    except ValueError:
        raise ValueError(
            f"line {line}: the model answers with NaN or infinity: its weights are damaged, or its "
            "training has diverged"
        ) from None
