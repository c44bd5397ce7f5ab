"""An entry on disk: one zarr v3 group a key, one chunk a row."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.engine.cache.entries import CorruptRowError, Entry

if TYPE_CHECKING:
    import xarray as xr
    import zarr

    from catjac_widgets.engine.cache.entries import Kept, Store

#: Name of the zarr group in an entry's folder.
GROUP = "arrays.zarr"

#: crc32c appends four bytes to each chunk.
_CHECKSUM_BYTES = 4


def metadata(plan: Kept) -> dict[str, dict[str, Any]]:
    """Derive the zarr v3 metadata of an entry from its key, by path in its folder."""
    rows = _array_metadata(plan, plan.rows_shape, plan.rows_dims, first_chunk=plan.chunk_length)
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"catjac_key": plan.key}}
    made: dict[str, dict[str, Any]] = {
        f"{GROUP}/zarr.json": group,
        f"{GROUP}/{plan.rows_name}/zarr.json": rows,
    }
    for name, (shape, dims) in plan.beside_shapes.items():
        made[f"{GROUP}/{name}/zarr.json"] = _array_metadata(plan, shape, dims, first_chunk=shape[0])
    return made


def _array_metadata(
    plan: Kept, shape: tuple[int, ...], dims: tuple[str, ...], *, first_chunk: int
) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": plan.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [first_chunk, *shape[1:]]}},
        # With "." a row is one file in a flat folder, so that one listing says which rows are done.
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": "NaN",
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "attributes": {},
        "dimension_names": list(dims),
    }


class FolderEntry(Entry):
    """One key's folder: `key.json`, the zarr v3 group `arrays.zarr`, and small marks; see `Entry`.

    The array of rows (``jacobian``) has one chunk a row and no shards; a row is done if and only if its
    chunk exists with its full size. Each other array is one chunk. `used` bears the time of the last use,
    `in_use/` names the processes that work with the entry, and `devices/` those that its rows were computed
    on.

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
        self._rows_folder = self.group / plan.rows_name
        self._arrays: dict[str, zarr.Array] = {}
        self._chunk_bytes = plan.row_bytes + _CHECKSUM_BYTES

    def create(self) -> None:
        """Make the folder, or compare what is there with the key and put its metadata right.

        Raises
        ------
        OSError
            If the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        texts = {path: json.dumps(content, indent=1) + "\n" for path, content in metadata(self.plan).items()}
        texts["key.json"] = self.plan.key_json
        for name, text in texts.items():
            path = self.folder / name
            if _read_json(path) == json.loads(text):
                continue
            if path.exists():
                self.notes.append(
                    f"The cache entry {self.folder.name[:12]} had an altered {name}; "
                    "it was written anew from its key."
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_atomically(path, text)

    def matches(self) -> bool:
        """Whether the folder exists and says what its key says."""
        expected = {**metadata(self.plan), "key.json": self.plan.key_content}
        return all(_read_json(self.folder / name) == content for name, content in expected.items())

    # ---- rows

    def _chunk(self, index: int) -> Path:
        return self._rows_folder / (f"c.{index}" + ".0" * (len(self.plan.rows_dims) - 1))

    def done(self) -> set[int]:
        """See `Entry`; a chunk of another size than a row's (cut short by a crash) does not count."""
        found, dimensions = set(), len(self.plan.rows_dims)
        with contextlib.suppress(FileNotFoundError), os.scandir(self._rows_folder) as listing:
            for item in listing:
                parts = item.name.split(".")
                # The temporary file of a process that died has more parts to its name.
                if (
                    len(parts) == dimensions + 1
                    and parts[0] == "c"
                    and item.stat().st_size == self._chunk_bytes
                ):
                    found.add(int(parts[1]))
        return found

    def has(self, index: int) -> bool:
        """See `Entry`."""
        try:
            return self._chunk(index).stat().st_size == self._chunk_bytes
        except OSError:
            return False

    def read(self, index: int) -> np.ndarray:
        """See `Entry`."""
        name = f"row {index + 1} of the cache entry {self.folder.name[:12]}"
        try:
            row = np.asarray(self._open(self.plan.rows_name)[self.plan.selection(index)])
        except (ValueError, OSError, RuntimeError) as error:
            raise CorruptRowError(f"{name}: {error}") from error
        if not np.isfinite(row).all():
            raise CorruptRowError(f"{name} is not finite")
        return row

    def write(self, index: int, row: np.ndarray) -> None:
        """See `Entry`."""
        self._open(self.plan.rows_name)[self.plan.selection(index)] = row

    def discard(self, index: int) -> None:
        """See `Entry`."""
        with contextlib.suppress(OSError):
            self._chunk(index).unlink(missing_ok=True)

    # ---- what lies beside

    def read_beside(self, name: str) -> np.ndarray | None:
        """See `Entry`; what cannot be read counts as not there, since it can be made again."""
        dimensions = len(self.plan.beside_shapes[name][0])
        if not (self.group / name / ("c" + ".0" * dimensions)).exists():
            return None
        try:
            return np.asarray(self._open(name)[...])
        except (ValueError, OSError, RuntimeError):
            return None

    def write_beside(self, name: str, values: np.ndarray) -> None:
        """See `Entry`."""
        self._open(name)[...] = values

    def devices(self) -> tuple[str, ...]:
        """See `Entry`."""
        try:
            names = [path.name for path in (self.folder / "devices").iterdir()]
        except OSError:
            return ()
        return tuple(sorted(name.replace("-", ":") for name in names))

    def add_device(self, name: str) -> None:
        """See `Entry`."""
        # One empty file a device, so that two processes can add theirs at once; not every system allows ":".
        (self.folder / "devices").mkdir(exist_ok=True)
        (self.folder / "devices" / name.replace(":", "-")).touch()

    # ---- opening

    def _open(self, name: str) -> zarr.Array:
        if name not in self._arrays:
            import zarr

            # A row that equals the fill value must be written all the same: its chunk says that it is done.
            with zarr.config.set({"array.write_empty_chunks": True}):
                self._arrays[name] = zarr.open_array(str(self.group / name), mode="r+", zarr_format=3)
        return self._arrays[name]

    def lazy(self) -> xr.DataArray:
        """All rows as an array that reads from the folder when it is used."""
        import xarray as xr

        dataset = xr.open_dataset(
            str(self.group),
            engine="zarr",
            chunks=None,
            cache=False,
            mask_and_scale=False,
            decode_cf=False,
            backend_kwargs={"consolidated": False, "zarr_format": 3},
        )
        array = dataset[self.plan.rows_name]
        array.encoding["source"] = str(self.group)
        return array

    def is_opened_as(self, array: xr.DataArray) -> bool:
        """Whether an array is that of `lazy` (or a part of it), not loaded: it has the numbers on disk."""
        lazy = not array.variable._in_memory and array.chunks is None
        return lazy and array.encoding.get("source") == str(self.group)


def _write_atomically(path: Path, text: str) -> None:
    """Write a text so that a reader sees all of it or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
