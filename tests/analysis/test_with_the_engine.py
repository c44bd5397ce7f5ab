"""Analyses of Jacobians as the engine makes, stores and opens them."""

from __future__ import annotations

import warnings

import numpy as np
import plain_pipelines as plain
import pytest
import xarray as xr
from labelled_arrays import random_sequence
from stubs import PottsModel, SlowModel

import catjac_widgets
from catjac_widgets.analysis.contacts import maps as contact_maps
from catjac_widgets.engine.cache import stored
from catjac_widgets.errors import CacheError, JacobianError
from catjac_widgets.proteins.alphabets import ESM_LETTERS
from catjac_widgets.proteins.masks import Mask


def test_the_accessor_comes_with_the_first_jacobian():
    J = catjac_widgets.jacobian("ACDEFG", PottsModel(seed=1), progress=False)
    assert J.catjac.contacts().identical(catjac_widgets.contacts(J))
    assert J.catjac.sequence.residues == "ACDEFG"


@pytest.mark.parametrize("variant", ["full", "fast"])
@pytest.mark.parametrize("hidden", [[], [(3, 5)]])
def test_the_stored_map_is_the_computed_one(own_cache, variant, hidden):
    residues = random_sequence(9, 2)
    mask = Mask.hiding(residues, hidden) if hidden else None
    model = PottsModel(seed=2, symmetric=False)
    J = catjac_widgets.jacobian(residues, model, variant=variant, mask=mask, progress=False)
    found = stored.contacts(J)
    assert found is not None
    np.testing.assert_allclose(found.values, catjac_widgets.contacts(J).values, atol=1e-5)


@pytest.mark.parametrize("order", ["A", "A'", "B", "C", "plain"])
@pytest.mark.parametrize("variant", ["full", "fast"])
def test_a_lazy_jacobian_gives_the_same_map(own_cache, variant, order):
    residues, model = random_sequence(9, 3), PottsModel(seed=3, symmetric=False)
    J = catjac_widgets.jacobian(residues, model, variant=variant, progress=False)
    lazy = catjac_widgets.jacobian(residues, model, variant=variant, lazy=True, progress=False)
    assert not lazy.variable._in_memory
    found = catjac_widgets.contacts(lazy, order=order)
    np.testing.assert_allclose(found.values, catjac_widgets.contacts(J, order=order).values, atol=1e-5)
    assert found.attrs == catjac_widgets.contacts(J, order=order).attrs
    assert not lazy.variable._in_memory


@pytest.mark.parametrize("variant", ["full", "fast"])
@pytest.mark.parametrize("hidden", [(), [(3, 4)]])
def test_the_sensitivity_of_a_stored_jacobian_needs_no_row(own_cache, variant, hidden):
    residues, model = random_sequence(9, 5), PottsModel(seed=5, symmetric=False)
    mask = Mask.hiding(residues, hidden) if hidden else None
    options = {"variant": variant, "mask": mask, "progress": False}
    expected = catjac_widgets.sensitivity(catjac_widgets.jacobian(residues, model, **options))
    lazy = catjac_widgets.jacobian(residues, model, lazy=True, **options)
    read = catjac_widgets.cache.info().rows_read
    for row in own_cache.rglob("jacobian/c.*"):
        row.write_bytes(b"x" * row.stat().st_size)  # whoever reads one finds out
    with pytest.raises(CacheError, match="checksum"):
        lazy[0].load()
    found = catjac_widgets.sensitivity(lazy)
    assert catjac_widgets.cache.info().rows_read == read
    assert set(found.data_vars) == set(expected.data_vars)
    for name in expected.data_vars:
        scale = float(np.nanmax(np.abs(expected[name].values)))
        np.testing.assert_allclose(found[name].values, expected[name].values, rtol=1e-6, atol=1e-6 * scale)
    assert found.attrs == expected.attrs


def test_the_sensitivity_of_altered_numbers_is_theirs(own_cache):
    residues, model = random_sequence(9, 6), PottsModel(seed=6, symmetric=False)
    J = catjac_widgets.jacobian(residues, model, lazy=True, progress=False)
    S = catjac_widgets.sensitivity(J)
    doubled = catjac_widgets.sensitivity((2 * J).assign_attrs(J.attrs))
    np.testing.assert_allclose(doubled["influence"], 2 * S["influence"], rtol=1e-5)


def test_the_stored_map_is_taken_for_what_is_on_disk_only(own_cache, monkeypatch):
    residues, model = random_sequence(8, 4), PottsModel(seed=4)
    J = catjac_widgets.jacobian(residues, model, progress=False)
    lazy = catjac_widgets.jacobian(residues, model, lazy=True, progress=False)
    computed = []
    corrected = contact_maps._corrected
    monkeypatch.setattr(contact_maps, "_corrected", lambda *args: computed.append(1) or corrected(*args))
    catjac_widgets.contacts(lazy)
    assert not computed
    # Same attributes, other numbers.
    np.testing.assert_allclose(
        catjac_widgets.contacts(2 * lazy).values, 2 * catjac_widgets.contacts(J).values, rtol=1e-5, atol=1e-5
    )
    catjac_widgets.contacts(J)
    catjac_widgets.contacts(lazy, diag="none")
    catjac_widgets.contacts(lazy.isel(pos_in=slice(1, 6), pos_out=slice(1, 6)))
    assert len(computed) == 5


