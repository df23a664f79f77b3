"""A bar on standard error."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any


def with_bar(answers: Iterable[Any], total: int | None) -> Iterator[Any]:
    """Yield answers, and show how many of `total` there are."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    bar = Progress(
        BarColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(stderr=True),
        # Where standard output is no terminal, what the caller prints must not go to the bar's.
        redirect_stdout=sys.stdout.isatty(),
    )
    with bar:
        yield from bar.track(answers, total=total, description="")
