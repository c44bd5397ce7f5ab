"""The contact map as a view, alone or in the explorer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from catjac_widgets.errors import OptionError, UsageError
from catjac_widgets.proteins.coordinates import sequence_along
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Sequence
from catjac_widgets.structures.numbering import structure_names
from catjac_widgets.widgets.base.arrays import array_trait, square
from catjac_widgets.widgets.base.frames import Frame, packed
from catjac_widgets.widgets.base.state import STATIC, SharedState, View
from catjac_widgets.widgets.base.structures import as_structure
from catjac_widgets.widgets.base.traits import LIVE, MAP_NAMES, NATIVE
from catjac_widgets.widgets.contact_map.layers import (
    QUANTITIES,
    MapLayer,
    layer_of,
    layer_trait,
    layers_trait,
)

if TYPE_CHECKING:
    import xarray as xr

#: In `ContactMap.native`: no contact, contact, not resolved in the structure.
NO_CONTACT, CONTACT, UNRESOLVED = 0, 1, 2


class ContactMap(View):
    """An L × L map to look at, or two in its two triangles: hover names residues, a click selects a pair.

    Dragging chooses a block of pairs (`brush`); shift-drag, ctrl + wheel or a pinch zooms; double click shows
    everything. None of it needs a kernel.

    Parameters
    ----------
    contacts
        `catjac.contacts(J)`, `catjac.contact_head(…)`, or any square array, shape (L, L); NaN where unknown.
    sequence
        Residues for a bare array; read off a labelled array's coordinates otherwise.
    structure
        Native contacts to ring and to show as a map: a `Structure`, a path or "pdb:…", or a square array
        (1, 0, NaN unresolved). A structure brings its own residue numbers.
    maps
        Further maps to choose from, {name: array}; see `add_map`.
    state
        Another widget whose selection, hover, separation and colours to share.
    **traits
        Initial values of any trait below or of `SharedState`.

    Attributes
    ----------
    values
        float32, (L, L): the map called "map", which is what is computed now.
    native
        uint8, (L, L): 0 no contact, 1 contact, 2 not resolved; or None.
    head, unmasked, unmasked_head, former
        `MapLayer` or None: the contact head's map, both maps without a mask, the finished map under the
        mask before.
    offered
        Names of maps that have no values yet but get them when `maps_shown` names them.
    added
        {name: `MapLayer`}: what `add_map` was given.
    label, caption, units
        What `values` says it shows.
    quantity
        What a value is called: "score", "probability" or "norm".
    show_native, show_top
        Whether rings and the L highest pairs are drawn: below and above the diagonal where both triangles
        show one map, in both where they differ.

    Raises
    ------
    UsageError
        If a map is not square, or the sequence or the structure is of another length.
    OptionError
        For a keyword that is no trait.
    """

    _esm = STATIC / "contact_map.js"
    _css = STATIC / "catjac.css"

    # Rows that come in are written into it and sent by message; the trait goes when the map is complete.
    values = array_trait()
    native = array_trait()
    label = traitlets.Unicode("").tag(sync=True)
    caption = traitlets.Unicode("").tag(sync=True)
    units = traitlets.Unicode("").tag(sync=True)
    quantity = traitlets.Enum(QUANTITIES, "score").tag(sync=True)
    head = layer_trait()
    unmasked = layer_trait()
    unmasked_head = layer_trait()
    former = layer_trait()
    added = layers_trait()
    offered: traitlets.List[str] = traitlets.List(traitlets.Unicode()).tag(sync=True)
    show_native = traitlets.Bool(True).tag(sync=True)
    show_top = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        contacts: xr.DataArray | np.ndarray | None = None,
        *,
        sequence: Sequence | str | None = None,
        structure: Any = None,
        maps: Mapping[str, Any] | None = None,
        state: SharedState | None = None,
        **traits: Any,
    ) -> None:
        if contacts is not None:
            values = square(contacts)
            known = as_sequence(sequence) if sequence is not None else sequence_along(contacts, "i")
            if state is not None and state.sequence is not None:
                known = state.sequence
            if len(known) != len(values):
                raise UsageError(
                    f"The map has {len(values)} residues but the sequence has {len(known)}; "
                    "give one that matches."
                )
            words = layer_of(contacts, None, name=_label_of(contacts))
            traits = {
                "values": values,
                "sequence": known,
                "label": words.label,
                "quantity": words.quantity,
                "units": words.units,
            } | traits
        elif sequence is not None:
            traits = {"sequence": as_sequence(sequence)} | traits
        residues = traits.get("sequence") or (state.sequence if state is not None else None)
        if structure is not None:
            structure = as_structure(structure, residues)
            traits["native"] = native_contacts(structure, residues)
            if state is None and residues is not None:
                traits = {"structure_sequence": structure_names(structure, residues)} | traits
        if maps:
            length = None if residues is None else len(residues)
            traits["added"] = {name: _new_layer(name, array, length) for name, array in maps.items()}
        super().__init__(state=state, **traits)

    # ---- maps

    def show(
        self,
        contacts: xr.DataArray | np.ndarray,
        *,
        label: str,
        caption: str = "",
        quantity: str = "score",
        units: str = "",
    ) -> None:
        """Replace the map called "map" and what it says of itself."""
        with self.hold_sync():
            self.values = square(contacts)
            self.label, self.caption, self.quantity, self.units = label, caption, quantity, units

    def add_map(self, name: str, contacts: xr.DataArray | np.ndarray, **words: str) -> None:
        """Offer another map, or another one under a name that was added before.

        Parameters
        ----------
        name
            What `maps_shown` calls it.
        contacts
            (L, L), labelled or not; NaN where unknown.
        **words
            `label` (the name by default), `caption`, `quantity` ("score" or "probability") and `units`.

        Raises
        ------
        UsageError
            If it is not of the sequence's length, or the name is one of catjac's own.
        """
        length = None if self.sequence is None else len(self.sequence)
        self.added = {**self.added, name: _new_layer(name, contacts, length, **words)}

    def remove_map(self, name: str) -> None:
        """Offer a map that was added no more; where it is shown, the map called "map" is shown again.

        Raises
        ------
        UsageError
            If no such map was added.
        """
        if name not in self.added:
            raise UsageError(f"No map {name!r} was added; there are {', '.join(self.added) or 'none'}.")
        upper, lower = (LIVE if shown == name else shown for shown in self.maps_shown)
        self.maps_shown = (upper, lower)
        self.added = {key: layer for key, layer in self.added.items() if key != name}

    def map_names(self) -> tuple[str, ...] | None:
        """Names that `maps_shown` may have; catjac's own whether or not there are values yet."""
        return (*MAP_NAMES, *self.added)

    def layer(self, name: str = LIVE) -> MapLayer | None:
        """Return one of the maps with its words; None where it has no values (yet).

        Raises
        ------
        UsageError
            If there is no such name.
        """
        if name == LIVE:
            if self.values is None:
                return None
            return MapLayer(self.values, self.label, self.caption, self.quantity, self.units)
        if name == NATIVE:
            if self.native is None:
                return None
            truth = np.where(self.native == UNRESOLVED, np.nan, self.native).astype(np.float32)
            return MapLayer(truth, "native contacts")
        if name in MAP_NAMES:
            found: MapLayer | None = getattr(self, name.replace(" ", "_"))
            return found
        if name in self.added:
            return self.added[name]
        raise UsageError(f"There is no map {name!r}; there are {', '.join(self.map_names() or ())}.")

    def map(self, name: str = LIVE) -> xr.DataArray:
        """Return one of the maps, labelled.

        Returns
        -------
        xr.DataArray
            float32, dims (pos_i, pos_j), a copy; `attrs` hold its label, quantity and units.

        Raises
        ------
        UsageError
            If there is no such name, or the map has no values yet.
        """
        import xarray as xr

        from catjac_widgets.proteins.coordinates import residue_coordinates

        found = self.layer(name)
        if found is None or self.sequence is None:
            raise UsageError(f"The map {name!r} has no values yet.")
        return xr.DataArray(
            found.values.copy(),
            dims=("pos_i", "pos_j"),
            coords=residue_coordinates(self.sequence),
            name="contacts",
            attrs={"label": found.label, "quantity": found.quantity, "units": found.units or "1"},
        )

    shows_frames = True

    def show_frame(self, frame: Frame) -> int:
        """Show a map for as long as something is dragged: no trait changes. Return the bytes sent."""
        buffer = packed(frame.values)
        self.send(frame.message(), buffers=[buffer.data.cast("B")])
        return buffer.nbytes

    def add_rows(self, rows: Mapping[int, np.ndarray]) -> None:
        """Fill in rows, {1-based position: (L,) float32}, and send these only."""
        if self.values is None or not rows:
            return
        positions = sorted(rows)
        block = np.stack([rows[position] for position in positions]).astype("<f4")
        self.values[np.array(positions) - 1] = block
        self.send({"kind": "rows", "positions": positions}, buffers=[block.data.cast("B")])


def native_contacts(structure: Any, sequence: Sequence | None) -> np.ndarray:
    """Native contacts of a structure (or a truth array) as `ContactMap.native` has them.

    Raises
    ------
    UsageError
        If they are not those of the sequence.
    StructureError
        If a path or an id cannot be read or mapped.
    """
    structure = as_structure(structure, sequence)
    # Bare arrays where a structure gives them: labels take time that the first picture has not.
    measure = getattr(structure, "contact_values", getattr(structure, "contacts", None))
    found = structure if measure is None else measure(sequence)
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


def _new_layer(name: str, contacts: Any, length: int | None, **words: str) -> MapLayer:
    if name in MAP_NAMES or not name.strip():
        raise UsageError(f"{name!r} cannot be the name of an added map; choose another.")
    unknown = sorted(set(words) - {"label", "caption", "quantity", "units"})
    if unknown:
        raise OptionError(f"A map has no {unknown[0]!r}; there are label, caption, quantity and units.")
    return layer_of(contacts, length, name=name, **words)
