"""Fitted Potts models in the cache folder, named after what they were fitted to and what they hold."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from pathlib import Path

from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.fingerprints import FileMemory
from catjac_widgets.language_models.potts.files import read_potts
from catjac_widgets.language_models.potts.parameters import PottsParameters

_ENDING = ".safetensors"


def fits_folder() -> Path | None:
    """Where fits are kept, None where nothing is."""
    memory = FileMemory.file()
    return None if memory is None else memory.parent / "potts"


def read_fit(fingerprint: str) -> PottsParameters | None:
    """Read the fit of a fingerprint, None where there is none that is as it was written.

    The digest in its name binds the content to the fingerprint, so that a file that was damaged, swapped with
    another or renamed is fitted again. Fits of catjac 0.1 have none in their names; they are not read.
    """
    folder = fits_folder()
    if folder is None:
        return None
    for path in sorted(folder.glob(f"{fingerprint}.*{_ENDING}")):
        with contextlib.suppress(OSError, ModelError):
            if path.name == _name(fingerprint, path.read_bytes()):
                return read_potts(path)
    return None


def keep_fit(fingerprint: str, fit: PottsParameters) -> None:
    """Keep a fit; a cache folder that cannot be written costs another fit in the next process."""
    folder = fits_folder()
    if folder is None:
        return
    partial = folder / f"{uuid.uuid4().hex}{_ENDING}.partial{_ENDING}"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            fit.save(partial)
            partial.replace(folder / _name(fingerprint, partial.read_bytes()))
        finally:
            partial.unlink(missing_ok=True)


def _name(fingerprint: str, content: bytes) -> str:
    digest = hashlib.blake2b(f"{fingerprint} ".encode(), digest_size=16, person=b"catjac fit")
    digest.update(content)
    return f"{fingerprint}.{digest.hexdigest()}{_ENDING}"
