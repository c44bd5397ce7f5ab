"""Fetching published checkpoints into torch hub's cache, each file once at a time."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path

from catjac_widgets.errors import CheckpointError
from catjac_widgets.language_models.catalogue import in_bytes
from catjac_widgets.language_models.progress import watcher
from catjac_widgets.progress import progress_bar

_BLOCK = 1024**2

_LOCKS: dict[Path, threading.Lock] = {}
_GUARD = threading.Lock()


def ensure_downloaded(urls: Mapping[str, str], folder: Path, *, progress: bool = True) -> None:
    """Fetch files where they are not in a folder yet.

    Parameters
    ----------
    urls
        File name to address.
    folder
        Where they are kept.

    Raises
    ------
    CheckpointError
        If there is no network, no room, or the download breaks off; nothing incomplete is left behind.
    """
    for name, url in urls.items():
        target = folder / name
        with _GUARD:
            lock = _LOCKS.setdefault(target, threading.Lock())
        # Who comes second waits, and then finds the file.
        with lock:
            if not target.is_file():
                download(url, target, progress=progress)


def download(url: str, target: Path, *, progress: bool = True) -> None:
    """Download to a temporary file beside `target`, check its length, then rename it.

    Raises
    ------
    CheckpointError
        See `ensure_downloaded`.
    """
    partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=60) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            free = shutil.disk_usage(target.parent).free
            if total > free:
                raise CheckpointError(
                    f"{target.name} needs {in_bytes(total)} but only {in_bytes(free)} are free in torch "
                    "hub's cache; make room or set TORCH_HOME to a larger disk."
                )
            received = 0
            follow = watcher()
            # Whoever follows shows it in a place of its own.
            bar = progress_bar(target.name, total or None, unit="B", shown=progress and follow is None)
            with bar as shown, partial.open("wb") as file:
                while block := answer.read(_BLOCK):
                    file.write(block)
                    received += len(block)
                    shown.show(received)
                    if follow is not None:
                        of = f"{in_bytes(received)} of {in_bytes(total)}" if total else in_bytes(received)
                        follow(f"downloading {target.name}, {of}", received / total if total else 0.0)
        if total and received != total:
            raise CheckpointError(
                f"The download of {target.name} broke off after {in_bytes(received)} of {in_bytes(total)}; "
                "try again."
            )
        partial.replace(target)
    except urllib.error.HTTPError as error:
        raise CheckpointError(
            f"{url} cannot be downloaded (the server answers {error.code}); try again later."
        ) from error
    except http.client.HTTPException as error:
        raise CheckpointError(f"The download of {target.name} broke off ({error!r}); try again.") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise CheckpointError(
            f"{target.name} is not in torch hub's cache and cannot be downloaded ({reason}); check the "
            f"network, or put the file from {url} into {target.parent}."
        ) from error
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{target.name} cannot be written into torch hub's cache ({error}).") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
