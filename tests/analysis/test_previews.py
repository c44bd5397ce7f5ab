"""Previews of the contact map: which frames come, in which order, and that the last is exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import random_esm2
from scipy.stats import spearmanr

import catjac
from catjac_widgets.analysis.previews import preview as previews
from catjac_widgets.engine.backends.threads import Priority, worker_for
from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.engine.jobs.job import Job
from catjac_widgets.engine.plans.request import make_request
from catjac_widgets.errors import MaskError, SequenceError, UsageError
from catjac_widgets.language_models.potts.adapter import random_potts

WW = catjac.examples()["ww"].sequence

pytestmark = pytest.mark.usefixtures("kernels")


@pytest.fixture(autouse=True)
def empty_cache(own_cache: Path) -> None:
    """No Jacobian of another test is at hand."""


def labels_of(frames: list[Any]) -> list[str]:
    return [frame.attrs["label"] for frame in frames]


def test_frames_come_in_order_of_cost_and_end_exact() -> None:
    frames = list(catjac.preview(WW, "mini"))
    found = labels_of(frames)
    assert found[:3] == ["contact head", "preview, first order", "preview, 3 letters"]
    assert found[-1] == "Jacobian"
    assert [frame.attrs["quantity"] for frame in frames] == ["contact probability"] + ["contact score"] * (
        len(frames) - 1
    )
    shares = [int(label.removeprefix("Jacobian, ").removesuffix(" %")) for label in found[3:-1]]
    assert shares == sorted(set(shares))
    assert all(0 < share < 100 for share in shares)
    for frame in frames:
        assert frame.dims == ("pos_i", "pos_j")
        assert frame.shape == (len(WW), len(WW))
        np.testing.assert_allclose(frame, frame.T, atol=1e-6)
        assert not np.isnan(frame).any()
    exact = catjac.contacts(catjac.jacobian(WW, "mini", progress=False))
    assert np.array_equal(frames[-1].values, exact.values)
    far = np.triu_indices(len(WW), 6)
    agreement = [spearmanr(frame.values[far], exact.values[far])[0] for frame in frames[1:]]
    assert agreement[1] > 0.8
    assert agreement[1] > agreement[0] > 0.5
    # Maps are all of one definition: what a step adds, rows as they are or exact, moves the picture on.
    # (a letter run in eight bits and the exact row of it differ in the fourth digit)
    assert (np.diff(agreement) > -1e-3).all()
    assert agreement[-1] == pytest.approx(1)
    assert {frame.attrs["order"] for frame in frames[1:]} == {"A"}


def test_no_approximate_map_says_that_it_is_exact() -> None:
    frames = list(catjac.preview(WW, "mini", letters=1))
    assert "numerics" not in frames[0].attrs  # the contact head is no Jacobian
    assert [frame.attrs["numerics"] for frame in frames[1:3]] == ["approximate"] * 2
    assert {frame.attrs["numerics"] for frame in frames[3:-1]} <= {"approximate"}
    assert frames[-1].attrs["numerics"] == "exact"
    assert [frame.attrs["kind"] for frame in frames] == labels_of(frames)


def test_long_previews_show_every_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "SHOW_EACH_SECONDS", 0.0)
    found = labels_of(list(catjac.preview(WW, "mini", letters=2)))
    assert found[1:4] == ["preview, first order", "preview, 1 letter", "preview, 2 letters"]


def test_all_letters_are_the_exact_map_but_for_rounding() -> None:
    """Nineteen letters of each position are all; in whatever numbers the processor multiplies them."""
    model = catjac.wrap(random_esm2(2).double())
    frames = list(catjac.preview("ACDEFGHIKLMN", model, letters=19))
    found = frames[labels_of(frames).index("preview, 19 letters")]
    np.testing.assert_allclose(found, frames[-1], atol=1e-5)


def test_a_known_jacobian_is_all_that_is_shown() -> None:
    exact = catjac.contacts(catjac.jacobian(WW, "mini", progress=False))
    frames = list(catjac.preview(WW, "mini"))
    assert labels_of(frames) == ["Jacobian"]
    assert np.array_equal(frames[0].values, exact.values)


def test_masked_residues_stay_out() -> None:
    mask = catjac.Mask.showing(WW, [(3, 20), (25, 30)])
    frames = list(catjac.preview(WW, "mini", letters=1, mask=mask))
    exact = catjac.contacts(catjac.jacobian(WW, "mini", mask=mask, progress=False))
    hidden = mask.array
    for frame in frames[1:]:
        assert np.isnan(frame.values[hidden]).all()
        assert not np.isnan(frame.values[np.ix_(~hidden, ~hidden)]).any()
    assert np.array_equal(frames[-1].values, exact.values, equal_nan=True)


def test_two_chains_with_a_linker() -> None:
    chains = "ACDEFGHIK:LMNPQRSTVW"
    frames = list(catjac.preview(chains, catjac.wrap(random_esm2(2)), letters=1, linker="GGG"))
    assert all(frame.shape == (19, 19) for frame in frames)
    assert list(frames[1].chain_i.values) == ["A"] * 9 + ["B"] * 10
    joined = catjac.jacobian(chains, catjac.wrap(random_esm2(2)), linker="GGG", progress=False)
    assert np.array_equal(frames[-1].values, catjac.contacts(joined).values)


def test_rows_take_the_place_of_the_preview() -> None:
    """With half of the rows exact, the map is that of the two halves put together."""
    model = catjac.wrap(random_esm2(2))
    residues = "ACDEFGHIKLMNPQ"
    options = {"progress": False, "cache": False}
    exact = catjac.jacobian(residues, model, **options)
    steps = [step for step in model.first_order(residues, None, (1,)) if step is not None]
    approximate = steps[-1][1]

    class Halfway:
        """A sweep that has done its first half, and ends at the second look."""

        partial = exact.copy(data=np.where(np.arange(14)[:, None, None, None] < 7, exact.values, np.nan))
        looks = 0

        def wait(self, seconds: float) -> bool:
            self.looks += 1
            return self.looks > 1

        @property
        def progress(self) -> Any:
            return type("Progress", (), {"rows_done": 7, "rows_total": 14})()

        def result(self) -> Any:
            return exact

    plan = make_request(residues, model).plan
    job: Any = Halfway()
    first, last = previews.exact_frames(plan, job, approximate, 8, "")
    assert labels_of([first, last]) == ["Jacobian, 50 %", "Jacobian"]
    assert [frame.attrs["numerics"] for frame in (first, last)] == ["approximate", "exact"]
    mixed = np.concatenate([exact.values[:7], approximate[7:]])
    np.testing.assert_array_equal(first.values, catjac.contacts(exact.copy(data=mixed)).values)
    assert np.array_equal(last.values, catjac.contacts(exact).values)


def test_potts_models_give_exact_rows_and_say_why() -> None:
    model = random_potts(12, letters="ACDEFGHIKLMNPQRSTVWY", seed=1)
    residues = model.letters[:12]
    frames = list(catjac.preview(residues, model))
    assert all(label.startswith("Jacobian") for label in labels_of(frames))
    assert frames[-1].attrs["label"] == "Jacobian"
    assert "offers no preview" in frames[-1].attrs["note"]
    expected = catjac.contacts(catjac.jacobian(residues, model, progress=False))
    assert np.array_equal(frames[-1].values, expected.values)


def test_altered_models_give_exact_rows_and_say_why() -> None:
    altered = random_esm2(2)
    altered.layers[1].register_forward_hook(lambda *_: None)
    with pytest.warns(CacheWarning, match="cannot be seen through"):
        frames = list(catjac.preview("ACDEFGHIK", catjac.wrap(altered)))
    assert labels_of(frames)[0] == "contact head"
    assert all(label.startswith("Jacobian") for label in labels_of(frames)[1:])
    assert "altered" in frames[-1].attrs["note"]


def rows_kept(sequence: Any) -> int:
    """How many rows the cache has, once the device has nothing more to do."""
    worker_for("cpu").submit_call(lambda: None, Priority.BACKGROUND).result(60)
    return Job(make_request(sequence, "mini")).rows_in_cache


def test_leaving_early_cancels_the_sweep() -> None:
    sequence = catjac.examples()["fibronectin"].sequence
    frames = catjac.preview(sequence, "mini", letters=0, frames=80)
    for frame in frames:
        if frame.attrs["label"].startswith("Jacobian,"):
            break
    frames.close()
    assert 0 < rows_kept(sequence) < len(sequence)


def test_leaving_during_the_preview_starts_no_sweep() -> None:
    frames = catjac.preview(WW, "mini")
    assert next(frames).attrs["label"] == "contact head"
    assert next(frames).attrs["label"] == "preview, first order"
    frames.close()
    assert rows_kept(WW) == 0
    with torch.no_grad():  # the model is free again
        assert catjac.contact_head(WW, "mini").shape == (len(WW), len(WW))


def test_bad_requests_are_refused_at_once() -> None:
    for letters in (-1, 20, 1.5, True):
        with pytest.raises(UsageError, match="letters="):
            catjac.preview(WW, letters=letters)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="frames="):
        catjac.preview(WW, frames=0)
    with pytest.raises(SequenceError):
        catjac.preview("A")
    with pytest.raises(MaskError):
        catjac.preview(WW, mask=[True] * len(WW))
