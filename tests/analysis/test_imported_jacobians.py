"""Jacobians made elsewhere: read in the layouts that are about, checked, and as good as our own."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import catjac_widgets as catjac
from catjac_widgets.analysis import imported
from catjac_widgets.errors import JacobianError, ResourceError, SequenceError, UsageError
from catjac_widgets.language_models.potts.adapter import random_potts
from catjac_widgets.proteins.alphabets import ALIGNMENT_LETTERS, ESM_LETTERS

SEQUENCE = "MKTAYIAKQRQIS"
L = len(SEQUENCE)
read = catjac.io.read_jacobian


@pytest.fixture(scope="module")
def J() -> xr.DataArray:
    """A raw Jacobian, in ESM's order of letters; its diagonal blocks are 0."""
    return catjac.jacobian(SEQUENCE, random_potts(L, letters=ESM_LETTERS), cache=False, progress=False)


def triangle_of(values: np.ndarray) -> np.ndarray:
    i, j = np.triu_indices(len(values), 1)
    return values[i, :, j, :]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_full_array(J: xr.DataArray, tmp_path: Path, dtype: type) -> None:
    np.save(tmp_path / "J.npy", J.values.astype(dtype))
    found = read(tmp_path / "J.npy", SEQUENCE, model="esm2_3B")
    atol = 0.01 if dtype is np.float16 else 0
    np.testing.assert_allclose(found.values, J.values, rtol=0, atol=atol)
    assert found.dtype == np.float32
    for name in J.coords:
        if name in found.coords:
            np.testing.assert_array_equal(found[name].values, J[name].values)
    assert {"residue_in", "number_out", "chain_in", "wild_type_out"} <= set(found.coords)
    assert found.attrs["kind"] == "raw"
    assert found.attrs["imported_from"] == "J.npy"
    assert found.attrs["imported_dtype"] == np.dtype(dtype).name
    assert found.attrs["model"] == "esm2_3B"
    assert "symmetrised" not in found.attrs
    np.testing.assert_allclose(catjac.contacts(found), catjac.contacts(J), atol=20 * atol + 1e-6)
    np.testing.assert_allclose(catjac.epistasis(found), catjac.epistasis(J), atol=2 * atol)
    theirs, ours = catjac.sensitivity(found), catjac.sensitivity(J)
    # What needs the wild type's logits is left out.
    assert {"influence", "sensitivity", "self_response", "coupling_strength"} <= set(theirs.data_vars)
    assert "entropy" not in theirs
    for name in theirs.data_vars:
        np.testing.assert_allclose(theirs[name], ours[name], atol=20 * atol + 1e-5)


def test_other_letters_and_chains(J: xr.DataArray) -> None:
    other = J.sel(aa_in=list(ALIGNMENT_LETTERS), aa_out=list(ALIGNMENT_LETTERS))
    found = read(other.values, f"{SEQUENCE[:5]}:{SEQUENCE[5:]}", letters=ALIGNMENT_LETTERS)
    assert "".join(found["aa_in"].values) == ALIGNMENT_LETTERS
    assert list(found["chain_out"].values) == ["A"] * 5 + ["B"] * (L - 5)
    np.testing.assert_array_equal(
        found.sel(aa_in="K", aa_out="E").values, J.sel(aa_in="K", aa_out="E").values
    )
    assert catjac.contacts(found).attrs["kind"] == "Jacobian"


def test_the_upper_triangle_is_rebuilt_by_symmetry(J: xr.DataArray, tmp_path: Path) -> None:
    from catjac_widgets.analysis.contacts.operations import centre, symmetrise

    whole = symmetrise(J)
    np.savez_compressed(tmp_path / "J.npz", jac=triangle_of(whole.values).astype(np.float16))
    found = read(tmp_path / "J.npz", SEQUENCE)
    off = ~np.eye(L, dtype=bool)
    np.testing.assert_allclose(
        found.values.transpose(0, 2, 1, 3)[off], whole.values.transpose(0, 2, 1, 3)[off], atol=5e-3
    )
    assert not found.values.transpose(0, 2, 1, 3)[~off].any()
    assert found.attrs["symmetrised"] == 1
    assert found.attrs["kind"] == "raw"
    assert "unknown" in found.attrs["diagonal_blocks"]
    # The diagonal blocks of a Potts model are 0 indeed, so that the map is the true one.
    np.testing.assert_allclose(catjac.contacts(found), catjac.contacts(J), atol=0.02)
    with pytest.raises(JacobianError, match="symmetrised"):
        catjac.epistasis(found)

    letters_centred = centre(whole, ("aa_in", "aa_out"))
    found = read(triangle_of(letters_centred.values), SEQUENCE)
    assert (found.attrs["kind"], found.attrs["centred_over"]) == ("centred", "aa_in aa_out")
    with pytest.raises(JacobianError, match="allow_centred"):
        catjac.contacts(found)
    np.testing.assert_allclose(catjac.contacts(found, allow_centred=True), catjac.contacts(J), atol=1e-4)


def test_centred_over_everything(J: xr.DataArray) -> None:
    from catjac_widgets.analysis.contacts.operations import centre

    found = read(centre(J).values, SEQUENCE)
    assert found.attrs["kind"] == "centred"
    np.testing.assert_allclose(catjac.contacts(found, allow_centred=True), catjac.contacts(J), atol=1e-4)


