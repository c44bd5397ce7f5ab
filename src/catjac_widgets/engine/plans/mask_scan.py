"""Plans of mask scans: the maps of one sequence under many masks, kept under one key with a mask axis."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from catjac_widgets.errors import MaskError
from catjac_widgets.language_models.identity import ModelIdentity
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Sequence

if TYPE_CHECKING:
    from catjac_widgets.language_models.base import LanguageModel

#: Changes whenever the maps, or how they lie on disk, would differ for the same request.
FORMAT_VERSION = 1

#: A block, which is one chunk and on a GPU one batch, holds as many masks as give this many residues.
BLOCK_RESIDUES = 8192

#: Makes float maps (m, L, L) of a loaded model, residues and m masks, on the thread of the model's device.
MapMaker = Callable[["LanguageModel", Sequence, list[Mask | None]], np.ndarray]


def _any_model(identity: ModelIdentity) -> None:
    """Refuse no model."""


@dataclass(frozen=True)
class MapKind:
    """A kind of map, as whoever asks for a scan defines it.

    Attributes
    ----------
    name
        What the maps are: a word that is part of the key.
    make
        Makes them; pure.
    check
        Refuses, with a typed error, a model that cannot make them, by its identity alone.
    most_masks
        Most maps that a block, which is kept as a whole, may hold.
    slow
        Whether a map takes many passes, so that each is a step of its own.
    """

    name: str
    make: MapMaker
    check: Callable[[ModelIdentity], None] = _any_model
    most_masks: int = 64
    slow: bool = False


@dataclass(frozen=True, eq=False)
class MaskScanPlan:
    """One mask scan: a sequence, a model, and n masks; see `Kept`.

    Attributes
    ----------
    sequence
        L residues; chains are joined without a linker.
    masks
        Bool (n, L), True = hidden.
    model, fingerprint
        The model's name and what identifies its outputs.
    maps
        What the maps are.
    """

    sequence: Sequence
    masks: np.ndarray
    model: str
    fingerprint: str
    maps: MapKind

    rows_name: ClassVar[str] = "maps"
    rows_dims: ClassVar[tuple[str, ...]] = ("mask", "pos_i", "pos_j")
    rows_bits: ClassVar[int | None] = None
    dtype: ClassVar[np.dtype] = np.dtype(np.float32)

    def __post_init__(self) -> None:
        if self.masks.dtype != bool or self.masks.ndim != 2 or self.masks.shape[1] != len(self.sequence):
            raise MaskError(
                f"Masks are one bool a residue in {len(self.sequence)} columns, not an array of "
                f"{self.masks.dtype} with the shape {self.masks.shape}."
            )
        if not len(self.masks):
            raise MaskError("There is no mask; give at least one.")

    @property
    def rows_shape(self) -> tuple[int, ...]:
        """Shape (n, L, L) of all maps."""
        return len(self.masks), len(self.sequence), len(self.sequence)

    @cached_property
    def chunk_length(self) -> int:
        """How many masks a block has."""
        return int(min(max(1, BLOCK_RESIDUES // len(self.sequence)), self.maps.most_masks))

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-len(self.masks) // self.chunk_length)

    def selection(self, index: int) -> slice:
        """Which masks a block holds."""
        first = index * self.chunk_length
        return slice(first, min(first + self.chunk_length, len(self.masks)))

    @property
    def row_bytes(self) -> int:
        """Bytes of a block (the last one is stored at full size)."""
        return self.chunk_length * len(self.sequence) ** 2 * self.dtype.itemsize

    @property
    def store_bytes(self) -> int:
        """Bytes of all blocks."""
        return self.blocks * self.row_bytes

    beside_shapes: ClassVar[dict[str, tuple[tuple[int, ...], tuple[str, ...]]]] = {}

    @cached_property
    def key_content(self) -> dict[str, Any]:
        """What `key.json` says: everything that decides the maps, and not the device."""
        return {
            "format": FORMAT_VERSION,
            "kind": f"{self.maps.name}_masks",
            "masks_a_block": self.chunk_length,
            "sequence": str(self.sequence),
            "masks": len(self.masks),
            # Packed bits, so that a scan of thousands of masks has a short key.
            "masks_sha256": hashlib.sha256(np.packbits(self.masks, axis=1).tobytes()).hexdigest(),
            "dtype": self.dtype.name,
            "model_fingerprint": self.fingerprint,
        }

    @cached_property
    def key_json(self) -> str:
        """`key_content` as canonical JSON text."""
        return json.dumps(self.key_content, sort_keys=True, indent=1, ensure_ascii=False) + "\n"

    @cached_property
    def key(self) -> str:
        """SHA-256 of `key_json`, in hexadecimal."""
        return hashlib.sha256(self.key_json.encode()).hexdigest()
