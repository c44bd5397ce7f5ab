"""The files of an entry in a folder: written so that a reader sees all or nothing, and made to last."""

from __future__ import annotations

import contextlib
import os
import stat
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

from catjac_widgets.engine.cache.chunked.files import LARGEST_TEXT, EntryFiles

#: How a file is called while it is written; one that is left over belongs to a process that died.
PARTIAL = ".partial"

#: Seconds that may pass until what was written is on the disk for good; "off" leaves it to the system.
SYNC_VARIABLE = "CATJAC_CACHE_SYNC"
_SYNC_SECONDS = 5.0


class FolderFiles(EntryFiles):
    """The files of an entry in a folder; see `EntryFiles`.

    Parameters
    ----------
    folder
        Is called as its key.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.key = folder, folder.name

    def read(self, name: str) -> bytes:
        """See `EntryFiles`."""
        return (self.folder / name).read_bytes()

    def read_texts(self, names: Iterable[str]) -> dict[str, bytes]:
        """See `EntryFiles`; what cannot be read is as if it were not there, and is found out on writing."""
        found = {}
        for name in names:
            with contextlib.suppress(OSError):
                if os.path.getsize(self.folder / name) <= LARGEST_TEXT:
                    found[name] = self.read(name)
        return found

    def write(self, name: str, content: bytes) -> None:
        """See `EntryFiles`; an entry that was removed is not made again by it."""
        path = self.folder / name
        try:
            write_atomically(path, content)
        except FileNotFoundError:
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, content)

    def mark(self, name: str) -> None:
        """See `EntryFiles`; as of `write`."""
        path = self.folder / name
        try:
            path.touch()
        except FileNotFoundError:
            path.parent.mkdir(exist_ok=True)
            path.touch()

    def remove(self, name: str) -> None:
        """See `EntryFiles`."""
        (self.folder / name).unlink(missing_ok=True)

    def size(self, name: str) -> int | None:
        """See `EntryFiles`."""
        try:
            return os.stat(self.folder / name).st_size
        except OSError:
            return None

    def sizes(self, folder: str) -> dict[str, int]:
        """See `EntryFiles`."""
        found = {}
        try:
            with os.scandir(self.folder / folder) as listing:
                for item in listing:
                    with contextlib.suppress(FileNotFoundError):
                        found[item.name] = item.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return found

    def names(self, folder: str) -> set[str]:
        """See `EntryFiles`."""
        try:
            return set(os.listdir(self.folder / folder))
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def walk(self) -> dict[str, int]:
        """See `EntryFiles`; what another process takes away meanwhile is as if it had not been there."""
        found = {}
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(OSError):
                    about = path.lstat()
                    if stat.S_ISREG(about.st_mode):
                        found[path.relative_to(self.folder).as_posix()] = about.st_size
        return found


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
