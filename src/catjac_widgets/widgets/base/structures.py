"""Whatever brings a structure, as the views take it."""

from __future__ import annotations

import os
from typing import Any

from catjac_widgets.proteins.sequences import Sequence


def as_structure(what: Any, sequence: Sequence | None = None) -> Any:
    """Read a path or an id, take an example's own structure; anything else stays what it is.

    Parameters
    ----------
    what
        A `Structure`, a path, "pdb:" and an id, one of `catjac.examples()`, or an array of contacts.
    sequence
        Whose residues are meant.

    Raises
    ------
    StructureError
        If it cannot be read or does not fit the sequence.
    """
    if isinstance(what, str | os.PathLike):
        from catjac_widgets.structures.experimental import structure as read_structure

        return read_structure(what, sequence=sequence)
    own = getattr(what, "structure", None)
    return own if hasattr(own, "map_to") else what
