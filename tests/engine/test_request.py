"""Requests: what was asked for, as one object that cannot be changed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from cache_counts import Counts
from stored_stubs import RESIDUES, L
from stubs import PottsModel

from catjac_widgets.engine.api import jacobian, run_request, submit, submit_request
from catjac_widgets.engine.cache.entries import Entry, Kept
from catjac_widgets.engine.cache.folder.store import FolderStore
from catjac_widgets.engine.cache.store import cache
from catjac_widgets.engine.plans.request import make_request
from catjac_widgets.errors import MaskError, ModelError, UsageError
from catjac_widgets.proteins.masks import Mask


def test_it_holds_what_was_asked_for_checked_and_converted() -> None:
    model = PottsModel()
    request = make_request(
        f">two chains\n{RESIDUES[:6].lower()}:{RESIDUES[6:]}", model, positions=3, linker="gg"
    )
    assert str(request.sequence) == f"{RESIDUES[:6]}:{RESIDUES[6:]}"
    assert request.sequence.name == "two"
    assert request.positions == (3,)
    assert request.mask == Mask.none(request.sequence)
    assert request.plan.linker == "GG"
    assert request.identity.fingerprint == request.plan.fingerprint == model.fingerprint
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.variant = "fast"  # type: ignore[misc]


def test_the_same_under_another_mask() -> None:
    request = make_request(RESIDUES, PottsModel(), positions=[1, 2, 3], batch_size=19)
    mask = Mask.hiding(RESIDUES, [(2, 5)])
    other = dataclasses.replace(request, mask=mask)
    assert other.plan.key == make_request(RESIDUES, PottsModel(), mask=mask).plan.key != request.plan.key
    assert other.plan.wanted == (0,)
    assert (other.sequence, other.identity, other.batch_size) == (request.sequence, request.identity, 19)
    np.testing.assert_array_equal(
        run_request(other, progress=False).values,
        jacobian(RESIDUES, PottsModel(), mask=mask, positions=[1, 2, 3], batch_size=19, cache=False),
    )
    with pytest.raises(MaskError, match="hides every residue"):
        dataclasses.replace(request, mask=~Mask.none(RESIDUES))
    with pytest.raises(MaskError, match="covers 3 residues"):
        dataclasses.replace(request, mask=Mask.none(3))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"lazy": "yes"}, "'auto'"),
        ({"variant": "quick"}, "'full' or 'fast'"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make_request(RESIDUES, PottsModel(), **options)  # type: ignore[arg-type]


def test_an_entry_is_looked_for_once() -> None:
    class Counting(FolderStore):
        """Counts how often it is asked."""

        found = opened = 0

        def find(self, plan: Kept) -> Entry | None:  # type: ignore[override]
            self.found += 1
            return super().find(plan)

        def open(self, plan: Kept, found: Entry | None = None) -> Entry:  # type: ignore[override]
            self.opened += 1
            return super().open(plan, found)

    assert cache.folder is not None
    store, model = Counting(cache.folder), PottsModel()
    cache.use(store)
    try:
        for asked, call in enumerate(
            (
                lambda: submit(RESIDUES, model).result(30),
                lambda: submit(RESIDUES, model).result(30),
                lambda: jacobian(RESIDUES, model, progress=False),
                lambda: jacobian(RESIDUES, model, lazy=True, progress=False),
            ),
            start=1,
        ):
            call()
            assert (store.found, store.opened) == (asked, asked)
    finally:
        cache.use(None)


def test_a_model_that_was_altered_since_keeps_no_rows_under_the_former_key(counts: Counts) -> None:
    model = PottsModel()
    request = make_request(RESIDUES, model)
    model.seed = 1
    with pytest.raises(ModelError, match="changed since it was asked for"):
        submit_request(request).result(30)
    assert counts() == (0, 0, 0)
    assert submit(RESIDUES, model).result(30).attrs["model_fingerprint"] == PottsModel(seed=1).fingerprint


def test_rows_is_an_option_no_more() -> None:
    with pytest.warns(DeprecationWarning, match="leave it out"):
        made = jacobian(RESIDUES, PottsModel(), rows="visible", progress=False)
    assert made.shape == (L, 20, L, 20)
    with pytest.warns(DeprecationWarning, match="leave it out"):
        submit(RESIDUES, PottsModel(), rows="visible").result(30)
    for call in (jacobian, submit):
        with pytest.raises(ModelError, match=r"rows=.all."):
            call(RESIDUES, PottsModel(), rows="all")  # type: ignore[operator]
        with pytest.raises(UsageError, match=r"rows=.some."):
            call(RESIDUES, PottsModel(), rows="some")  # type: ignore[operator]
