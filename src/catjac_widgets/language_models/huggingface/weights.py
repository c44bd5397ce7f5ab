"""The files of a model's folder: which hold its weights and tokenizer, and what is in them."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from catjac_widgets.errors import CheckpointError
from catjac_widgets.input_files import check_file, read_file, reason, shown
from catjac_widgets.language_models.fingerprints import sha256_of_file

CONFIG = "config.json"

#: Those of weights, the preferred first: one file, or the list of several.
_WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
)

#: Files of tokenizers; whichever are there are read.
TOKENIZER = (
    "added_tokens.json",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)

_LARGEST_JSON = 100 * 2**20


def read_json(path: Path, noun: str) -> dict[str, Any]:
    """Read a file of settings.

    Raises
    ------
    CheckpointError
        If it is missing, too large, or something else.
    """
    text = read_file(path, limit=_LARGEST_JSON, error=CheckpointError, noun=noun, unpack=False)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"The {noun} {shown(path)} is no JSON ({reason(error)}); get it anew."
        ) from error
    if not isinstance(found, dict):
        raise CheckpointError(f"The {noun} {shown(path)} holds no settings; get it anew.")
    return found


def weight_names(there: Iterable[str], index: dict[str, dict[str, Any]]) -> list[str] | None:
    """Choose the files with weights among those that are there; None where none is.

    Parameters
    ----------
    there
        Names of files.
    index
        The content of those that list others, by name.
    """
    names = set(there)
    for single, several in _WEIGHTS:
        if single in names:
            return [single]
        listed = index.get(several, {}).get("weight_map")
        if several in names and isinstance(listed, dict):
            return [several, *sorted({str(each) for each in listed.values()})]
    return None


def weight_files(folder: Path) -> list[Path]:
    """Find the files with a model's weights in its folder; safetensors are preferred.

    Raises
    ------
    CheckpointError
        If there are none, or some of them are missing.
    """
    there = [path.name for path in folder.iterdir()]
    lists = [several for _, several in _WEIGHTS if several in there]
    index = {name: read_json(folder / name, "list of weights") for name in lists}
    names = weight_names(there, index)
    if names is None:
        raise CheckpointError(
            f"{shown(folder)} holds no weights (model.safetensors or pytorch_model.bin); get it anew."
        )
    for name in names:
        if Path(name).name != name:
            raise CheckpointError(f"{shown(folder)} lists weights outside of itself ({shown(name)}).")
        if check_file(folder / name, error=CheckpointError, noun="checkpoint") == 0:
            raise CheckpointError(f"{shown(folder / name)} is empty; get it anew.")
    return [folder / name for name in names]


def files_of(folder: Path, *, code: bool) -> list[Path]:
    """List all files that decide what a folder's model is, for its fingerprint.

    Parameters
    ----------
    code
        Whether code that comes with it is among them.
    """
    told = [folder / name for name in TOKENIZER if (folder / name).is_file()]
    sources = sorted(folder.rglob("*.py")) if code else []
    return [folder / CONFIG, *told, *sources, *weight_files(folder)]


def digest_of(folder: Path, files: list[Path]) -> str:
    """SHA-256 over names and contents of files."""
    told = [[path.relative_to(folder).as_posix(), sha256_of_file(path)] for path in files]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def read_pickled(path: Path) -> dict[str, Any]:
    """Read a pickled file of weights by names: tensors only, never code.

    Raises
    ------
    CheckpointError
        If it is missing, broken, or holds anything but weights.
    """
    import torch

    check_file(path, error=CheckpointError, noun="checkpoint")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named is None:
            raise CheckpointError(
                f"{shown(path.name)} is truncated or no checkpoint; get it anew."
            ) from error
        raise CheckpointError(
            f"{shown(path.name)} holds code ({named[1]}) beside weights and was not opened; use a file from "
            "a source you trust."
        ) from error
    except Exception as error:  # on random bytes, torch's reader raises whatever it stumbles over
        raise CheckpointError(f"{shown(path.name)} is truncated or no checkpoint; get it anew.") from error
    if not isinstance(found, dict) or not all(hasattr(each, "untyped_storage") for each in found.values()):
        raise CheckpointError(f"{shown(path.name)} holds something else than weights; use another file.")
    return found


def tensors_ending(files: list[Path], endings: tuple[str, ...]) -> dict[str, Any]:
    """Read the tensors whose names end so, by ending; of all the weights nothing else."""
    from safetensors import SafetensorError, safe_open

    found: dict[str, Any] = {}
    for path in files:
        if path.suffix == ".bin":
            named = read_pickled(path)
            found |= {end: each for end in endings for name, each in named.items() if name.endswith(end)}
        elif path.suffix == ".safetensors":
            try:
                with safe_open(str(path), framework="pt") as file:
                    for name in file.keys():  # noqa: SIM118 - not a dict
                        found |= {end: file.get_tensor(name) for end in endings if name.endswith(end)}
            except (SafetensorError, OSError, ValueError) as error:
                raise CheckpointError(
                    f"{shown(path.name)} is truncated or not a safetensors file; get it anew."
                ) from error
    return found


def all_tensors(files: list[Path]) -> dict[str, Any]:
    """Read the tensors of a model's files by name: tensors only, never code.

    Raises
    ------
    CheckpointError
        If one of them is truncated, or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for path in files:
        if path.suffix == ".bin":
            found |= read_pickled(path)
        elif path.suffix == ".safetensors":
            try:
                found |= load_file(path)
            except (SafetensorError, OSError, ValueError) as error:
                raise CheckpointError(
                    f"{shown(path.name)} is truncated or not a safetensors file; get it anew."
                ) from error
    return found
