"""Several runs that differ in their seed only: the median is what one reports."""

import logging
import re
import shutil
import statistics
from collections.abc import Collection
from pathlib import Path

from distilbert.folders import staged, write_json
from distilbert.recipes.plan import gain
from distilbert.runtime.launch import Launch
from distilbert.runtime.room import room_for

SEEDS_FILE = "seeds.json"

_logger = logging.getLogger("distilbert")


def folder_of(folder: Path, seed: int) -> Path:
    """Return where the run of a seed is."""
    return folder / f"seed-{seed}"


def refuse_fewer(folder: Path, seeds: Collection[int]) -> None:
    """Check that no run of another seed is in the folder, which the sum would leave out.

    Raises:
        ValueError: there is one.
    """
    runs = {
        path.name
        for path in folder.iterdir()
        if re.fullmatch(r"seed-(-?\d+)", path.name) and path.is_dir()
    }
    others = runs - {folder_of(folder, seed).name for seed in seeds}
    if others:
        raise ValueError(
            f"{folder} has {', '.join(sorted(others))} as well, and seeds are "
            f"{' '.join(map(str, seeds))}: give those and more, or another folder"
        )


def sum_up(
    launch: Launch, folder: Path, metric: str, scores: dict[int, dict[str, float]]
) -> dict[str, float]:
    """Return the medians, and publish the model of the best seed as `folder / "model"`.

    Args:
        folder: has the runs of the seeds.
        metric: the score that says which is the best.
        scores: by seed.
    """
    medians = {
        name: statistics.median(each[name] for each in scores.values())
        for name in next(iter(scores.values()))
    }
    best = max(scores, key=lambda seed: gain(metric, scores[seed]))

    def publish() -> None:
        with room_for(folder), staged(folder / "model") as scratch:
            for file in (folder_of(folder, best) / "model").iterdir():
                shutil.copyfile(file, scratch / file.name)
        record = {"scores": {str(s): each for s, each in scores.items()}, "median": medians}
        write_json(folder / SEEDS_FILE, {**record, "published": best})
        _logger.info(
            "%s of the seeds: %s; median %.4f; published is the model of seed %d",
            metric,
            ", ".join(f"{seed}: {each[metric]:.4f}" for seed, each in scores.items()),
            medians[metric],
            best,
        )

    launch.on_main(publish)
    return medians
