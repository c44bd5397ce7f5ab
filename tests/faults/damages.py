"""Damages to a folder of entries, drawn at random over every kind of file."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def flip(path: Path, other: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
    else:  # a mark: its name is its content
        place = draw.randrange(len(path.name))
        letter = draw.choice("0123456789abcdef")
        path.rename(path.with_name(path.name[:place] + letter + path.name[place + 1 :]))


def cut(path: Path, other: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content) + 1)])


def zero(path: Path, other: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    first = draw.randrange(len(content) + 1)
    content[first : first + 512] = bytes(len(content[first : first + 512]))
    path.write_bytes(content)


def lengthen(path: Path, other: Path, draw: random.Random) -> None:
    path.write_bytes(path.read_bytes() + draw.randbytes(draw.randrange(1, 64)))


def swap(path: Path, other: Path, draw: random.Random) -> None:
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


def copy(path: Path, other: Path, draw: random.Random) -> None:
    path.write_bytes(other.read_bytes())


def delete(path: Path, other: Path, draw: random.Random) -> None:
    path.unlink()


def delete_folder(path: Path, other: Path, draw: random.Random) -> None:
    shutil.rmtree(path.parent)


def folder_instead(path: Path, other: Path, draw: random.Random) -> None:
    path.unlink()
    path.mkdir()


def link_instead(path: Path, other: Path, draw: random.Random) -> None:
    path.unlink()
    path.symlink_to(other)


def other_time(path: Path, other: Path, draw: random.Random) -> None:
    moment = time.time() + draw.choice([-1, 1]) * draw.choice([3600.0, 86400.0, 1e8])
    os.utime(path, (moment, moment))


DAMAGES: dict[str, Callable[[Path, Path, random.Random], None]] = {
    "flip": flip,
    "cut": cut,
    "zero": zero,
    "lengthen": lengthen,
    "swap": swap,
    "copy": copy,
    "delete": delete,
    "delete folder": delete_folder,
    "folder instead": folder_instead,
    "link instead": link_instead,
    "other time": other_time,
}


def damage(folder: Path, draw: random.Random) -> str:
    """Do one damage, and say which."""
    files = files_of(folder)
    if not files:
        return "nothing left"
    # Chunks are most of the files; each kind is to have its turn.
    kinds = sorted({_kind(path) for path in files})
    kind = draw.choice(kinds)
    path = draw.choice([path for path in files if _kind(path) == kind])
    alike = [each for each in files if _kind(each) == kind and each != path] or files
    other = draw.choice(alike if draw.random() < 0.7 else files)
    name = draw.choice(sorted(DAMAGES))
    try:
        DAMAGES[name](path, other, draw)
    except OSError:  # it cannot be done to this file
        return "nothing"
    return f"{name}: {kind}"


def _kind(path: Path) -> str:
    if path.parent.name in ("digests", "devices"):
        return path.parent.name
    if path.name.startswith("c."):
        return "row" if path.parent.name in ("jacobian", "maps") else "array beside"
    return path.name
