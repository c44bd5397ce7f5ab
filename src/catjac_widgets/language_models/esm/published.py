"""The models that fair-esm publishes, and where torch hub keeps their files."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from catjac_widgets.input_files import user_path
from catjac_widgets.language_models.catalogue import in_bytes
from catjac_widgets.proteins.alphabets import ESM_LETTERS

#: Before the name of a model: the same with its start and end tokens masked, for instance
#: "masked_ends:mini"; and what its fingerprint has behind that of the model itself.
MASKED_ENDS, ENDS_MASKED = "masked_ends", "+ends masked"

#: Where fair-esm's checkpoints are published.
HUB_URL = "https://dl.fbaipublicfiles.com/fair-esm"


@dataclass(frozen=True)
class PublishedModel:
    """One published model of fair-esm.

    Attributes
    ----------
    name, family
        fair-esm's own name, and "ESM-2", "ESM-1b", "ESM-1v" or "ESM-1".
    layers, width
        Its size, from which the number of parameters follows.
    bytes
        About how large its file is.
    contact_head
        Whether a contact regression is published for it.
    positions
        Rows of its learned positions; 0 where it has none.
    """

    name: str
    family: str
    layers: int
    width: int
    bytes: int
    contact_head: bool = True
    positions: int = 0

    @cached_property
    def parameters(self) -> int:
        """Number of parameters without the contact head, tied ones counted once."""
        width = self.width
        block = 12 * width**2 + 13 * width
        head = width**2 + 3 * width
        if self.family == "ESM-1":
            # One more key and value a layer; an output matrix in place of a language-model head.
            return 2 * 35 * width + self.layers * (block + 2 * width)
        norms = 4 * width if self.positions else 2 * width
        return 33 * width + 33 + self.positions * width + self.layers * block + head + norms

    @property
    def urls(self) -> dict[str, str]:
        """File name to address of everything that belongs to it."""
        found = {f"{self.name}.pt": f"{HUB_URL}/models/{self.name}.pt"}
        if self.contact_head:
            regression = f"{self.name}-contact-regression.pt"
            found[regression] = f"{HUB_URL}/regression/{regression}"
        return found

    @property
    def memory(self) -> int:
        """Bytes of its float32 weights, as which it is loaded."""
        return 4 * self.parameters

    def is_there(self) -> bool:
        """Whether everything that belongs to it lies in torch hub's cache."""
        return all((hub_folder() / name).is_file() for name in self.urls)

    def row(self) -> dict[str, Any]:
        """Give its row of `ModelTable`."""
        from catjac_widgets.language_models.devices import physical_memory

        present = physical_memory()
        return {
            "name": self.name,
            "family": self.family,
            "parameters": self.parameters,
            "layers": self.layers,
            "letters": ESM_LETTERS,
            "status": "in cache" if self.is_there() else f"needs download ({in_bytes(self.bytes)})",
            "bytes": self.bytes,
            "context": self.positions - 4 if self.positions else None,
            "licence": "MIT",
            "weights": HUB_URL,
            "runs_here": None if present is None else self.memory <= present,
        }


def _published() -> dict[str, PublishedModel]:
    mega, giga = 10**6, 10**9
    found = [
        PublishedModel("esm2_t6_8M_UR50D", "ESM-2", 6, 320, 30 * mega),
        PublishedModel("esm2_t12_35M_UR50D", "ESM-2", 12, 480, 134 * mega),
        PublishedModel("esm2_t30_150M_UR50D", "ESM-2", 30, 640, 595 * mega),
        PublishedModel("esm2_t33_650M_UR50D", "ESM-2", 33, 1280, int(2.6 * giga)),
        PublishedModel("esm2_t36_3B_UR50D", "ESM-2", 36, 2560, int(5.7 * giga)),
        PublishedModel("esm2_t48_15B_UR50D", "ESM-2", 48, 5120, int(30.3 * giga)),
        PublishedModel("esm1b_t33_650M_UR50S", "ESM-1b", 33, 1280, int(7.8 * giga), positions=1026),
    ]
    found += [
        PublishedModel(f"esm1v_t33_650M_UR90S_{k}", "ESM-1v", 33, 1280, int(7.8 * giga), False, 1026)
        for k in range(1, 6)
    ]
    found += [
        PublishedModel(f"esm1_t34_670M_{data}", "ESM-1", 34, 1280, int(2.7 * giga))
        for data in ("UR50S", "UR50D", "UR100")
    ]
    found += [
        PublishedModel("esm1_t12_85M_UR50S", "ESM-1", 12, 768, 341 * mega),
        PublishedModel("esm1_t6_43M_UR50S", "ESM-1", 6, 768, 171 * mega),
    ]
    return {each.name: each for each in found}


PUBLISHED = _published()


def hub_folder() -> Path:
    """Where torch hub keeps checkpoints; TORCH_HOME, XDG_CACHE_HOME and `torch.hub.set_dir` move it."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return Path(torch.hub.get_dir()) / "checkpoints"
    # The same rule without importing torch, which takes seconds.
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return user_path(home) / "hub" / "checkpoints"
