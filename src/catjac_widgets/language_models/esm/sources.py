"""Where fair-esm's models come from: checkpoint files, published ones, and others with their ends masked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from catjac_widgets.errors import CheckpointError
from catjac_widgets.language_models.esm.alterations.fingerprint import of_patched
from catjac_widgets.language_models.esm.alterations.stock_code import patches
from catjac_widgets.language_models.esm.checkpoints import CheckpointFacts, facts_of, last_facts_of
from catjac_widgets.language_models.esm.numerics.table import NUMERICS
from catjac_widgets.language_models.esm.published import (
    ENDS_MASKED,
    MASKED_ENDS,
    PublishedModel,
    hub_folder,
)
from catjac_widgets.language_models.identity import ModelIdentity

if TYPE_CHECKING:
    import torch

    from catjac_widgets.language_models.base import LanguageModel
    from catjac_widgets.language_models.families import Loader


class FileSource:
    """A checkpoint file; see `Source`."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path

    def file(self) -> Path:
        """Give the file, fetched first where need be."""
        return self.path

    def identity(self) -> ModelIdentity:
        """See `Source`."""
        return self._identity(facts_of(self.file()))

    def _identity(self, facts: CheckpointFacts) -> ModelIdentity:
        # Functions that were replaced for all of fair-esm's models were so for the one that is loaded, too.
        patched = patches()
        return ModelIdentity(
            self.name,
            of_patched(facts.fingerprint) if patched else facts.fingerprint,
            facts.letters,
            facts.max_residues,
            facts.contact_head,
            NUMERICS,
            patched[0] if patched else "",
        )

    def load(self, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        """See `Source`."""
        from catjac_widgets.language_models.devices import place
        from catjac_widgets.language_models.esm.adapter import FairEsm
        from catjac_widgets.language_models.esm.checkpoints import load_checkpoint

        facts = facts_of(self.file())
        model, alphabet = load_checkpoint(self.file())
        if facts_of(self.file()) != facts:
            raise CheckpointError(f"{self.path.name} was changed while it was loaded; load it again.")
        return FairEsm(
            place(model, self.name, device, dtype),
            alphabet,
            name=self.name,
            file_fingerprint=facts.fingerprint,
            contact_head=facts.contact_head,
        )


class HubSource(FileSource):
    """A published checkpoint of fair-esm: from torch hub's cache, or downloaded into it; see `Source`."""

    def __init__(self, published: PublishedModel) -> None:
        super().__init__(published.name, hub_folder() / f"{published.name}.pt")
        self.published = published

    def file(self) -> Path:
        """See `FileSource`."""
        from catjac_widgets.language_models.weights.downloads import ensure_downloaded

        if not self.published.is_there():
            # Before gigabytes are fetched that could not be used.
            self._check_memory()
        ensure_downloaded(self.published.urls, self.path.parent)
        return self.path

    def identity(self) -> ModelIdentity:
        """See `Source`; a published file never changes, so one seen before need not be there any more."""
        known = None if self.path.is_file() else last_facts_of(self.path)
        return super().identity() if known is None else self._identity(known)

    def load(self, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        """See `Source`."""
        self._check_memory()
        return super().load(device, dtype)

    def _check_memory(self) -> None:
        from catjac_widgets.language_models.devices import check_memory

        check_memory(self.name, self.published.memory)


class MaskedEndsSource:
    """The name ``masked_ends:<model>``; see `Source`."""

    def __init__(self, name: str, loader: Loader) -> None:
        self._name, self._loader = name, loader
        self._plain = loader.source(name)

    def identity(self) -> ModelIdentity:
        """See `Source`."""
        plain = self._plain.identity()
        return replace(
            plain, name=f"{MASKED_ENDS}:{self._name}", fingerprint=f"{plain.fingerprint}{ENDS_MASKED}"
        )

    def load(self, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        """See `Source`."""
        from catjac_widgets.language_models.esm.masked_ends import masked_ends

        return masked_ends(self._loader.load(self._name, device, dtype))
