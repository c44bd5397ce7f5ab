"""What a Jacobian's summary says of each residue, and how it is named and coloured wherever it is shown."""

from __future__ import annotations

#: From top to bottom: name in `catjac.sensitivity(J)`, name for a person, colour on light and dark ground.
TRACKS = (
    ("influence", "influence", "#3b7dd8"),
    ("sensitivity", "sensitivity", "#1a9c8c"),
    ("self_response", "self-response", "#8a94a6"),
    ("entropy", "entropy", "#9d69d1"),
)
