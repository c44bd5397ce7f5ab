"""Entries: where the rows of one key are kept, in a folder (zarr v3) or in memory."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from catjac_widgets.errors import CacheError

if TYPE_CHECKING:
    import xarray as xr
    import zarr

    from catjac_widgets.engine.plan import Plan

#: crc32c appends four bytes to each chunk.
_CHECKSUM_BYTES = 4

#: Name of the zarr group in an entry's folder.
GROUP = "arrays.zarr"

#: A process that died leaves its mark behind; another machine's marks are believed for this long.
_FOREIGN_USE_SECONDS = 3600.0


class CorruptRowError(CacheError):
    """A row whose checksum fails or that holds numbers which are not finite."""


class Entry(Protocol):
    """Keeps the rows of one key, with the wild-type logits and the summaries beside them."""

    plan: Plan

    def done(self) -> set[int]:
        """0-based positions whose row is there."""
        ...

    def has(self, index: int) -> bool:
        """Whether that row is there."""
        ...

    def read(self, index: int) -> np.ndarray:
        """Read one row (A_in, L, A_out); raises `CorruptRowError`."""
        ...

    def write(self, index: int, row: np.ndarray) -> None:
        """Keep one row; raises OSError where that fails."""
        ...

    def discard(self, index: int) -> None:
        """Forget one row."""
        ...

    def read_beside(self, name: str) -> np.ndarray | None:
        """Read one of the arrays kept beside the rows (see `beside_shapes`), None where it is not there."""
        ...

    def write_beside(self, name: str, values: np.ndarray) -> None:
        """Keep one of the arrays beside the rows."""
        ...

    def devices(self) -> tuple[str, ...]:
        """Where rows were computed."""
        ...

    def add_device(self, name: str) -> None:
        """Note that rows are computed there."""
        ...


def beside_shapes(plan: Plan) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
    """Shape and dimension names of each array kept beside the rows."""
    a_in, length, a_out = plan.row_shape
    return {
        "wild_type_logits": ((length, a_out), ("pos_out", "aa_out")),
        "contacts": ((length, length), ("pos_i", "pos_j")),
        "block_norms": ((length, length), ("pos_in", "pos_out")),
        "mean_over_pos_in": ((a_in, length, a_out), ("aa_in", "pos_out", "aa_out")),
        "mean_over_pos_out": ((length, a_in, a_out), ("pos_in", "aa_in", "aa_out")),
    }


def metadata(plan: Plan) -> dict[str, dict[str, Any]]:
    """The zarr v3 metadata of an entry, by path in its folder; derived from the key alone."""
    a_in, length, a_out = plan.row_shape
    made: dict[str, dict[str, Any]] = {
        f"{GROUP}/zarr.json": {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": {"catjac_key": plan.key},
        },
        f"{GROUP}/jacobian/zarr.json": _array_metadata(
            plan, (length, a_in, length, a_out), ("pos_in", "aa_in", "pos_out", "aa_out"), first_chunk=1
        ),
    }
    for name, (shape, dims) in beside_shapes(plan).items():
        made[f"{GROUP}/{name}/zarr.json"] = _array_metadata(plan, shape, dims)
    return made


def _array_metadata(
    plan: Plan, shape: tuple[int, ...], dims: tuple[str, ...], *, first_chunk: int | None = None
) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": plan.dtype.name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [first_chunk or shape[0], *shape[1:]]},
        },
        # With "." a row is one file in a flat folder, so that one listing says which rows are done.
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": "NaN",
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "attributes": {},
        "dimension_names": list(dims),
    }


class FolderEntry:
    """One key's folder: `key.json`, the zarr v3 group `arrays.zarr`, and small marks of who uses it.

    ``jacobian`` has one chunk a row, without shards; a row is done if and only if its chunk exists with its full
    size. The other arrays are one chunk each. The modification time of `used` orders entries for eviction.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        #: The zarr group; what is not zarr's lies beside it.
        self.group = folder / GROUP
        self.plan = plan
        #: What was found wrong and put right on opening.
        self.notes: list[str] = []
        self._arrays: dict[str, zarr.Array] = {}
        self._expected_bytes = plan.row_bytes + _CHECKSUM_BYTES

    def create(self) -> FolderEntry:
        """Make the folder, or compare an existing one with the key and put its metadata right.

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
            found = _read_json(path)
            if found == json.loads(text):
                continue
            if found is not None or path.exists():
                self.notes.append(
                    f"The cache entry {self.folder.name[:12]} had an altered {name}; it was written anew from its key."
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text)
        self.touch()
        return self

    def matches(self) -> bool:
        """Whether the folder exists and says what its key says."""
        found = {name: _read_json(self.folder / name) for name in (*metadata(self.plan), "key.json")}
        return found == {**metadata(self.plan), "key.json": self.plan.key_content}

    # ---- rows

    def _chunk(self, index: int) -> Path:
        return self.group / "jacobian" / f"c.{index}.0.0.0"

    def done(self) -> set[int]:
        found = set()
        with contextlib.suppress(FileNotFoundError), os.scandir(self.group / "jacobian") as listing:
            for item in listing:
                parts = item.name.split(".")
                # A temporary file of a process that died has more parts to its name.
                if len(parts) == 5 and parts[0] == "c" and item.stat().st_size == self._expected_bytes:
                    found.add(int(parts[1]))
        return found

    def has(self, index: int) -> bool:
        try:
            return self._chunk(index).stat().st_size == self._expected_bytes
        except OSError:
            return False

    def read(self, index: int) -> np.ndarray:
        try:
            row = np.asarray(self._open("jacobian")[index])
        except (ValueError, OSError, RuntimeError) as error:
            raise CorruptRowError(
                f"row {index + 1} of the cache entry {self.folder.name[:12]}: {error}"
            ) from error
        if not np.isfinite(row).all():
            raise CorruptRowError(f"row {index + 1} of the cache entry {self.folder.name[:12]} is not finite")
        return row

    def write(self, index: int, row: np.ndarray) -> None:
        self._open("jacobian")[index] = row

    def discard(self, index: int) -> None:
        self._chunk(index).unlink(missing_ok=True)

    # ---- what lies beside

    def read_beside(self, name: str) -> np.ndarray | None:
        if not (self.group / name / ("c" + ".0" * len(beside_shapes(self.plan)[name][0]))).exists():
            return None
        try:
            return np.asarray(self._open(name)[...])
        except (ValueError, OSError, RuntimeError):
            return None  # It will be made anew from the rows, or by one pass of the model.

    def write_beside(self, name: str, values: np.ndarray) -> None:
        self._open(name)[...] = values

    def devices(self) -> tuple[str, ...]:
        try:
            return tuple(sorted(path.name for path in (self.folder / "devices").iterdir()))
        except OSError:
            return ()

    def add_device(self, name: str) -> None:
        (self.folder / "devices").mkdir(exist_ok=True)
        (self.folder / "devices" / name.replace("/", "-").replace(":", "-")).touch()

    # ---- opening

    def _open(self, name: str) -> zarr.Array:
        if name not in self._arrays:
            import zarr

            array = zarr.open_array(
                str(self.group / name), mode="r+", zarr_format=3, config={"write_empty_chunks": True}
            )
            self._arrays[name] = array
        return self._arrays[name]

    def lazy(self) -> xr.DataArray:
        """All rows as an array that reads from the folder when it is used."""
        import xarray as xr

        dataset = xr.open_dataset(
            str(self.group),  # type: ignore[arg-type]
            engine="zarr",
            chunks=None,
            cache=False,
            mask_and_scale=False,
            decode_cf=False,
            backend_kwargs={"consolidated": False, "zarr_format": 3},
        )
        return dataset["jacobian"]

    # ---- who uses it

    def touch(self) -> None:
        """Note that the entry was used now."""
        with contextlib.suppress(OSError):
            (self.folder / "used").touch()

    def mark_in_use(self) -> None:
        """Say that this process works with the entry, so that no other evicts it."""
        with contextlib.suppress(OSError):
            (self.folder / "in_use").mkdir(exist_ok=True)
            (self.folder / "in_use" / process_name()).touch()

    def unmark_in_use(self) -> None:
        """Take the mark of this process away."""
        with contextlib.suppress(OSError):
            (self.folder / "in_use" / process_name()).unlink(missing_ok=True)


class MemoryEntry:
    """Keeps rows in this process only."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.notes: list[str] = []
        self.used = time.monotonic()
        self._rows: dict[int, np.ndarray] = {}
        self._beside: dict[str, np.ndarray] = {}
        self._devices: set[str] = set()

    def done(self) -> set[int]:
        return set(self._rows)

    def has(self, index: int) -> bool:
        return index in self._rows

    def read(self, index: int) -> np.ndarray:
        return self._rows[index]

    def write(self, index: int, row: np.ndarray) -> None:
        self._rows[index] = row.copy()

    def discard(self, index: int) -> None:
        self._rows.pop(index, None)

    def read_beside(self, name: str) -> np.ndarray | None:
        return self._beside.get(name)

    def write_beside(self, name: str, values: np.ndarray) -> None:
        self._beside[name] = np.array(values, dtype=self.plan.dtype)

    def devices(self) -> tuple[str, ...]:
        return tuple(sorted(self._devices))

    def add_device(self, name: str) -> None:
        self._devices.add(name)

    @property
    def size(self) -> int:
        """Bytes it takes."""
        return len(self._rows) * self.plan.row_bytes


