from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from labelled_arrays import labelled
from scipy.stats import spearmanr

from catjac_widgets.alphabets import ESM_LETTERS
from catjac_widgets.analysis.baselines import coupling_contacts
from catjac_widgets.analysis.couplings import couplings_correlation
from catjac_widgets.errors import JacobianError, UsageError
from catjac_widgets.language_models.potts_parameters import ALIGNMENT_STATES, PottsParameters

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
