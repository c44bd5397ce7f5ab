"""The family of the embedded model: the one name `mini`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from catjac_widgets.language_models.esm.checkpoints import sizes_of
from catjac_widgets.language_models.esm.mini import weights
from catjac_widgets.language_models.esm.sources import FileSource
from catjac_widgets.language_models.families import Loader, ModelFamily, Source
from catjac_widgets.proteins.alphabets import ESM_LETTERS


class MiniFamily(ModelFamily):
    """The small ESM-2 that comes with the package."""

    name = "embedded"
    forms = "'mini'"
    packages = {"esm": "fair-esm"}  # noqa: RUF012 - never changed

    def claims(self, name: str | Path) -> bool:
        """See `ModelFamily`."""
        return name == "mini"

    def source(self, name: str | Path, loader: Loader) -> Source:
        """See `ModelFamily`."""
        return FileSource("mini", weights.embedded_file())

    def rows(self) -> list[dict[str, Any]]:
        """See `ModelFamily`; none where the weights are missing."""
        file = weights.FOLDER / weights.WEIGHTS
        if not file.is_file():
            return []
        about = {"name": "mini", "status": "embedded", "letters": ESM_LETTERS, "runs_here": True}
        return [{**about, **sizes_of(file)}]
