from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from labelled_arrays import labelled
from labelled_potts import sampled_alignment
from scipy.stats import spearmanr

import catjac_widgets
from catjac_widgets.analysis.couplings.closed_form import inverse_covariance
from catjac_widgets.analysis.couplings.comparison import (
    couplings_correlation,
    couplings_entries,
    couplings_table,
)
from catjac_widgets.analysis.couplings.coupling_contacts import coupling_contacts
from catjac_widgets.analysis.couplings.potts_of_jacobian import potts_of_jacobian
from catjac_widgets.cli import main
from catjac_widgets.errors import JacobianError, UsageError
from catjac_widgets.language_models.potts.adapter import random_potts
from catjac_widgets.language_models.potts.parameters import ALIGNMENT_STATES, PottsParameters
from catjac_widgets.proteins.alphabets import ESM_LETTERS

SEQUENCE = "ARNDCQEG"


def couplings(seed: int = 0) -> PottsParameters:
    random = np.random.default_rng(seed)
    W = random.normal(size=(8, 20, 8, 20)) ** 3
    W = W + W.transpose(2, 3, 0, 1)
    # Centred over all four axes, as J will be, so that J = W says the same.
    for axis in range(4):
        W = W - W.mean(axis=axis, keepdims=True)
    full = np.zeros((8, 21, 8, 21))
    full[:, :20, :, :20] = W
    return PottsParameters(np.zeros((8, 21)), full, ALIGNMENT_STATES, SEQUENCE)


def as_jacobian(potts: PottsParameters, factor: float = 1.0):
    order = [ALIGNMENT_STATES.index(letter) for letter in ESM_LETTERS]
    return labelled(factor * potts.couplings[:, order][:, :, :, order], SEQUENCE)


def test_couplings_against_themselves():
    potts = couplings()
    for factor, expected in ((2.0, 1.0), (-1.0, -1.0)):
        found = couplings_correlation(as_jacobian(potts, factor), potts)
        np.testing.assert_allclose(found["spearman"], expected, atol=1e-9)
    assert found["entries"].values[0] == 8 * 400
    assert (np.diff(found["entries"].values) < 0).all()


def test_against_a_plain_loop():
    potts, other = couplings(1), couplings(2)
    J = as_jacobian(replace(potts, couplings=potts.couplings + other.couplings))
    found = couplings_correlation(J, potts, cutoffs=[1], pairs=5)
    scores = coupling_contacts(potts).values
    ranked = sorted(((scores[i, j], i, j) for i in range(8) for j in range(i + 1, 8)), reverse=True)[:5]
    summed = potts.couplings + other.couplings
    W = [potts.couplings[i, a, j, b] for _, i, j in ranked for a in range(20) for b in range(20)]
    ours = [summed[i, a, j, b] for _, i, j in ranked for a in range(20) for b in range(20)]
    sigma = np.sqrt(np.mean(np.square(W)))
    kept = np.abs(W) > sigma
    expected = spearmanr(np.array(ours)[kept], np.array(W)[kept]).statistic
    assert found["spearman"].item() == pytest.approx(expected, abs=1e-9)
    assert found["entries"].item() == kept.sum()


def test_what_cannot_be_compared():
    potts = couplings()
    with pytest.raises(JacobianError, match="another sequence"):
        couplings_correlation(as_jacobian(potts), replace(potts, sequence="GGGGGGGG"))
    with pytest.raises(UsageError):
        couplings_correlation(as_jacobian(potts), potts, cutoffs=[-1])
    nothing = replace(potts, couplings=np.zeros_like(potts.couplings))
    found = couplings_correlation(as_jacobian(potts), nothing)
    assert np.isnan(found["spearman"]).all()
    assert not found["entries"].any()


def test_a_model_of_a_jacobian_is_the_potts_model_it_came_from(own_cache):
    model = random_potts(6, letters=ESM_LETTERS, seed=3)
    J = catjac_widgets.jacobian("ARNDCQ", model, numerics="float64", progress=False)
    found = potts_of_jacobian(J)
    gauged = model.potts.zero_sum()
    np.testing.assert_allclose(found.couplings, gauged.couplings, atol=1e-6)
    np.testing.assert_allclose(found.fields, gauged.fields, atol=1e-5)
    assert (found.sequence, found.letters) == ("ARNDCQ", ESM_LETTERS)
    with pytest.raises(JacobianError, match="wild_type_logits"):
        potts_of_jacobian(J.drop_vars("wild_type_logits"))