def test_masked_residues_in_the_place_of_substitutions() -> None:
    model = random_potts(L, letters=ESM_LETTERS)
    fast = catjac.jacobian(SEQUENCE, model, variant="fast", cache=False, progress=False)
    found = read(fast.values, SEQUENCE)
    assert found.attrs["variant"] == "fast"
    np.testing.assert_allclose(catjac.contacts(found), catjac.contacts(fast), atol=1e-6)


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
def test_it_is_written_and_opened_like_our_own(J: xr.DataArray, tmp_path: Path, ending: str) -> None:
    found = read(J.values, SEQUENCE)
    path = catjac.io.write(found, tmp_path / f"J{ending}")
    opened = xr.open_zarr(path) if ending == ".zarr" else xr.open_dataset(path)
    with opened:
        again = opened["jacobian"].load()
    np.testing.assert_array_equal(again.values, J.values)
    assert again.attrs["imported_from"] == "an array"
    np.testing.assert_allclose(again.catjac.contacts(), catjac.contacts(J), atol=1e-6)
    # What was written can be exported as a plain array, and taken again.
    np.save(tmp_path / "again.npy", again.values)
    np.testing.assert_array_equal(read(str(tmp_path / "again.npy"), SEQUENCE).values, J.values)


def test_contact_maps_of_it_are_written(J: xr.DataArray, tmp_path: Path) -> None:
    C = catjac.contacts(read(J.values, SEQUENCE))
    catjac.io.write(C, tmp_path / "map.npz")
    catjac.io.write(C, tmp_path / "pairs.csv")
    assert (tmp_path / "pairs.csv").read_text().count("\n") > 2


def test_views_show_it(J: xr.DataArray) -> None:
    found = read(J.values, SEQUENCE)
    catjac.ContactMap(catjac.contacts(found)).close()
    catjac.JacobianSlice(found).close()


def test_a_wrong_order_of_letters_or_sequence_is_noticed(J: xr.DataArray) -> None:
    with pytest.raises(JacobianError, match="order of letters"):
        read(J.values, SEQUENCE, letters=ALIGNMENT_LETTERS)
    with pytest.raises(JacobianError, match="no Jacobian of this sequence"):
        read(J.values, SEQUENCE[::-1])
    with pytest.raises(JacobianError, match="means over letters"):
        read(J.values, SEQUENCE, kind="centred")


def test_what_is_no_jacobian_is_one_sentence(J: xr.DataArray, tmp_path: Path) -> None:
    broken = J.values.copy()
    broken[3, 2, 4, 1] = np.nan
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "cut.npy").write_bytes(_bytes_of(J.values, tmp_path)[:-100])
    (tmp_path / "J.pkl").write_bytes(pickle.dumps(J.values))
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04nothing")
    np.savez(tmp_path / "two.npz", a=J.values, b=J.values)
    with zipfile.ZipFile(tmp_path / "empty.npz", "w"):
        pass
    cases: list[tuple[Any, Any, dict[str, Any], type[Exception], str]] = [
        (J.values[:-1], SEQUENCE, {}, JacobianError, "has the shape"),
        (J.values, SEQUENCE[:-1], {}, JacobianError, "has the shape"),
        (J.values[0], SEQUENCE, {}, JacobianError, "has the shape"),
        (triangle_of(J.values)[:-1], SEQUENCE, {}, JacobianError, "has the shape"),
        (J.values, SEQUENCE, {"letters": ESM_LETTERS[:-1]}, JacobianError, "has the shape"),
        (J.values, SEQUENCE, {"letters": "AA"}, UsageError, "no alphabet"),
        (J.values, SEQUENCE, {"kind": "odd"}, UsageError, "kind="),
        (J.values, "MKXAYIAKQRQIS", {}, SequenceError, "'X'"),
        (broken, SEQUENCE, {}, JacobianError, "not finite"),
        (J.values.astype(complex), SEQUENCE, {}, JacobianError, "floating-point"),
        ([1, 2], SEQUENCE, {}, JacobianError, "not list"),
        (tmp_path / "none.npy", SEQUENCE, {}, JacobianError, "There is no Jacobian"),
        (tmp_path / "objects.npy", SEQUENCE, {}, JacobianError, "floating-point"),
        (tmp_path / "text.npy", SEQUENCE, {}, JacobianError, "cannot be read"),
        (tmp_path / "cut.npy", SEQUENCE, {}, JacobianError, "cannot be read"),
        (tmp_path / "J.pkl", SEQUENCE, {}, JacobianError, "no file that a Jacobian"),
        (tmp_path / "bad.npz", SEQUENCE, {}, JacobianError, "cannot be read"),
        (tmp_path / "two.npz", SEQUENCE, {}, JacobianError, "key="),
        (tmp_path / "two.npz", SEQUENCE, {"key": "c"}, JacobianError, "key="),
        (tmp_path / "empty.npz", SEQUENCE, {}, JacobianError, "none"),
    ]
    for what, sequence, options, kind, said in cases:
        with pytest.raises(kind, match=said) as failure:
            read(what, sequence, **options)
        assert "\n" not in str(failure.value)
    assert read(tmp_path / "two.npz", SEQUENCE, key="b").shape == J.shape


def test_nothing_is_read_that_does_not_fit(
    J: xr.DataArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "J.npy", J.values)
    monkeypatch.setattr(imported, "available_memory", lambda: 1000)
    monkeypatch.setattr(imported._Found, "values", lambda _: pytest.fail("it was read"))
    with pytest.raises(ResourceError, match="GB of memory"):
        read(tmp_path / "J.npy", SEQUENCE)


def _bytes_of(values: np.ndarray, tmp_path: Path) -> bytes:
    np.save(tmp_path / "whole.npy", values)
    return (tmp_path / "whole.npy").read_bytes()
