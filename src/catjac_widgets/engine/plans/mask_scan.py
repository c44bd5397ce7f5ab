"""Plans of scans: the maps of one sequence under many masks, kept under one key with a mask axis."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from catjac_widgets.errors import MaskError
from catjac_widgets.proteins.sequences import Sequence

#: Changes whenever the maps, or how they lie on disk, would differ for the same request.
FORMAT_VERSION = 1

#: A block, which is one chunk and on a GPU one batch, holds as many masks as give this many residues.
BLOCK_RESIDUES = 8192

#: The kind of the maps of `ContactHead.contact_probabilities`.
CONTACT_HEAD = "contact_head"


@dataclass(frozen=True, eq=False)
class MaskScanPlan:
    """One scan: a sequence, a model, and n masks; see `Kept`.

    Attributes
    ----------
    sequence
        L residues; chains are joined without a linker.
    masks
        Bool (n, L), True = hidden.
    model, fingerprint
        The model's name and what identifies its outputs.
    kind
        What the maps are: `CONTACT_HEAD`, or what the caller's own function makes (part of the key).
    most_masks
        Most maps that a block holds.
    """

    sequence: Sequence
    masks: np.ndarray
    model: str
    fingerprint: str
    kind: str = CONTACT_HEAD
    most_masks: int = 64

    rows_name: ClassVar[str] = "maps"
    rows_dims: ClassVar[tuple[str, ...]] = ("mask", "pos_i", "pos_j")
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
        return int(min(max(1, BLOCK_RESIDUES // len(self.sequence)), self.most_masks))

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
            "kind": f"{self.kind}_masks",
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
