"""The family of ProteinMPNN: names that begin with ``protein_mpnn:``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from catjac_widgets.language_models.families import Loader, ModelFamily, Source
from catjac_widgets.language_models.protein_mpnn.published import LETTERS, PREFIX, WEIGHTS, WHEEL

#: Numbers in the weights: of the full backbone, and of Cα alone.
_PARAMETERS, _PARAMETERS_CA = 1_660_485, 1_645_765


class ProteinMPNNFamily(ModelFamily):
    """ProteinMPNN on a structure: ``protein_mpnn:<structure>[#<chains>][@<weights>][@last]``.

    For instance "protein_mpnn:bpti", "protein_mpnn:pdb:1UBQ@soluble/v_48_010",
    "protein_mpnn:complex.cif#A:B@last".
    """

    name = "ProteinMPNN"
    forms = f"'{PREFIX}' with a structure behind it, then '#' with chains and '@' with weights, if need be"
    wheels = (WHEEL,)

    def claims(self, name: str | Path) -> bool:
        """See `ModelFamily`."""
        return isinstance(name, str) and name.startswith(PREFIX)

    def source(self, name: str | Path, loader: Loader) -> Source:
        """See `ModelFamily`."""
        from catjac_widgets.language_models.protein_mpnn.source import MPNNSource

        return MPNNSource(str(name))

    def rows(self) -> Iterable[dict[str, Any]]:
        """See `ModelFamily`."""
        status = WHEEL.status()
        return [
            {
                "name": f"{PREFIX}<structure>@{weights}",
                "family": self.name,
                "status": status,
                "parameters": _PARAMETERS_CA if weights.startswith("ca/") else _PARAMETERS,
                "layers": 6,
                "bytes": WHEEL.bytes,
                "letters": LETTERS,
                "runs_here": True,
                "licence": WHEEL.licence,
            }
            for weights in WEIGHTS
        ]
