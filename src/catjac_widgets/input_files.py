"""Reading files that other people made: regular files only, and never more of them than may be.

A pipe or a device blocks or never ends, and a few packed megabytes may hold gigabytes. So a file is looked at
before it is opened, and read, or unpacked, no further than a limit that the refusal names.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import stat
import zlib
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

from catjac_widgets.errors import CatjacError

_KINDS = (
    (stat.S_ISDIR, "is a folder; name a file in it"),
    (stat.S_ISFIFO, "is a pipe; save what comes out of it as a file first"),
    (stat.S_ISSOCK, "is a socket; name a file"),
    (stat.S_ISCHR, "is a device; name a file"),
    (stat.S_ISBLK, "is a device; name a file"),
)

#: What the system says where a path cannot be that of a file.
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)

_LONGEST_SHOWN = 100

#: fsspec joins several with "::".
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::[A-Za-z][A-Za-z0-9+.-]+)*://")


def is_url(text: str) -> bool:
    """Whether a text is a URL such as s3://bucket/folder; one of a file is a path, see `user_path`."""
    return _URL.match(text) is not None and not text.lower().startswith("file://")


def user_path(what: str | Path) -> Path:
    """Make a path of what a person wrote.

    "~" and "file://" are understood; a path of a user that does not exist stays as it is.
    """
    if isinstance(what, str) and what.lower().startswith("file://"):
        return Path(url2pathname(urlsplit(what).path))
    try:
        return Path(os.path.expanduser(what))
    except ValueError:  # a NUL in the name of a user
        return Path(what)


def shown(text: str | Path) -> str:
    """Write a text that somebody else chose so that it fits into a sentence: printable, and not too long."""
    plain = str(text)
    if len(plain) > _LONGEST_SHOWN:
        plain = f"{plain[: _LONGEST_SHOWN - 33]} … {plain[-30:]}"
    return plain if plain.isprintable() else ascii(plain)[1:-1]


def reason(error: BaseException) -> str:
    """Write what went wrong as a part of a sentence: one line, and not too long."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return shown(" ".join(str(said).split()))


def check_file(path: Path, *, error: type[CatjacError], noun: str) -> int:
    """Refuse a path at which no regular file lies; nothing is opened.

    Parameters
    ----------
    path
        Where it should be; links are followed.
    error
        What is raised.
    noun
        What it should be, for the sentence: "alignment".

    Returns
    -------
    int
        The file's size in bytes.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as problem:
        if isinstance(problem, ValueError) or problem.errno in _ABSENT:
            raise error(f"There is no {noun} {shown(path)}; it cannot be read, check the path.") from problem
        raise error(f"The {noun} {shown(path)} cannot be read ({reason(problem)}); check it.") from problem
    if not stat.S_ISREG(found.st_mode):
        kind = next((said for test, said in _KINDS if test(found.st_mode)), "is no file; name one")
        raise error(f"The {noun} {shown(path)} {kind}.")
    return found.st_size


def read_file(path: Path, *, limit: int, error: type[CatjacError], noun: str, unpack: bool = True) -> bytes:
    """Read a file as a whole, unpacked where it is gzipped.

    Parameters
    ----------
    path, error, noun
        See `check_file`.
    limit
        The most bytes that it may have, packed and unpacked.
    unpack
        Whether it is unpacked.
    """
    size = check_file(path, error=error, noun=noun)
    too_large = error(
        f"The {noun} {shown(path.name)} has more than the {megabytes(limit)} that are read; "
        "give a smaller one, or a part of it."
    )
    if size > limit:
        raise too_large
    try:
        with _opened(path) as file:
            content = _read_part(file, limit + 1)
        if unpack and content[:2] == b"\x1f\x8b":
            content = _read_part(cast(BinaryIO, gzip.GzipFile(fileobj=io.BytesIO(content))), limit + 1)
    except MemoryError as problem:
        raise error(
            f"The {noun} {shown(path.name)} does not fit into memory; give a part of it."
        ) from problem
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise error(
            f"The {noun} {shown(path)} cannot be read (it is not a whole gzip file); get it anew."
        ) from problem
    except OSError as problem:
        raise error(f"The {noun} {shown(path)} cannot be read ({reason(problem)}); check it.") from problem
    if len(content) > limit:
        raise too_large
    return content


def megabytes(size: int) -> str:
    """Write a number of bytes as people do."""
    return f"{size / 2**20:,.0f} MB"


def _read_part(file: BinaryIO, most: int) -> bytes:
    """Read at most so many bytes; asked for all at once, Python sets aside memory for all of them."""
    parts: list[bytes] = []
    while most > 0 and (part := file.read(min(most, 2**20))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _opened(path: Path) -> io.BufferedReader:
    """Open what was looked at; should it have become a pipe meanwhile, that does not block either."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no regular file any more")
    return os.fdopen(handle, "rb")
