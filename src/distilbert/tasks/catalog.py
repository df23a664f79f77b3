"""The tasks by name: those of one's own files."""

from collections.abc import Callable
from dataclasses import replace

from distilbert.tasks.classification import Classification
from distilbert.tasks.task import Task

_TASKS: dict[str, Callable[[], Task]] = {
    "classification": lambda: Classification("classification", "accuracy", "text", None, "label"),
}
NAMES = tuple(_TASKS)


def make_task(name: str, **columns: str | None) -> Task:
    """Return a task, reading the columns that are named instead of its own.

    Args:
        columns: column settings of the task, such as text_column; None leaves the task's own.

    Raises:
        ValueError: there is no such task, or it has no such column; the message lists them.
    """
    if name not in _TASKS:
        raise ValueError(f"task must be one of {', '.join(_TASKS)}; got {name!r}")
    task = _TASKS[name]()
    chosen = {setting: column for setting, column in columns.items() if column is not None}
    for setting in chosen:
        if setting not in vars(task):
            there = ", ".join(each for each in vars(task) if each.endswith("_column"))
            raise ValueError(
                f"{name} reads no {setting}; the columns to name are {there or 'none'}"
            )
    return replace(task, **chosen)
