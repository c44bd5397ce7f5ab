"""Columns of Potts files lie at the residues that they belong to, whatever was left out of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from labelled_potts import random_parameters
from potts_files import write_gremlin, write_plmc

import catjac_widgets
from catjac_widgets.analysis.contacts.maps import contacts
from catjac_widgets.errors import CheckpointError, JacobianError, ModelError, SequenceError
from catjac_widgets.language_models.base import MASK_LETTER, Substitution
from catjac_widgets.language_models.fingerprints import file_memory
from catjac_widgets.language_models.potts.adapter import Potts
from catjac_widgets.language_models.potts.files import read_potts
from catjac_widgets.language_models.potts.fit import fit_potts
from catjac_widgets.language_models.potts.parameters import PottsParameters
from catjac_widgets.language_models.registry import identify, load_model
from catjac_widgets.proteins.masks import Mask

QUERY = "ARNDCQEGHILK"
COLUMNS = (1, 2, 5, 6, 9)


@pytest.fixture
def potts() -> PottsParameters:
    return random_parameters(5, 21)


@pytest.fixture
def files(tmp_path: Path, potts: PottsParameters) -> dict[str, Path]:
    """The same couplings over columns of QUERY, as each tool keeps them."""
    whole = PottsParameters(potts.fields, potts.couplings, potts.letters, QUERY, COLUMNS)
    whole.save(tmp_path / "own.npz")
    write_plmc(
        tmp_path / "plmc.params",
        potts,
        target="".join(QUERY[k] for k in COLUMNS),
        numbers=tuple(k + 1 for k in COLUMNS),
    )
    write_gremlin(tmp_path / "gremlin.mrf", potts, COLUMNS)
    return {path.suffix: path for path in tmp_path.iterdir()}


@pytest.mark.parametrize("ending", [".params", ".mrf"])
def test_a_jacobian_is_over_the_whole_query(ending: str, files: dict[str, Path], own_cache: Path) -> None:
    expected = catjac_widgets.jacobian(QUERY, f"potts:{files['.npz']}", progress=False)
    found = catjac_widgets.jacobian(QUERY, f"potts:{files[ending]}", progress=False)
    assert found["residue_in"].values.tolist() == [f"{a}{k}" for k, a in enumerate(QUERY, start=1)]
    letters = expected["aa_out"].values
    found = found.sel(aa_in=letters, aa_out=letters)
    np.testing.assert_allclose(found.values, expected.values, atol=2e-4)
    # A residue without a column has no effect, and nothing has one on it.
    for k in sorted(set(range(len(QUERY))) - set(COLUMNS)):
        assert not found[k].values.any()
        assert not found[:, :, k].values.any()
    C = catjac_widgets.potts.contacts(read_potts(files[ending]), sequence=QUERY)
    np.testing.assert_allclose(
        C.values, catjac_widgets.potts.contacts(read_potts(files[".npz"])).values, rtol=1e-4
    )


def test_a_region_is_found_in_the_whole_protein(
    tmp_path: Path, potts: PottsParameters, own_cache: Path
) -> None:
    """plmc counts from the start in the focus sequence's name (NAME/20-31)."""
    path = write_plmc(
        tmp_path / "region.params",
        potts,
        target="".join(QUERY[k] for k in COLUMNS),
        numbers=tuple(20 + k for k in COLUMNS),
    )
    protein = "M" * 19 + QUERY + "WW"
    name = f"potts:{path}"
    assert identify(name).max_residues is None
    whole = catjac_widgets.jacobian(protein, name, progress=False)
    effects = np.abs(whole).max(["aa_in", "pos_out", "aa_out"])
    assert whole["number_in"].values[effects.values > 0].tolist() == [str(20 + k) for k in COLUMNS]
    # The region alone is found by its letters, also with a substitution.
    for residues in (QUERY, "A" + QUERY[1:5] + "W" + QUERY[6:]):
        region = catjac_widgets.jacobian(residues, name, progress=False)
        effects = np.abs(region).max(["aa_in", "pos_out", "aa_out"])
        assert np.flatnonzero(effects.values).tolist() == list(COLUMNS)
    for wrong, words in (
        (QUERY[:6], "only 6 residues; give the whole sequence"),
        ("W" * 12, "its letters fit nowhere"),
        (QUERY + QUERY, "fits the sequence at 2 places"),
    ):
        with pytest.raises(SequenceError, match=words) as failure:
            load_model(name).encode(wrong)
        assert "\n" not in str(failure.value)


