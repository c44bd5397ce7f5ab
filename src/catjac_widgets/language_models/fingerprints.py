"""Fingerprints: what a cache may be keyed by. Files by their content, models in memory by their weights."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import uuid
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.input_files import user_path

if TYPE_CHECKING:
    import torch

_HASHES: weakref.WeakKeyDictionary[Any, tuple[tuple[Any, ...], str]] = weakref.WeakKeyDictionary()
_GUARD = threading.Lock()


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class WeightsWatch:
    """Notices, without reading a weight, that a model's tensors or modules are no longer what they were.

    It looks at which tensors and modules there are, where the tensors lie, and how often torch counted a
    change of each. A change through ``parameter.data`` moves none of these: only reading the weights finds
    it, which `weights_stamp` does. What is expensive to know of the weights may be kept as long as a watch
    has not moved.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = weakref.ref(model)
        self._seen = self._places()
        # A freed tensor's place and number may be given to the next one; whoever is referred to is not freed
        # unnoticed.
        self._tensors = [weakref.ref(tensor) for _, tensor in _tensors(model)]
        self._modules = [weakref.ref(module) for module in model.modules()]

    def moved(self) -> bool:
        """Whether anything is no longer as it was."""
        if any(tensor() is None for tensor in self._tensors):
            return True
        return any(module() is None for module in self._modules) or self._seen != self._places()

    def _places(self) -> list[tuple[Any, ...]]:
        model = self._model()
        if model is None:
            return []
        modules = [(name, id(module)) for name, module in model.named_modules()]
        return [*modules, *((name, id(tensor), *_place(tensor)) for name, tensor in _tensors(model))]


def weights_stamp(model: torch.nn.Module) -> tuple[Any, ...]:
    """Something that changes when a weight does: place, version and sum of the bits; reads all weights once.

    The sum is there because a change through ``parameter.data`` leaves the version as it was; see also
    `WeightsWatch`.
    """
    return tuple(_stamp(name, tensor) for name, tensor in _tensors(model))


def weights_sha256(model: torch.nn.Module) -> str:
    """SHA-256 over names, types, shapes and values of all weights; remembered while their stamp stays."""
    stamp = weights_stamp(model)
    with _GUARD:
        known = _HASHES.get(model)
    if known and known[0] == stamp:
        return known[1]
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(_tensors(model)):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        digest.update(values.data)
    with _GUARD:
        _HASHES[model] = (stamp, digest.hexdigest())
    return digest.hexdigest()


def _tensors(model: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _place(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Where a tensor lies and how often it was changed."""
    try:
        version = tensor._version
    except RuntimeError:  # made in inference mode, where torch counts no versions: its values have to do
        version = _sum_of_bits(tensor)
    return tensor.data_ptr(), version, str(tensor.dtype), tuple(tensor.shape)


def _stamp(name: str, tensor: torch.Tensor) -> tuple[Any, ...]:
    return name, *_place(tensor), _sum_of_bits(tensor)


def _sum_of_bits(tensor: torch.Tensor) -> int:
    import torch

    if not tensor.numel():
        return 0
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return int(tensor.detach().contiguous().view(whole).sum(dtype=torch.int64).item())


class FileMemory:
    """Remembers what was found out about files (fingerprints above all) by path, size and time of change.

    Kept as one small JSON file in the cache folder; where that cannot be written, for this process only.
    """

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Any]] = {}
        self._guard = threading.Lock()

    @staticmethod
    def file() -> Path | None:
        """Where it is kept, or None for this process only."""
        import platformdirs

        chosen = os.environ.get("CATJAC_CACHE", "").strip()
        if chosen.lower() in ("off", "memory"):
            return None
        folder = user_path(chosen) if chosen else Path(platformdirs.user_cache_dir("catjac", False))
        return folder / "model-files.json"

    def get(self, paths: list[Path]) -> dict[str, Any] | None:
        """Tell what is known about these files together, if none of them changed since."""
        key, seen = self._key(paths), self._seen(paths)
        with self._guard:
            entry = self._entries.get(key)
            if entry is None or entry["seen"] != seen:
                # Another process may know more.
                entry = self._read().get(key)
                if entry is not None and entry["seen"] == seen:
                    self._entries[key] = entry
        return entry["facts"] if entry and entry["seen"] == seen else None

    def last(self, paths: list[Path]) -> dict[str, Any] | None:
        """Tell what was known about these files when they were last looked at, whatever became of them."""
        with self._guard:
            entry = {**self._read(), **self._entries}.get(self._key(paths))
        return entry["facts"] if entry else None

    def put(self, paths: list[Path], facts: dict[str, Any]) -> None:
        """Remember facts about these files together."""
        with self._guard:
            self._entries[self._key(paths)] = {"seen": self._seen(paths), "facts": facts}
            file = self.file()
            if file is None:
                return
            partial = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
            # A cache folder that cannot be written is the store's to report; here it costs hashing again.
            with contextlib.suppress(OSError):
                file.parent.mkdir(parents=True, exist_ok=True)
                partial.write_text(json.dumps({**self._read(), **self._entries}, indent=1), encoding="utf-8")
                partial.replace(file)

    def _read(self) -> dict[str, dict[str, Any]]:
        file = self.file()
        try:
            read = json.loads(file.read_text(encoding="utf-8")) if file else {}
        except (OSError, ValueError):
            return {}
        return read if isinstance(read, dict) else {}

    @staticmethod
    def _key(paths: list[Path]) -> str:
        return "|".join(str(path.resolve()) for path in paths)

    @staticmethod
    def _seen(paths: list[Path]) -> list[list[int]]:
        return [[path.stat().st_size, path.stat().st_mtime_ns] for path in paths]


file_memory = FileMemory()
