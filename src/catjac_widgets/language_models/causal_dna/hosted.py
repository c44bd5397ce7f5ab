"""Published models of DNA: their names, sizes and where their weights are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from catjac_widgets.proteins.alphabets import DNA_LETTERS


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
