"""Small files: read without surprises, written so that a reader sees all or nothing, and made to last."""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

#: How a file is called while it is written; one that is left over belongs to a process that died.
PARTIAL = ".partial"

#: Seconds that may pass until what was written is on the disk for good; "off" leaves it to the system.
SYNC_VARIABLE = "CATJAC_CACHE_SYNC"
_SYNC_SECONDS = 5.0

#: No text in a store is nearly as large.
_LARGEST_TEXT = 64 * 2**20


def read_json(path: Path) -> Any:
    """Read a JSON file, None where there is none that can be read."""
    try:
        if path.stat().st_size > _LARGEST_TEXT:
            return None
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or nothing.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left over.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


class Syncing:
    """Has what was written brought to the disk for good, now and then.

    A system that loses power may lose what it has not written yet. That is found by the digests and computed
    again; syncing bounds how much it is.
    """

    def __init__(self) -> None:
        self._waiting: set[Path] = set()
        self._last = time.monotonic()

    def note(self, path: Path) -> None:
        """Take note of a file that was written; sync if the last time is long enough ago."""
        seconds = sync_seconds()
        if seconds is None:
            return
        self._waiting.add(path)
        if time.monotonic() - self._last >= seconds:
            self.sync()

    def sync(self) -> None:
        """Sync the files noted since the last time, and their folders."""
        waiting, self._waiting = self._waiting, set()
        for path in [*waiting, *{path.parent for path in waiting}]:
            # Gone meanwhile, or a system that syncs no folders.
            with contextlib.suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        self._last = time.monotonic()


def sync_seconds() -> float | None:
    """Read `SYNC_VARIABLE`; None for "off".

    Raises
    ------
    UsageError
        If it is neither "off" nor a number of seconds.
    """
    setting = os.environ.get(SYNC_VARIABLE, "").strip().lower()
    if not setting:
        return _SYNC_SECONDS
    if setting == "off":
        return None
    with contextlib.suppress(ValueError):
        if (seconds := float(setting)) >= 0:
            return seconds
    from catjac_widgets.errors import UsageError

    raise UsageError(f"{SYNC_VARIABLE}={setting!r} is neither a number of seconds nor 'off'.")
