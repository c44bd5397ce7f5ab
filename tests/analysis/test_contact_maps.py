from __future__ import annotations

import tracemalloc

import numpy as np
import plain_pipelines as plain
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_arrays import labelled, potts_couplings, potts_jacobian, random_jacobian, random_sequence

from catjac_widgets.analysis.contacts.maps import contacts
from catjac_widgets.analysis.contacts.operations import centre, symmetrise
from catjac_widgets.block_math import pairs as block_pairs
from catjac_widgets.errors import JacobianError, UsageError
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Chain, Sequence

ORDERS = ["A", "A'", "B", "C", "plain"]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("fast", [False, True])
def test_every_order_equals_its_published_pipeline(order, fast):
    J = random_jacobian(9, fast=fast)
    np.testing.assert_allclose(
        contacts(J, order=order).values, plain.contacts(J.values.astype(np.float64), order), atol=1e-12
    )


@pytest.mark.parametrize("order", ["A", "A'", "B", "C"])
@pytest.mark.parametrize("diag", ["zero", "normalize", "none"])
@pytest.mark.parametrize("removed", [0, 1, 2, 3])
def test_every_option_equals_its_published_pipeline(order, diag, removed):
    J = random_jacobian(6, seed=removed)
    expected = plain.contacts(J.values.astype(np.float64), order, diag, removed)
    found = contacts(J, order=order, diag=diag, removed=removed)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    assert (found.attrs["order"], found.attrs["diagonal"], found.attrs["removed"]) == (order, diag, removed)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("symm", [False, True])
@pytest.mark.parametrize(("diag", "said"), [("remove", "zero"), ("normalize", "normalize"), ("none", "none")])
@pytest.mark.parametrize("corrected", [False, True])
def test_every_option_of_colabbio(fast, center, symm, diag, said, corrected):
    J = random_jacobian(7, fast=fast)
    expected = plain.colabbio(J.values.astype(np.float64), center, symm, diag, corrected)
    found = contacts(J, order="B", centre=center, symmetrise=symm, diag=said, removed=int(corrected))
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    assert (found.attrs["centred"], found.attrs["symmetrised"]) == (center, symm)


@pytest.mark.parametrize("order", ["A", "A'", "B", "C"])
@pytest.mark.parametrize(("centre_first", "symm"), [(False, True), (True, False), (False, False)])
def test_every_order_without_centring_or_symmetrising(order, centre_first, symm):
    J = random_jacobian(7)
    expected = plain.contacts(J.values.astype(np.float64), order, centring=centre_first, symm=symm)
    found = contacts(J, order=order, centre=centre_first, symmetrise=symm)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    assert np.abs(found.values - contacts(J, order=order).values).max() > 1e-2


def test_a_map_that_is_not_symmetrised_runs_from_the_substituted_to_the_read_position():
    J = random_jacobian(5)
    J[1] = 0
    C = contacts(J, centre=False, symmetrise=False, removed=0)
    assert not C.sel(pos_i=2).values.any()
    assert (C.sel(pos_j=2, pos_i=[1, 3, 4, 5]).values > 0).all()


def test_orders_a_and_b_agree_and_the_others_do_not():
    J = random_jacobian(8)
    maps = {order: contacts(J, order=order).values for order in ORDERS}
    np.testing.assert_allclose(maps["A"], maps["B"], atol=1e-13)
    for order in ("A'", "C", "plain"):
        assert np.abs(maps["A"] - maps[order]).max() > 1e-2


def test_kept_diagonal():
    C = contacts(random_jacobian(6), diag="normalize", removed=0)
    np.testing.assert_allclose(np.diagonal(C), 1, atol=1e-14)
    assert not np.diagonal(contacts(random_jacobian(6))).any()


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.floats(0.01, 100), st.sampled_from(ORDERS))
@settings(max_examples=25, deadline=None)
def test_scaling_the_jacobian_scales_the_map(seed, size, factor, order):
    J = random_jacobian(size, seed).astype(np.float64)
    C = contacts(J, order=order)
    np.testing.assert_allclose(
        contacts(factor * J, order=order).values, factor * C.values, rtol=1e-9, atol=1e-9 * factor
    )


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.sampled_from(["A", "A'", "B", "C"]))
@settings(max_examples=25, deadline=None)
def test_maps_are_symmetric(seed, size, order):
    C = contacts(random_jacobian(size, seed), order=order).values
    np.testing.assert_allclose(C, C.T, atol=1e-12)


