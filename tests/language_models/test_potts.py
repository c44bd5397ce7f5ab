from __future__ import annotations

import numpy as np
import pytest
import torch
from labelled_potts import random_parameters, sampled_alignment

import catjac_widgets
from catjac_widgets.analysis.contacts.maps import contacts
from catjac_widgets.errors import Cancelled, ModelError, SequenceError, UsageError
from catjac_widgets.language_models.potts.adapter import Potts, random_potts
from catjac_widgets.language_models.potts.files import read_potts
from catjac_widgets.language_models.potts.fit import fit_potts
from catjac_widgets.language_models.potts.parameters import ALIGNMENT_STATES, PottsParameters
from catjac_widgets.language_models.potts.sampling import sample_potts
from catjac_widgets.language_models.potts.source import PottsSource
from catjac_widgets.language_models.registry import identify, load_model
from catjac_widgets.proteins.alphabets import ALIGNMENT_LETTERS
from catjac_widgets.proteins.masks import Mask


def test_its_jacobian_is_its_couplings(own_cache):
    model = random_potts(7, letters=ALIGNMENT_LETTERS, seed=1)
    residues = "ARNDCQE"
    J = catjac_widgets.jacobian(residues, model, numerics="float64", progress=False).values
    W = model.potts.couplings.astype(np.float64)
    for i, letter in enumerate(residues):
        expected = W[i] - W[i, ALIGNMENT_LETTERS.index(letter)]
        np.testing.assert_allclose(J[i], expected, atol=1e-12)
    centred = J - J.mean(axis=1, keepdims=True)
    centred = centred - centred.mean(axis=3, keepdims=True)
    np.testing.assert_allclose(centred, model.potts.zero_sum().couplings, atol=1e-12)
    masked = catjac_widgets.jacobian(
        residues, model, mask=Mask.hiding(residues, [(2, 3)]), numerics="float64", progress=False
    ).values
    np.testing.assert_allclose(masked[3:], J[3:], atol=1e-12)


def test_rows_equal_whole_passes():
    model = random_potts(6, letters=ALIGNMENT_LETTERS, seed=2)
    mask = Mask.hiding(6, [(2, 2)])
    runner = model.prepare("ARNDCQ", mask)
    from catjac_widgets.language_models.base import MASK_LETTER, Substitution

    np.testing.assert_allclose(
        runner.wild_type(), model.logits(model.encode("ARNDCQ", mask)[None])[0], atol=1e-5
    )
    for position, letter in ((0, "W"), (1, "K"), (4, MASK_LETTER)):
        tokens = model.encode("ARNDCQ", mask)
        tokens[position] = len(model.letters) if letter == MASK_LETTER else model.letters.index(letter)
        made = runner.rows([Substitution(position, letter)])[0]
        np.testing.assert_allclose(made, model.logits(tokens[None])[0], atol=1e-5)


def test_the_gauge_changes_no_probability():
    potts = random_parameters(5, 3)
    one_hot = np.eye(21)[np.random.default_rng(0).integers(21, size=(4, 5))]

    def probabilities(made: PottsParameters) -> np.ndarray:
        logits = made.fields + np.einsum("nia,iajb->njb", one_hot, made.couplings)
        return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)

    gauged = potts.zero_sum()
    np.testing.assert_allclose(gauged.couplings.sum(axis=1), 0, atol=1e-10)
    np.testing.assert_allclose(gauged.couplings.sum(axis=3), 0, atol=1e-10)
    # Fields take up what leaves the couplings, up to a constant a column.
    np.testing.assert_allclose(probabilities(gauged), probabilities(potts), atol=1e-10)


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_saved_and_used_by_name(tmp_path, ending, own_cache):
    potts = random_parameters(5, 4, sequence="ARNDCQE")
    potts = PottsParameters(potts.fields, potts.couplings, ALIGNMENT_STATES, "ARNDCQE", (0, 1, 3, 4, 6), 12.5)
    path = tmp_path / f"model.{ending}"
    potts.save(path)
    again = read_potts(path)
    assert (again.letters, again.sequence, again.columns, again.neff) == (
        potts.letters, potts.sequence, potts.columns, 12.5,
    )  # fmt: skip
    np.testing.assert_array_equal(again.couplings, potts.couplings.astype(np.float32))
    name = f"potts:{path}"
    model = load_model(name)
    assert identify(name).fingerprint == model.fingerprint
    assert not identify(name).has_contact_head
    J = catjac_widgets.jacobian("ARNDCQE", name, progress=False)
    assert not J.sel(pos_in=3).values.any()  # a residue without a column
    assert np.isfinite(contacts(J)).all()
    with pytest.raises(ModelError, match="no fitted contact head"):
        catjac_widgets.contact_head("ARNDCQE", name)
    with pytest.raises(SequenceError, match="has 8"):
        catjac_widgets.jacobian("ARNDCQEG", name)
    with pytest.raises(SequenceError, match="aligned residues"):
        model.encode("ARN")


