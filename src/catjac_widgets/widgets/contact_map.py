"""The contact map as a view, alone or in the explorer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from catjac_widgets.errors import UsageError
from catjac_widgets.sequences import Sequence, as_sequence
from catjac_widgets.widgets.arrays import array_trait
from catjac_widgets.widgets.labels import sequence_of
from catjac_widgets.widgets.state import STATIC, SharedState, View

if TYPE_CHECKING:
    import xarray as xr

#: In `ContactMap.native`: no contact, contact, not resolved in the structure.
NO_CONTACT, CONTACT, UNRESOLVED = 0, 1, 2


class ContactMap(View):
    """An L × L map to look at: hover names residues, a click selects a pair.

    Parameters
    ----------
    contacts
        `catjac.contacts(J)`, `catjac.contact_head(…)`, or any square array, shape (L, L); NaN where unknown.
    sequence
        Residues for a bare array; read off a labelled array's coordinates otherwise.
    structure
        Native contacts to ring: a `Structure`, a path or "pdb:…", or a square array (1, 0, NaN unresolved).
    state
        Another widget whose selection, hover, separation and colours to share.
    **traits
        Initial values of any trait below or of `SharedState`.

    Attributes
    ----------
    values
        float32, (L, L).
    native
        uint8, (L, L): 0 no contact, 1 contact, 2 not resolved; or None.
    label, caption
        What the map says it shows.
    quantity
        What a value is called: "score", "probability" or "norm".
    show_native, show_top
        Whether rings and the L highest pairs are drawn.

    Raises
    ------
    UsageError
        If `contacts` is not square, or the sequence or the structure is of another length.
    TypeError
        For a keyword that is no trait.
    """

    _esm = STATIC / "contact_map.js"
    _css = STATIC / "catjac.css"

    # Rows that come in are written into it and sent by message; the trait goes when the map is complete.
    values = array_trait()
    native = array_trait()
    label = traitlets.Unicode("").tag(sync=True)
    caption = traitlets.Unicode("").tag(sync=True)
    quantity = traitlets.Enum(("score", "probability", "norm"), "score").tag(sync=True)
    show_native = traitlets.Bool(True).tag(sync=True)
    show_top = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        contacts: xr.DataArray | np.ndarray | None = None,
        *,
        sequence: Sequence | str | None = None,
        structure: Any = None,
        state: SharedState | None = None,
        **traits: Any,
    ) -> None:
        if contacts is not None:
            values = square(contacts)
            known = as_sequence(sequence) if sequence is not None else sequence_of(contacts, "i")
            if state is not None and state.sequence is not None:
                known = state.sequence
            if len(known) != len(values):
                raise UsageError(
                    f"The map has {len(values)} residues but the sequence has {len(known)}; "
                    "give one that matches."
                )
            traits = {"values": values, "sequence": known, "label": _label_of(contacts)} | traits
        elif sequence is not None:
            traits = {"sequence": as_sequence(sequence)} | traits
        if structure is not None:
            residues = traits.get("sequence") or (state.sequence if state is not None else None)
            traits["native"] = native_contacts(structure, residues)
        super().__init__(state=state, **traits)

    def show(
        self, contacts: xr.DataArray | np.ndarray, *, label: str, caption: str = "", quantity: str = "score"
    ) -> None:
        """Replace the map and what it says of itself."""
        with self.hold_sync():
            self.values = square(contacts)
            self.label, self.caption, self.quantity = label, caption, quantity

    def add_rows(self, rows: Mapping[int, np.ndarray]) -> None:
        """Fill in rows, {1-based position: (L,) float32}, and send these only."""
        if self.values is None or not rows:
            return
        positions = sorted(rows)
        block = np.stack([rows[position] for position in positions]).astype("<f4")
        self.values[np.array(positions) - 1] = block
        self.send({"kind": "rows", "positions": positions}, buffers=[block.data.cast("B")])


def square(contacts: Any) -> np.ndarray:
    """Copy a map, labelled or not, as float32; refuse what is not square.

    Raises
    ------
    UsageError
        If it is not an (L, L) array of numbers with L at least 2.
    """
    try:
        values = np.array(contacts, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"A contact map is a square array of numbers, not {type(contacts).__name__}; "
            "pass catjac.contacts(J)."
        ) from error
    if values.ndim != 2 or values.shape[0] != values.shape[1] or len(values) < 2:
        shape = " × ".join(map(str, values.shape)) or "a single number"
        raise UsageError(f"A contact map is square, (L, L), but this is {shape}; pass catjac.contacts(J).")
    return values


def native_contacts(structure: Any, sequence: Sequence | None) -> np.ndarray:
    """Native contacts of a structure (or a truth array) as `ContactMap.native` has them.

    Raises
    ------
    UsageError
        If they are not those of the sequence.
    StructureError
        If a path or an id cannot be read or mapped.
    """
    if isinstance(structure, str) or hasattr(structure, "__fspath__"):
        from catjac_widgets.structures.experimental import structure as read_structure

        structure = read_structure(structure)
    found = structure.contacts(sequence) if hasattr(structure, "contacts") else structure
    truth = square(found)
    if sequence is not None and len(truth) != len(sequence):
        raise UsageError(
            f"The structure's contacts cover {len(truth)} residues but the sequence has {len(sequence)}; "
            "pass a structure of this protein."
        )
    native = np.where(np.isnan(truth), UNRESOLVED, truth > 0).astype(np.uint8)
    apart = ~np.eye(len(native), dtype=bool)
    # The diagonal says whether a residue is resolved at all.
    unresolved = np.all((native == UNRESOLVED) | ~apart, axis=1)
    np.fill_diagonal(native, np.where(unresolved, UNRESOLVED, NO_CONTACT))
    return native


def _label_of(contacts: Any) -> str:
    attributes = getattr(contacts, "attrs", {})
    return str(attributes.get("label") or attributes.get("long_name") or "Contact map")
