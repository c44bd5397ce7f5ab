"""Who works with an entry: nobody evicts it meanwhile, whichever process, container or machine that is.

A hold is a shared lock of the operating system on the file ``lock`` of the entry, so that it ends with its
process, however that ends, and is seen from other containers, where process numbers mean nothing. Whoever
evicts takes the lock for itself first. Where the file system has no such locks (and on Windows), a hold is a
file that is renewed now and then, and is believed for `LEASE_SECONDS`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: Name of the file that is locked, and of the folder of leases.
LOCK, LEASES = "lock", "in_use"

#: A lease that was not renewed for so long has ended with its process.
LEASE_SECONDS = 3600.0

#: A lease is renewed no more often than this.
_RENEWAL_SECONDS = 60.0

#: How long to wait for whoever is looking whether an entry is in use.
_PATIENCE_SECONDS = 5.0

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


class Hold:
    """Keeps an entry from being evicted until `release`, or until this process ends.

    Parameters
    ----------
    folder
        The entry's folder.

    Raises
    ------
    FileNotFoundError
        If it is not there (any more).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lease: Path | None = None
        self._renewed = 0.0
        self._descriptor = self._lock()
        if self._descriptor is None:
            self._lease = folder / LEASES / uuid.uuid4().hex
            self.renew()

    def renew(self) -> None:
        """Say that this process still lives; does nothing where the system knows."""
        now = time.monotonic()
        if self._lease is None or (self._renewed and now - self._renewed < _RENEWAL_SECONDS):
            return
        # Where nothing can be written, nobody can be kept from anything.
        with contextlib.suppress(OSError):
            self._lease.parent.mkdir(exist_ok=True)
            self._lease.touch()
        self._renewed = now

    def release(self) -> None:
        """Let it go."""
        if self._descriptor is not None:
            # Closed, not unlocked: a child process that was forked may share it.
            os.close(self._descriptor)
            self._descriptor = None
        if self._lease is not None:
            with contextlib.suppress(OSError):
                self._lease.unlink(missing_ok=True)

    def _lock(self) -> int | None:
        """Lock the file; None where there are no locks."""
        if fcntl is None:
            return None
        path = self._folder / LOCK
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            descriptor = _opened(path)
            if descriptor is None:
                return None  # what can only be read is held by nobody
            locked = _locked(descriptor, fcntl.LOCK_SH)
            if locked is not True:
                os.close(descriptor)
                if locked is None:
                    return None
                if time.monotonic() > until:
                    raise FileNotFoundError(errno.ENOENT, "the cache entry is being removed", str(path))
                time.sleep(0.002)
                continue
            try:
                # It may have been moved away between opening and locking.
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    return descriptor
            except OSError:
                os.close(descriptor)
                raise
            os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Whether some process, this one included, holds an entry."""
    with alone(folder) as free:
        return not free


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Keep everybody from holding an entry for a while; gives False if somebody holds it already."""
    if _leased(folder):
        yield False
        return
    descriptor = None
    if fcntl is not None:
        with contextlib.suppress(OSError):
            descriptor = os.open(folder / LOCK, os.O_RDWR)
    if descriptor is None or fcntl is None:
        yield True  # nobody ever held it
        return
    try:
        yield _locked(descriptor, fcntl.LOCK_EX) is not False
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def in_turn(path: Path) -> Iterator[None]:
    """Wait until no other process is in here with the same file; where there are no locks, go on at once."""
    descriptor = None
    if fcntl is not None:
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if descriptor is not None and fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


class FileLock:
    """A file that is locked until `release`, or until this process ends.

    Where there are no locks, the file is there and not locked.

    Raises
    ------
    OSError
        If it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if fcntl is not None:
            _locked(self._descriptor, fcntl.LOCK_EX)

    def release(self) -> None:
        """Let it go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @staticmethod
    def is_locked(path: Path) -> bool | None:
        """Whether some process has a file locked; None where that cannot be told."""
        if fcntl is None:
            return None
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return False
        except OSError:
            return None
        try:
            locked = _locked(descriptor, fcntl.LOCK_SH)
            return None if locked is None else not locked
        finally:
            os.close(descriptor)


def _opened(path: Path) -> int | None:
    """Open the file to lock, made if need be; None where it cannot be made."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError:
        raise
    except OSError:
        with contextlib.suppress(OSError):
            return os.open(path, os.O_RDONLY)
        return None


def _locked(descriptor: int, kind: int) -> bool | None:
    """Try to lock; False if somebody has it, None where there are no locks."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return None
    return True


def _leased(folder: Path) -> bool:
    """Whether there is a lease that has not run out; those that have are taken away."""
    found = False
    with contextlib.suppress(OSError):
        for lease in list((folder / LEASES).iterdir()):
            if time.time() - lease.stat().st_mtime < LEASE_SECONDS:
                found = True
            else:
                lease.unlink(missing_ok=True)
    return found
