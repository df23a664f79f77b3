"""How a run begins in all its processes: with the same settings and contents, or not at all."""

import platform
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from distilbert.runtime import checkpoint
from distilbert.runtime.launch import Launch
from distilbert.runtime.run import CHECKPOINTS, Run, start_run

# These may change from one start to the next, and yet all processes need the same.
_OF_ONE_START = ("save_every", "micro_tokens")


def agree(
    launch: Launch,
    settings: Mapping[str, Any],
    *,
    fingerprint: Mapping[str, Any],
    free: Collection[str],
) -> None:
    """Check that all processes have the same settings and contents.

    Args:
        fingerprint: hashes of what the settings lead to, by their names.
        free: names of settings that may differ, such as paths.

    Raises:
        ValueError: one differs; it is named with its values and their processes.
    """
    compared = {
        name: value if name not in free or name in _OF_ONE_START else _is_given(value)
        for name, value in settings.items()
    }
    launch.agree(compared | dict(fingerprint))


def start_together(
    launch: Launch,
    folder: Path,
    settings: Mapping[str, Any],
    *,
    fingerprint: Mapping[str, Any],
    free: Collection[str],
) -> Run:
    """Begin a run in a folder, or go on with it; the arguments are those of `start_run`.

    Raises:
        ValueError: the processes were given different things, or the run is further on another
            machine than on that of process 0; or as `start_run`.
        OSError: as `start_run`.
    """
    agree(launch, settings, fingerprint=fingerprint, free=free)
    _refuse_behind(launch, folder)
    run = Run(folder)

    def start() -> None:
        nonlocal run
        run = start_run(
            folder,
            settings,
            fingerprint=fingerprint,
            free=free,
            machine={**launch.describe(), "micro_tokens": settings["micro_tokens"]},
        )

    launch.on_main(start)
    return run


def _is_given(value: Any) -> str | None:
    return None if value is None else "given"


def _refuse_behind(launch: Launch, folder: Path) -> None:
    """Check that no other machine has a newer checkpoint than that of process 0, which writes them.

    A launcher may number the machines otherwise than at the last start.
    """
    known = launch.gather((checkpoint.newest_step(folder / CHECKPOINTS), platform.node()))
    (step, host), (newest, other) = known[0], max(known, key=lambda each: each[0])
    if newest > step:
        raise ValueError(
            f"the run is at step {newest} in {folder} on {other}, and at step {step} on {host}, "
            f"the machine of process 0: copy {folder} from {other} to {host}, or start {other} as "
            "the first machine; to begin anew, remove it"
        )