def test_a_jacobian_of_zeros_gives_zeros():
    J = labelled(np.zeros((4, 20, 4, 20)), "ACDE")
    for diag in ("zero", "none", "normalize"):
        assert not contacts(J, diag=diag).values.any()


def test_normalising_by_a_zero_diagonal_is_refused():
    # Rows, columns and letters already sum to zero, so centring leaves the zeros on the diagonal where they
    # are.
    pattern = np.array([[2.0, 1, -3], [1, 0, -1], [-3, -1, 4]])
    letters = np.outer([1.0, -1] * 10, [1.0, -1] * 10)
    J = labelled(pattern[:, None, :, None] * letters[:, None, :], "ACD")
    with pytest.raises(JacobianError, match=r"diagonal, which is 0 at position 2"):
        contacts(J, diag="normalize", allow_centred=True)
    found = contacts(J, diag="none", removed=0, allow_centred=True)
    np.testing.assert_allclose(found.values, 20 * np.abs(pattern), atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("fast", [False, True])
def test_under_a_mask_only_visible_residues_count(order, fast):
    sequence = random_sequence(9)
    mask = Mask.showing(sequence, [(2, 4), (7, 8)])
    J = random_jacobian(sequence=sequence, mask=mask, fast=fast)
    shown = mask.visible - 1
    C = contacts(J, order=order).values
    square = J.values[shown][:, :, shown].astype(np.float64)
    np.testing.assert_allclose(C[np.ix_(shown, shown)], plain.contacts(square, order), atol=1e-12)
    hidden = mask.array
    assert np.isnan(C[hidden]).all()
    assert np.isnan(C[:, hidden]).all()


def test_a_mask_changes_nothing_for_a_potts_model_but_leaves_residues_out():
    sequence = random_sequence(7)
    W = potts_couplings(7)
    mask = Mask.hiding(sequence, [(3, 3)])
    whole, masked = potts_jacobian(W, sequence), potts_jacobian(W, sequence, mask=mask)
    shown = mask.visible
    np.testing.assert_allclose(
        contacts(masked).sel(pos_i=shown, pos_j=shown).values,
        contacts(whole.sel(pos_in=shown, pos_out=shown)).values,
        atol=1e-13,
    )


def test_nothing_or_one_residue_visible_is_refused():
    for text in ([(3, 3)], []):
        mask = Mask.showing("ACDEF", text)
        with pytest.raises(JacobianError, match="at least two visible residues"):
            contacts(random_jacobian(sequence="ACDEF", mask=mask))


def test_a_partial_jacobian_is_refused_unless_told():
    J = random_jacobian(8)
    J[[2, 5]] = np.nan
    with pytest.raises(JacobianError, match=r"2 of 8 rows are not computed: positions 3, 6; .*allow_partial"):
        contacts(J)
    C = contacts(J, allow_partial=True)
    assert C.attrs["kind"] == "Jacobian, 75 %"
    there = [0, 1, 3, 4, 6, 7]
    np.testing.assert_allclose(
        C.values[np.ix_(there, there)],
        plain.contacts(J.values[there][:, :, there].astype(np.float64), "A"),
        atol=1e-12,
    )


def test_rows_of_some_positions_only_are_partial():
    J = random_jacobian(8).sel(pos_in=[2, 3, 7])
    with pytest.raises(JacobianError, match=r"5 of 8 rows are not computed"):
        contacts(J)
    C = contacts(J, allow_partial=True)
    assert C.shape == (8, 8)
    assert int(np.isfinite(C).sum()) == 9


def test_without_attributes_missing_rows_are_not_taken_for_masked_ones():
    sequence = random_sequence(6)
    J = random_jacobian(sequence=sequence, mask=Mask.hiding(sequence, [(2, 2)]))
    with pytest.raises(JacobianError, match=r"attributes.*gone"):
        contacts(J.drop_attrs())
    np.testing.assert_allclose(
        contacts(J.drop_attrs(), allow_partial=True).values, contacts(J).values, atol=0
    )


def test_columns_without_rows_and_rows_without_columns():
    J = random_jacobian(6)
    with pytest.raises(JacobianError, match="position 1 of pos_in is not in pos_out"):
        contacts(J.isel(pos_out=slice(1, None)))


def test_a_square_selection_is_a_map_of_its_own():
    J = random_jacobian(9)
    part = J.sel(pos_in=slice(3, 7), pos_out=slice(3, 7))
    C = contacts(part)
    np.testing.assert_allclose(
        C.values, plain.contacts(J.values[2:7, :, 2:7].astype(np.float64), "A"), atol=1e-12
    )
    assert list(C["pos_i"].values) == [3, 4, 5, 6, 7]
    assert list(C["residue_i"].values) == list(part["residue_out"].values)


def test_order_of_letters_positions_and_axes_does_not_matter():
    J = random_jacobian(6)
    expected = contacts(J)
    generator = np.random.default_rng(0)
    moved = J.isel(aa_in=generator.permutation(20), pos_in=generator.permutation(6))
    moved = moved.transpose("aa_out", "pos_in", "pos_out", "aa_in")
    np.testing.assert_allclose(contacts(moved).values, expected.values, atol=1e-13)


def test_arithmetic_on_jacobians():
    J, other = random_jacobian(5, 1, sequence="ACDEF"), random_jacobian(5, 2, sequence="ACDEF")
    difference = J - other
    np.testing.assert_allclose(
        contacts(difference).values, plain.contacts(difference.values.astype(np.float64), "A"), atol=1e-12
    )


def test_what_was_selected_away_is_named():
    J = random_jacobian(5)
    with pytest.raises(JacobianError, match="no axis aa_in"):
        contacts(J.sel(aa_in="K"))
    with pytest.raises(JacobianError, match="no axis pos_in and pos_out"):
        contacts(J.sel(pos_in=2, pos_out=4))
    with pytest.raises(JacobianError, match="further axis model"):
        contacts(xr.concat([J, J], dim="model"))
    with pytest.raises(JacobianError, match="twice along pos_in"):
        contacts(J.isel(pos_in=[0, 0, 1]))


def test_a_centred_jacobian_is_refused_unless_told():
    J = random_jacobian(5)
    with pytest.raises(JacobianError, match="is centred, not raw"):
        contacts(centre(J))
    np.testing.assert_allclose(
        contacts(symmetrise(centre(J.astype(float))), allow_centred=True).values,
        contacts(J).values,
        atol=1e-12,
    )


def through_netcdf(J, folder):
    J.to_netcdf(folder / "J.nc")
    return xr.load_dataarray(folder / "J.nc")


def through_zarr(J, folder):
    J.to_dataset(name="jacobian").to_zarr(folder / "J.zarr")
    return xr.open_zarr(folder / "J.zarr")["jacobian"]


@pytest.mark.parametrize(
    "afterwards",
    [
        lambda J, _: J.sel(pos_in=slice(2, 5), pos_out=slice(2, 5)),
        lambda J, _: 2 * J,
        lambda J, _: J + J,
        lambda J, _: (J - 1).transpose(*J.dims[::-1]),
        lambda J, _: J.chunk({"pos_in": 2}),
        through_netcdf,
        through_zarr,
    ],
)
def test_a_centred_jacobian_is_refused_whatever_was_done_to_it(tmp_path, afterwards):
    moved = afterwards(centre(random_jacobian(7)), tmp_path)
    with pytest.raises(JacobianError, match="is centred, not raw"):
        contacts(moved)
    assert contacts(moved, allow_centred=True).sizes["pos_i"] == moved.sizes["pos_out"]


def test_a_jacobian_centred_by_hand_is_refused():
    J = random_jacobian(6)
    by_hand = J - J.mean("pos_in")
    assert by_hand.attrs["kind"] == "raw"
    with pytest.raises(JacobianError, match="averages to zero over pos_in"):
        contacts(by_hand)


@pytest.mark.parametrize("afterwards", [lambda J, _: 2 * J, through_netcdf, through_zarr])
def test_a_partial_jacobian_is_refused_whatever_was_done_to_it(tmp_path, afterwards):
    J = random_jacobian(7)
    J[2] = np.nan
    with pytest.raises(JacobianError, match="1 of 7 rows are not computed: position 3"):
        contacts(afterwards(J, tmp_path))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"order": "D"}, "order='D' is none of"),
        ({"diag": "drop"}, "diag='drop' is none of"),
        ({"removed": -1}, "removed=-1"),
        ({"removed": 1.5}, "removed=1.5"),
        ({"removed": 99}, "removed=99"),
        ({"order": "plain", "removed": 0}, "leave out centre, symmetrise, diag, removed"),
        ({"order": "plain", "centre": False}, "leave out centre, symmetrise, diag, removed"),
        ({"order": "plain", "symmetrise": False}, "leave out centre, symmetrise, diag, removed"),
    ],
)
def test_options_that_do_not_exist(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        contacts(random_jacobian(4), **options)


def test_labels_and_provenance():
    complex_ = Sequence((Chain("A", "ACD", ("7", "8", "8A")), Chain("B", "EF")), "pair")
    C = contacts(random_jacobian(sequence=complex_))
    assert C.dims == ("pos_i", "pos_j")
    assert list(C["residue_j"].values) == ["A:A7", "A:C8", "A:D8A", "B:E1", "B:F2"]
    assert list(C["chain_i"].values) == list("AAABB")
    assert list(C["number_i"].values) == ["7", "8", "8A", "1", "2"]
    assert list(C["wild_type_i"].values) == list("ACDEF")
    assert C.attrs["kind"] == "Jacobian"
    assert C.attrs["sequence"] == "ACD:EF"
    assert contacts(random_jacobian(4, fast=True)).attrs["kind"] == "Jacobian, fast"


@pytest.mark.parametrize("engine", ["netcdf", "zarr"])
def test_maps_of_stored_jacobians(tmp_path, engine):
    sequence = random_sequence(6)
    J = random_jacobian(sequence=sequence, mask=Mask.hiding(sequence, [(4, 4)]))
    path = tmp_path / "J"
    if engine == "zarr":
        J.to_dataset().to_zarr(path)
        opened = xr.open_zarr(path, chunks=None)
    else:
        J.to_netcdf(path)
        opened = xr.open_dataset(path)
    with opened:
        np.testing.assert_array_equal(contacts(opened["jacobian"]).values, contacts(J).values)
        np.testing.assert_array_equal(contacts(opened).values, contacts(J).values)
        assert contacts(opened).identical(contacts(J))


def test_a_map_goes_to_a_file_and_back(tmp_path):
    C = contacts(random_jacobian(5))
    C.to_netcdf(tmp_path / "C.nc")
    xr.testing.assert_identical(xr.load_dataarray(tmp_path / "C.nc"), C)


@pytest.mark.parametrize("chunked", [True, False])
def test_a_jacobian_on_disk_is_streamed_in_bounded_memory(tmp_path, monkeypatch, chunked):
    J = random_jacobian(60)
    expected = contacts(J).values
    J.to_dataset().to_zarr(tmp_path / "J.zarr", encoding={"jacobian": {"chunks": (1, 20, 60, 20)}})
    monkeypatch.setattr(block_pairs, "HELD_BYTES", J.nbytes // 10)
    with xr.open_zarr(tmp_path / "J.zarr", chunks={} if chunked else None) as opened:
        lazy = opened["jacobian"]
        tracemalloc.start()
        found = contacts(lazy).values
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    np.testing.assert_allclose(found, expected, atol=1e-12)
    # Position means take one float64 array of (L, 20, 20) each; a tile and a few rows come on top.
    assert peak < J.nbytes


def test_a_jacobian_in_memory_is_not_copied():
    J = random_jacobian(60)
    tracemalloc.start()
    contacts(J)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < J.nbytes / 2
