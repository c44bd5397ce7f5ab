"""The family of Potts models: names that begin with ``potts:``."""

from __future__ import annotations

from pathlib import Path

from catjac_widgets.language_models.families import Loader, ModelFamily, Source

_PREFIX = "potts:"


class PottsFamily(ModelFamily):
    """Potts models: fitted to an alignment, or read from a file of parameters."""

    name = "Potts"
    forms = f"'{_PREFIX}' with an alignment or a file of parameters behind it"

    def claims(self, name: str | Path) -> bool:
        """See `ModelFamily`."""
        return isinstance(name, str) and name.startswith(_PREFIX)

    def source(self, name: str | Path, loader: Loader) -> Source:
        """See `ModelFamily`."""
        from catjac_widgets.language_models.potts.source import PottsSource

        return PottsSource(str(name).removeprefix(_PREFIX))
