"""Objects below a URL, through fsspec; whatever goes wrong on the way there is an `OSError`."""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from catjac_widgets.errors import DependencyError, UsageError
from catjac_widgets.input_files import reason, shown


@dataclass(frozen=True)
class Stat:
    """What a listing says of an object.

    Attributes
    ----------
    size
        Bytes.
    changed
        When it was written, in seconds since the epoch by the server's clock; 0 where that is not told.
    """

    size: int
    changed: float


class Objects:
    """Reads, writes and lists objects below a URL, by their names there ("ab/cd.json").

    Parameters
    ----------
    url
        Such as s3://bucket/folder. Keys, endpoints and the like are taken from where the package of that kind
        of place looks for them, or from fsspec's own settings.

    Raises
    ------
    UsageError
        If fsspec knows no such place.
    DependencyError
        If its package is missing.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._opened: tuple[int, Any, str] | None = None
        _check(url)

    @property
    def shown(self) -> str:
        """The URL without a password."""
        start, _, rest = self.url.partition("://")
        place, slash, path = rest.partition("/")
        return f"{start}://{place.rpartition('@')[2]}{slash}{path}"

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Read an object, or no more than `limit` bytes of it.

        Raises
        ------
        OSError
            `FileNotFoundError` if it is not there.
        """
        with self._told() as (files, root):
            if limit is None:
                return bytes(files.cat_file(f"{root}/{name}"))
            try:
                return bytes(files.cat_file(f"{root}/{name}", start=0, end=limit))
            except FileNotFoundError:
                raise
            except Exception:
                # Of an empty object not even the first byte can be asked for.
                if files.info(f"{root}/{name}")["size"] == 0:
                    return b""
                raise

    def read_many(self, names: Iterable[str], limit: int) -> dict[str, bytes]:
        """Read several objects at once, those that are there; see `read`."""
        wanted = list(names)
        with self._told() as (files, root):
            found = files.cat_ranges(
                [f"{root}/{name}" for name in wanted], [0] * len(wanted), [limit] * len(wanted)
            )
        made = {}
        for name, content in zip(wanted, found, strict=True):
            if isinstance(content, FileNotFoundError):
                continue
            made[name] = self.read(name, limit) if isinstance(content, Exception) else bytes(content)
        return made

    def write(self, name: str, content: bytes) -> None:
        """Write an object."""
        with self._told() as (files, root):
            path = f"{root}/{name}"
            try:
                files.pipe_file(path, content)
            except FileNotFoundError:
                # A place with real folders. A bucket is never made.
                _make_folder(files, path.rpartition("/")[0])
                files.pipe_file(path, content)

    def remove(self, name: str) -> None:
        """Delete an object if it is there."""
        with contextlib.suppress(FileNotFoundError), self._told() as (files, root):
            files.rm_file(f"{root}/{name}")

    def remove_all(self, folder: str) -> None:
        """Delete all objects below a name."""
        with contextlib.suppress(FileNotFoundError), self._told() as (files, root):
            files.invalidate_cache()
            files.rm(f"{root}/{folder}", recursive=True)

    def list(self, folder: str) -> dict[str, Stat]:
        """List the objects in a folder, not in those within it, by their names in it."""
        try:
            with self._told() as (files, root):
                files.invalidate_cache()
                found = files.ls(f"{root}/{folder}", detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {
            item["name"].rpartition("/")[2]: _stat(item)
            for item in found
            if item["type"] == "file" and not item["name"].endswith("/")
        }

    def walk(self, folder: str = "") -> dict[str, Stat]:
        """List all objects in a folder and in those within it, by their names from there on."""
        try:
            with self._told() as (files, root):
                files.invalidate_cache()
                start = f"{root}/{folder}".strip("/")
                found = files.find(f"{root}/{folder}".rstrip("/"), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {
            name.strip("/").removeprefix(start).lstrip("/"): _stat(item)
            for name, item in found.items()
            if item["type"] == "file"
        }

    @contextlib.contextmanager
    def _told(self) -> Iterator[tuple[Any, str]]:
        """Give the file system and the path of the URL in it, and tell any failure as an `OSError`."""
        try:
            # A process that was forked has connections of its own.
            if self._opened is None or self._opened[0] != os.getpid():
                import fsspec

                self._opened = (os.getpid(), *fsspec.core.url_to_fs(self.url))
            yield self._opened[1], self._opened[2].rstrip("/")
        except OSError:
            raise
        except Exception as error:
            # Each kind of place has errors of its own, and their libraries have theirs.
            raise OSError(errno.EIO, reason(error)) from error

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "_opened": None}


def _check(url: str) -> None:
    try:
        import fsspec
        from fsspec.registry import known_implementations
    except ImportError as error:
        raise DependencyError(
            "A cache at a URL needs fsspec, which is not installed; run: pip install 'catjac-widgets[remote]'"
        ) from error
    for link in url.split("::"):
        protocol = link.partition("://")[0]
        try:
            fsspec.get_filesystem_class(protocol)
        except ImportError as error:
            known = known_implementations.get(protocol, {})
            package = str(known.get("class", protocol)).partition(".")[0]
            raise DependencyError(
                f"A cache at {protocol}:// needs the package {package}, which is not installed; run: "
                f"pip install {package}"
            ) from error
        except ValueError as error:
            raise UsageError(
                f"The cache cannot be at {shown(url)}: nothing knows {shown(protocol)}://; CATJAC_CACHE is a "
                "folder, or a URL such as s3://bucket/folder."
            ) from error
    where = urlsplit(url.split("::")[-1])
    if not (where.netloc or where.path.strip("/")) and where.scheme != "memory":
        raise UsageError(f"The cache cannot be at {shown(url)}: the URL names no place.")


def _make_folder(files: Any, folder: str) -> None:
    """Make a folder and those that it lies in, except the first, which may be a bucket."""
    if "/" not in folder.strip("/"):
        raise FileNotFoundError(errno.ENOENT, "there is no such place", folder)
    try:
        files.mkdir(folder, create_parents=False)
    except FileExistsError:
        pass
    except FileNotFoundError:
        _make_folder(files, folder.rpartition("/")[0])
        with contextlib.suppress(FileExistsError):
            files.mkdir(folder, create_parents=False)


def _stat(item: dict[str, Any]) -> Stat:
    """Read size and time of a listing; each kind of place has another name for the time."""
    said = next(
        (
            item[name]
            for name in ("LastModified", "mtime", "updated", "last_modified", "created")
            if name in item
        ),
        0.0,
    )
    with contextlib.suppress(ValueError):
        if isinstance(said, str):
            said = datetime.datetime.fromisoformat(said)
    if isinstance(said, datetime.datetime):
        said = said.timestamp()
    return Stat(int(item.get("size") or 0), said if isinstance(said, float | int) else 0.0)
