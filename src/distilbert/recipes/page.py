"""Results shown: tables for the terminal, and one HTML file with its plots inside."""

import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from distilbert.extras import require
from distilbert.printable import printable

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 62em; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { border-bottom: 1px solid #ccc; padding: .3em .8em; text-align: right; }
th:first-child, td:first-child { text-align: left; }
code { background: #f2f2f2; padding: .1em .3em; }
svg { max-width: 100%; height: auto; }
"""


def cells(lines: Sequence[Mapping[str, str]]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of a table whose lines name their cells."""
    return list(lines[0]), [list(line.values()) for line in lines]


def grid(head: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> Table:
    """Return a table to print; the cells of its first column are names.

    What is in brackets is shown as it is, not taken for markup, and what a terminal would obey is
    escaped: names come from files.
    """
    made = Table(box=SIMPLE, title=Text(printable(title), "table.title") if title else None)
    for number, cell in enumerate(head):
        made.add_column(Text(printable(cell)), justify="right" if number else "left")
    for row in rows:
        made.add_row(*(Text(printable(cell)) for cell in row))
    return made


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table; the cells of its first column are names."""
    lines = ["".join(f"<th>{html.escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def paragraph(text: str) -> str:
    """Return a text as an HTML paragraph; what is between backquotes becomes code."""
    parts = html.escape(text).split("`")
    marked = (f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
    return f"<p>{''.join(marked)}</p>"


def figure(columns: int = 1) -> tuple[Any, list[Any]]:
    """Return a matplotlib figure and its axes, side by side; no display is needed.

    Raises:
        ImportError: matplotlib is not installed.
    """
    require("matplotlib")
    from matplotlib.figure import Figure

    made = Figure(figsize=(5.2 * columns, 3.4), layout="constrained")
    return made, list(made.subplots(1, columns, squeeze=False)[0])


def bars(axes: Any, values: Mapping[str, float], title: str, unit: str = "") -> None:
    """Draw horizontal bars, each with its name and its value, the first on top."""
    names = list(values)
    drawn = axes.barh(names, [values[name] for name in names], color="#4c78a8")
    axes.bar_label(drawn, fmt=f"{{:.4g}}{unit}", padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)


def svg(made: Any) -> str:
    """Return a figure as the SVG element of a page; its words stay words."""
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context({"svg.fonttype": "none"}):
        made.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def write_page(path: Path, title: str, parts: Sequence[str]) -> None:
    """Write a page of HTML parts.

    Raises:
        OSError: it cannot be written.
    """
    head = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}'
        f"</title><style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>"
    )
    path.write_text(head + "\n".join(parts) + "</body></html>\n", encoding="utf-8")
