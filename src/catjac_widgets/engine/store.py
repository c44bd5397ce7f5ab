"""The store: one entry a key, on disk under a size limit, or in memory where there is no folder to write to."""

from __future__ import annotations

import atexit
import contextlib
import datetime
import os
import re
import shutil
import threading
import time
import warnings
from collections import Counter, OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.engine import entries
from catjac_widgets.engine.entries import Entry, FolderEntry, MemoryEntry
from catjac_widgets.errors import UsageError

if TYPE_CHECKING:
    import xarray as xr

    from catjac_widgets.engine.plan import Plan

FOLDER_VARIABLE = "CATJAC_CACHE"
LIMIT_VARIABLE = "CATJAC_CACHE_LIMIT"
DEFAULT_LIMIT = 20 * 10**9

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class CacheWarning(UserWarning):
    """Something about the cache that a person should know, while the result is right all the same."""


@dataclass(frozen=True)
class CacheInfo:
    """What the cache holds, and what this process did with it.

    Attributes
    ----------
    path
        Its folder; None where everything stays in memory or nothing is kept.
    size, limit
        Bytes.
    entries
        How many Jacobians, complete or not.
    rows_computed, rows_read, models_loaded
        Counted in this process: rows that a model was run for, rows that came from the cache, and checkpoints opened.
    in_memory
        Whether rows are kept in this process only.
    """

    path: Path | None
    size: int
    limit: int
    entries: int
    rows_computed: int
    rows_read: int
    models_loaded: int
    in_memory: bool

    def _lines(self) -> list[tuple[str, str]]:
        where = str(self.path) if self.path else ("in memory, this process only" if self.in_memory else "off")
        return [
            ("where", where),
            ("size", f"{readable_size(self.size)} of {readable_size(self.limit)}"),
            ("entries", str(self.entries)),
            ("rows computed", f"{self.rows_computed} in this process"),
            ("rows read", f"{self.rows_read} in this process"),
            ("models loaded", f"{self.models_loaded} in this process"),
        ]

    def __str__(self) -> str:
        return "\n".join(f"{name:14}{value}" for name, value in self._lines())

    def _repr_html_(self) -> str:
        from html import escape

        cells = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in self._lines())
        return f"<table>{cells}</table>"


