"""Scratch folders: what is being written, and what is being removed, has a name of this kind."""

import os
import shutil
from pathlib import Path

SAVING = ".saving-"
REMOVING = ".removing-"


def remove_scratch(folder: str | os.PathLike[str]) -> None:
    """Remove what an interrupted save left behind in a folder.

    Nobody else may be saving there: hold the lock of the run.
    """
    for prefix in (SAVING, REMOVING):
        for path in Path(folder).glob(f"{prefix}*"):
            shutil.rmtree(path, ignore_errors=True)
