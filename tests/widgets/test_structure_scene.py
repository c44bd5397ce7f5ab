from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from biotite.structure.io.pdb import PDBFile
from notebook_page import Wire

from catjac_widgets.errors import StructureError, UsageError
from catjac_widgets.structures.example_proteins import examples
from catjac_widgets.structures.experimental import structure
from catjac_widgets.widgets import structure_view
from catjac_widgets.widgets.contact_map import ContactMap
from catjac_widgets.widgets.structure_scene import FALSE, TRUE, Scene
from catjac_widgets.widgets.structure_view import MISSING, StructureView


def atoms_of(text: str) -> Any:
    return PDBFile.read(io.StringIO(text)).get_structure(model=1, extra_fields=["b_factor"])


def rhodopsin() -> str:
    """1U19 as nglview ships it: a cap before residue 1, blank chain, GLH, ASH, LRT and YPL in the chain."""
    nglview = pytest.importorskip("nglview", reason="nglview is not installed")
    return str(nglview.datafiles.PDB)


def test_atoms_and_positions_of_an_awkward_file() -> None:
    scene = Scene(rhodopsin())
    assert len(scene.sequence) == 348
    atoms = atoms_of(scene.pdb_text())
    assert len(atoms) == scene.starts[-1]
    assert set(atoms.chain_id) == {"A"}
    assert "ACE" not in atoms.res_name
    assert {"GLH", "ASH"} <= set(atoms.res_name)
    for position in (1, 2, 83, 113, 200, 348):
        own = scene.atoms_of([position])
        assert {int(number) for number in atoms.res_id[own]} == {int(scene.sequence.numbers[position - 1])}
        assert {scene.position_of(int(atom)) for atom in own} == {position}
    assert scene.position_of(-1) is None
    assert scene.position_of(len(atoms)) is None


def test_residues_that_are_not_resolved_have_no_atoms() -> None:
    example = examples()["bpti"]
    residues = example.sequence.residues
    array = example.structure.atoms
    kept = array[~np.isin(array.res_id, np.unique(array.res_id)[20:25])]
    scene = Scene(structure(kept), example.sequence)
    assert scene.unresolved == 5
    assert scene.atoms_of(range(21, 26)).size == 0
    assert np.isnan(scene.points[20:25]).all()
    atoms = atoms_of(scene.pdb_text())
    for position in (1, 20, 26, len(residues)):
        own = scene.atoms_of([position])
        assert {int(number) for number in atoms.res_id[own]} == {int(example.sequence.numbers[position - 1])}
        assert scene.position_of(int(own[0])) == position
    lines = scene.cylinders(np.random.default_rng(0).random((len(residues),) * 2), 6)
    assert len(lines) == len(residues) - 5


def test_the_track_is_in_the_b_factors() -> None:
    example = examples()["bpti"]
    scene = Scene(example.structure)
    track = np.linspace(-3, 7, len(example))
    track[4] = np.nan
    atoms = atoms_of(scene.pdb_text(track))
    found = np.array([atoms.b_factor[scene.atoms_of([k + 1])[0]] for k in range(len(track))])
    low, high = np.nanpercentile(track, [2, 98])
    np.testing.assert_allclose(
        found, np.nan_to_num(np.clip((track - low) / (high - low), 0, 1)) * 100, atol=0.01
    )
    assert set(scene.scaled(np.ones(len(track)))) == {50.0}


def test_lines_are_the_top_pairs_coloured_by_contact() -> None:
    example = examples()["bpti"]
    scene = Scene(example.structure)
    truth = example.contacts.values
    scores = np.random.default_rng(1).random(truth.shape)
    scores += scores.T
    length = len(scores)
    pairs = [(scores[i, j], i, j) for i in range(length) for j in range(i + 8, length)]
    best = sorted(pairs, reverse=True)[:length]
    lines = scene.cylinders(scores, 8)
    labels = example.sequence.labels
    assert [line[5] for line in lines] == [f"{labels[i]}–{labels[j]}" for _, i, j in best]
    assert [line[3] for line in lines] == [TRUE if truth[i, j] else FALSE for _, i, j in best]
    np.testing.assert_allclose([line[1] for line in lines], [scene.points[i] for _, i, _ in best])


def test_selection_and_clicks_are_shared(wire: Wire) -> None:
    pytest.importorskip("nglview", reason="nglview is not installed")
    example = examples()["bpti"]
    contact_map = ContactMap(np.zeros((len(example),) * 2), sequence=example.sequence)
    view = StructureView(example, state=contact_map, tracks={"made up": np.arange(len(example))})
    sent: list[Any] = []
    view.view._remote_call = lambda *names, **options: sent.append((names[0], options))
    contact_map.selection = (5, 30)
    view.delivery.deliver()
    added = [options["kwargs"]["sele"] for name, options in sent if name == "addRepresentation"]
    assert added[-1] == "@" + ",".join(map(str, view.scene.atoms_of([5, 30])))

    def click(position: int) -> None:
        view.view.picked = {}
        view.view.picked = {"atom1": {"index": int(view.scene.atoms_of([position])[1])}}
        view.delivery.deliver()

    click(12)
    assert contact_map.residues == ((12, 12),)
    assert contact_map.selection == (5, 30)
    click(40)
    assert (contact_map.selection, contact_map.residues) == ((12, 40), ())
    click(7)
    assert contact_map.residues == ((7, 7),)
    # Chosen elsewhere in between: a click begins anew.
    contact_map.residues = [(20, 30)]
    click(9)
    assert (contact_map.selection, contact_map.residues) == ((12, 40), ((9, 9),))
    view.view.picked = {"component": 1}
    view.delivery.deliver()
    assert contact_map.residues == ((9, 9),)
    view.close()
    contact_map.close()


def test_lines_and_colours_are_drawn_anew(wire: Wire) -> None:
    pytest.importorskip("nglview", reason="nglview is not installed")
    example = examples()["bpti"]
    view = StructureView(example, contacts=np.random.default_rng(0).random((len(example),) * 2))
    view.delivery.deliver()
    assert len(view.view._ngl_component_ids) == 2
    before = view.view._ngl_component_ids[1]
    view.min_separation = 12
    view.delivery.deliver()
    assert len(view.view._ngl_component_ids) == 2
    assert view.view._ngl_component_ids[1] != before
    view.show_contacts = False
    view.delivery.deliver()
    assert len(view.view._ngl_component_ids) == 1
    view.show_contacts = True
    view.add_track("made up", np.arange(len(example)))
    view.delivery.deliver()
    assert view.colour_by == "made up"
    assert len(view.view._ngl_component_ids) == 2
    with pytest.raises(UsageError, match="'short'"):
        view.add_track("short", [1, 2])
    with pytest.raises(UsageError):
        view.draw_contacts(np.zeros((4, 4)))
    view.close()


def test_without_nglview_the_panel_says_what_to_run(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nglview", None)
    example = examples()["bpti"]
    view = StructureView(
        example, contacts=np.zeros((len(example),) * 2), tracks={"a": np.zeros(len(example))}
    )
    assert view.problem == MISSING
    assert "%pip install" in view.head.problem
    assert view.children == (view.head,)
    view.selection = (1, 9)
    view.colour_by = structure_view.POSITION
    view.choose(4)
    assert view.residues == ((4, 4),)
    view.close()


def test_a_structure_of_another_protein_is_refused() -> None:
    with pytest.raises(StructureError):
        StructureView(examples()["bpti"].structure, sequence=examples()["ww"].sequence)
