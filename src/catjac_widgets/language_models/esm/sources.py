"""Where fair-esm's models come from: checkpoint files, published ones, and others with their ends masked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import CheckpointError
from catjac_widgets.language_models.esm.alterations.fingerprint import of_patched
from catjac_widgets.language_models.esm.alterations.stock_code import patches
from catjac_widgets.language_models.esm.checkpoints import (
    SINGLE,
    CheckpointFacts,
    facts_of,
    last_facts_of,
)
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

    #: Those that it may hold, see `checkpoints`.
    architectures: tuple[str, ...] = SINGLE

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path

    def file(self) -> Path:
        """Give the file, fetched first where need be."""
        return self.path

    def facts(self) -> CheckpointFacts:
        """Tell what can be said of it before it is loaded."""
        return facts_of(self.file(), self.architectures)

    def read(self, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any, CheckpointFacts]:
        """Build what the file holds, on a device: model, alphabet, facts.

        Raises
        ------
        CheckpointError
            If it cannot be read, or was changed meanwhile.
        """
        from catjac_widgets.language_models.devices import place
        from catjac_widgets.language_models.esm.checkpoints import load_checkpoint

        facts = self.facts()
        model, alphabet = load_checkpoint(self.file(), self.architectures)
        if self.facts() != facts:
            raise CheckpointError(f"{self.path.name} was changed while it was loaded; load it again.")
        return place(model, self.name, device, dtype), alphabet, facts

    def identity(self) -> ModelIdentity:
        """See `Source`."""
        return self._identity(self.facts())

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
        from catjac_widgets.language_models.esm.adapter import FairEsm

        model, alphabet, facts = self.read(device, dtype)
        return FairEsm(
            model,
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

    def facts(self) -> CheckpointFacts:
        """See `FileSource`; a published file never changes, so one seen before need not be there any more."""
        known = None if self.path.is_file() else last_facts_of(self.path)
        return super().facts() if known is None else known

    def read(self, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any, CheckpointFacts]:
        """See `FileSource`."""
        self._check_memory()
        self.file()
        return super().read(device, dtype)

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
