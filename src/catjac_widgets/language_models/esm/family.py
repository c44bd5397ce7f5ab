"""The families of fair-esm: published checkpoints and files, and the same models with their ends masked."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.input_files import user_path
from catjac_widgets.language_models.esm.published import MASKED_ENDS, PUBLISHED
from catjac_widgets.language_models.esm.sources import FileSource, HubSource, MaskedEndsSource
from catjac_widgets.language_models.families import Loader, ModelFamily, Source

if TYPE_CHECKING:
    from catjac_widgets.language_models.base import LanguageModel

_SUFFIXES = (".pt", ".pth", ".safetensors")

#: A name with a family's prefix ("potts:family.npz"); one letter before a colon is a drive of Windows.
_PREFIXED = re.compile(r"\w{2,}:")


class FairEsmFamily(ModelFamily):
    """fair-esm's ESM-2, ESM-1b, ESM-1v and ESM-1: by their published names, or a checkpoint's path."""

    name = "fair-esm"
    forms = "by fair-esm's name, or by the path of a .pt or .safetensors checkpoint"
    wraps_what = "fair-esm (an ESM2 or ProteinBertModel with its alphabet)"
    # A module alone is not enough: see `stock.fair_esm` for the other package of that name.
    packages = {"esm": "fair-esm"}  # noqa: RUF012 - never changed

    def claims(self, name: str | Path) -> bool:
        """See `ModelFamily`; any path that is no folder is taken for a checkpoint."""
        if isinstance(name, Path):
            return not os.path.isdir(name)
        path = user_path(name)
        if name in PUBLISHED or os.path.isfile(path):
            return True
        return path.suffix in _SUFFIXES and _PREFIXED.match(name) is None

    def source(self, name: str | Path, loader: Loader) -> Source:
        """See `ModelFamily`."""
        if isinstance(name, str) and name in PUBLISHED:
            return HubSource(PUBLISHED[name])
        return FileSource(str(name), user_path(name))

    def rows(self) -> list[dict[str, Any]]:
        """See `ModelFamily`."""
        return [published.row() for published in PUBLISHED.values()]

    def wraps(self, model: Any, alphabet: Any = None) -> bool:
        """See `ModelFamily`; what reads an alignment has a family of its own."""
        return all(
            hasattr(model, needed) for needed in ("embed_tokens", "layers", "prepend_bos", "append_eos")
        ) and not hasattr(model, "msa_position_embedding")

    def wrap(
        self, model: Any, alphabet: Any = None, *, name: str = "", fingerprint: str | None = None
    ) -> LanguageModel:
        """See `ModelFamily`."""
        from catjac_widgets.language_models.esm.adapter import FairEsm

        return FairEsm(model, alphabet, name=name, fingerprint=fingerprint)


class MaskedEndsFamily(ModelFamily):
    """A fair-esm model whose start and end tokens are mask tokens: its name after ``masked_ends:``."""

    name = "fair-esm, ends masked"
    forms = f"by such a name after '{MASKED_ENDS}:'"
    packages = FairEsmFamily.packages

    def claims(self, name: str | Path) -> bool:
        """See `ModelFamily`."""
        return isinstance(name, str) and name.startswith(f"{MASKED_ENDS}:")

    def source(self, name: str | Path, loader: Loader) -> Source:
        """See `ModelFamily`."""
        return MaskedEndsSource(str(name).removeprefix(f"{MASKED_ENDS}:"), loader)
