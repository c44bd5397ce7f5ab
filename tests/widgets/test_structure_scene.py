from __future__ import annotations

import io
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from biotite.structure.io.pdb import PDBFile
from notebook_page import Wire

from catjac_widgets.errors import StructureError, UsageError
from catjac_widgets.structures.example_proteins import examples
from catjac_widgets.structures.experimental import structure
from catjac_widgets.widgets.contact_map.view import ContactMap
from catjac_widgets.widgets.structure import view as structure_view
from catjac_widgets.widgets.structure.scene import Scene, shade
from catjac_widgets.widgets.structure.view import MISSING, StructureView


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
        own = slice(*scene.atoms[position - 1])
        assert {int(number) for number in atoms.res_id[own]} == {int(scene.sequence.numbers[position - 1])}
    # One range after the other, none left out.
    np.testing.assert_array_equal(scene.atoms[1:, 0], scene.atoms[:-1, 1])
    assert (scene.atoms[0, 0], scene.atoms[-1, 1]) == (0, len(atoms))


def test_residues_that_are_not_resolved_have_no_atoms() -> None:
    example = examples()["bpti"]
    residues = example.sequence.residues
    array = example.structure.atoms
    kept = array[~np.isin(array.res_id, np.unique(array.res_id)[20:25])]
    scene = Scene(structure(kept), example.sequence)
    assert scene.unresolved == 5
    assert np.isnan(scene.points[20:25]).all()
    np.testing.assert_array_equal(scene.atoms[20:25], -1)
    atoms = atoms_of(scene.pdb_text())
    for position in (1, 20, 26, len(residues)):
        own = slice(*scene.atoms[position - 1])
        assert {int(number) for number in atoms.res_id[own]} == {int(example.sequence.numbers[position - 1])}
    pairs = scene.pairs(np.random.default_rng(0).random((len(residues),) * 2))
    assert not np.isin(pairs[:, :2], np.arange(21, 26)).any()


def test_shades_run_from_0_to_1() -> None:
    track = np.linspace(-3, 7, 60)
    track[4] = np.nan
    low, high = np.nanpercentile(track, [2, 98])
    np.testing.assert_allclose(shade(track), np.clip((track - low) / (high - low), 0, 1), atol=1e-6)
    assert np.isnan(shade(track)[4])
    assert set(shade(np.ones(9)).tolist()) == {0.5}
    assert np.isnan(shade(np.full(9, np.nan))).all()


@pytest.mark.parametrize("separation", [1, 6, 12, 40])
def test_pairs_hold_the_best_ones_for_every_separation(separation: int) -> None:
    example = examples()["bpti"]
    scene = Scene(example.structure)
    truth = example.contacts.values
    scores = np.random.default_rng(1).random(truth.shape)
    scores += scores.T
    length = len(scores)
    pairs = [(scores[i, j], i, j) for i in range(length) for j in range(i + separation, length)]
    best = sorted(pairs, reverse=True)[:length]
    offered = scene.pairs(scores)
    kept = [row for row in offered.tolist() if row[1] - row[0] >= separation][:length]
    assert kept == [[i + 1, j + 1, int(truth[i, j])] for _, i, j in best]


def test_pairs_of_two_chains_are_never_too_near() -> None:
    example = examples()["bpti"]
    array = example.structure.atoms
    halves = array.copy()
    halves.chain_id[halves.res_id > 30] = "B"
    scene = Scene(structure(halves, chain="A:B"))
    assert len(scene.sequence.chains) == 2
    length = len(scene.sequence)
    first = len(scene.sequence.chains[0])
    scores = np.zeros((length, length))
    scores[first - 1, first] = scores[first, first - 1] = 9.0
    assert scene.pairs(scores)[0, :2].tolist() == [first, first + 1]
    everywhere = scene.pairs(scores, 10**6)
    assert [first, first + 1] in everywhere[:, :2].tolist()


def test_the_browser_is_told_what_to_draw(wire: Wire) -> None:
    pytest.importorskip("nglview", reason="nglview is not installed")
    example = examples()["bpti"]
    length = len(example)
    contact_map = ContactMap(np.zeros((length,) * 2), sequence=example.sequence)
    scores = np.random.default_rng(0).random((length,) * 2)
    view = StructureView(example, state=contact_map, contacts=scores)
    head = view.head
    assert head.state is contact_map
    assert head.viewer == view.view.model_id
    assert head.tracks == [structure_view.POSITION]
    np.testing.assert_array_equal(head.atoms, view.scene.atoms)
    np.testing.assert_array_equal(head.pairs, view.scene.pairs(scores))
    # Nothing goes by nglview's own calls, which may come before the structure has.
    assert not view.view._ngl_msg_archive
    assert not view.view._callbacks_before_loaded
    view.add_track("made up", np.arange(length))
    assert view.colour_by == head.colour_by == "made up"
    assert head.tracks == [structure_view.POSITION, "made up"]
    np.testing.assert_array_equal(head.shades[1], shade(np.arange(length, dtype=float)))
    view.show_contacts = False
    assert not head.show_contacts
    contact_map.selection = (5, 30)
    assert view.selection == (5, 30)
    view.draw_contacts(None)
    assert head.pairs is None
    with pytest.raises(UsageError, match="'short'"):
        view.add_track("short", [1, 2])
    with pytest.raises(UsageError):
        view.draw_contacts(np.zeros((4, 4)))
    view.close()
    contact_map.close()


def test_nglview_starts_no_thread_until_a_person_calls_it(wire: Wire) -> None:
    pytest.importorskip("nglview", reason="nglview is not installed")
    before = set(threading.enumerate())
    view = StructureView(examples()["ww"])
    assert set(threading.enumerate()) == before
    # As the page says that it is there; a call then goes out.
    view.view._handle_nglview_custom_msg(view.view, {"type": "request_loaded", "data": True}, [])
    sent: list[Any] = []
    view.view.send = sent.append
    view.view.center()
    for _ in range(200):
        if sent:
            break
        time.sleep(0.05)
    assert [message["methodName"] for message in sent] == ["autoView"]
    view.close()


def test_chains_and_files_and_coordinates(wire: Wire, tmp_path: Path) -> None:
    example = examples()["bpti"]
    halves = example.structure.atoms.copy()
    halves.chain_id[halves.res_id > 30] = "B"
    view = StructureView(structure(halves, chain="A:B"))
    assert view.head.tracks == [structure_view.POSITION, structure_view.CHAIN]
    assert set(view.head.shades[1].tolist()) == {0.0, 1.0}
    view.close()
    view = StructureView(example.structure.atoms, sequence=example.sequence)
    assert view.scene.unresolved == 0
    view.close()
    path = tmp_path / "<b>file.pdb"
    path.write_text(example.structure.to_pdb())
    view = StructureView(str(path))
    assert view.sequence.residues == example.structure.sequence.residues
    view.close()


def test_without_nglview_the_panel_says_what_to_run(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nglview", None)
    example = examples()["bpti"]
    view = StructureView(
        example, contacts=np.zeros((len(example),) * 2), tracks={"a": np.zeros(len(example))}
    )
    assert view.problem == view.head.problem == MISSING
    assert "%pip install" in view.problem
    assert view.children == (view.head,)
    assert view.view is None
    view.selection = (1, 9)
    view.colour_by = structure_view.POSITION
    view.close()


def test_a_structure_of_another_protein_is_refused() -> None:
    with pytest.raises(StructureError):
        StructureView(examples()["bpti"].structure, sequence=examples()["ww"].sequence)
