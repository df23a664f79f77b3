"""Tables and plots of the experiment, from the lines that its runs left.

    python runs/results.py --out OUT     prints Markdown, writes OUT/results.md and OUT/*.svg

A score is the median over seeds on the validation split; "kept" is the mean over tasks of the share
of the teacher's score.
"""

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path

import settings as plan
from finetuning import SCORES

from distilbert.recipes import page

Scores = dict[tuple[str, str, str], dict[int, float]]  # by model, task and kind; by seed
KINDS = {
    "plain": "",
    "taught": " + taught again",
    "augmented": " + taught again, more texts",
    "longer": " + taught again, more texts, longer",
}


def read(out: Path) -> tuple[Scores, dict[str, dict[str, float]], float]:
    """Return scores, what is known of each model besides, and the seconds of all runs together."""
    scores: Scores = defaultdict(dict)
    models: dict[str, dict[str, float]] = defaultdict(dict)
    seconds = 0.0
    for line in map(json.loads, (out / SCORES).read_text().splitlines()):
        seconds += line["seconds"]
        name, task, found = line["model"], line["task"], line["scores"]
        if line["kind"] == "score":
            key = "accuracy" if task == "mlm" else "spearman"
            models[name] |= {task: found[key], "parameters": found["parameters"],
                             "encoder": found["encoder_parameters"]}  # fmt: skip
        elif line["kind"] not in plan.TEXTS.values():
            metric = (plan.TASKS.get(task) or plan.LARGE[task]).metric
            scores[name, task, line["kind"]][line["seed"]] = found[metric]
    return scores, models, seconds


def best_kind(scores: Scores, name: str, task: str, kind: str) -> str:
    """Return the kind that stands for a task in a row: where it was not run, the one before it.

    Never plain in a row that is not.
    """
    kinds = list(KINDS)
    before = kinds[1 : kinds.index(kind)][::-1]
    return next((k for k in (kind, *before) if (name, task, k) in scores), kind)


def title(name: str) -> str:
    """Return what a model is called in tables."""
    if name not in plan.ROWS:
        return name
    what = plan.ROWS[name].what
    return what if what.startswith("(") else f"({name}) {what}"


def table(
    scores: Scores, models: dict[str, dict[str, float]]
) -> tuple[list[list[str]], dict[str, float]]:
    """Return the head and a row per model and kind, and the per cent kept by those of all tasks."""
    tasks = [t for t in plan.TASKS if ("teacher", t, "plain") in scores]
    goal = {t: statistics.median(scores["teacher", t, "plain"].values()) for t in tasks}
    shares = {}
    rows = [["model", *tasks, "mean", "kept", "STS", "masked tokens", "parameters", "MB"]]
    for name in ("minilm", "teacher", *plan.ROWS):
        for kind, words in KINDS.items():
            if not any((name, t, kind) in scores for t in tasks):
                continue
            found = {}
            for task in tasks:
                values = scores.get((name, task, best_kind(scores, name, task, kind)))
                if values:
                    found[task] = statistics.median(values.values())
            cells = [f"{100 * found[t]:.1f}" if t in found else "" for t in tasks]
            is_whole = len(found) == len(tasks)
            mean = f"{100 * statistics.mean(found.values()):.1f}" if is_whole else ""
            is_comparable = is_whole and all(goal.values())
            kept = statistics.mean(found[t] / goal[t] for t in tasks) if is_comparable else None
            known = models.get(name, {})
            label = title(name) + words
            if kept is not None:
                shares[label] = 100 * kept
            size = known.get("parameters")
            rows.append([
                label, *cells, mean,
                "" if kept is None else f"{kept:.1%}",
                f"{100 * known['embedding']:.1f}" if "embedding" in known else "",
                f"{known['mlm']:.1%}" if "mlm" in known else "",
                f"{size / 1e6:.1f} M" if size else "", f"{4 * size / 1e6:.0f}" if size else "",
            ])  # fmt: skip
    return rows, shares


def spread(scores: Scores) -> list[list[str]]:
    """Return the head and a row per model and kind: what several runs of a task differ by.

    That is the lowest and the highest, and the mean over these tasks, seed by seed, and how much
    above that of (e) it is, each with its standard error.
    """
    tasks = [t for t in plan.TASKS if any(k[1] == t and len(v) > 1 for k, v in scores.items())]
    rows = [["lowest to highest", *tasks, "mean", "against (e)"]]
    goal = means([scores.get(("e", task, "plain"), {}) for task in tasks])
    for name, kind in dict.fromkeys((name, kind) for name, _, kind in scores):
        runs = [scores.get((name, task, kind), {}) for task in tasks]
        if any(len(run) > 1 for run in runs):
            several = [run.values() for run in runs]
            cells = [f"{100 * min(v):.1f} to {100 * max(v):.1f}" if v else "" for v in several]
            own = means(runs)
            over = [own[seed] - goal[seed] for seed in own if seed in goal]
            rows.append([name + KINDS[kind], *cells, sure(list(own.values())), sure(over)])
    return rows


def means(runs: list[dict[int, float]]) -> dict[int, float]:
    """Return the mean over tasks, in per cent, of every seed that all have."""
    seeds = set(runs[0]).intersection(*runs[1:]) if runs else set()
    return {seed: 100 * statistics.mean(run[seed] for run in runs) for seed in seeds}


def sure(values: list[float]) -> str:
    """Return a mean and its standard error; nothing for a single value."""
    if len(values) < 2:
        return ""
    error = statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.mean(values):.2f} ± {error:.2f}"


def markdown(rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def main() -> None:
    """Print the tables and draw the plots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--student-tokens", type=float, default=30e6, help="as given to evidence.py"
    )
    options = parser.parse_args()
    scores, models, seconds = read(options.out)
    rows, shares = table(scores, models)
    text = f"{markdown(rows)}\n\n{markdown(spread(scores))}"
    seeds: dict[str, int] = defaultdict(int)
    for (_, task, _), values in scores.items():
        seeds[task] = max(seeds[task], len(values))
    text += f"\n\nRuns per task: {dict(seeds)}; {seconds / 3600:.2f} hours of runs, many at once.\n"
    for (name, task, kind), values in scores.items():
        if task in plan.LARGE:
            text += f"\n{name}, {task}, {kind}: {statistics.median(values.values()):.4f}\n"
    print(text)
    (options.out / "results.md").write_text(text)
    figure, [axes] = page.figure()
    figure.set_size_inches(9, 1 + 0.3 * len(shares))
    rounded = {label: round(share, 1) for label, share in shares.items()}
    page.bars(axes, rounded, "share of the teacher that is kept", " %")
    (options.out / "kept.svg").write_text(page.svg(figure))
    curve = {
        plan.ROWS[name].tokens * options.student_tokens: shares[title(name)]
        for name in ("a", "h-quarter", "h", "h-triple", "h-long")
        if title(name) in shares
    }
    if len(curve) < 2:
        return
    figure, [axes] = page.figure()
    axes.plot([tokens / 1e6 for tokens in curve], list(curve.values()), marker="o")
    axes.set_xlabel("million tokens")
    axes.set_ylabel("per cent of the teacher kept")
    (options.out / "curve.svg").write_text(page.svg(figure))


if __name__ == "__main__":
    main()
