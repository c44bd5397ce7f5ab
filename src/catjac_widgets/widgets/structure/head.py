"""The head of the structure: what is to be drawn, for the browser, where all of the drawing happens.

nglview's own way from Python is to send calls one after the other; one that arrives before the structure has
been read is lost with an error in the page. Here the browser is told what is to be seen, waits for the
structure itself, and so follows hover and selection without a kernel too.
"""

from __future__ import annotations

import traitlets

from catjac_widgets.widgets.base.arrays import array_trait
from catjac_widgets.widgets.base.state import STATIC, View


class StructureHead(View):
    """Name, legend and controls above a structure, and what the viewer below it draws.

    Attributes
    ----------
    title, caption, problem
        What it says.
    viewer
        Model id of nglview's widget; "" where there is none.
    text
        The structure as PDB text.
    atoms
        int32, (L, 2): first atom of each position and one beyond its last, counted from 0 in `text`; −1 where
        the residue is not resolved.
    points
        float32, (L, 3): where contact lines begin, in Å; NaN where the residue is not resolved.
    tracks
        Names of what may colour.
    shades
        float32, (tracks, L): 0 … 1, NaN where unknown.
    pairs
        int32, (n, 3), best first: two 1-based positions; 1 in contact, 0 not, −1 not known. Or None.
    colour_by, show_contacts
        What is chosen.
    height
        Of the picture, in pixels.
    """

    _esm = STATIC / "structure_head.js"
    _css = STATIC / "catjac.css"

    title = traitlets.Unicode("").tag(sync=True)
    caption = traitlets.Unicode("").tag(sync=True)
    problem = traitlets.Unicode("").tag(sync=True)
    viewer = traitlets.Unicode("").tag(sync=True)
    text = traitlets.Unicode("").tag(sync=True)
    atoms = array_trait()
    points = array_trait()
    tracks = traitlets.List(traitlets.Unicode()).tag(sync=True)
    shades = array_trait()
    pairs = array_trait()
    colour_by = traitlets.Unicode("").tag(sync=True)
    show_contacts = traitlets.Bool(True).tag(sync=True)
    height = traitlets.Int(360).tag(sync=True)