# ---- folders of entries, without their plans


def is_entry(folder: Path) -> bool:
    """Whether that folder is one of ours."""
    return (folder / "key.json").is_file()


def last_used(folder: Path) -> float:
    """When an entry was used last, in seconds since the epoch."""
    for name in ("used", "key.json"):
        with contextlib.suppress(OSError):
            return (folder / name).stat().st_mtime
    return 0.0


def entry_size(folder: Path) -> int:
    """Bytes that an entry takes on disk."""
    total = 0
    stack = [folder]
    while stack:
        with contextlib.suppress(OSError), os.scandir(stack.pop()) as listing:
            for item in listing:
                if item.is_dir(follow_symlinks=False):
                    stack.append(Path(item.path))
                else:
                    with contextlib.suppress(OSError):
                        total += item.stat(follow_symlinks=False).st_size
    return total


def in_use(folder: Path) -> bool:
    """Whether a living process (this one included) works with an entry; marks of dead ones are taken away."""
    used = False
    with contextlib.suppress(OSError):
        for mark in list((folder / "in_use").iterdir()):
            host, _, pid = mark.name.rpartition("-")
            if host == _host():
                alive = _alive(int(pid)) if pid.isdigit() else False
            else:
                alive = time.time() - mark.stat().st_mtime < _FOREIGN_USE_SECONDS
            if alive:
                used = True
            else:
                mark.unlink(missing_ok=True)
    return used


def remove_entry(folder: Path) -> None:
    """Delete an entry; it is renamed first, so that nobody opens half of it."""
    trash = folder.with_name(f".removed-{folder.name}-{os.getpid()}-{time.monotonic_ns()}")
    try:
        folder.rename(trash)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return  # Another process was quicker.
        raise
    shutil.rmtree(trash, ignore_errors=True)


def write_atomically(path: Path, text: str) -> None:
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


def _host() -> str:
    import platform

    return platform.node().replace("/", "_") or "localhost"


def process_name() -> str:
    return f"{_host()}-{os.getpid()}"


def _alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # There, os.kill would end the process; the mark goes when its owner ends in good order.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # It lives but belongs to somebody else.
    return True
