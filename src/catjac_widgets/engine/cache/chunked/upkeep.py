"""Looking after entries without the models that made them: list and verify; see also `archives`."""

from __future__ import annotations

import contextlib
import hashlib
import math
from dataclasses import dataclass, field

import numpy as np

from catjac_widgets.engine.cache.chunked.chunks import ChunkForm, is_sound
from catjac_widgets.engine.cache.chunked.digests import Digests, chunk_digest
from catjac_widgets.engine.cache.chunked.files import EntryFiles
from catjac_widgets.engine.cache.chunked.layout import FORMAT, GROUP, format_of
from catjac_widgets.engine.cache.chunked.store import FileStore


@dataclass(frozen=True)
class StoredArray:
    """One array of an entry, as its metadata says.

    Attributes
    ----------
    name
        For instance "jacobian" or "contacts".
    shape
        Of the array.
    form
        Of one chunk.
    """

    name: str
    shape: tuple[int, ...]
    form: ChunkForm

    @property
    def is_rows(self) -> bool:
        """Whether it is the array of rows, not one beside it."""
        return self.name in ("jacobian", "maps")

    @property
    def chunks(self) -> int:
        """How many chunks it has when all are there."""
        return math.prod(-(-size // part) for size, part in zip(self.shape, self.form.shape, strict=True))

    def file(self, index: int) -> str:
        """Name of the file of a chunk."""
        return f"c.{index}" + ".0" * (len(self.shape) - 1)


@dataclass(frozen=True)
class Listing:
    """What one entry is.

    Attributes
    ----------
    key
        What it is kept under.
    kind
        "Jacobian", "fast Jacobian", or what the maps are.
    sequence
        Residues, or "".
    rows, rows_total
        Rows that are there, and that there may be (masked ones too).
    size, used
        Bytes, and when it was used last in seconds since the epoch.
    """

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
    damaged: list[str] = field(default_factory=list)


def list_entries(store: FileStore) -> list[Listing]:
    """List the entries of a store, the one used last first."""
    made = []
    for entry in store.entries():
        files = store.files(entry.key)
        said = files.json("key.json")
        said = said if isinstance(said, dict) else {}
        arrays = [array for array in arrays_of(files) if array.is_rows]
        kind = str(said.get("kind", "fast Jacobian" if said.get("variant") == "fast" else "Jacobian"))
        made.append(
            Listing(
                entry.key,
                kind.replace("_", " "),
                str(said.get("sequence", "")),
                sum(len(_chunks(files, array)) for array in arrays),
                sum(-(-array.shape[0] // array.form.shape[0]) for array in arrays),
                sum(files.walk().values()),
                entry.used,
            )
        )
    return sorted(made, key=lambda each: -each.used)


def verify_entry(files: EntryFiles, *, repair: bool = False) -> Verdict:
    """Read every chunk of an entry and check it.

    Parameters
    ----------
    files
        The entry's.
    repair
        Delete what is damaged, so that it is computed anew when it is asked for.
    """
    verdict = Verdict(files.key)
    try:
        text = files.read("key.json")
    except OSError as error:
        verdict.problems.append(f"key.json cannot be read ({error.strerror or error})")
        return verdict
    if hashlib.sha256(text).hexdigest() != files.key:
        verdict.problems.append("key.json is not what the entry is named after")
    version = format_of(files.json(f"{GROUP}/zarr.json"))
    if version is None or version > FORMAT:
        verdict.problems.append(f"its layout (format {version}) is not one that this version knows")
        return verdict
    digests = Digests(files)
    for array in arrays_of(files):
        for index, name in sorted(_chunks(files, array).items()):
            verdict.checked += 1
            wrong, lasting = _wrong_with(files, name, array, index, digests if version > 1 else None)
            if wrong:
                what = f"row {index + 1}" if array.is_rows else array.name
                verdict.problems.append(f"{what} {wrong}")
                if lasting:
                    verdict.damaged.append(name)
    if repair:
        for name in verdict.damaged:
            with contextlib.suppress(OSError):
                files.remove(name)
    return verdict


def _wrong_with(
    files: EntryFiles, name: str, array: StoredArray, index: int, digests: Digests | None
) -> tuple[str, bool]:
    """Say what is wrong with a chunk, "" for nothing, and whether it will be the next time too."""
    try:
        content = files.read(name)
        if not array.form.may_have(len(content)):
            return "was cut short", True
        if not is_sound(content):
            return "is damaged: its checksum is not that of its bytes", True
        if digests is not None and not digests.allows(
            array.name, index, chunk_digest(files.key, array.name, index, content)
        ):
            return "is not what was written there", True
    except OSError as error:
        return f"cannot be read ({error.strerror or error})", False
    try:
        values = array.form.array(content)
    except ValueError as error:
        return f"is damaged: {error}", True
    rows = values[: array.shape[0] - index * array.form.shape[0]]
    return ("is not finite", True) if array.is_rows and not np.isfinite(rows).all() else ("", False)


def arrays_of(files: EntryFiles) -> list[StoredArray]:
    """Read which arrays an entry has; those whose metadata make no sense are left out."""
    made = []
    for name in sorted(files.walk()):
        folder, _, rest = name.removeprefix(f"{GROUP}/").partition("/")
        if not name.startswith(f"{GROUP}/") or rest != "zarr.json":
            continue
        said = files.json(name)
        with contextlib.suppress(KeyError, TypeError, ValueError):
            shape = tuple(int(size) for size in said["shape"])
            chunk = tuple(int(size) for size in said["chunk_grid"]["configuration"]["chunk_shape"])
            dtype = np.dtype({"float32": "f4", "float64": "f8"}[said["data_type"]])
            form = ChunkForm(chunk, dtype, packed=any(codec["name"] == "blosc" for codec in said["codecs"]))
            if len(shape) == len(chunk) and min((*shape, *chunk)) > 0:
                made.append(StoredArray(folder, shape, form))
    return made


def _chunks(files: EntryFiles, array: StoredArray) -> dict[int, str]:
    found = {}
    for name in files.names(f"{GROUP}/{array.name}"):
        kind, _, rest = name.partition(".")
        index = rest.partition(".")[0]
        if kind == "c" and index.isdecimal() and name == array.file(int(index)):
            found[int(index)] = f"{GROUP}/{array.name}/{name}"
    return found
