"""Looking after a folder of entries without the models that made them: list, verify, export and import.

An archive that somebody else made is data like any other: nothing in it is executed, nothing is written
outside the cache folder, and what is damaged is left out. That its numbers are those of the model it names,
nobody can tell from the archive; import from people whose Jacobians you would believe.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from catjac_widgets.engine.cache.folder import folders
from catjac_widgets.engine.cache.folder.chunks import CHECKSUM_BYTES, array_of, is_sound
from catjac_widgets.engine.cache.folder.digests import Digests, chunk_digest
from catjac_widgets.engine.cache.folder.files import read_json
from catjac_widgets.engine.cache.folder.holds import Hold
from catjac_widgets.engine.cache.folder.layout import FORMAT, GROUP, format_of
from catjac_widgets.errors import CacheError

#: What an archive may hold: <first two digits>/<key>/<file>. Anything else is left where it is.
_MEMBER = re.compile(
    r"(?P<key>(?P<two>[0-9a-f]{2})/(?P=two)[0-9a-f]{62})/"
    r"(key\.json|arrays\.zarr/zarr\.json|arrays\.zarr/[a-z_]+/(zarr\.json|c(\.\d{1,9}){1,4})"
    r"|digests/[a-z_]+\.\d{1,9}\.[0-9a-f]{32}|devices/[a-z]+(-\d+)?)"
)


@dataclass(frozen=True)
class ArrayOnDisk:
    """One array of an entry, as its metadata says.

    Attributes
    ----------
    name
        For instance "jacobian" or "contacts".
    shape, chunk
        Of the array and of one chunk.
    dtype
        Of its numbers.
    """

    name: str
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype

    @property
    def is_rows(self) -> bool:
        """Whether it is the array of rows, not one beside it."""
        return self.name in ("jacobian", "maps")

    def file(self, index: int) -> str:
        """Name of the file of a chunk."""
        return f"c.{index}" + ".0" * (len(self.shape) - 1)


@dataclass(frozen=True)
class Listing:
    """What one entry is.

    Attributes
    ----------
    folder, key
        Where it lies and what it is kept under.
    kind
        "Jacobian", "fast Jacobian", or what the maps are.
    sequence
        Residues, or "".
    rows, rows_total
        Rows that are there, and that there may be (masked ones too).
    size, used
        Bytes, and when it was used last in seconds since the epoch.
    """

    folder: Path
    key: str
    kind: str
    sequence: str
    rows: int
    rows_total: int
    size: int
    used: float


@dataclass
class Verdict:
    """What is wrong with one entry.

    Attributes
    ----------
    key
        The entry's.
    problems
        Sentences.
    checked
        Chunks that were read.
    damaged
        Files that are not what was written there.
    """

    key: str
    problems: list[str] = field(default_factory=list)
    checked: int = 0
    damaged: list[Path] = field(default_factory=list)


def list_entries(root: Path) -> list[Listing]:
    """List the entries of a folder, the one used last first."""
    made = []
    for folder in folders.entry_folders(root):
        said = read_json(folder / "key.json")
        said = said if isinstance(said, dict) else {}
        arrays = [array for array in arrays_of(folder) if array.is_rows]
        kind = str(said.get("kind", "fast Jacobian" if said.get("variant") == "fast" else "Jacobian"))
        made.append(
            Listing(
                folder,
                folder.name,
                kind.replace("_", " "),
                str(said.get("sequence", "")),
                sum(len(_chunks(folder, array)) for array in arrays),
                sum(-(-array.shape[0] // array.chunk[0]) for array in arrays),
                folders.entry_size(folder),
                folders.last_used(folder),
            )
        )
    return sorted(made, key=lambda each: -each.used)


def verify_entry(folder: Path, *, repair: bool = False) -> Verdict:
    """Read every chunk of an entry and check it.

    Parameters
    ----------
    folder
        The entry's.
    repair
        Delete what is damaged, so that it is computed anew when it is asked for.
    """
    verdict = Verdict(folder.name)
    try:
        text = (folder / "key.json").read_bytes()
    except OSError as error:
        verdict.problems.append(f"key.json cannot be read ({error.strerror or error})")
        return verdict
    if hashlib.sha256(text).hexdigest() != folder.name:
        verdict.problems.append("key.json is not what the entry is named after")
    version = format_of(folder)
    if version is None or version > FORMAT:
        verdict.problems.append(f"its layout (format {version}) is not one that this version knows")
        return verdict
    digests = Digests(folder)
    for array in arrays_of(folder):
        for index, path in sorted(_chunks(folder, array).items()):
            verdict.checked += 1
            wrong = _wrong_with(path, array, index, folder.name, digests if version > 1 else None)
            if wrong:
                what = f"row {index + 1}" if array.is_rows else array.name
                verdict.problems.append(f"{what} {wrong}")
                verdict.damaged.append(path)
    if repair:
        for path in verdict.damaged:
            with contextlib.suppress(OSError):
                path.unlink()
    return verdict


def _wrong_with(path: Path, array: ArrayOnDisk, index: int, key: str, digests: Digests | None) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    if len(content) != int(np.prod(array.chunk)) * array.dtype.itemsize + CHECKSUM_BYTES:
        return "was cut short"
    if not is_sound(content):
        return "is damaged: its checksum is not that of its bytes"
    if digests is not None and not digests.allows(
        array.name, index, chunk_digest(key, array.name, index, content)
    ):
        return "is not what was written there"
    rows = array_of(content, array.chunk, array.dtype)[: array.shape[0] - index * array.chunk[0]]
    return "is not finite" if array.is_rows and not np.isfinite(rows).all() else ""


def arrays_of(folder: Path) -> list[ArrayOnDisk]:
    """Read which arrays an entry has; those whose metadata make no sense are left out."""
    made = []
    for path in sorted((folder / GROUP).glob("*/zarr.json")):
        said = read_json(path)
        with contextlib.suppress(KeyError, TypeError, ValueError):
            shape = tuple(int(size) for size in said["shape"])
            chunk = tuple(int(size) for size in said["chunk_grid"]["configuration"]["chunk_shape"])
            dtype = np.dtype({"float32": "f4", "float64": "f8"}[said["data_type"]])
            if len(shape) == len(chunk) and min((*shape, *chunk)) > 0:
                made.append(ArrayOnDisk(path.parent.name, shape, chunk, dtype))
    return made


def _chunks(folder: Path, array: ArrayOnDisk) -> dict[int, Path]:
    found = {}
    for path in (folder / GROUP / array.name).glob("c.*"):
        index = path.name.split(".")[1]
        if index.isdecimal() and path.name == array.file(int(index)):
            found[int(index)] = path
    return found


# ---- archives


def export_entries(root: Path, target: Path, keys: Iterable[str] = ()) -> int:
    """Write entries into a tar archive, and return how many.

    Parameters
    ----------
    root
        The cache folder.
    target
        File to write; ``.gz`` and ``.xz`` are packed.
    keys
        Beginnings of the keys of those to take; all by default.

    Raises
    ------
    CacheError
        If there is nothing to take, or the archive cannot be written.
    """
    wanted = list(keys)
    taken = [
        folder
        for folder in folders.entry_folders(root)
        if not wanted or any(folder.name.startswith(key) for key in wanted)
    ]
    if not taken:
        raise CacheError(f"There is no such entry in {root}; `catjac cache list` shows what there is.")
    partial = target.with_name(f"{target.name}.partial")
    packing: Any = {".gz": "w:gz", ".xz": "w:xz"}.get(target.suffix, "w")
    try:
        with tarfile.open(partial, packing) as archive:
            for folder in taken:
                with contextlib.closing(_Held(folder)):
                    for path in sorted(folder.rglob("*")):
                        name = path.relative_to(root).as_posix()
                        if path.is_file() and _MEMBER.fullmatch(name):
                            archive.add(path, name, recursive=False)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CacheError(f"{target} cannot be written ({error.strerror or error}).") from error
    return len(taken)


def import_entries(root: Path, source: Path, *, limit: int) -> tuple[int, list[str]]:
    """Take the entries of an archive into a cache folder.

    Rows that are there already stay; what is damaged is left out.

    Parameters
    ----------
    root
        The cache folder.
    source
        The archive.
    limit
        Bytes that the archive may take unpacked.

    Returns
    -------
    entries : int
        How many were taken.
    left_out : list of str
        Sentences on what was not.

    Raises
    ------
    CacheError
        If it is no archive, or too large.
    """
    left_out: list[str] = []
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix="import-") as unpacked:
            try:
                with tarfile.open(source) as archive:
                    _unpack(archive, Path(unpacked), limit, left_out)
            except (tarfile.TarError, EOFError, ValueError) as error:
                raise CacheError(f"{source.name} is no archive of a cache ({error}).") from error
            taken = 0
            for folder in sorted(folders.entry_folders(Path(unpacked))):
                verdict = verify_entry(folder, repair=True)
                left_out += [f"{folder.name[:12]}: {problem}" for problem in verdict.problems]
                if len(verdict.damaged) == len(verdict.problems):  # no more than single chunks
                    _merge(folder, root / folder.name[:2] / folder.name)
                    taken += 1
    except OSError as error:
        raise CacheError(f"{source} cannot be imported ({error.strerror or error}).") from error
    return taken, left_out


def _unpack(archive: tarfile.TarFile, target: Path, limit: int, left_out: list[str]) -> None:
    total = 0
    for member in archive:
        if not member.isfile() or not _MEMBER.fullmatch(member.name):
            if not member.isdir():
                left_out.append(f"{member.name[:80]!r} belongs to no entry")
            continue
        total += member.size
        if total > limit:
            raise CacheError(
                f"The archive holds more than the cache may take ({limit / 1e9:.2g} GB); set "
                "CATJAC_CACHE_LIMIT to more."
            )
        content = archive.extractfile(member)
        assert content is not None
        path = target / member.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            shutil.copyfileobj(content, file)


def _merge(folder: Path, target: Path) -> None:
    """Move what an entry of the cache lacks into it; digests first, see `FolderEntry`."""
    if (target / "key.json").exists() and (target / "key.json").read_bytes() != (
        folder / "key.json"
    ).read_bytes():
        raise CacheError(f"The entry {target.name[:12]} in the cache is damaged; run `catjac cache verify`.")
    target.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(_Held(target)):
        for path in sorted(folder.rglob("*"), key=lambda path: "digests" not in path.parts):
            there = target / path.relative_to(folder)
            if path.is_file() and not there.exists():
                there.parent.mkdir(parents=True, exist_ok=True)
                path.replace(there)


class _Held:
    """A hold that is closed; of an entry that vanished, nothing."""

    def __init__(self, folder: Path) -> None:
        self._hold: Hold | None = None
        with contextlib.suppress(OSError):
            self._hold = Hold(folder)

    def close(self) -> None:
        if self._hold is not None:
            self._hold.release()