def test_a_fit_finds_the_coupled_pairs():
    alignment = sampled_alignment(pairs=[(0, 4), (2, 6)], length=8, count=300, seed=3)
    potts = fit_potts(alignment, iterations=60)
    scores = catjac_widgets.potts.contacts(potts).values
    best = sorted(zip(*np.triu_indices(8, 1), strict=True), key=lambda ij: -scores[ij])[:2]
    assert {(int(i), int(j)) for i, j in best} == {(0, 4), (2, 6)}
    np.testing.assert_allclose(potts.couplings, potts.couplings.transpose(2, 3, 0, 1), atol=1e-6)
    assert not potts.couplings[np.arange(8), :, np.arange(8), :].any()


def test_one_sequence_and_columns_of_gaps():
    potts = fit_potts(">q\nARND\n", iterations=5)
    assert np.isfinite(potts.fields).all()
    assert np.isfinite(potts.couplings).all()
    potts = fit_potts(">q\nARND\n>a\nA-ND\n>b\nA-NE\n", iterations=5)
    assert potts.columns == (0, 2, 3)
    assert np.isnan(catjac_widgets.potts.contacts(potts).values[1]).all()
    with pytest.raises(SequenceError, match="Only 1 of 2"):
        fit_potts(">q\nA-\n>a\nA-\n")


FAMILY = ">q\nARNDCQEG\n" + "".join(
    f">{n}\n{''.join(ALIGNMENT_LETTERS[k] for k in row)}\n"
    for n, row in enumerate(sampled_alignment(pairs=[(0, 4), (2, 6)], length=8, count=200, seed=9).states)
)


def test_an_alignment_named_as_a_model(tmp_path, own_cache, monkeypatch):
    path = tmp_path / "family.a3m"
    path.write_text(FAMILY)
    name = f"potts:{path}"
    known = identify(name)
    assert not list(own_cache.rglob("*.safetensors"))  # nothing is fitted to tell what it is
    assert (known.letters, known.max_residues, known.has_contact_head) == (ALIGNMENT_LETTERS, 8, False)
    J = catjac_widgets.jacobian("ARNDCQEG", name, progress=False)
    assert J.attrs["model_fingerprint"] == known.fingerprint == load_model(name).fingerprint
    fitted = fit_potts(path, progress=False)
    centred = J.values - J.values.mean(axis=1, keepdims=True)
    centred = centred - centred.mean(axis=3, keepdims=True)
    keep = slice(0, 20)
    expected = fitted.couplings[:, keep, :, keep]
    expected = expected - expected.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(centred, expected - expected.mean(axis=3, keepdims=True), atol=1e-4)
    assert len(list(own_cache.rglob("*.safetensors"))) == 1
    found = contacts(J)
    assert sorted(np.unravel_index(found.values.argmax(), found.shape)) == [0, 4]

    def never(*_args, **_options):
        raise AssertionError("it was fitted before")

    monkeypatch.setattr("catjac_widgets.language_models.potts.fit.fit_potts", never)
    again = PottsSource(str(path)).load(torch.device("cpu"), torch.float32)
    # One of the two may have been fitted on a GPU.
    np.testing.assert_allclose(again.potts.couplings, fitted.couplings, rtol=0, atol=5e-6)
    assert again.potts.residual == pytest.approx(fitted.residual)
    # Another content is another model; one that is gone is named.
    path.write_text(FAMILY + ">more\nARNDCQEG\n")
    assert identify(name).fingerprint != known.fingerprint
    path.unlink()
    with pytest.raises(ModelError, match="There is no alignment"):
        identify(name)


def _cut(kept, other):
    kept.write_bytes(kept.read_bytes()[:100])


def _one_bit(kept, other):
    content = bytearray(kept.read_bytes())
    content[-1000] ^= 64
    kept.write_bytes(content)


def _the_fit_of_another_family(kept, other):
    kept.write_bytes(other.read_bytes())


def _another_family_s_fit_renamed(kept, other):
    fingerprint = kept.name.partition(".")[0]
    kept.unlink()
    other.rename(other.with_name(fingerprint + "." + other.name.partition(".")[2]))


@pytest.mark.parametrize(
    "damage", [_cut, _one_bit, _the_fit_of_another_family, _another_family_s_fit_renamed]
)
def test_a_fit_that_is_not_as_it_was_written_is_fitted_again(damage, tmp_path, own_cache):
    path, strange = tmp_path / "family.a3m", tmp_path / "strange.a3m"
    path.write_text(FAMILY)
    strange.write_text(FAMILY.replace("A", "W"))
    source = PottsSource(str(path))
    first = source.load(torch.device("cpu"), torch.float32)
    kept = next(own_cache.rglob("*.safetensors"))
    PottsSource(str(strange)).load(torch.device("cpu"), torch.float32)
    other = next(each for each in own_cache.rglob("*.safetensors") if each != kept)
    damage(kept, other)
    again = source.load(torch.device("cpu"), torch.float32)
    np.testing.assert_allclose(again.potts.couplings, first.potts.couplings, atol=1e-5)
    assert again.fingerprint == first.fingerprint


