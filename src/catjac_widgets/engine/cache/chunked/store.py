"""What stores of files have in common, beside being stores."""

from __future__ import annotations

from abc import abstractmethod

from catjac_widgets.engine.cache.chunked.files import EntryFiles
from catjac_widgets.engine.cache.entries import Store


class FileStore(Store):
    """A store whose entries are files, so that they can be looked after without the models that made them."""

    reads_lazily = True

    @abstractmethod
    def files(self, key: str) -> EntryFiles:
        """Return the files of an entry, whether there are any or not."""

    @abstractmethod
    def make(self, key: str) -> EntryFiles:
        """Return the files of an entry that may be written to, also where there was none.

        Raises
        ------
        OSError
            If none can be written.
        """

    @abstractmethod
    def why_not_written(self) -> str:
        """Say why nothing can be written there, as the end of a sentence; "" where it can."""
