"""Fingerprints: what a cache may be keyed by. Files by their content, models in memory by their weights."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import threading
import uuid
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.input_files import is_url, user_path

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
    change of each. A change through ``parameter.data`` or a numpy view moves none of these: only reading the
    weights finds it, which `weights_stamp` does. What is expensive to know of the weights may be kept as long
    as a watch has not moved.
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
    """Something that changes when a weight does: places, versions and contents; reads all weights once.

    The contents are read because a change through ``parameter.data`` leaves place and version as they were;
    see also `WeightsWatch`.
    """
    return tuple((name, *_place(tensor), content_hash(tensor)) for name, tensor in _tensors(model))


def weights_sha256(model: torch.nn.Module) -> str:
    """SHA-256 over names, types, shapes and values of all weights; remembered while their stamp stays."""
    stamp = weights_stamp(model)
    with _GUARD:
        known = _HASHES.get(model)
    if known and known[0] == stamp:
        return known[1]
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(_tensors(model), key=lambda pair: pair[0]):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        if _has_values(tensor):
            values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
            digest.update(values.data)
    found = digest.hexdigest()
    with _GUARD:
        _HASHES[model] = (stamp, found)
    return found


def content_hash(tensor: torch.Tensor) -> int:
    """64 bits that depend on every bit of a tensor and on where it stands; computed where the tensor is.

    Each eight bytes are multiplied by a number of their own, after their high bits were folded into the low
    ones, so that permuted, negated and exchanged values do not cancel out as they do in a sum. It is several
    times as fast as SHA-256, and no more than a check whether that has to be computed again: two contents
    that differ agree in it once in some 10¹⁰ cases.
    """
    import torch

    if not tensor.numel() or not _has_values(tensor):
        return 0
    raw = tensor.detach().contiguous().flatten().view(torch.uint8)
    if raw.device.type not in ("cpu", "cuda"):
        raw = raw.cpu()  # not every device has these operations
    whole = raw.numel() // 8 * 8
    total = 0
    for block in raw[:whole].view(torch.int64).split(_block(raw.device)):
        total = (total * _NEXT + int(_mixed(block))) % 2**64
    if whole < raw.numel():
        rest = raw.new_zeros(8)
        rest[: raw.numel() - whole] = raw[whole:]
        total = (total * _NEXT + int(_mixed(rest.view(torch.int64)))) % 2**64
    return total


#: Eight-byte words that are hashed together: on a CPU few enough to lie in a core's cache, and to be left to
#: one thread by torch, which is quicker than many while others compute; on a GPU enough to keep it busy.
_BLOCK, _BLOCK_ON_GPU = 2**14, 2**22

#: An odd number, by which what earlier blocks gave is multiplied.
_NEXT = 6364136223846793005


def _block(device: torch.device) -> int:
    return _BLOCK if device.type == "cpu" else _BLOCK_ON_GPU


def _mixed(words: torch.Tensor) -> torch.Tensor:
    """Sum of int64 words, each mixed by its own two random numbers."""
    first, second = (numbers[: len(words)] for numbers in _random_numbers(words.device))
    mixed = words ^ first
    mixed ^= mixed >> 32
    mixed *= second
    mixed ^= mixed >> 29
    return mixed.sum()


@functools.lru_cache(maxsize=8)
def _random_numbers(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    # Made by numpy, so that torch's own random numbers are left alone; and usable wherever a pass runs.
    drawn = np.random.default_rng(20240527).integers(-(2**63), 2**63, (2, _block(device)), dtype=np.int64)
    with torch.inference_mode(False):
        first, second = torch.from_numpy(drawn).to(device)
        return first, second | 1


def _tensors(model: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _has_values(tensor: torch.Tensor) -> bool:
    """Whether there are plain values to read, which tensors on torch's device "meta" have not."""
    import torch

    return not tensor.is_meta and tensor.layout == torch.strided and not tensor.is_quantized


def _place(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Where a tensor lies and how often it was changed."""
    try:
        version = tensor._version
    except RuntimeError:  # made in inference mode, where torch counts no versions: its values have to do
        version = content_hash(tensor)
    place = tensor.data_ptr() if _has_values(tensor) else 0
    return place, version, str(tensor.dtype), tuple(tensor.shape)


class FileMemory:
    """Remembers what was found out about files (fingerprints above all) by path, size and times of change.

    Kept as one small JSON file in the cache folder; where that cannot be written, for this process only. Each
    entry has a digest of what it says and of which files; one that was damaged, exchanged with another, or
    written before there were digests is passed over, and what it said is found out anew.
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
        # Files that lie at a URL are remembered on each machine apart.
        here = chosen and not is_url(chosen)
        folder = user_path(chosen) if here else Path(platformdirs.user_cache_dir("catjac", False))
        return folder / "model-files.json"

    def get(self, paths: list[Path]) -> dict[str, Any] | None:
        """Tell what is known about these files together, if none of them changed since."""
        key, seen = self._key(paths), self.seen(paths)
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

    def put(self, paths: list[Path], facts: dict[str, Any], seen: list[list[int]]) -> None:
        """Remember facts about these files together.

        Parameters
        ----------
        seen
            What `seen` told before the files were read: of those that changed since, nothing is remembered.
        """
        try:
            if self.seen(paths) != seen:
                return
        except OSError:
            return
        with self._guard:
            key = self._key(paths)
            entry = {"seen": seen, "facts": facts}
            self._entries[key] = {**entry, "sha256": _entry_sha256(key, entry)}
            file = self.file()
            if file is None:
                return
            partial = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
            # A cache folder that cannot be written is the store's to report; here it costs hashing again.
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                partial.write_text(json.dumps({**self._read(), **self._entries}, indent=1), encoding="utf-8")
                partial.replace(file)
            except OSError:
                with contextlib.suppress(OSError):
                    partial.unlink(missing_ok=True)

    def _read(self) -> dict[str, dict[str, Any]]:
        """Read the entries that say what was written."""
        file = self.file()
        try:
            read = json.loads(file.read_text(encoding="utf-8")) if file else {}
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(read, dict):
            return {}
        return {key: entry for key, entry in read.items() if _is_sound(key, entry)}

    @staticmethod
    def _key(paths: list[Path]) -> str:
        return "|".join(str(path.resolve()) for path in paths)

    @staticmethod
    def seen(paths: list[Path]) -> list[list[int]]:
        """Size and times of change of each file.

        The time of the last change of its entry is among them: programs that copy files put the other back.
        """
        found = [path.stat() for path in paths]
        return [[stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] for stat in found]


def _is_sound(key: str, entry: Any) -> bool:
    """Whether an entry of the file of `FileMemory` is one that was written for these files."""
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("seen"), list)
        and isinstance(entry.get("facts"), dict)
        and entry.get("sha256") == _entry_sha256(key, entry)
    )


def _entry_sha256(key: str, entry: dict[str, Any]) -> str:
    text = json.dumps([key, entry["seen"], entry["facts"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


file_memory = FileMemory()