def test_a_job_tells_of_the_fit_and_can_be_cancelled_in_it(tmp_path, own_cache):
    path = tmp_path / "family.a3m"
    path.write_text(FAMILY)
    job = catjac_widgets.submit("ARNDCQEG", f"potts:{path}")
    told: list[str] = []

    def follow(changed):
        told.append(changed.progress.message)
        if changed.progress.message.startswith("fitting"):
            changed.cancel()

    job.add_listener(change=follow)
    assert job.wait(60)
    if job.progress.state == "cancelled":
        assert any(message.startswith("fitting family.a3m, ") for message in told)
        with pytest.raises(Cancelled):
            job.result()
        assert not list(own_cache.rglob("*.safetensors"))
    else:  # it was over before anybody listened
        assert job.progress.state == "done"


def test_recovery_of_a_potts_model_does_not_depend_on_what_is_shown(tmp_path, own_cache):
    """The negative control of recovery by Jacobians: its value is 1 whatever is visible."""
    path = tmp_path / "model.npz"
    random_parameters(16, 11, sequence="ARNDCQEGHILKMFPS").save(path)
    model = load_model(f"potts:{path}")
    residues = "ARNDCQEGHILKMFPS"
    whole = catjac_widgets.jacobian(residues, model, progress=False)
    shown = Mask.showing(residues, [(3, 9)])
    masked = catjac_widgets.jacobian(residues, model, mask=shown, progress=False)
    np.testing.assert_allclose(masked.values[2:9], whole.values[2:9], atol=1e-4)


def test_nucleotides_have_a_jacobian_too(tmp_path, own_cache):
    random = np.random.default_rng(12)
    states = random.integers(4, size=(300, 6))
    states[:, 5] = 3 - states[:, 0]
    rows = ["ACGUAC", *("".join("ACGU"[k] for k in row) for row in states)]
    path = tmp_path / "rna.a3m"
    path.write_text("".join(f">{n}\n{row}\n" for n, row in enumerate(rows)))
    J = catjac_widgets.jacobian("ACGUAC", f"potts:{path}", progress=False)
    assert "".join(J["aa_out"].values) == "ACGU"
    found = contacts(J)
    assert float(found[0, 5]) == float(found.max())


def test_a_query_with_unknown_residues_keeps_its_columns_numbers(tmp_path, own_cache):
    path = tmp_path / "family.a3m"
    # The second column is left out, for its gaps.
    lines = FAMILY.splitlines()
    rows = [line if line.startswith(">") else f"{line[0]}-{line[2:]}" for line in lines[2:]]
    path.write_text("\n".join([">q", "ARXDCQEG", *rows]))
    assert identify(f"potts:{path}").max_residues == 8
    model = load_model(f"potts:{path}")
    assert model.potts.sequence == "ARXDCQEG"
    assert model.potts.columns == (0, 2, 3, 4, 5, 6, 7)
    J = catjac_widgets.jacobian("ARNDCQEG", f"potts:{path}", progress=False)
    assert not J[1].values.any()
    # With gaps it is no sequence to be asked about: the columns stand alone.
    path.write_text(FAMILY.replace("ARNDCQEG", "AR-DCQEG"))
    assert identify(f"potts:{path}").max_residues == 8
    assert load_model(f"potts:{path}").potts.sequence == ""


def test_sequences_drawn_have_the_models_distribution():
    random = np.random.default_rng(13)
    W = np.zeros((3, 3, 3, 3))
    for i, j in ((0, 1), (1, 2), (0, 2)):
        W[i, :, j] = random.normal(size=(3, 3))
        W[j, :, i] = W[i, :, j].T
    potts = PottsParameters(random.normal(size=(3, 3)), W, "AC-", "ACA")
    drawn = sample_potts(potts, 20_000, seed=1)
    assert (drawn.letters, drawn.query, len(drawn)) == ("AC-", "ACA", 20_001)
    counts = np.zeros((3, 3, 3))
    np.add.at(counts, tuple(drawn.states[1:].T), 1)
    energy = np.zeros((3, 3, 3))
    for x in np.ndindex(3, 3, 3):
        energy[x] = sum(potts.fields[i, x[i]] for i in range(3))
        energy[x] += sum(W[i, x[i], j, x[j]] for i in range(3) for j in range(i + 1, 3))
    expected = np.exp(energy) / np.exp(energy).sum()
    np.testing.assert_allclose(counts / 20_000, expected, atol=5 * 0.5 / np.sqrt(20_000))
    assert np.array_equal(sample_potts(potts, 5, seed=1).states, sample_potts(potts, 5, seed=1).states)
    hot = sample_potts(potts, 20_000, temperature=1000, seed=2).states[1:]
    np.testing.assert_allclose(np.bincount(hot.ravel()) / hot.size, 1 / 3, atol=0.02)
    with pytest.raises(UsageError, match="cannot be drawn"):
        sample_potts(potts, 0)
    with pytest.raises(UsageError, match="temperature"):
        sample_potts(potts, 1, temperature=0)


def test_potts_of_a_sequence_that_is_not_its_query():
    assert Potts(random_parameters(3)).max_residues == 3
