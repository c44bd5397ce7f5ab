"""Archives of entries, to take them from one store to another.

An archive that somebody else made is data like any other: nothing in it is executed, nothing is written
outside the store, and what is damaged is left out. That its numbers are those of the model it names, nobody
can tell from the archive; import from people whose Jacobians you would believe.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from catjac_widgets.engine.cache.chunked.files import EntryFiles
from catjac_widgets.engine.cache.chunked.store import FileStore
from catjac_widgets.engine.cache.chunked.upkeep import verify_entry
from catjac_widgets.engine.cache.folder.files import FolderFiles
from catjac_widgets.engine.cache.folder.folders import entry_folders
from catjac_widgets.errors import CacheError

#: What an archive may hold: <first two digits>/<key>/<file>. Anything else is left where it is.
_MEMBER = re.compile(
    r"(?P<two>[0-9a-f]{2})/(?P<key>(?P=two)[0-9a-f]{62})/"
    r"(?P<file>key\.json|arrays\.zarr/zarr\.json|arrays\.zarr/[a-z_]+/(zarr\.json|c(\.\d{1,9}){1,4})"
    r"|digests/[a-z_]+\.\d{1,9}\.[0-9a-f]{32}|devices/[a-z]+(-\d+)?)"
)


#: What is empty and told by its name alone.
_MARKS = ("digests/", "devices/")


def export_entries(store: FileStore, target: Path, keys: Iterable[str] = ()) -> int:
    """Write entries into a tar archive, and return how many.

    Parameters
    ----------
    store
        Where they are.
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
    taken = sorted(
        entry.key
        for entry in store.entries()
        if not wanted or any(entry.key.startswith(key) for key in wanted)
    )
    if not taken:
        raise CacheError(f"There is no such entry in {store.name}; `catjac cache list` shows what there is.")
    partial = target.with_name(f"{target.name}.partial")
    packing: Any = {".gz": "w:gz", ".xz": "w:xz"}.get(target.suffix, "w")
    try:
        with tarfile.open(partial, packing) as archive:
            for key in taken:
                with _held(store, key):
                    _pack(archive, store.files(key))
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CacheError(f"{target} cannot be written ({error.strerror or error}).") from error
    return len(taken)


def _pack(archive: tarfile.TarFile, files: EntryFiles) -> None:
    for name in sorted(files.walk()):
        member = tarfile.TarInfo(f"{files.key[:2]}/{files.key}/{name}")
        if not _MEMBER.fullmatch(member.name):
            continue
        try:
            content = files.read(name)
        except FileNotFoundError:  # deleted meanwhile
            continue
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))


def import_entries(store: FileStore, source: Path, *, limit: int) -> tuple[int, list[str]]:
    """Take the entries of an archive into a store.

    Rows that are there already stay; what is damaged is left out.

    Parameters
    ----------
    store
        Where they go.
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
        if store.folder is not None:
            store.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=store.folder, prefix="import-") as unpacked:
            try:
                with tarfile.open(source) as archive:
                    _unpack(archive, Path(unpacked), limit, left_out)
            except (tarfile.TarError, EOFError, ValueError) as error:
                raise CacheError(f"{source.name} is no archive of a cache ({error}).") from error
            taken = 0
            for files in map(FolderFiles, sorted(entry_folders(Path(unpacked)))):
                verdict = verify_entry(files, repair=True)
                left_out += [f"{files.key[:12]}: {problem}" for problem in verdict.problems]
                if len(verdict.damaged) == len(verdict.problems):  # no more than single chunks
                    _merge(files, store)
                    taken += 1
    except CacheError:
        raise
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


def _merge(files: EntryFiles, store: FileStore) -> None:
    """Write what an entry of the store lacks into it; digests first, see `ChunkedEntry`."""
    target = store.make(files.key)
    with _held(store, files.key):
        there = target.walk()
        if "key.json" in there and target.read("key.json") != files.read("key.json"):
            raise CacheError(
                f"The entry {files.key[:12]} in the cache is damaged; run `catjac cache verify`."
            )
        missing = set(files.walk()) - set(there)
        # A folder is made with what lies in it, and so after the one that it lies in.
        for name in sorted(missing, key=lambda name: (not name.startswith("digests/"), name.count("/"))):
            if name.startswith(_MARKS):
                target.mark(name)
            else:
                target.write(name, files.read(name))


@contextlib.contextmanager
def _held(store: FileStore, key: str) -> Iterator[None]:
    """Keep an entry from being evicted meanwhile; one that vanished is left alone."""
    held = False
    with contextlib.suppress(OSError):
        store.hold(key)
        held = True
    try:
        yield
    finally:
        if held:
            store.release(key)
