"""Results of evaluations side by side: printed tables, and `report.html` with plots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilbert.folders import staged
from distilbert.recipes import page
from distilbert.runtime.console import Console

Result = Mapping[str, Any]
REPORT_FILE = "report.html"


@dataclass(frozen=True)
class Comparison:
    """What two or more models do on the same tasks; the first is the reference.

    Args:
        names: of the models.
        metrics: the score of each task that is compared, by task.
        results: by model, then by task.
    """

    names: Sequence[str]
    metrics: Mapping[str, str]
    results: Mapping[str, Mapping[str, Result]]

    def score(self, name: str, task: str) -> float:
        """Return the score of a model on a task."""
        return self.results[name][task]["scores"][self.metrics[task]]

    def retention(self, name: str, task: str) -> float:
        """Return the share of the reference's score that a model keeps; nan where that is 0."""
        reference = self.score(self.names[0], task)
        return self.score(name, task) / reference if reference else float("nan")

    def mean_retention(self, name: str) -> float:
        """Return the mean over tasks."""
        return sum(self.retention(name, task) for task in self.metrics) / len(self.metrics)

    def rows(self) -> list[list[str]]:
        """Return a table: its head, a row per task, and the means, sizes and times."""
        first = self.names[0]
        rows = [["", *(cell for name in self.names for cell in (name, f"of {first}"))]]
        for task, metric in self.metrics.items():
            cells = [
                cell
                for name in self.names
                for cell in (f"{self.score(name, task):.4f}", f"{self.retention(name, task):.1%}")
            ]
            rows.append([f"{task} ({metric})", *cells])
        means = [cell for name in self.names for cell in ("", f"{self.mean_retention(name):.1%}")]
        rows.append(["mean", *means])
        for part, key, title in (
            ("size", "parameters", "parameters"),
            ("size", "megabytes", "megabytes"),
            ("speed", "latency_ms", "latency, ms"),
            ("speed", "examples_per_s", "examples/s"),
        ):
            values = [self._mean(name, part, key) for name in self.names]
            known = [value for value in values if value is not None]
            if len(known) < len(values):
                continue  # results of masked tokens have no speed
            cells = [c for v in known for c in (f"{v:,.5g}", f"{v / known[0]:.1%}")]
            rows.append([title, *cells])
        return rows

    def _mean(self, name: str, part: str, key: str) -> float | None:
        """Return the mean over tasks of a number that each has."""
        found = [self.results[name][task].get(part, {}).get(key) for task in self.metrics]
        return None if None in found else sum(found) / len(found)


def show(result: Result) -> None:
    """Print one result as tables, to standard output."""
    console = Console()
    rows = [
        [name.replace("_", " "), f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"]
        for part in ("scores", "size", "speed")
        for name, value in result.get(part, {}).items()
    ]
    console.print_table(page.grid(["", result["task"]], rows, result["model"]))
    if "detail" in result:
        detail = result["detail"]
        rows = [
            [f"{each:.4f}" if isinstance(each, float) else str(each) for each in row]
            for row in detail["rows"]
        ]
        console.print_table(page.grid(detail["columns"], rows, detail["title"]))


def show_comparison(comparison: Comparison) -> None:
    """Print a comparison, to standard output."""
    head, *rows = comparison.rows()
    Console().print_table(page.grid(head, rows, f"compared with {comparison.names[0]}"))


def write_report(folder: Path, comparison: Comparison) -> Path:
    """Write `report.html`, one file with its plots inside, and return its path.

    Raises:
        ImportError: matplotlib is not installed. OSError: the folder cannot be written.
    """
    head, *rows = comparison.rows()
    parts = [page.table(head, rows), _plots(comparison)]
    with staged(folder) as scratch:
        page.write_page(scratch / REPORT_FILE, f"Compared with {comparison.names[0]}", parts)
    return folder / REPORT_FILE


def _plots(comparison: Comparison) -> str:
    """Return an SVG: retention by task, and against the number of parameters."""
    tasks = list(comparison.metrics)
    figure, (left, right) = page.figure(2)
    width = 0.8 / len(comparison.names)
    for i, name in enumerate(comparison.names):
        places = [place + i * width for place in range(len(tasks))]
        left.bar(places, [100 * comparison.retention(name, task) for task in tasks], width)
        parameters = [comparison.results[name][task]["size"]["parameters"] for task in tasks]
        mean = sum(parameters) / len(parameters) / 1e6
        right.scatter([mean], [100 * comparison.mean_retention(name)], label=name)
    left.set_xticks([p + 0.4 - width / 2 for p in range(len(tasks))], tasks, rotation=30)
    left.set_ylabel(f"% of the score of {comparison.names[0]}")
    right.set_xlabel("million parameters")
    right.set_ylabel("mean, %")
    right.legend()
    return page.svg(figure)