def test_a_model_without_letters_goes_by_its_numbers(files: dict[str, Path]) -> None:
    model = load_model(f"potts:{files['.mrf']}")
    assert (model.encode(QUERY) <= 20).nonzero().flatten().tolist() == list(COLUMNS)
    assert (model.encode(QUERY + "WWW") <= 20).nonzero().flatten().tolist() == list(COLUMNS)
    with pytest.raises(SequenceError, match="columns from residue 2 to 10"):
        model.encode(QUERY[:9])


def test_couplings_beside_a_jacobian_are_of_the_same_residues(
    files: dict[str, Path], own_cache: Path
) -> None:
    J = catjac_widgets.jacobian(QUERY, f"potts:{files['.npz']}", progress=False)

    def correlation(path: Path) -> float:
        return float(catjac_widgets.potts.correlation(J, read_potts(path), pairs=10)["spearman"][0])

    for ending in (".params", ".mrf"):
        assert correlation(files[ending]) == pytest.approx(correlation(files[".npz"]), abs=1e-3)
    # |i − j| is counted in residues, not in columns.
    entries = catjac_widgets.potts.entries(J, read_potts(files[".mrf"]), pairs=10, separation=4)
    assert int((entries["pos_j"] - entries["pos_i"]).min()) == 4
    with pytest.raises(JacobianError, match="another sequence"):
        catjac_widgets.potts.correlation(J, random_parameters(3))


def test_numbers_are_saved(tmp_path: Path, files: dict[str, Path]) -> None:
    part = read_potts(files[".params"])
    for ending in ("npz", "safetensors"):
        part.save(tmp_path / f"again.{ending}")
        again = read_potts(tmp_path / f"again.{ending}")
        assert (again.sequence, again.columns, again.first_number, again.is_part) == (
            part.sequence, part.columns, part.first_number, True,
        )  # fmt: skip
        assert Potts(again).encode(QUERY).tolist() == Potts(part).encode(QUERY).tolist()


def test_files_of_version_01_are_read(tmp_path: Path, potts: PottsParameters) -> None:
    """They held no numbers: all residues of the query were known."""
    np.savez_compressed(
        tmp_path / "old.npz",
        letters=potts.letters,
        sequence=QUERY,
        fields=potts.fields.astype(np.float32),
        couplings=potts.couplings.astype(np.float32),
        columns=np.array(COLUMNS),
        neff=np.array([7.0, 0.001]),
    )
    found = read_potts(tmp_path / "old.npz")
    assert (found.columns, found.sequence, found.first_number, found.is_part) == (COLUMNS, QUERY, 1, False)
    now = PottsParameters(
        potts.fields.astype(np.float32), potts.couplings.astype(np.float32), potts.letters, QUERY, COLUMNS
    )
    assert Potts(found).fingerprint == Potts(now).fingerprint


def test_places_that_make_no_sense(potts: PottsParameters) -> None:
    for columns in ((0, 1, 1, 2, 3), (3, 2, 1, 0, 4), (-1, 0, 1, 2, 3), (0, 1, 2), (0, 1, 2, 3, 40)):
        with pytest.raises(CheckpointError) as failure:
            PottsParameters(potts.fields, potts.couplings, potts.letters, QUERY, columns)
        assert "\n" not in str(failure.value)


