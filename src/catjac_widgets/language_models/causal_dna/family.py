"""Families of causal DNA models: any of them summed over both strands, Evo 1 and Evo 2."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.language_models.families import Loader, ModelFamily, Source
from catjac_widgets.language_models.identity import ModelIdentity
from catjac_widgets.proteins.alphabets import DNA_LETTERS

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


@dataclass(frozen=True)
class Hosted:
    """One published model of DNA.

    Attributes
    ----------
    name
        As it is asked for.
    place
        What its package, or the Hugging Face Hub, calls it.
    context
        The longest sequence that it was made for.
    parameters, layers
        How many.
    """

    name: str
    place: str
    context: int
    parameters: int
    layers: int

    def row(self, family: str, status: str) -> dict[str, Any]:
        """Give its row of `ModelTable`."""
        from catjac_widgets.language_models.devices import physical_memory

        present = physical_memory()
        return {
            "name": self.name,
            "family": family,
            "parameters": self.parameters,
            "layers": self.layers,
            "letters": DNA_LETTERS,
            "status": status,
            "runs_here": None if present is None else 2 * self.parameters <= present,
            "licence": "Apache-2.0",
            "context": self.context,
        }


_MEGA = 1024 * 1024

EVO_1 = {
    each.name: each
    for each in (
        Hosted("evo-1-8k-base", "togethercomputer/evo-1-8k-base", 8192, 6_450_000_000, 32),
        Hosted("evo-1-131k-base", "togethercomputer/evo-1-131k-base", 131_072, 6_450_000_000, 32),
    )
}
EVO_2 = {
    each.name: each
    for each in (
        Hosted("evo2_1b_base", "evo2_1b_base", 8192, 1_100_000_000, 25),
        Hosted("evo2_7b_base", "evo2_7b_base", 8192, 6_500_000_000, 32),
        Hosted("evo2_7b", "evo2_7b", _MEGA, 6_500_000_000, 32),
        Hosted("evo2_40b_base", "evo2_40b_base", 8192, 40_300_000_000, 50),
        Hosted("evo2_40b", "evo2_40b", _MEGA, 40_300_000_000, 50),
    )
}


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
