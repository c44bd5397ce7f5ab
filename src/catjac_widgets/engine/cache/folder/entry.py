"""An entry on disk: one zarr v3 group a key, one chunk a row."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.engine.cache.entries import CorruptRowError, Entry
from catjac_widgets.engine.cache.folder.chunks import CHECKSUM_BYTES, array_of, chunk_of, is_sound
from catjac_widgets.engine.cache.folder.claims import Claims
from catjac_widgets.engine.cache.folder.digests import Digests, chunk_digest
from catjac_widgets.engine.cache.folder.files import Syncing, read_json, write_atomically
from catjac_widgets.engine.cache.folder.layout import FORMAT, GROUP, check_not_newer, metadata

if TYPE_CHECKING:
    import xarray as xr

    from catjac_widgets.engine.cache.entries import Kept, Store

#: Names of files in `devices/`.
_DEVICE = re.compile(r"[a-z]+(-\d+)?")


class FolderEntry(Entry):
    """One key's folder: `key.json`, the zarr v3 group `arrays.zarr`, and small marks; see `Entry`.

    The array of rows (``jacobian``) has one chunk a row and no shards; each other array is one chunk. A chunk
    counts if it has its full size and there is a digest of it (`Digests`); in an entry of format 1, which had
    none, its checksum has to do. `used` bears the time of the last use, `lock` is locked by the processes
    that work with the entry, and `devices/` names those that its rows were computed on (``docs/store.md``).

    Parameters
    ----------
    folder
        Need not exist yet; see `create`.
    plan
        Whose key it is.
    store
        Whose folder it is.
    """

    def __init__(self, folder: Path, plan: Kept, store: Store) -> None:
        super().__init__(plan, store)
        self.folder = folder
        self.group = folder / GROUP
        self.digests = Digests(folder)
        self._rows_folder = self.group / plan.rows_name
        self._chunk_bytes = plan.row_bytes + CHECKSUM_BYTES
        self._format: int | None = None
        self._syncing = Syncing()
        self._claims = Claims(folder)

    # ---- the folder

    @property
    def format(self) -> int:
        """Version of the layout of what is there; the newest where nothing is."""
        if self._format is None:
            group = read_json(self.group / "zarr.json")
            self._format = 1 if group == metadata(self.plan, 1)[f"{GROUP}/zarr.json"] else FORMAT
        return self._format

    def create(self) -> None:
        """Make the folder, or compare what is there with the key and put its metadata right.

        Raises
        ------
        OSError
            If the folder cannot be written.
        NewerEntryError
            If a later version of this package wrote it.
        """
        check_not_newer(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        contents = self._contents()
        for name, content in contents.items():
            path = self.folder / name
            if read_json(path) == content:
                continue
            if path.exists():
                self.notes.append(
                    f"The cache entry {self.folder.name[:12]} had an altered {name}; "
                    "it was written anew from its key."
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            text = self.plan.key_json if name == "key.json" else json.dumps(content, indent=1) + "\n"
            write_atomically(path, text.encode())
        if self.format >= 2:
            self.digests.folder.mkdir(exist_ok=True)

    def matches(self) -> bool:
        """Whether the folder exists and says what its key says."""
        if self.format > 1 and not os.path.isdir(self.digests.folder):
            return False
        return all(read_json(self.folder / name) == content for name, content in self._contents().items())

    def _contents(self) -> dict[str, dict[str, Any]]:
        return {**metadata(self.plan, self.format), "key.json": self.plan.key_content}

    # ---- rows

    def _chunk(self, index: int) -> Path:
        return self._rows_folder / (f"c.{index}" + ".0" * (len(self.plan.rows_dims) - 1))

    def done(self) -> set[int]:
        """See `Entry`; a chunk of another size than a row's (cut short by a crash) does not count."""
        found, dimensions = set(), len(self.plan.rows_dims)
        with contextlib.suppress(OSError), os.scandir(self._rows_folder) as listing:
            for item in listing:
                parts = item.name.split(".")
                # The temporary file of a process that died has more parts to its name.
                if (
                    len(parts) == dimensions + 1
                    and parts[0] == "c"
                    and parts[1].isdecimal()
                    and item.stat().st_size == self._chunk_bytes
                ):
                    found.add(int(parts[1]))
        return found if self.format == 1 else found & self.digests.indices(self.plan.rows_name)

    def has(self, index: int) -> bool:
        """See `Entry`."""
        try:
            if self._chunk(index).stat().st_size != self._chunk_bytes:
                return False
        except OSError:
            return False
        return self.format == 1 or bool(self.digests.of(self.plan.rows_name, index))

    def read(self, index: int) -> np.ndarray:
        """See `Entry`."""
        plan = self.plan
        shape = (plan.chunk_length, *plan.rows_shape[1:])
        content = self._read_chunk(plan.rows_name, index, self._chunk(index))
        where = plan.selection(index)
        chunk = array_of(content, shape, plan.dtype)
        row = chunk[: where.stop - where.start] if isinstance(where, slice) else chunk[0]
        if not np.isfinite(row).all():
            self.discard(index)
            raise CorruptRowError(f"row {index + 1} of the cache entry {self._short} is not finite")
        return row

    def write(self, index: int, row: np.ndarray) -> None:
        """See `Entry`."""
        shape = (self.plan.chunk_length, *self.plan.rows_shape[1:])
        self._write_chunk(self.plan.rows_name, index, self._chunk(index), row.reshape(-1, *shape[1:]), shape)

    def discard(self, index: int) -> None:
        """See `Entry`."""
        with contextlib.suppress(OSError):
            self._chunk(index).unlink(missing_ok=True)

    # ---- what lies beside

    def _beside(self, name: str) -> Path:
        return self.group / name / ("c" + ".0" * len(self.plan.beside_shapes[name][0]))

    def read_beside(self, name: str) -> np.ndarray | None:
        """See `Entry`; what cannot be read counts as not there, since it can be made again."""
        try:
            content = self._read_chunk(name, 0, self._beside(name))
            return array_of(content, self.plan.beside_shapes[name][0], self.plan.dtype)
        except CorruptRowError:
            return None

    def write_beside(self, name: str, values: np.ndarray) -> None:
        """See `Entry`."""
        shape = self.plan.beside_shapes[name][0]
        self._write_chunk(name, 0, self._beside(name), np.asarray(values).reshape(shape), shape)

    def devices(self) -> tuple[str, ...]:
        """See `Entry`."""
        try:
            names = [path.name for path in (self.folder / "devices").iterdir()]
        except OSError:
            return ()
        return tuple(sorted(name.replace("-", ":") for name in names if _DEVICE.fullmatch(name)))

    def add_device(self, name: str) -> None:
        """See `Entry`."""
        # One empty file a device, so that two processes can add theirs at once; not every system allows ":".
        (self.folder / "devices").mkdir(exist_ok=True)
        (self.folder / "devices" / name.replace(":", "-")).touch()

    # ---- chunks

    @property
    def _short(self) -> str:
        return self.folder.name[:12]

    def _read_chunk(self, array: str, index: int, path: Path) -> bytes:
        """Read a chunk and check that it is the one that was written there.

        Raises
        ------
        CorruptRowError
            If it is not there, or not that one.
        """
        what = f"row {index + 1}" if array == self.plan.rows_name else array
        name = f"{what} of the cache entry {self._short}"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise CorruptRowError(f"{name} is not there any more") from None
        except OSError as error:
            raise CorruptRowError(f"{name} cannot be read ({error.strerror or error})") from error
        wrong = self._wrong_with(array, index, content)
        if wrong:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            raise CorruptRowError(f"{name} {wrong}")
        return content

    def _wrong_with(self, array: str, index: int, content: bytes) -> str:
        if not is_sound(content):
            return "is damaged: its checksum is not that of its bytes"
        # Entries of format 1 have digests of those rows only that this version added.
        if self.format > 1 or self.digests.of(array, index):
            digest = chunk_digest(self.plan.key, array, index, content)
            if not self.digests.allows(array, index, digest):
                return "is not what was written there"
        return ""

    def _write_chunk(
        self, array: str, index: int, path: Path, values: np.ndarray, shape: tuple[int, ...]
    ) -> None:
        content = chunk_of(values, shape, self.plan.dtype)
        # The digest first: who finds the chunk finds that it may be believed.
        self.digests.add(array, index, chunk_digest(self.plan.key, array, index, content))
        write_atomically(path, content)
        self._syncing.note(path)

    # ---- who computes what

    def claim(self, rows: Iterable[int]) -> bool:
        """See `Entry`."""
        return self._claims.claim(rows)

    def give_back(self, rows: Iterable[int]) -> None:
        """See `Entry`."""
        self._claims.give_back(rows)

    def finish(self) -> None:
        """See `Entry`."""
        self._claims.close()
        self._syncing.sync()

    # ---- opening

    def lazy(self, expected: frozenset[int]) -> xr.DataArray:
        """See `Entry`."""
        from catjac_widgets.engine.cache.folder.lazy_rows import lazy_rows

        return lazy_rows(self, expected)

    def is_opened_as(self, array: xr.DataArray) -> bool:
        """See `Entry`."""
        from catjac_widgets.engine.cache.folder.lazy_rows import rows_behind

        rows = rows_behind(array)
        return rows is not None and isinstance(rows.entry, FolderEntry) and rows.entry.folder == self.folder