def test_rows_of_residues_without_a_column(files: dict[str, Path]) -> None:
    model = load_model(f"potts:{files['.params']}")
    mask = Mask.hiding(QUERY, [(3, 4)])
    runner = model.prepare(QUERY, mask)
    whole = runner.wild_type()
    np.testing.assert_allclose(whole, model.logits(model.encode(QUERY, mask)[None])[0].cpu(), atol=1e-5)
    changes = [Substitution(0, "W"), Substitution(5, "W"), Substitution(11, MASK_LETTER)]
    rows = runner.rows(changes)
    assert np.array_equal(rows[0], whole)
    assert not np.array_equal(rows[1], whole)
    assert np.array_equal(rows[2], whole)
    for bad in (Substitution(-1, "A"), Substitution(12, "A"), Substitution(0, "X")):
        with pytest.raises(ModelError):
            runner.rows([bad])


def test_a_file_of_parameters_is_read_once_to_be_named(files: dict[str, Path], tmp_path: Path) -> None:
    name = f"potts:{files['.params']}"
    known = identify(name)
    content = files[".params"].read_bytes()
    facts = file_memory.get([files[".params"]])
    assert facts is not None
    assert facts["fingerprint"] == known.fingerprint == load_model(name).fingerprint
    files[".params"].write_bytes(content[:-4])
    with pytest.raises(CheckpointError, match="cut short"):
        identify(name)


@pytest.fixture(scope="module")
def trypsin_inhibitors(data_folder: Path) -> PottsParameters:
    """A fit to a real family; thirty steps are enough for its best pairs."""
    return fit_potts(data_folder / "families" / "PF00014_1BPI.a3m.gz", iterations=30, progress=False)


@pytest.mark.parametrize("tool", ["plmc", "GREMLIN"])
def test_precision_of_a_real_family_is_the_same_through_a_file(
    tool: str, tmp_path: Path, data_folder: Path, own_cache: Path, trypsin_inhibitors: PottsParameters
) -> None:
    folder, whole = data_folder / "families", trypsin_inhibitors
    # Columns are missing in the middle, so that leaving the numbers out would shift what follows.
    kept = [k for k in range(len(whole.columns)) if k % 6 != 3]
    query, columns = whole.sequence, tuple(whole.columns[k] for k in kept)
    fitted = PottsParameters(
        whole.fields[kept], whole.couplings[kept][:, :, kept], whole.letters, query, columns
    )
    structure = catjac_widgets.structure(folder / "PF00014_1BPI.pdb.gz")
    truth = {"plmc": 19, "GREMLIN": 0}[tool]
    protein = "M" * truth + query
    if tool == "plmc":
        target = "".join(query[k] for k in columns)
        path = write_plmc(
            tmp_path / "x.params", fitted, target=target, numbers=tuple(truth + 1 + k for k in columns)
        )
    else:
        path = write_gremlin(tmp_path / "x.mrf", fitted, columns)
    wanted = catjac_widgets.precision_at_l(catjac_widgets.potts.contacts(fitted), structure)
    assert wanted > 0.3
    found = catjac_widgets.potts.contacts(read_potts(path), sequence=query)
    assert catjac_widgets.precision_at_l(found, structure) == wanted
    fitted.save(tmp_path / "own.npz")
    own = contacts(catjac_widgets.jacobian(query, f"potts:{tmp_path / 'own.npz'}", progress=False))
    J = contacts(catjac_widgets.jacobian(protein, f"potts:{path}", progress=False))
    J = J.isel(pos_i=slice(truth, None), pos_j=slice(truth, None))
    assert catjac_widgets.precision_at_l(J, structure) == pytest.approx(
        catjac_widgets.precision_at_l(own, structure), abs=0.02
    )


def test_logits_of_a_batch_share_their_places(files: dict[str, Path]) -> None:
    model = load_model(f"potts:{files['.mrf']}")
    tokens = torch.stack([model.encode(QUERY), model.encode(QUERY[::-1])])
    both = model.logits(tokens)
    for residues, logits in zip((QUERY, QUERY[::-1]), both, strict=True):
        np.testing.assert_allclose(logits.cpu(), model.prepare(residues).wild_type(), atol=1e-5)
