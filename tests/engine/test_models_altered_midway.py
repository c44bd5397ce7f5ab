"""Models that are altered while a job runs, and what is kept of models that cannot be seen through."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cache_counts import Counts
from checkpoints import random_esm2, write_esm2

import catjac
from catjac_widgets.engine.api import jacobian
from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.engine.jobs.frames import Frames
from catjac_widgets.engine.jobs.job import Job
from catjac_widgets.engine.plans.request import make_request
from catjac_widgets.errors import ModelError, UsageError
from catjac_widgets.language_models.registry import register_model, release_models, wrap
from catjac_widgets.proteins.masks import Mask

RESIDUES = "MKTAYIAKQR"


def through_data(model: Any) -> None:
    model.layers[0].fc1.weight.data.neg_()


def in_place(model: Any) -> None:
    with torch.no_grad():
        model.layers[0].fc1.weight.neg_()


def hooked(model: Any) -> None:
    model.layers[0].fc1.register_forward_hook(lambda module, args, output: -output)


def of_other_settings(model: Any) -> None:
    model.layers[0].final_layer_norm.eps = 1.0


@pytest.mark.parametrize("alter", [through_data, in_place, hooked, of_other_settings])
def test_a_model_that_is_altered_in_a_job_ends_it_and_none_of_its_rows_is_kept(
    alter: Callable[[Any], None], counts: Counts
) -> None:
    model = random_esm2()
    wanted = jacobian(RESIDUES, random_esm2(), cache=False, progress=False)
    job = Job(make_request(RESIDUES, model, batch_size=19))
    altered: list[int] = []

    def once(position: int, _: np.ndarray) -> None:
        if position == 3 and not altered:
            altered.append(position)
            alter(model)

    job.add_listener(row=once)
    job.start()
    with pytest.raises(ModelError, match="was altered while"):
        job.result(60)
    # What the altered model made does not answer for the unaltered one.
    made = jacobian(RESIDUES, random_esm2(), progress=False)
    np.testing.assert_allclose(made.values, wanted.values, rtol=0, atol=2e-5)


def test_rows_of_a_cancelled_job_are_taken_back_where_the_model_was_altered() -> None:
    model = random_esm2()
    wanted = jacobian(RESIDUES, random_esm2(), cache=False, progress=False)
    job = Job(make_request(RESIDUES, model, batch_size=19))

    def alter_and_cancel(position: int, _: np.ndarray) -> None:
        if position == 3:
            through_data(model)
        if position == 6:
            job.cancel()

    job.add_listener(row=alter_and_cancel)
    job.start()
    job.wait(60)
    assert job.state == "cancelled"
    made = jacobian(RESIDUES, random_esm2(), progress=False)
    np.testing.assert_allclose(made.values, wanted.values, rtol=0, atol=2e-5)


def test_a_name_means_the_file_whatever_was_done_to_a_model_of_that_name(tmp_path: Path) -> None:
    path = write_esm2(random_esm2(), tmp_path)
    wanted = jacobian(RESIDUES, path, cache=False, progress=False)
    head = catjac.contact_head(RESIDUES, path)
    handed_out = catjac.load_model(path)
    through_data(handed_out.model)
    np.testing.assert_array_equal(catjac.contact_head(RESIDUES, path).values, head.values)
    through_data(catjac.load_model(path).model)
    made = jacobian(RESIDUES, path, cache=False, progress=False)
    np.testing.assert_array_equal(made.values, wanted.values)
    ends = jacobian(RESIDUES, f"masked_ends:{path}", cache=False, progress=False)
    through_data(catjac.load_model(path).model)
    again = jacobian(RESIDUES, f"masked_ends:{path}", cache=False, progress=False)
    np.testing.assert_array_equal(again.values, ends.values)
    # The model that was altered is not the one that the name gives, and goes by its own weights.
    altered = jacobian(RESIDUES, handed_out, progress=False)
    assert abs(altered.values - wanted.values).max() > 1e-3


@pytest.mark.parametrize("alter", [through_data, in_place, hooked])
@pytest.mark.filterwarnings("ignore:Results of")
def test_a_registered_model_that_its_owner_alters_is_another(alter: Callable[[Any], None]) -> None:
    model = random_esm2()
    register_model("altered by its owner", lambda: (model, model.alphabet))
    jacobian(RESIDUES, "altered by its owner", progress=False)
    alter(model)
    made = jacobian(RESIDUES, "altered by its owner", progress=False)
    wanted = jacobian(RESIDUES, model, cache=False, progress=False)
    np.testing.assert_allclose(made.values, wanted.values, rtol=0, atol=2e-5)
    release_models()
    alter(model)
    made = jacobian(RESIDUES, "altered by its owner", progress=False)
    wanted = jacobian(RESIDUES, model, cache=False, progress=False)
    np.testing.assert_allclose(made.values, wanted.values, rtol=0, atol=2e-5)


def test_a_frame_of_a_name_is_that_of_the_file(tmp_path: Path) -> None:
    path = write_esm2(random_esm2(), tmp_path)

    def frame() -> np.ndarray:
        found: list[np.ndarray] = []
        wrong: list[BaseException] = []
        there = threading.Event()
        frames.ask(
            Mask.none(RESIDUES),
            lambda made: (found.append(made), there.set()),
            lambda error: (wrong.append(error), there.set()),
        )
        assert there.wait(60)
        assert not wrong
        return found[0]

    frames = Frames(lambda model, mask: model.contact_probabilities(RESIDUES, [None])[0], path)
    before = frame()
    in_place(catjac.load_model(path).model)
    np.testing.assert_array_equal(frame(), before)


# -- what is kept


def test_nothing_is_kept_of_what_cannot_be_seen_through(counts: Counts) -> None:
    model = random_esm2()
    hooked(model)
    for _ in range(2):
        with pytest.warns(CacheWarning, match=r"layers.0.fc1: hooked.*fingerprint="):
            jacobian(RESIDUES, (model, model.alphabet), progress=False)
    assert counts() == (20, 0, 0)
    assert catjac.cache.info().entries == 0
    with pytest.raises(UsageError, match=r"hooked.*lazy=True"):
        jacobian(RESIDUES, model, lazy=True, progress=False)


def test_a_fingerprint_of_ones_own_keeps_it(counts: Counts) -> None:
    model = random_esm2()
    hooked(model)
    one = wrap(model, fingerprint="minus fc1")
    first = jacobian(RESIDUES, one, progress=False)
    np.testing.assert_array_equal(jacobian(RESIDUES, one, progress=False).values, first.values)
    assert counts() == (10, 10, 0)
    jacobian(RESIDUES, wrap(model, fingerprint="another"), progress=False)
    through_data(model)
    jacobian(RESIDUES, one, progress=False)
    assert counts() == (30, 10, 0)


def test_settings_that_were_altered_are_part_of_the_key(counts: Counts) -> None:
    for _ in range(2):
        model = random_esm2()
        of_other_settings(model)
        jacobian(RESIDUES, model, progress=False)
    assert counts() == (10, 10, 0)


@pytest.mark.parametrize("alter", [hooked, of_other_settings])
def test_an_altered_model_refuses_numerics_that_know_fair_esms_own_layers_only(
    alter: Callable[[Any], None],
) -> None:
    model = random_esm2()
    alter(model)
    with pytest.raises(ModelError, match="altered"):
        jacobian(RESIDUES, model, numerics="delta", cache=False, progress=False)


def test_a_scan_of_masks_keeps_nothing_of_what_cannot_be_seen_through() -> None:
    from catjac_widgets.analysis.contacts.head import CONTACT_HEAD_MAPS
    from catjac_widgets.engine.jobs.mask_scan import scan_masks
    from catjac_widgets.proteins.reading import as_sequence

    model, cell = random_esm2(), [1.0]
    model.layers[0].fc1.register_forward_hook(lambda module, args, output: cell[0] * output)
    masks = np.eye(len(RESIDUES), dtype=bool)

    def maps() -> np.ndarray:
        found: list[np.ndarray] = []
        with pytest.warns(CacheWarning, match="hooked"):
            scan_masks(
                as_sequence(RESIDUES),
                model,
                masks,
                lambda _, made: found.append(made),
                maps=CONTACT_HEAD_MAPS,
                progress=False,
            )
        return np.concatenate(found)

    first = maps()
    cell[0] = 3.0
    assert abs(maps() - first).max() > 1e-4