def test_entries_are_those_of_the_best_pairs():
    potts = couplings(3)
    found = couplings_entries(as_jacobian(potts, 2.0), potts, pairs=4, separation=2)
    scores = coupling_contacts(potts).values
    ranked = sorted(((scores[i, j], i, j) for i in range(8) for j in range(i + 2, 8)), reverse=True)[:4]
    assert list(zip(found["pos_i"].values, found["pos_j"].values, strict=True)) == [
        (i + 1, j + 1) for _, i, j in ranked
    ]
    np.testing.assert_allclose(found["jacobian"], 2 * found["couplings"], atol=1e-6)
    _, i, j = ranked[0]
    picked = found.isel(pair=0).sel(aa_i="K", aa_j="E")["couplings"].item()
    assert picked == potts.couplings[i, ALIGNMENT_STATES.index("K"), j, ALIGNMENT_STATES.index("E")]
    none = couplings_entries(as_jacobian(potts), potts, separation=8)
    assert none.sizes["pair"] == 0
    assert np.isnan(none.attrs["sigma"])
    assert np.isnan(couplings_correlation(as_jacobian(potts), potts, separation=8)["spearman"]).all()


@pytest.fixture
def folder_of_families(tmp_path):
    for seed, name in enumerate(("first", "second")):
        rows = sampled_alignment(pairs=[(1, 5), (2, 7)], length=9, count=150, seed=seed).states
        text = "".join(f">{n}\n{''.join('ARND'[k] for k in row)}\n" for n, row in enumerate(rows))
        (tmp_path / f"{name}.a3m").write_text(">q\nARNDARNDA\n" + text)
    (tmp_path / "torn.a3m").write_text(">q\nAR-D\n>b\nARND\n")
    return tmp_path


def test_a_table_of_families(folder_of_families, own_cache):
    path = folder_of_families / "first.a3m"
    own = couplings_table([path], f"potts:{path}", couplings="potts", progress=False)
    # The model is the Potts model that was fitted. J is in another gauge, which tells in the small entries.
    assert (own["spearman"][1:4] > 0.9).all()
    assert own["cutoff"].tolist() == [0, 1, 2, 3, 4]
    assert not own["in_sample"].any()
    table = couplings_table(sorted(folder_of_families.glob("*.a3m")), progress=False)
    assert table["family"].tolist() == ["first"] * 5 + ["second"] * 5 + ["torn"]
    assert "has gaps" in table["error"].iloc[-1]
    expected = couplings_correlation(
        catjac_widgets.jacobian("ARNDARNDA", progress=False), inverse_covariance(path)
    )
    np.testing.assert_allclose(table["spearman"][:5], expected["spearman"])
    for paths, words in (([], "no alignment"), ([path], "none of")):
        with pytest.raises(UsageError, match=words):
            couplings_table(paths, couplings="none")


def test_the_command_writes_the_table_and_draws_it(folder_of_families, own_cache, tmp_path):
    output, plot = tmp_path / "out.csv", tmp_path / "out.html"
    ran = CliRunner().invoke(
        main, ["couplings", str(folder_of_families), "-o", str(output), "--plot", str(plot), "-q"]
    )
    assert ran.exit_code == 0, ran.output
    assert "torn: The query" in ran.output
    assert "mean correlation above 0 σ" in ran.output
    table = pd.read_csv(output)
    assert len(table) == 11
    assert "Spearman correlation with J" in plot.read_text()
    again = CliRunner().invoke(main, ["couplings", str(folder_of_families), "-o", str(output)])
    assert (again.exit_code, "--force" in again.output) == (2, True)
    for arguments in (["missing"], [str(tmp_path / "cache")]):
        ran = CliRunner().invoke(main, ["couplings", *arguments, "-o", str(tmp_path / "new.csv")])
        assert ran.exit_code == 2
