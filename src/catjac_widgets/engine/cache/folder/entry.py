"""An entry in a folder, which processes share by locks and claims."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from catjac_widgets.engine.cache.chunked.digests import DIGESTS
from catjac_widgets.engine.cache.chunked.entry import ChunkedEntry
from catjac_widgets.engine.cache.chunked.layout import GROUP
from catjac_widgets.engine.cache.folder.claims import Claims
from catjac_widgets.engine.cache.folder.files import FolderFiles, Syncing

if TYPE_CHECKING:
    from catjac_widgets.engine.cache.entries import Kept, Store


class FolderEntry(ChunkedEntry):
    """One key's folder; see `ChunkedEntry`.

    `used` bears the time of the last use, `lock` is locked by the processes that work with the entry, and
    `claims/` says who computes which rows (``docs/store.md``).

    Parameters
    ----------
    folder
        Need not exist yet; see `create`.
    plan
        Whose key it is.
    store
        Whose folder it is.
    """

    def __init__(self, folder: Path, plan: Kept, store: Store) -> None:
        super().__init__(FolderFiles(folder), plan, store)
        self.folder = folder
        self.group = folder / GROUP
        self._syncing = Syncing()
        self._claims = Claims(folder)

    def create(self) -> None:
        """See `ChunkedEntry`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        super().create()
        if self.format >= 2:
            (self.folder / DIGESTS).mkdir(exist_ok=True)

    def matches(self) -> bool:
        """See `ChunkedEntry`."""
        if not super().matches():
            return False
        return self.format == 1 or os.path.isdir(self.folder / DIGESTS)

    def claim(self, rows: Iterable[int]) -> bool:
        """See `Entry`."""
        return self._claims.claim(rows)

    def give_back(self, rows: Iterable[int]) -> None:
        """See `Entry`."""
        self._claims.give_back(rows)

    def finish(self) -> None:
        """See `Entry`."""
        self._claims.close()
        self._syncing.sync()

    def _wrote(self, name: str) -> None:
        self._syncing.note(self.folder / name)
