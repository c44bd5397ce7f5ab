"""Who computes which rows of an entry now, so that processes that ask for one Jacobian share the work.

A claim is a file ``claims/<row>`` that names its owner; an owner is a file ``claims/<owner>.owner`` that is
locked and renewed while its process works. What the owner of a claim will not do, because its process ended
or does not answer, another takes over. Claims save work and decide no number: a row is the same whoever
computes it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
import weakref
from collections.abc import Iterable
from pathlib import Path

from catjac_widgets.engine.cache.folder.holds import FileLock, in_turn

#: Name of the folder in an entry's folder.
CLAIMS = "claims"

#: An owner that was not renewed for so long does not answer any more.
EXPIRY_SECONDS = 60.0

_RENEWAL_SECONDS = 10.0

_OWNER = ".owner"


class Claims:
    """Claims of one worker at the rows of one entry.

    Parameters
    ----------
    folder
        The entry's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / CLAIMS
        self._name = uuid.uuid4().hex
        self._lock: FileLock | None = None
        self._mine: set[int] = set()

    def claim(self, rows: Iterable[int]) -> bool:
        """Claim rows, all or none; False if another works at one of them.

        Where nothing can be written, everything is as if claimed.
        """
        taken: list[int] = []
        try:
            self._begin()
            for row in sorted(set(rows) - self._mine):
                if not self._claim(row):
                    self.give_back(taken)
                    return False
                taken.append(row)
                self._mine.add(row)
        except OSError:
            return True
        return True

    def give_back(self, rows: Iterable[int]) -> None:
        """Give up claims at rows that are done, or will not be."""
        for row in set(rows) & self._mine:
            self._mine.discard(row)
            with contextlib.suppress(OSError):
                (self.folder / str(row)).unlink(missing_ok=True)

    def close(self) -> None:
        """Give up all claims."""
        self.give_back(set(self._mine))
        _renew_no_more(self)
        if self._lock is not None:
            self._lock.release()
            self._lock = None
            with contextlib.suppress(OSError):
                self._owner_file(self._name).unlink(missing_ok=True)

    def renew(self) -> None:
        """Say that the owner still works."""
        with contextlib.suppress(OSError):
            os.utime(self._owner_file(self._name))

    def _begin(self) -> None:
        if self._lock is None:
            self.folder.mkdir(exist_ok=True)
            self._lock = FileLock(self._owner_file(self._name))
            _renew_from_now_on(self)

    def _owner_file(self, name: str) -> Path:
        return self.folder / f"{name}{_OWNER}"

    def _claim(self, row: int) -> bool:
        path = self.folder / str(row)
        if self._create(path):
            return True
        if self._works(_owner_of(path)):
            return False
        # One after another, so that nobody takes away what another has just taken over.
        with in_turn(self.folder / "take-over"):
            owner = _owner_of(path)
            if owner is not None and self._works(owner):
                return False
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return self._create(path)

    def _create(self, path: Path) -> bool:
        # Linked, so that who sees the claim sees its owner.
        draft = path.with_name(f"{self._name}.draft")
        draft.write_text(self._name)
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        finally:
            draft.unlink(missing_ok=True)
        return True

    def _works(self, owner: str | None) -> bool:
        """Whether an owner still works at its claims."""
        if owner is None:
            return False
        if owner == self._name:
            return True
        path = self._owner_file(owner)
        try:
            renewed = path.stat().st_mtime
            # By the clock of the file system, which may be another machine's.
            os.utime(self._owner_file(self._name))
            now = self._owner_file(self._name).stat().st_mtime
        except OSError:
            return False
        return now - renewed < EXPIRY_SECONDS and FileLock.is_locked(path) is not False


def _owner_of(path: Path) -> str | None:
    """Read who claimed a row, None where nobody did or it cannot be read."""
    try:
        owner = path.read_text()
    except (OSError, ValueError):
        return None
    return owner if owner.isalnum() else None


#: Claims whose owners are renewed, by one thread that ends when there are none.
_RENEWED: weakref.WeakSet[Claims] = weakref.WeakSet()
_RENEWING = threading.Lock()
_thread: threading.Thread | None = None


def _renew_from_now_on(claims: Claims) -> None:
    global _thread
    with _RENEWING:
        _RENEWED.add(claims)
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_renew, name="catjac claims", daemon=True)
            _thread.start()


def _renew_no_more(claims: Claims) -> None:
    with _RENEWING:
        _RENEWED.discard(claims)


def _renew() -> None:
    global _thread
    last = time.monotonic()
    while True:
        time.sleep(0.5)
        with _RENEWING:
            working = list(_RENEWED)
            if not working:
                _thread = None
                return
        if time.monotonic() - last >= _RENEWAL_SECONDS:
            last = time.monotonic()
            for claims in working:
                claims.renew()
        del working
