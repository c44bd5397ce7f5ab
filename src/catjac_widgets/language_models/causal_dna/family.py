"""Families of causal DNA models: any of them summed over both strands, Evo 1 and Evo 2."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.language_models.causal_dna.hosted import EVO_1, EVO_2, Hosted
from catjac_widgets.language_models.families import Loader, ModelFamily, Source
from catjac_widgets.language_models.identity import ModelIdentity

if TYPE_CHECKING:
    import torch

    from catjac_widgets.language_models.base import LanguageModel

_PREFIX = "both_strands:"


class BothStrandsFamily(ModelFamily):
    """A causal model of DNA summed over both strands: its name after ``both_strands:``."""

    name = "both strands"
    forms = f"by the name of a causal model of DNA after '{_PREFIX}'"

    def claims(self, name: str | Path) -> bool:
        """See `ModelFamily`."""
        return isinstance(name, str) and name.startswith(_PREFIX)

    def source(self, name: str | Path, loader: Loader) -> Source:
        """See `ModelFamily`."""
        return _BothStrandsSource(str(name).removeprefix(_PREFIX), loader)


class _BothStrandsSource:
    """The name ``both_strands:<model>``; see `Source`."""

    def __init__(self, name: str, loader: Loader) -> None:
        self._name, self._loader = name, loader
        self._strand = loader.source(name)

    def identity(self) -> ModelIdentity:
        """See `Source`."""
        from catjac_widgets.language_models.causal_dna.both_strands import of_identity

        return replace(of_identity(self._strand.identity()), name=f"{_PREFIX}{self._name}")

    def load(self, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        """See `Source`."""
        from catjac_widgets.language_models.causal_dna.both_strands import BothStrands

        made = BothStrands(self._loader.load(self._name, device, dtype))
        made.name = f"{_PREFIX}{self._name}"
        return made


class _EvoFamily(ModelFamily):
    """What both have in common."""

    needs_gpu = True
    tried = False
    models: dict[str, Hosted]
    needs: str

    def claims(self, name: str | Path) -> bool:
        """See `ModelFamily`."""
        return isinstance(name, str) and name in self.models

    def rows(self) -> list[dict[str, Any]]:
        """See `ModelFamily`."""
        return [each.row(self.name, self.needs) for each in self.models.values()]


class Evo1Family(_EvoFamily):
    """Evo 1 (Nguyen et al. 2024) of the Hugging Face Hub, with the code that lies beside its weights."""

    name = "Evo 1"
    forms = "'evo-1-8k-base' or another Evo 1"
    packages = {"transformers": "transformers"}  # noqa: RUF012 - never changed
    models = EVO_1
    needs = "needs a GPU, a download (13 GB), and CATJAC_REMOTE_CODE with its repository's name"

    def source(self, name: str | Path, loader: Loader) -> Source:
        """See `ModelFamily`."""
        from catjac_widgets.language_models.causal_dna.evo import Evo1Source

        return Evo1Source(EVO_1[str(name)])


class Evo2Family(_EvoFamily):
    """Evo 2 (Brixi et al. 2025) through its own package, which runs on CUDA only."""

    name = "Evo 2"
    forms = "'evo2_7b' or another Evo 2"
    packages = {"evo2": "evo2"}  # noqa: RUF012 - never changed
    models = EVO_2
    needs = "needs a CUDA GPU and a download"

    def source(self, name: str | Path, loader: Loader) -> Source:
        """See `ModelFamily`."""
        from catjac_widgets.language_models.causal_dna.evo import Evo2Source

        return Evo2Source(EVO_2[str(name)])
