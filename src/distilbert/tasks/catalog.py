"""The tasks by name: GLUE (arXiv 1804.07461), IMDb, SQuAD, CoNLL, SWAG, and one's own files.

Columns are those of the data sets in `datasets`; the official TSV files are read as well.
"""

from dataclasses import replace

from distilbert.tasks.choice import Choice
from distilbert.tasks.classification import Classification, MultiLabel, Regression
from distilbert.tasks.embedding import Embedding
from distilbert.tasks.question_answering import QuestionAnswering
from distilbert.tasks.tagging import Tagging
from distilbert.tasks.task import Task

_PAIR = ("sentence1", "sentence2")
_ENTAILMENT = ("entailment", "not_entailment")

_TASKS: tuple[Task, ...] = (
    Classification("classification", "accuracy"),
    MultiLabel("multi-label", "f1_micro"),
    Regression("regression", "pearson"),
    Tagging("token-classification", "f1"),
    QuestionAnswering("question-answering", "f1"),
    Choice("multiple-choice", "accuracy"),
    Embedding("embedding", "spearman"),
    Classification(
        "cola",
        "matthews",
        text_column="sentence",
        label_names=("unacceptable", "acceptable"),
        tsv_header=("source", "label", "mark", "sentence"),
    ),
    Classification(
        "sst2", "accuracy", text_column="sentence", label_names=("negative", "positive")
    ),
    Classification(
        "mrpc",
        "f1",
        *_PAIR,
        label_names=("not_equivalent", "equivalent"),
        tsv_columns={"#1 String": "sentence1", "#2 String": "sentence2", "Quality": "label"},
    ),
    Regression("stsb", "spearman", *_PAIR, tsv_columns={"score": "label"}),
    Classification(
        "qqp",
        "f1",
        text_column="question1",
        second_text_column="question2",
        label_names=("not_duplicate", "duplicate"),
        tsv_columns={"is_duplicate": "label"},
    ),
    Classification(
        "mnli",
        "accuracy",
        text_column="premise",
        second_text_column="hypothesis",
        label_names=("entailment", "neutral", "contradiction"),
        tsv_columns={
            "sentence1": "premise",
            "sentence2": "hypothesis",
            "gold_label": "label",
        },
    ),
    Classification(
        "qnli",
        "accuracy",
        text_column="question",
        second_text_column="sentence",
        label_names=_ENTAILMENT,
    ),
    Classification("rte", "accuracy", *_PAIR, label_names=_ENTAILMENT),
    Classification("wnli", "accuracy", *_PAIR, label_names=("not_entailment", "entailment")),
    Classification("imdb", "accuracy", label_names=("neg", "pos")),
    Tagging("conll2003", "f1"),
    QuestionAnswering("squad", "f1"),
    QuestionAnswering("squad2", "f1"),
    Choice("swag", "accuracy"),
)
NAMES = tuple(task.name for task in _TASKS)


def make_task(name: str, **options: str | int | None) -> Task:
    """Return a task, with some of its options replaced.

    Args:
        options: such as text_column or stride; None leaves the task's own.

    Raises:
        ValueError: there is no such task, or it has no such option; the message lists them.
    """
    if name not in NAMES:
        raise ValueError(f"task must be one of {', '.join(NAMES)}; got {name!r}")
    task = _TASKS[NAMES.index(name)]
    chosen = {option: value for option, value in options.items() if value is not None}
    for option in chosen:
        if option not in vars(task):
            there = [each for each in vars(task) if each.endswith("_column") or each == "stride"]
            raise ValueError(f"{name} has no {option}; it has {', '.join(there)}")
    return replace(task, **chosen)  # type: ignore[arg-type]
