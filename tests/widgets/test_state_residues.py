from __future__ import annotations

import numpy as np
import pytest
import traitlets
from notebook_page import Wire

from catjac_widgets.errors import SequenceError
from catjac_widgets.widgets.contact_map.view import ContactMap


def test_chosen_residues_are_runs_within_the_sequence(wire: Wire) -> None:
    view = ContactMap(np.zeros((10, 10)), sequence="ACDEFGHIKL")
    view.residues = [[2, 4], [7, 7]]
    assert view.residues == ((2, 4), (7, 7))
    for bad in ([(4, 2)], [(1, 2, 3)], [(1.5, 2)], 3):
        with pytest.raises(traitlets.TraitError):
            view.residues = bad
    with pytest.raises(SequenceError, match="within 1–10"):
        view.residues = [(5, 11)]
    with pytest.raises(SequenceError):
        view.residues = [(0, 3)]
    assert view.residues == ((2, 4), (7, 7))
    view.close()


def test_chosen_residues_are_shared(wire: Wire) -> None:
    one = ContactMap(np.zeros((10, 10)), sequence="ACDEFGHIKL")
    other = ContactMap(state=one)
    other.residues = [(1, 3)]
    assert one.residues == ((1, 3),)
    one.residues = []
    assert other.residues == ()
    other.close()
    one.close()
