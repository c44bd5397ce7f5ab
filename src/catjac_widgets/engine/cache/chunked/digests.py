"""Which bytes were written where: a digest of each chunk that also says whose, of what and at which place.

A checksum inside a chunk finds flipped bits. It does not find a sound chunk in the wrong place: one that was
swapped with another, copied from another entry, or left over. So each chunk that is written leaves an empty
file ``digests/<array>.<index>.<digest>``, whose name holds a digest over the entry's key, the array's name,
the chunk's index and its bytes. A chunk counts only if its bytes give a digest that is there. Two processes
that compute the same row on different devices may leave two digests for it; either chunk is right.
"""

from __future__ import annotations

import hashlib

from catjac_widgets.engine.cache.chunked.files import EntryFiles

#: Name of the folder in an entry's folder.
DIGESTS = "digests"

#: Bytes of a digest; chance finds another content for it in 2¹²⁸ tries.
_BYTES = 16


def chunk_digest(key: str, array: str, index: int, content: bytes) -> str:
    """Digest of a chunk at its place, as hexadecimal text.

    Parameters
    ----------
    key
        Of the entry.
    array
        Name of the array.
    index
        Number of the chunk along the first dimension.
    content
        The bytes as they lie on disk.
    """
    made = hashlib.blake2b(f"{key} {array} {index} ".encode(), digest_size=_BYTES, person=b"catjac chunk")
    made.update(content)
    return made.hexdigest()


class Digests:
    """The digests of one entry.

    Parameters
    ----------
    files
        The entry's files.
    """

    def __init__(self, files: EntryFiles) -> None:
        self._files = files
        self._known: dict[tuple[str, int], frozenset[str]] | None = None

    def of(self, array: str, index: int) -> frozenset[str]:
        """Digests that were left for a chunk; what another process left meanwhile is found too.

        Raises
        ------
        OSError
            If they cannot be listed now.
        """
        if self._known is None or (array, index) not in self._known:
            self.refresh()
        assert self._known is not None
        return self._known.get((array, index), frozenset())

    def allows(self, array: str, index: int, digest: str) -> bool:
        """Whether this digest was left for a chunk; see `of`."""
        if digest in self.of(array, index):
            return True
        self.refresh()
        return digest in self.of(array, index)

    def indices(self, array: str) -> set[int]:
        """Numbers of the chunks of an array for which there is a digest; see `of`."""
        self.refresh()
        assert self._known is not None
        return {index for name, index in self._known if name == array}

    def add(self, array: str, index: int, digest: str) -> None:
        """Leave a digest.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        self._files.mark(f"{DIGESTS}/{array}.{index}.{digest}")
        if self._known is not None:
            self._known[array, index] = self._known.get((array, index), frozenset()) | {digest}

    def refresh(self) -> None:
        """List them again; see `of`."""
        found: dict[tuple[str, int], set[str]] = {}
        for item in self._files.names(DIGESTS):
            array, _, rest = item.partition(".")
            index, _, digest = rest.partition(".")
            if index.isdecimal() and len(digest) == 2 * _BYTES:
                found.setdefault((array, int(index)), set()).add(digest)
        self._known = {place: frozenset(digests) for place, digests in found.items()}
