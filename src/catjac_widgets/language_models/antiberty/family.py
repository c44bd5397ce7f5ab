"""The family of AntiBERTy: the one name ``antiberty``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from catjac_widgets.language_models.antiberty.published import WHEEL
from catjac_widgets.language_models.families import Loader, ModelFamily, Source
from catjac_widgets.proteins.alphabets import ESM_LETTERS


class AntiBertyFamily(ModelFamily):
    """AntiBERTy, a masked language model of antibodies (variable domains of heavy and light chains).

    A BERT of 8 layers, trained on 558 million antibody sequences: Ruffolo, Gray & Sulam (2021), Deciphering
    antibody affinity maturation with language models and weakly supervised learning, arXiv 2112.07782.

    Notes
    -----
    It knows antibodies nearly by heart (pseudo-perplexity between 1 and 3 on natural variable domains), and
    yet the strongest pairs of its Jacobian are hardly more often contacts than pairs at random. Use it for
    likelihoods and substitutions, not for contact maps.
    """

    name = "AntiBERTy"
    forms = "'antiberty'"
    packages = {"transformers": "transformers"}  # noqa: RUF012 - never changed
    wheels = (WHEEL,)

    def claims(self, name: str | Path) -> bool:
        """See `ModelFamily`."""
        return name == "antiberty"

    def source(self, name: str | Path, loader: Loader) -> Source:
        """See `ModelFamily`."""
        from catjac_widgets.language_models.antiberty.source import AntiBertySource

        self.check_packages()
        return AntiBertySource()

    def rows(self) -> list[dict[str, Any]]:
        """See `ModelFamily`."""
        return [
            {
                "name": "antiberty",
                "family": self.name,
                "parameters": 25_759_769,
                "layers": 8,
                "bytes": 104_174_334,
                "letters": "".join(sorted(ESM_LETTERS)),
                "context": 510,
                "licence": WHEEL.licence,
                "status": WHEEL.status(),
                "runs_here": True,
                "note": "antibodies only; its Jacobian is near chance for contacts",
            }
        ]
