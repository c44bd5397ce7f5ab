"""An entry made of files: one zarr v3 group a key, one chunk a row, one digest a chunk."""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.engine.cache.chunked.chunks import ChunkForm, is_sound
from catjac_widgets.engine.cache.chunked.digests import Digests, chunk_digest
from catjac_widgets.engine.cache.chunked.files import EntryFiles, parse_json
from catjac_widgets.engine.cache.chunked.layout import FORMAT, GROUP, check_not_newer, metadata
from catjac_widgets.engine.cache.entries import CorruptRowError, Entry

if TYPE_CHECKING:
    import xarray as xr

    from catjac_widgets.engine.cache.entries import Kept, Store

#: Names of files in `devices/`.
_DEVICE = re.compile(r"[a-z]+(-\d+)?")


class ChunkedEntry(Entry):
    """One key's files: `key.json`, the zarr v3 group `arrays.zarr`, and small marks; see `Entry`.

    The array of rows (``jacobian``) has one chunk a row and no shards; each other array is one chunk. A chunk
    counts if it has its full size and there is a digest of it (`Digests`); in an entry of format 1, which had
    none, its checksum has to do. `devices/` names those that its rows were computed on (``docs/store.md``).

    Parameters
    ----------
    files
        Need not be there yet; see `create`.
    plan
        Whose key it is.
    store
        Where they lie.
    """

    def __init__(self, files: EntryFiles, plan: Kept, store: Store) -> None:
        super().__init__(plan, store)
        self.files = files
        self.digests = Digests(files)
        self._rows_form = ChunkForm(
            (plan.chunk_length, *plan.rows_shape[1:]), plan.dtype, packed=plan.rows_bits is not None
        )
        self._format: int | None = None

    # ---- the metadata

    @property
    def format(self) -> int:
        """Version of the layout of what is there; the newest where nothing is."""
        if self._format is None:
            self._format = self._format_of(self.files.json(f"{GROUP}/zarr.json"))
        return self._format

    def _format_of(self, group: Any) -> int:
        return 1 if group == metadata(self.plan, 1)[f"{GROUP}/zarr.json"] else FORMAT

    def create(self) -> None:
        """Write the metadata, or compare what is there with the key and put it right.

        Raises
        ------
        OSError
            If it cannot be written.
        NewerEntryError
            If a later version of this package wrote it.
        """
        said, there = self._said()
        check_not_newer(said.get(f"{GROUP}/zarr.json"), self.plan.key)
        for name, content in self._contents().items():
            if said.get(name) == content:
                continue
            if name in there:
                self.notes.append(
                    f"The cache entry {self._short} had an altered {name}; it was written anew from its key."
                )
            text = self.plan.key_json if name == "key.json" else json.dumps(content, indent=1) + "\n"
            self.files.write(name, text.encode())

    def matches(self) -> bool:
        """Whether it is there and says what its key says."""
        try:
            said, _ = self._said()
        except OSError:
            return False
        return all(said.get(name) == content for name, content in self._contents().items())

    def _said(self) -> tuple[dict[str, Any], set[str]]:
        """Read the metadata and with them the format; which are there also if they make no sense."""
        names = [*metadata(self.plan), "key.json"]
        texts = self.files.read_texts(names)
        said = {name: parse_json(text) for name, text in texts.items()}
        self._format = self._format_of(said.get(f"{GROUP}/zarr.json"))
        return said, set(texts)

    def _contents(self) -> dict[str, dict[str, Any]]:
        return {**metadata(self.plan, self.format), "key.json": self.plan.key_content}

    # ---- rows

    def _chunk(self, index: int) -> str:
        return f"{GROUP}/{self.plan.rows_name}/c.{index}" + ".0" * (len(self.plan.rows_dims) - 1)

    def done(self) -> set[int]:
        """See `Entry`; a chunk of another size than a row's (cut short by a crash) does not count."""
        with contextlib.suppress(OSError):
            return self._listed()
        return set()

    def is_empty(self) -> bool:
        """See `Entry`."""
        try:
            return not self._listed()
        except OSError:
            return False

    def _listed(self) -> set[int]:
        found, dimensions = set(), len(self.plan.rows_dims)
        for name, size in self.files.sizes(f"{GROUP}/{self.plan.rows_name}").items():
            parts = name.split(".")
            # The temporary file of a process that died has more parts to its name.
            if (
                len(parts) == dimensions + 1
                and parts[0] == "c"
                and parts[1].isdecimal()
                and self._rows_form.may_have(size)
            ):
                found.add(int(parts[1]))
        return found if self.format == 1 else found & self.digests.indices(self.plan.rows_name)

    def has(self, index: int) -> bool:
        """See `Entry`."""
        try:
            size = self.files.size(self._chunk(index))
            if size is None or not self._rows_form.may_have(size):
                return False
            return self.format == 1 or bool(self.digests.of(self.plan.rows_name, index))
        except OSError:
            return False

    def read(self, index: int) -> np.ndarray:
        """See `Entry`."""
        chunk = self._read_chunk(self.plan.rows_name, index, self._chunk(index), self._rows_form)
        where = self.plan.selection(index)
        row = chunk[: where.stop - where.start] if isinstance(where, slice) else chunk[0]
        if not np.isfinite(row).all():
            self.discard(index)
            raise CorruptRowError(f"row {index + 1} of the cache entry {self._short} is not finite")
        return row

    def write(self, index: int, row: np.ndarray) -> None:
        """See `Entry`."""
        values = row.reshape(-1, *self._rows_form.shape[1:])
        self._write_chunk(self.plan.rows_name, index, self._chunk(index), values, self._rows_form)

    def discard(self, index: int) -> None:
        """See `Entry`."""
        with contextlib.suppress(OSError):
            self.files.remove(self._chunk(index))

    # ---- what lies beside

    def _beside(self, name: str) -> tuple[str, ChunkForm]:
        shape = self.plan.beside_shapes[name][0]
        return f"{GROUP}/{name}/c" + ".0" * len(shape), ChunkForm(shape, self.plan.dtype)

    def read_beside(self, name: str) -> np.ndarray | None:
        """See `Entry`; what cannot be read counts as not there, since it can be made again."""
        try:
            return self._read_chunk(name, 0, *self._beside(name))
        except CorruptRowError:
            return None

    def write_beside(self, name: str, values: np.ndarray) -> None:
        """See `Entry`."""
        path, form = self._beside(name)
        self._write_chunk(name, 0, path, np.asarray(values).reshape(form.shape), form)

    def devices(self) -> tuple[str, ...]:
        """See `Entry`."""
        try:
            names = self.files.names("devices")
        except OSError:
            return ()
        return tuple(sorted(name.replace("-", ":") for name in names if _DEVICE.fullmatch(name)))

    def add_device(self, name: str) -> None:
        """See `Entry`."""
        # One empty file a device, so that two processes can add theirs at once; not every system allows ":".
        self.files.mark(f"devices/{name.replace(':', '-')}")

    # ---- chunks

    @property
    def _short(self) -> str:
        return self.plan.key[:12]

    def _read_chunk(self, array: str, index: int, path: str, form: ChunkForm) -> np.ndarray:
        """Read a chunk and check that it is the one that was written there.

        Raises
        ------
        CorruptRowError
            If it is not there, or not that one.
        """
        what = f"row {index + 1}" if array == self.plan.rows_name else array
        name = f"{what} of the cache entry {self._short}"
        try:
            content = self.files.read(path)
            wrong = self._wrong_with(array, index, content)
        except FileNotFoundError:
            raise CorruptRowError(f"{name} is not there any more") from None
        except OSError as error:
            raise CorruptRowError(f"{name} cannot be read ({error.strerror or error})") from error
        if not wrong:
            try:
                return form.array(content)
            except ValueError as error:
                wrong = f"is damaged: {error}"
        with contextlib.suppress(OSError):
            self.files.remove(path)
        raise CorruptRowError(f"{name} {wrong}")

    def _wrong_with(self, array: str, index: int, content: bytes) -> str:
        if not is_sound(content):
            return "is damaged: its checksum is not that of its bytes"
        # Entries of format 1 have digests of those rows only that this version added.
        if self.format > 1 or self.digests.of(array, index):
            digest = chunk_digest(self.plan.key, array, index, content)
            if not self.digests.allows(array, index, digest):
                return "is not what was written there"
        return ""

    def _write_chunk(self, array: str, index: int, path: str, values: np.ndarray, form: ChunkForm) -> None:
        content = form.content(values)
        # The digest first: who finds the chunk finds that it may be believed.
        self.digests.add(array, index, chunk_digest(self.plan.key, array, index, content))
        self.files.write(path, content)
        self._wrote(path)

    def _wrote(self, name: str) -> None:
        """Take note of a chunk that was written."""

    # ---- opening

    def lazy(self, expected: frozenset[int]) -> xr.DataArray:
        """See `Entry`."""
        from catjac_widgets.engine.cache.chunked.lazy_rows import lazy_rows

        return lazy_rows(self, expected)

    def is_opened_as(self, array: xr.DataArray) -> bool:
        """See `Entry`."""
        from catjac_widgets.engine.cache.chunked.lazy_rows import rows_behind

        rows = rows_behind(array)
        if rows is None:
            return False
        return (rows.entry.store.name, rows.entry.plan.key) == (self.store.name, self.plan.key)
