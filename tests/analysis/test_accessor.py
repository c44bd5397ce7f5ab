from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from labelled_arrays import random_jacobian, random_sequence

from catjac_widgets.analysis.contacts.maps import contacts
from catjac_widgets.analysis.summaries import epistasis, sensitivity
from catjac_widgets.errors import JacobianError, SequenceError
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Chain, Sequence

PAIR = Sequence(
    (Chain("A", "ACDE", ("24", "25", "25A", "26")), Chain("B", "FGH", ("24", "25", "26"))), "pair"
)


@pytest.fixture
def J():
    return random_jacobian(sequence=PAIR)


def test_analyses_are_those_of_the_functions(J):
    assert J.catjac.contacts(order="C").identical(contacts(J, order="C"))
    assert J.catjac.sensitivity().identical(sensitivity(J))
    assert J.catjac.epistasis().identical(epistasis(J))


def test_selection_by_chain_and_number(J):
    assert J.catjac.sel(chain="B", number=24).identical(J.isel(pos_in=4))
    assert J.catjac.sel(number="25A").identical(J.isel(pos_in=2))
    assert J.catjac.sel(chain="B").identical(J.isel(pos_in=[4, 5, 6]))
    assert J.catjac.sel(chain="A", number=[26, 24]).identical(J.isel(pos_in=[3, 0]))
    both = J.catjac.sel(chain="A", number=25, chain_out="B", number_out=26, aa_in="K", aa_out="E")
    assert both.identical(J.isel(pos_in=1, pos_out=6).sel(aa_in="K", aa_out="E"))
    assert float(both) == float(
        J.values[1, list(J["aa_in"].values).index("K"), 6, list(J["aa_out"].values).index("E")]
    )


def test_selection_on_a_map(J):
    C = contacts(J)
    block = C.catjac.sel(chain="A", chain_out="B")
    assert block.shape == (4, 3)
    np.testing.assert_array_equal(block.values, C.values[:4, 4:])


def test_selections_that_find_nothing(J):
    with pytest.raises(SequenceError, match="several chains"):
        J.catjac.sel(number=24)
    with pytest.raises(SequenceError, match="no residue number 99 in chain A"):
        J.catjac.sel(chain="A", number=99)
    with pytest.raises(SequenceError, match="no chain 'C'; there is A, B"):
        J.catjac.sel(chain="C")
    with pytest.raises(JacobianError, match="no axis pos_in"):
        J.sel(pos_in=3).catjac.sel(chain="A")
    with pytest.raises(JacobianError, match="number_in is gone"):
        J.drop_vars("number_in").catjac.sel(chain="A")


def test_block_and_profile(J):
    block = J.catjac.block(2, 5)
    assert block.dims == ("aa_in", "aa_out")
    np.testing.assert_array_equal(block.values, J.values[1, :, 4])
    K, E = (list(J["aa_in"].values).index(letter) for letter in "KE")
    np.testing.assert_array_equal(J.catjac.profile(3, "K", "E").values, J.values[2, K, :, E])
    row = J.values[2, K].astype(np.float64)
    expected = np.linalg.norm(row - row.mean(1, keepdims=True), axis=1)
    np.testing.assert_allclose(J.catjac.profile(3, "K").values, expected, rtol=1e-5)
    with pytest.raises(SequenceError, match="no position 9 along pos_out; it runs from 1 to 7"):
        J.catjac.block(1, 9)
    with pytest.raises(SequenceError, match="'B' is not among aa_in"):
        J.catjac.profile(1, "B")


def test_profile_of_the_fast_variant():
    J = random_jacobian(4, fast=True)
    np.testing.assert_array_equal(J.catjac.profile(2, "<mask>", "A").values, J.values[1, 0, :, 1])


def test_what_it_is_about(J):
    assert J.catjac.sequence == PAIR
    assert J.catjac.sequence.name == "pair"
    assert contacts(J).catjac.sequence == PAIR
    bare = J.drop_vars([name for name in J.coords if str(name).startswith("number")])
    assert str(bare.catjac.sequence) == "ACDE:FGH"
    with pytest.raises(JacobianError, match="no longer says which residues"):
        bare.drop_attrs().catjac.sequence  # noqa: B018


def test_visible_and_complete():
    sequence = random_sequence(6)
    J = random_jacobian(sequence=sequence, mask=Mask.hiding(sequence, [(2, 3)]))
    assert J.catjac.visible.tolist() == [1, 4, 5, 6]
    assert J.catjac.is_complete
    J[4] = np.nan
    assert not J.catjac.is_complete
    with pytest.raises(JacobianError, match="'visible'"):
        J.drop_attrs().catjac.visible  # noqa: B018
    with pytest.raises(JacobianError, match="no axis pos_in"):
        J.sel(pos_in=1).catjac.is_complete  # noqa: B018


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
def test_everything_works_after_a_round_trip(J, tmp_path, kind):
    path = tmp_path / "J"
    if kind == "zarr":
        J.to_dataset().to_zarr(path)
        back = xr.open_zarr(path, chunks=None)["jacobian"].load()
    else:
        J.to_netcdf(path)
        back = xr.load_dataarray(path)
    assert back.catjac.contacts().identical(J.catjac.contacts())
    assert back.catjac.sensitivity().identical(J.catjac.sensitivity())
    np.testing.assert_array_equal(back.catjac.epistasis().values, J.catjac.epistasis().values)
    np.testing.assert_array_equal(
        back.catjac.sel(chain="B", number=25).values, J.catjac.sel(chain="B", number=25).values
    )
    assert back.catjac.sequence == PAIR
    assert back.attrs == J.attrs


def test_everything_works_after_selection_and_arithmetic(J):
    part = (2 * J).sel(pos_in=slice(1, 4), pos_out=slice(1, 4))
    assert part.catjac.contacts().shape == (4, 4)
    assert part.catjac.sel(number="25A").sizes == {"aa_in": 20, "pos_out": 4, "aa_out": 20}
    assert str(part.catjac.sequence) == "ACDE"
    np.testing.assert_allclose(
        part.catjac.epistasis().values, 2 * epistasis(J).values[:4, :, :4], rtol=1e-6, atol=1e-6
    )