class Cache:
    """Finds, opens and evicts entries.

    The folder is ``$CATJAC_CACHE`` ("memory": this process only; "off": nothing is kept), or the platform's cache
    folder; the limit is ``$CATJAC_CACHE_LIMIT`` ("5GB"), or 20 GB or a tenth of the free disk if that is less.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter()
        self._memory: OrderedDict[str, MemoryEntry] = OrderedDict()
        self._users: Counter[Path] = Counter()
        self._unwritable: set[Path] = set()
        self._estimated: dict[Path, int] = {}
        self._said_where: set[Path] = set()

    # ---- where

    @property
    def folder(self) -> Path | None:
        """The folder of the entries, or None where the cache is off or in memory."""
        setting = os.environ.get(FOLDER_VARIABLE, "").strip()
        if setting.lower() in ("off", "memory"):
            return None
        if setting:
            return Path(setting).expanduser()
        import platformdirs

        return Path(platformdirs.user_cache_dir("catjac", appauthor=False)) / "jacobians"

    @property
    def is_off(self) -> bool:
        """Whether nothing is kept at all."""
        return os.environ.get(FOLDER_VARIABLE, "").strip().lower() == "off"

    @property
    def in_memory(self) -> bool:
        """Whether rows are kept in this process only."""
        return not self.is_off and (self.folder is None or self.folder in self._unwritable)

    @property
    def limit(self) -> int:
        """Bytes that the entries may take.

        Raises
        ------
        UsageError
            If the environment variable is not a size.
        """
        setting = os.environ.get(LIMIT_VARIABLE, "").strip()
        if setting:
            return parse_size(setting)
        folder = self.folder
        if folder is None or folder in self._unwritable:
            from catjac_widgets.engine.resources import total_memory

            return min(2 * 10**9, total_memory() // 10)
        return min(DEFAULT_LIMIT, (_free_disk(folder) + self._size_estimate(folder)) // 10)

    def entry_folder(self, plan: Plan) -> Path | None:
        """Where the entry of a plan lies, whether it exists or not."""
        folder = self.folder
        if folder is None or folder in self._unwritable:
            return None
        return folder / plan.key[:2] / plan.key

    # ---- entries

    def find(self, plan: Plan) -> Entry | None:
        """Return the entry of a plan if there is one; nothing is written."""
        folder = self.entry_folder(plan)
        if folder is not None:
            entry = FolderEntry(folder, plan)
            return entry if entry.matches() else None
        with self._lock:
            return self._memory.get(plan.key)

    def open(self, plan: Plan) -> Entry | None:
        """Return the entry of a plan, made if need be; None where nothing is kept.

        Where the folder cannot be written, the entry is in memory, and one warning a folder says so.
        """
        if self.is_off:
            return None
        root, folder = self.folder, self.entry_folder(plan)
        if root is not None and folder is not None:
            try:
                return FolderEntry(folder, plan).create()
            except OSError as error:
                entry = FolderEntry(folder, plan)
                if entry.matches():
                    return entry  # A cache that may be read but not written is still worth reading.
                self._unwritable.add(root)
                warnings.warn(
                    f"The cache folder {root} cannot be written ({error.strerror or error}); Jacobians are kept in "
                    f"memory, for this process only. Set {FOLDER_VARIABLE} to another folder to keep them.",
                    CacheWarning,
                    stacklevel=2,
                )
        return self.memory_entry(plan)

    def memory_entry(self, plan: Plan) -> MemoryEntry:
        """Return the entry of a plan that is kept in this process."""
        with self._lock:
            entry = self._memory.setdefault(plan.key, MemoryEntry(plan))
            self._memory.move_to_end(plan.key)
            entry.used = time.time()
            return entry

    def shrink_memory(self, keep: str) -> None:
        """Forget the least recently used entries in memory until the limit is kept; never the one in use."""
        with self._lock:
            limit = self.limit
            total = sum(entry.size for entry in self._memory.values())
            for key in [key for key in self._memory if key != keep]:
                if total <= limit:
                    break
                total -= self._memory.pop(key).size

    def make_room(self, entry: FolderEntry) -> bool:
        """Evict least recently used entries until all rows of `entry` fit; False if they never will."""
        folder, needed = self.folder, entry.plan.store_bytes
        if folder is None:
            return True
        with self._lock:
            limit = self.limit
            if needed > limit:
                return False
            self._estimated[folder] = self._size_estimate(folder) + needed
            if self._estimated[folder] <= limit:
                return True
            sizes = {
                path: entries.entry_size(path) for path in _entry_folders(folder) if path != entry.folder
            }
            total = sum(sizes.values()) + needed
            for path in sorted(sizes, key=entries.last_used):
                if total <= limit:
                    break
                if not self._is_used(path):
                    with contextlib.suppress(OSError):
                        entries.remove_entry(path)
                        total -= sizes[path]
            self._estimated[folder] = total
            return True

    def _size_estimate(self, folder: Path) -> int:
        """Bytes of all entries: counted once a process, then kept up by adding what is about to be written."""
        with self._lock:
            if folder not in self._estimated:
                self._estimated[folder] = sum(entries.entry_size(path) for path in _entry_folders(folder))
            return self._estimated[folder]

    def where_message(self, entry: FolderEntry) -> str | None:
        """Say, before the first large write of this process, where it goes and how much it is."""
        folder = self.folder
        if folder is None or folder in self._said_where or entry.plan.store_bytes < 10**9:
            return None
        self._said_where.add(folder)
        return (
            f"Writing {readable_size(entry.plan.store_bytes)} of rows to {folder} "
            f"(limit {readable_size(self.limit)}; {FOLDER_VARIABLE} and {LIMIT_VARIABLE} change this)."
        )

    # ---- who uses what

    def hold(self, entry: Entry) -> None:
        """Keep an entry from being evicted until `release` (or the end of the process)."""
        if isinstance(entry, FolderEntry):
            with self._lock:
                self._users[entry.folder] += 1
                entry.mark_in_use()
                entry.touch()

    def release(self, entry: Entry) -> None:
        """Undo one `hold`."""
        if isinstance(entry, FolderEntry):
            with self._lock:
                self._users[entry.folder] -= 1
                entry.touch()
                if self._users[entry.folder] <= 0:
                    del self._users[entry.folder]
                    entry.unmark_in_use()

    def _is_used(self, folder: Path) -> bool:
        return self._users[folder] > 0 or entries.in_use(folder)

    def _forget_users(self) -> None:
        for folder in list(self._users):
            with contextlib.suppress(OSError):
                (folder / "in_use" / entries.process_name()).unlink(missing_ok=True)

    # ---- what a person asks

    def count(self, **counts: int) -> None:
        """Add to the counts that `info` reports."""
        with self._lock:
            self._counts.update(counts)

    def info(self) -> CacheInfo:
        """Count entries and bytes, and report what this process computed, read and loaded."""
        folder = self.folder
        with self._lock:
            counts = dict(self._counts)
            if self.is_off or folder is None or folder in self._unwritable:
                size, number, folder = (
                    sum(entry.size for entry in self._memory.values()),
                    len(self._memory),
                    None,
                )
            else:
                found = _entry_folders(folder)
                size, number = sum(entries.entry_size(path) for path in found), len(found)
                self._estimated[folder] = size
        return CacheInfo(
            path=folder,
            size=size,
            limit=self.limit,
            entries=number,
            rows_computed=counts.get("rows_computed", 0),
            rows_read=counts.get("rows_read", 0),
            models_loaded=counts.get("models_loaded", 0),
            in_memory=self.in_memory,
        )

    def clear(self, older_than: str | datetime.timedelta | None = None) -> int:
        """Remove entries, except those in use, and return how many were removed.

        Parameters
        ----------
        older_than
            Only those not used for that long: "30d", "12h", "2w" or a timedelta; all by default.

        Raises
        ------
        UsageError
            If `older_than` is not a duration.
        """
        before = time.time() - parse_duration(older_than) if older_than is not None else float("inf")
        removed = 0
        with self._lock:
            for key in [key for key, entry in self._memory.items() if entry.used <= before]:
                del self._memory[key]
                removed += 1
            folder = self.folder
            if folder is not None:
                for path in _entry_folders(folder):
                    if entries.last_used(path) <= before and not self._is_used(path):
                        with contextlib.suppress(OSError):
                            entries.remove_entry(path)
                            removed += 1
                self._estimated.pop(folder, None)
        return removed


#: The cache of this process: `catjac.cache`.
cache = Cache()
# Marks of a process that ended would keep its entries from eviction until somebody notices that it is gone.
atexit.register(cache._forget_users)


def stored_contacts(what: Plan | xr.DataArray) -> xr.DataArray | None:
    """Return the order-A contact map that was stored when a Jacobian was completed.

    Parameters
    ----------
    what
        A plan (of a job), or a Jacobian as `catjac.jacobian` returned it. Three rows of the latter are compared
        with the stored ones, since arithmetic may have changed its numbers and kept its attributes.

    Returns
    -------
    xarray.DataArray or None
        Dims (pos_i, pos_j), NaN where masked; None where nothing is stored for it.
    """
    from catjac_widgets.engine.labels import label_map

    return_plan = plan_of(what) if not hasattr(what, "key_content") else what
    if return_plan is None:
        return None
    entry = cache.find(return_plan)
    if entry is None:
        return None
    if return_plan is not what and not _same_rows(what, entry):  # type: ignore[arg-type]
        return None
    values = entry.read_beside("contacts")
    return None if values is None else label_map(values, return_plan, name="contacts")


def plan_of(jacobian: xr.DataArray) -> Plan | None:
    """Make the plan of a labelled Jacobian again from its coordinates and attributes; None if they do not suffice."""
    from catjac_widgets.engine.plan import make_plan
    from catjac_widgets.errors import CatjacError
    from catjac_widgets.masks import Mask
    from catjac_widgets.sequences import as_sequence

    attrs = jacobian.attrs
    try:
        letters = "".join(str(letter) for letter in jacobian["aa_out"].values)
        sequence = as_sequence(attrs["sequence"], letters=letters, name=attrs.get("sequence_name", ""))
        plan = make_plan(
            sequence,
            model=attrs["model"],
            fingerprint=attrs["model_fingerprint"],
            letters=letters,
            positions=[int(position) for position in np.atleast_1d(jacobian["pos_in"].values)],
            mask=Mask.parse(sequence, attrs["visible"]),
            variant=attrs["variant"],
            numerics=attrs["numerics"],
            linker=attrs["linker"],
            rows=attrs.get("rows", "visible"),
        )
    except (KeyError, CatjacError):
        return None
    return plan if plan.key == attrs.get("key") else None


def _same_rows(jacobian: xr.DataArray, entry: Entry) -> bool:
    plan = entry.plan
    if jacobian.shape != (plan.length, *plan.row_shape) or attrs_not_raw(jacobian):
        return False
    for index in {plan.runnable[0], plan.runnable[len(plan.runnable) // 2], plan.runnable[-1]}:
        try:
            if not entry.has(index) or not np.array_equal(jacobian[index].values, entry.read(index)):
                return False
        except entries.CorruptRowError:
            return False
    return True


def attrs_not_raw(jacobian: xr.DataArray) -> bool:
    """Whether a Jacobian says of itself that it is centred or partial."""
    return jacobian.attrs.get("kind") != "raw" or not jacobian.attrs.get("complete")


# ---- small things


def parse_size(text: str) -> int:
    """Read "20GB", "500 MB" or a number of bytes."""
    match = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?B?)\s*", text.upper())
    unit = match.group(2) if match else ""
    try:
        if match is None:
            raise ValueError
        return int(float(match.group(1)) * _UNITS[unit if unit.endswith("B") or not unit else unit + "B"])
    except ValueError as error:
        raise UsageError(f"{LIMIT_VARIABLE}={text!r} is not a size; write for instance 5GB.") from error


def parse_duration(value: str | datetime.timedelta) -> float:
    """Read "30d", "12h" or a timedelta; seconds."""
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*", str(value))
    if match is None:
        raise UsageError(f"{value!r} is not a duration; write for instance 30d, 12h or 2w.")
    return float(match.group(1)) * _SECONDS[match.group(2)]


def readable_size(size: float) -> str:
    """Write a number of bytes as a person reads it."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in ("B", "kB") else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _entry_folders(folder: Path) -> list[Path]:
    try:
        return [
            path
            for group in folder.iterdir()
            if len(group.name) == 2
            for path in group.iterdir()
            if entries.is_entry(path)
        ]
    except OSError:
        return []


def _free_disk(folder: Path) -> int:
    for existing in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(existing).free
    return 0
