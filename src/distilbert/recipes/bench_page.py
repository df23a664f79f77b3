"""What `distilbert bench` has measured, as tables and a page with plots."""

import json
from pathlib import Path
from typing import Any

from distilbert.recipes import page
from distilbert.runtime.console import Console


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console()
    title = f"{result['model']}, {result['threads']} threads"
    console.print_table(page.grid(*page.cells(_rows(result)), title))
    limits = ", ".join(f"{name} {rate:.0f}" for name, rate in result["gflops_limit"].items())
    console.print(f"In brackets: share of this machine's matrix products, GFLOP/s: {limits}")
    for name, start in result.get("cold_start", {}).items():
        engine = f" (engine {start['engine']})" if start["engine"] else ""
        console.print(
            f"start to answer, {name}{engine}: {start['seconds']:.2f} s, "
            f"{start['megabytes']:.0f} MB"
        )
    if "task" in result:
        task = result["task"]
        title = f"{task['task']}, {task['texts']} texts"
        console.print_table(page.grid(*page.cells(task_rows(task)), title))
    if "pass" in result:
        for name, seconds in result["pass"]["seconds"].items():
            console.print(f"{result['pass']['texts']} texts one by one, {name}: {seconds:.2f} s")


def write(folder: Path, result: dict[str, Any]) -> None:
    """Write `bench.json`, and `bench.html` with plots, to a folder that is there."""
    (folder / "bench.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    parts = [page.table(*page.cells(_rows(result)))]
    if "task" in result:
        parts.append(page.table(*page.cells(task_rows(result["task"]))))
    for workload, seconds in result["seconds"].items():
        made, (axes,) = page.figure()
        page.bars(axes, {n: 1000 * s for n, s in seconds.items()}, f"{workload}, ms", " ms")
        parts.append(page.svg(made))
    page.write_page(folder / "bench.html", f"Inference: {result['model']}", parts)


def _rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """Return the table: a line per contender."""
    rows = []
    for name, error in result["error"].items():
        row = {"": name, "error": f"{error:.1e}"}
        for workload, seconds in result["seconds"].items():
            share = result["share_of_limit"][workload].get(name)
            limit = "" if share is None else f" ({share:.0%})"
            row[f"{workload}, ms"] = f"{1000 * seconds[name]:.1f}{limit}"
        rows.append(row)
    return rows


def task_rows(task: dict[str, Any]) -> list[dict[str, str]]:
    """Return the table of a task: a line per contender."""
    return [
        {
            "": name,
            task["metric"]: f"{one['scores'][task['metric']]:.4f}",
            "kept": _percent(one["kept"]),
            "error of outputs": f"{one['error']:.1e}",
            "decisions changed": _percent(one["changed"]),
        }
        for name, one in task["results"].items()
    ]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"
