"""How the quickstart shows what it measured: a table, sentences, and a page with plots."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from distilbert.recipes import page
from distilbert.recipes.quickstart_scores import Row, Share
from distilbert.runtime.console import Console
from distilbert.runtime.metrics import read_metrics

_NONE = "–"


def lines_of(rows: Sequence[Row]) -> list[dict[str, str]]:
    """Return the table, a line per model; the first row is the teacher, what others kept of it."""
    teacher = rows[0]
    return [
        {
            "model": row.name,
            "params": _number(row.parameters, "{:,}"),
            "in layers": _number(row.encoder, "{:,}"),
            "MB": _number(row.size_mb, "{:.1f}"),
            "ms": _number(row.latency_ms, "{:.1f}"),
            "texts/s": _number(row.texts_per_s, "{:,.0f}"),
            "masked tokens": _share(row.guesses),
            "kept": _kept(row.guesses, teacher.guesses),
            "task": _share(row.task),
            "kept ": _kept(row.task, teacher.task),
        }
        for row in rows
    ]


def sentences(rows: Sequence[Row], floor: float) -> list[str]:
    """Return what the table says in words, differences with their standard errors.

    Args:
        rows: the teacher, its student, and those that the student is compared with.
        floor: the accuracy of always guessing the most frequent token.
    """
    teacher, student, *others = rows
    said = [
        f"Always guessing the most frequent token is right {floor:.1%} of the time. "
        "Behind ± are standard errors; those of differences are paired. Scores of the task are "
        "means of several runs of fine-tuning.",
        f"Beside its teacher the student has {_ratio(student.parameters, teacher.parameters)} of "
        f"the parameters ({_ratio(student.encoder, teacher.encoder)} of those in layers; the "
        f"embeddings are shared by all), and answers in "
        f"{_ratio(student.latency_ms, teacher.latency_ms)} of the time.",
    ]
    for other in others:
        parts = [f"{_difference(student.task, other.task)} at the task"]
        if student.guesses is not None and other.guesses is not None:
            parts.insert(0, f"{_difference(student.guesses, other.guesses)} at masked tokens")
        said.append(f"The student against “{other.name}”: {', '.join(parts)}.")
    said.append(
        "All students saw the same tokens in the same steps. A step with a teacher takes longer: "
        "in equal time a student without one comes nearer."
    )
    return said


def print_tables(
    rows: Sequence[Row], said: Sequence[str], filled: Sequence[Mapping[str, str]]
) -> None:
    """Print all to standard output."""
    console = Console()
    console.print_table(page.grid(*page.cells(lines_of(rows))))
    for text in said:
        console.print(text, markup=False, highlight=False)
    console.print_table(page.grid(*page.cells(filled)))


def write_report(
    path: Path,
    rows: Sequence[Row],
    runs: Mapping[str, Path],
    said: Sequence[str],
    filled: Sequence[Mapping[str, str]],
    commands: Sequence[str],
) -> None:
    """Write the page.

    Args:
        runs: the folder of each model's training.
        filled: sentences with a mask, and what models put there.
        commands: that give the scores of the table again.

    Raises:
        OSError: it cannot be written.
    """
    sized = [row for row in rows if row.parameters is not None]
    parts = [page.table(*page.cells(lines_of(rows))), *map(page.paragraph, said)]
    parts += [_learning(runs), _sizes(sized), _kept_bars(rows)]
    parts += ["<h2>Filled masks</h2>", page.table(*page.cells(filled))]
    parts += ["<h2>The same scores again</h2>", *(page.paragraph(f"`{c}`") for c in commands)]
    page.write_page(path, "DistilBERT in miniature", parts)


def _learning(runs: Mapping[str, Path]) -> str:
    figure, (loss, accuracy) = page.figure(2)
    for name, folder in runs.items():
        lines = read_metrics(folder)
        for axes, key in ((loss, "validation/loss"), (accuracy, "validation/accuracy")):
            points = [(line["step"], line[key]) for line in lines if key in line]
            axes.plot(*zip(*points, strict=True), marker=".", label=name)
    loss.set_title("Validation loss at masked tokens")
    accuracy.set_title("Accuracy at masked tokens")
    for axes in (loss, accuracy):
        axes.set_xlabel("steps")
        axes.spines[["top", "right"]].set_visible(False)
    accuracy.legend(frameon=False)
    return page.svg(figure)


def _sizes(rows: Sequence[Row]) -> str:
    figure, (size, latency, speed) = page.figure(3)
    page.bars(size, {row.name: row.size_mb or 0 for row in rows}, "Size, MB")
    page.bars(latency, {row.name: row.latency_ms or 0 for row in rows}, "One text, ms")
    page.bars(speed, {row.name: row.texts_per_s or 0 for row in rows}, "Texts per second")
    return page.svg(figure)


def _kept_bars(rows: Sequence[Row]) -> str:
    teacher = rows[0]
    figure, (guesses, task) = page.figure(2)
    if teacher.guesses is not None:
        kept = {
            row.name: 100 * row.guesses.mean / teacher.guesses.mean for row in rows if row.guesses
        }
        page.bars(guesses, kept, "Kept of the teacher at masked tokens, %")
    kept = {row.name: 100 * row.task.mean / teacher.task.mean for row in rows}
    page.bars(task, kept, "Kept of the teacher at the task, %")
    return page.svg(figure)


def _number(value: float | None, form: str) -> str:
    return _NONE if value is None else form.format(value)


def _share(share: Share | None) -> str:
    return _NONE if share is None else f"{share.mean:.1%} ± {100 * share.error:.1f}"


def _kept(share: Share | None, teacher: Share | None) -> str:
    return _NONE if share is None or teacher is None else f"{share.mean / teacher.mean:.1%}"


def _ratio(part: float | None, whole: float | None) -> str:
    return _NONE if part is None or not whole else f"{part / whole:.2f}"


def _difference(share: Share, other: Share) -> str:
    difference, error = share.minus(other)
    return f"{100 * difference:+.1f} ± {100 * error:.1f} points"
