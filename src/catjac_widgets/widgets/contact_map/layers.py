"""One map among several that a contact map can show: values and what they are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import traitlets

from catjac_widgets.errors import UsageError
from catjac_widgets.widgets.base.arrays import encode, square

#: What a value may be called: an APC-corrected score, a probability, a norm while rows come in.
QUANTITIES = ("score", "probability", "norm")


#: How maps of a contact head say what they are, the second one in files of catjac 0.1.
HEAD_KINDS = ("contact head", "attention head")


@dataclass(frozen=True, eq=False)
class MapLayer:
    """A map, (L, L), with its words.

    Attributes
    ----------
    values
        float32, (L, L); NaN where unknown.
    label, caption
        What it says it shows.
    quantity
        One of `QUANTITIES`.
    units
        Of the values, or "".
    """

    values: np.ndarray
    label: str
    caption: str = ""
    quantity: str = "score"
    units: str = ""


def layer_to_json(layer: MapLayer) -> dict[str, Any]:
    """Pack a map for the front end, the values as a buffer."""
    return {
        "label": layer.label,
        "caption": layer.caption,
        "quantity": layer.quantity,
        "units": layer.units,
        "values": encode(layer.values),
    }


def layer_trait() -> traitlets.Instance:
    """Make a trait that holds a `MapLayer` or None; the front end never changes it."""
    trait = traitlets.Instance(MapLayer, allow_none=True)
    return trait.tag(
        sync=True,
        to_json=lambda layer, widget: None if layer is None else layer_to_json(layer),
        from_json=lambda value, widget: getattr(widget, str(trait.name)),
    )


def layers_trait() -> traitlets.Dict[str, MapLayer]:
    """Make a trait that holds maps by name; the front end never changes it."""
    trait: traitlets.Dict[str, MapLayer] = traitlets.Dict(traitlets.Instance(MapLayer))
    return trait.tag(
        sync=True,
        # A list keeps their order, and a name cannot be mistaken for a key of anything else.
        to_json=lambda layers, widget: [
            {"name": name} | layer_to_json(layer) for name, layer in layers.items()
        ],
        from_json=lambda value, widget: getattr(widget, str(trait.name)),
    )


def layer_of(contacts: Any, length: int | None, *, name: str, **words: str) -> MapLayer:
    """Make a `MapLayer` of an array; what `words` do not say is read off its attributes.

    Raises
    ------
    UsageError
        If it is no map, of another length than `length`, or its quantity is none of `QUANTITIES`.
    """
    values = square(contacts)
    if length is not None and len(values) != length:
        raise UsageError(
            f"The map {name!r} has {len(values)} residues but the sequence has {length}; "
            "give one that matches."
        )
    attributes = getattr(contacts, "attrs", {})
    units = str(attributes.get("units", ""))
    known = {
        "label": name,
        "quantity": "probability" if attributes.get("kind") in HEAD_KINDS else "score",
        "units": "" if units == "1" else units,
    }
    made = MapLayer(values, **(known | words))
    if made.quantity not in QUANTITIES:
        raise UsageError(
            f"The values of {name!r} are called {made.quantity!r}; choose {', '.join(QUANTITIES)}."
        )
    return made
