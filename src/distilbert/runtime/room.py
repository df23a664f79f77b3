"""Disks that are full: what could not be written, and what to do."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

NO_ROOM = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)
)
"""The disk, a quota, or a limit on the size of files."""


@contextmanager
def room_for(what: str | os.PathLike[str]) -> Iterator[None]:
    """Say of what is written inside the block that there is no room for it.

    Raises:
        OSError: there is none.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise OSError(
            error.errno,
            f"{os.fspath(what)} cannot be written ({error.strerror}): make room, then "
            "start the same command again",
        ) from error
