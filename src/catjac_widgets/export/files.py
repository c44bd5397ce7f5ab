"""Output files: checked before any work, and in place only when they are whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catjac_widgets.errors import UsageError


def check_output(output: Path, force: bool) -> None:
    """Refuse, before any work, an output that exists or cannot be written.

    Raises
    ------
    UsageError
        Saying which.
    """
    check_folder(output)
    if output.exists() and not force:
        raise UsageError(f"{output} exists already; name another file, or overwrite it with force (--force).")


def check_folder(output: Path) -> None:
    """Refuse an output whose folder does not exist or cannot be written to.

    Raises
    ------
    UsageError
        Saying which.
    """
    folder = output.parent
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder} to write {output.name} into; make it first.")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"The folder {folder} cannot be written to; choose another for {output.name}.")


@contextmanager
def replacing(output: Path) -> Iterator[Path]:
    """Give a path beside `output` that takes its place when all went well, and is removed otherwise."""
    partial = output.with_name(f".{output.stem}.partial{output.suffix}")
    _remove(partial)
    try:
        yield partial
        _remove(output)
        partial.rename(output)
    except OSError as error:
        raise UsageError(f"{output} could not be written ({error}).") from error
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