def test_the_map_of_a_stored_jacobian_reads_no_row(own_cache):
    residues, model = random_sequence(8, 9), PottsModel(seed=9)
    lazy = catjac_widgets.jacobian(residues, model, lazy=True, progress=False)
    expected = catjac_widgets.contacts(lazy.load().copy())
    lazy = catjac_widgets.jacobian(residues, model, lazy=True, progress=False)
    chunks = list(own_cache.glob("*/*/arrays.zarr/jacobian/c.*"))
    assert len(chunks) == 8
    for chunk in chunks:
        chunk.unlink()
    found = catjac_widgets.contacts(lazy)
    np.testing.assert_allclose(found.values, expected.values, atol=1e-5)
    assert found.attrs == expected.attrs
    xr.testing.assert_equal(found.coords.to_dataset(), expected.coords.to_dataset())


def test_the_stored_map_is_not_taken_for_rows_in_another_order_or_place(own_cache, tmp_path):
    residues, model = random_sequence(8, 10), PottsModel(seed=10, symmetric=False)
    lazy = catjac_widgets.jacobian(residues, model, lazy=True, progress=False)
    assert stored.contacts(lazy) is not None
    assert stored.contacts(lazy[::-1, :, ::-1]) is None
    assert stored.contacts(lazy[:, ::-1]) is None
    J = lazy.copy().load()
    np.testing.assert_allclose(
        catjac_widgets.contacts(lazy[::-1, :, ::-1]).values,
        catjac_widgets.contacts(J).values[::-1, ::-1],
        atol=1e-5,
    )
    # Another file with the same labels and other numbers.
    doubled = (2 * J).assign_attrs(J.attrs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        doubled.to_dataset().to_zarr(tmp_path / "doubled.zarr")
    with xr.open_zarr(tmp_path / "doubled.zarr", chunks=None) as opened:
        found = catjac_widgets.contacts(opened["jacobian"]).values
    np.testing.assert_allclose(found, 2 * catjac_widgets.contacts(J).values, rtol=1e-5, atol=1e-5)


def test_epistasis_of_a_potts_model_through_the_engine():
    residues = random_sequence(7, 5)
    model = PottsModel(seed=5)
    E = catjac_widgets.epistasis(catjac_widgets.jacobian(residues, model, numerics="float64", progress=False))
    _, W = model.parameters_for(7)
    x = [ESM_LETTERS.index(letter) for letter in residues]
    rows = np.arange(7)
    single = W[rows, x]
    expected = W - single[:, None] - W[:, :, rows, x][..., None] + single[:, rows, x][:, None, :, None]
    np.testing.assert_allclose(E.values, expected, atol=1e-10)
    np.testing.assert_allclose(E.values, E.values.transpose(2, 3, 0, 1), atol=1e-10)


def test_maps_of_a_potts_model_through_the_engine_are_those_of_its_couplings():
    residues, model = random_sequence(8, 6), PottsModel(seed=6)
    J = catjac_widgets.jacobian(residues, model, numerics="float64", progress=False)
    _, W = model.parameters_for(8)
    x = [ESM_LETTERS.index(letter) for letter in residues]
    raw = W - W[np.arange(8), x][:, None]
    for order in ("A", "A'", "C", "plain"):
        np.testing.assert_allclose(
            catjac_widgets.contacts(J, order=order).values, plain.contacts(raw, order), atol=1e-10
        )


def test_a_job_in_progress_gives_a_partial_map():
    residues = random_sequence(12, 7)
    job = catjac_widgets.submit(residues, SlowModel(seconds=0.2, seed=7), cache=False, batch_size=19)
    try:
        while job.progress.rows_done < 3:
            job.wait(0.02)
        partial = job.partial
    finally:
        job.cancel()
    with pytest.raises(JacobianError, match="of 12 rows are not computed"):
        catjac_widgets.contacts(partial)
    C = catjac_widgets.contacts(partial, allow_partial=True)
    done = int(np.isfinite(C.values).any(axis=1).sum())
    assert C.attrs["kind"] == f"Jacobian, {100 * done // 12} %"


def test_some_positions_of_the_engine_are_partial_to_a_map():
    J = catjac_widgets.jacobian("ACDEFGHI", PottsModel(seed=8), positions=[2, 5], progress=False)
    with pytest.raises(JacobianError, match="6 of 8 rows are not computed"):
        catjac_widgets.contacts(J)
    assert catjac_widgets.epistasis(J).shape == (2, 20, 8, 20)
