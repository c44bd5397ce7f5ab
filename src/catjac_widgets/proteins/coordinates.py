"""Labels of maps and tables over the residues of a sequence."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np

from catjac_widgets.proteins.sequences import Sequence


def residue_coordinates(sequence: Sequence, sides: Iterable[str] = ("i", "j")) -> dict[Hashable, tuple]:
    """Make the coordinates of a map over a sequence: `pos_i`, `chain_i`, `number_i`, `residue_i`, ….

    Parameters
    ----------
    sides
        Suffixes of the dimensions; "" gives `pos`, `chain`, ….
    """
    values = {
        "pos": sequence.positions,
        "chain": np.array(sequence.chain_names, dtype=str),
        "number": np.array(sequence.numbers, dtype=str),
        "wild_type": np.array(list(sequence.residues), dtype=str),
        "residue": np.array(sequence.labels, dtype=str),
    }
    return {
        name + (f"_{side}" if side else ""): (f"pos_{side}" if side else "pos", array)
        for side in sides
        for name, array in values.items()
    }
