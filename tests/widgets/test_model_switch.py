"""Another model in an explorer: in place, in the background; the former one stays where it cannot be had."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import random_esm2, random_msa_transformer, write_msa_transformer
from notebook_page import NotebookPage, Wire

import catjac
from catjac_widgets.language_models.progress import watcher
from catjac_widgets.widgets.explorer.view import Explorer

UNKNOWN = "MSPQTETKASVGFKAGVKDYKLTYYTPEYQTKDTDILAAFRV"
OTHER = "other-esm2"


@pytest.fixture
def other() -> Iterator[Any]:
    """Another model with a name of its own."""
    model = catjac.wrap(random_esm2(seed=7), name=OTHER)
    catjac.register_model(OTHER, lambda: model)
    return model


@pytest.fixture
def ex(wire: Wire, own_cache: Path) -> Iterator[Explorer]:
    made = catjac.explore("ww", "mini").wait(120)
    yield made
    made.close()


def test_the_model_is_replaced_in_place(ex: Explorer, other: Any) -> None:
    before = ex.contact_map.values.copy()
    ex.selection = (3, 9)
    ex.model = OTHER
    ex.wait(120)
    assert (ex.status, ex.error, ex.model_name, ex.model) == ("done", "", OTHER, OTHER)
    J = catjac.jacobian("ww", other, progress=False)
    np.testing.assert_allclose(ex.contacts.values, catjac.contacts(J).values, atol=1e-5)
    np.testing.assert_allclose(ex.contact_map.values, catjac.contacts(J).values, atol=1e-5)
    assert ex.selection == (3, 9)
    shown = ex.slice
    block = J.sel(pos_in=3, pos_out=9).sel(aa_in=shown["aa_in"].values, aa_out=shown["aa_out"].values)
    np.testing.assert_allclose(shown.values, block.values, atol=1e-5)
    # The map of the model before can be compared with.
    assert ex.contact_map.former.label == "mini: Jacobian"
    np.testing.assert_array_equal(ex.contact_map.former.values, before)
    ex.maps_shown = ("map", "former")
    # And back: everything is in the cache.
    ex.model = "mini"
    ex.wait(120)
    assert ex.model_name == "mini"
    np.testing.assert_allclose(ex.contact_map.values, before, atol=1e-6)


def test_the_mask_stays_and_the_other_contact_head_is_dragged(ex: Explorer, other: Any) -> None:
    mask = catjac.Mask.showing(ex.sequence, [(4, 20)])
    ex.mask = mask
    ex.model = other
    ex.wait(120)
    assert ex.job.plan.mask == mask
    assert ex.job.plan.fingerprint == other.fingerprint
    assert ex.sequence_mask.previews == bool(other.has_contact_head)
    np.testing.assert_allclose(
        ex.contacts.values,
        catjac.contacts(catjac.jacobian("ww", other, mask=mask, progress=False)).values,
        atol=1e-5,
    )


def test_a_model_that_cannot_be_had_leaves_the_former_one(ex: Explorer, other: Any) -> None:
    before = ex.contact_map.values.copy()
    ex.model = "no-such-model"
    ex.wait(60)
    assert (ex.status, ex.model, ex.model_name) == ("done", "mini", "mini")
    assert "no-such-model cannot be used here" in ex.notice
    np.testing.assert_allclose(ex.contact_map.values, before, atol=1e-6)
    # The sentence goes with the next model.
    ex.model = OTHER
    ex.wait(60)
    assert ex.notice == ""


def test_residues_that_the_other_model_does_not_know(ex: Explorer) -> None:
    ex.model = catjac.wrap(lambda tokens: torch.zeros(*tokens.shape, 4), letters="ACGT", name="dna")
    ex.wait(60)
    assert "dna cannot be used here. residue 1 is 'L'" in ex.notice
    assert ex.model_name == "mini"


def test_a_model_without_masks_and_contact_head(ex: Explorer) -> None:
    ex.maps_shown = ("map", "head")
    letters = catjac.load_model("mini").letters
    table = torch.randn(20, 20)

    def sums(tokens: torch.Tensor) -> torch.Tensor:
        return table[tokens].cumsum(dim=1)

    causal = catjac.wrap(sums, letters=letters, causal=True, shift=0, name="sums", fingerprint="sums")
    ex.model = causal
    ex.wait(60)
    assert (ex.status, ex.model_name, ex.error) == ("done", "sums", "")
    assert not ex.sequence_mask.previews
    assert "sums has no mask token" in ex.sequence_mask.note
    assert (ex.contact_map.offered, ex.maps_shown) == ([], ("map", "map"))
    ex.mask = catjac.Mask.showing(ex.sequence, [(4, 20)])
    ex.wait(60)
    assert "no mask token" in ex.sequence_mask.note
    ex.mask = None
    ex.wait(60)
    assert ex.status == "done"


def held_back(name: str) -> tuple[threading.Event, threading.Event]:
    """A model that is long in coming, and tells how far it is."""
    began, go_on = threading.Event(), threading.Event()

    def make() -> Any:
        follow = watcher()
        assert follow is not None
        follow("downloading it, 3 of 10 MB", 0.3)
        began.set()
        assert go_on.wait(30)
        follow("downloading it, 10 of 10 MB", 1.0)
        return random_esm2(seed=7)

    catjac.register_model(name, make)
    return began, go_on


def test_how_far_it_is_can_be_seen_and_it_can_be_cancelled(ex: Explorer) -> None:
    began, go_on = held_back("slow-one")
    ex.model = "slow-one"
    assert began.wait(30)
    ex.delivery.flush()
    assert (ex.status, ex.progress["message"]) == ("queued", "downloading it, 3 of 10 MB")
    assert (ex.progress["rows_done"], ex.progress["rows_total"]) == (30, 100)
    ex.cancel()
    go_on.set()
    ex.wait(60)
    assert (ex.status, ex.model_name, ex.notice) == ("done", "mini", "")


def test_the_last_model_asked_for_is_the_one_that_comes(ex: Explorer, other: Any) -> None:
    began, go_on = held_back("slow-two")
    ex.model = "slow-two"
    assert began.wait(30)
    ex.model = OTHER
    ex.wait(120)
    go_on.set()
    ex.wait(60)
    assert (ex.status, ex.model_name) == ("done", OTHER)


def test_closed_while_a_model_comes(wire: Wire, own_cache: Path) -> None:
    made = catjac.explore("ww", "mini").wait(120)
    began, go_on = held_back("slow-three")
    made.model = "slow-three"
    assert began.wait(30)
    thread = made._switch._thread
    made.close()
    go_on.set()
    thread.join(30)
    assert not thread.is_alive()


def test_the_menu_and_the_offer(wire: Wire, own_cache: Path, other: Any) -> None:
    made = catjac.explore(UNKNOWN, "mini")
    status = made.job_status
    assert status.offer == "esm2_t6_8M_UR50D"
    status._handle_custom_msg({"kind": "models"}, [])
    made.delivery.flush(30)
    menu = {entry["name"]: entry for entry in status.models}
    assert menu["mini"]["group"] == "embedded"
    assert menu["mini"]["note"].startswith("about ")
    assert menu[OTHER]["enabled"]
    # What is named with a structure or an alignment behind it cannot be chosen as it stands.
    with_a_file = [entry for name, entry in menu.items() if name.startswith(("protein_mpnn", "msa_transf"))]
    assert with_a_file
    assert not any(entry["enabled"] for entry in with_a_file)
    assert menu["esm2_t6_8M_UR50D"]["group"] in ("to download", "in cache")
    assert next(iter(menu)) == "mini"
    # Only what is in the menu can be chosen from the page.
    status._handle_custom_msg({"kind": "model", "name": "/etc/passwd"}, [])
    made.delivery.flush(30)
    assert made.model_name == "mini"
    status._handle_custom_msg({"kind": "model", "name": OTHER}, [])
    made.wait(120)
    assert (made.model_name, made.status) == (OTHER, "done")
    assert (made.notice, status.offer) == ("", "")
    made.close()


@pytest.mark.browser
def test_choosing_on_the_page(notebook: NotebookPage, own_cache: Path, other: Any, pictures: Path) -> None:
    made = catjac.explore(UNKNOWN, "mini", panels=("sequence", "map"))
    notebook.show(made)
    notebook.until(lambda: notebook.page.locator(".cj-models option").count() > 3)
    notebook.until(lambda: made.status == "done")
    offer = notebook.page.locator(".cj-offer")
    assert offer.is_visible()
    assert offer.inner_text().startswith("Use esm2_t6_8M_UR50D (30 MB")
    notebook.page.screenshot(path=str(pictures / "model_menu.png"))
    notebook.page.select_option(".cj-models", OTHER)
    notebook.until(lambda: made.model_name == OTHER and made.status == "done")
    assert notebook.page.locator(".cj-models").input_value() == OTHER
    assert not offer.is_visible()
    notebook.page.screenshot(path=str(pictures / "model_chosen.png"))
    made.close()


def test_a_model_that_reads_an_alignment(wire: Wire, own_cache: Path, tmp_path: Path) -> None:
    sequence = "MKTAYIAKQRQISFVKSHFSRQ"
    checkpoint = write_msa_transformer(random_msa_transformer(), tmp_path)
    rows = [sequence, sequence.replace("K", "-"), sequence.replace("S", "A")]
    (tmp_path / "family.a3m").write_text("".join(f">{k}\n{row}\n" for k, row in enumerate(rows)))
    name = f"msa_transformer:{tmp_path / 'family.a3m'}@{checkpoint}"
    made = catjac.explore(sequence, name).wait(120)
    try:
        assert (made.status, made.error, made.model_name) == ("done", "", name)
        J = catjac.jacobian(sequence, name, progress=False)
        np.testing.assert_allclose(made.contacts.values, catjac.contacts(J).values, atol=1e-5)
        assert made.sequence_mask.previews
    finally:
        made.close()
    # Of another protein it is refused before anything is computed.
    with pytest.raises(catjac.CatjacError, match="takes exactly 22"):
        catjac.explore("ww", name)
