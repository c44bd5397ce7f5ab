"""The head of the structure: its name, what colours it, whether contacts are drawn, and the page's ground."""

from __future__ import annotations

import anywidget
import traitlets

from catjac_widgets.widgets.state import STATIC


class StructureHead(anywidget.AnyWidget):
    """Name and controls above a structure; a part of `StructureView`.

    Attributes
    ----------
    title, caption, problem
        What it says.
    tracks
        What may colour.
    colour_by, show_contacts
        What is chosen.
    ground
        Colour of the page behind it, as the browser tells it: "#ffffff".
    """

    _esm = STATIC / "structure_head.js"
    _css = STATIC / "catjac.css"

    title = traitlets.Unicode("").tag(sync=True)
    caption = traitlets.Unicode("").tag(sync=True)
    problem = traitlets.Unicode("").tag(sync=True)
    tracks = traitlets.List(traitlets.Unicode()).tag(sync=True)
    colour_by = traitlets.Unicode("").tag(sync=True)
    show_contacts = traitlets.Bool(True).tag(sync=True)
    ground = traitlets.Unicode("").tag(sync=True)
