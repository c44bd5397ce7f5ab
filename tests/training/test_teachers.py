"""Pseudo-likelihood, its gradient, and conditionals under masks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from made_up_family import synthetic_family

from training.families import MISSING
from training.potts import Potts, coupling_map, fit, perplexity, pseudo_likelihood, strongest_pairs


def profile_at_random(length: int, rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(rng.dirichlet(np.ones(MISSING), length))


def potts_at_random(length: int, rng: np.random.Generator) -> Potts:
    raw = torch.from_numpy(rng.normal(size=(length * MISSING, length * MISSING)))
    couplings = ((raw + raw.T) / 2).view(length, MISSING, length, MISSING)
    couplings = couplings * ~torch.eye(length, dtype=torch.bool)[:, None, :, None]
    return Potts(
        torch.from_numpy(rng.normal(size=(length, MISSING))), couplings, profile_at_random(length, rng)
    )


def test_objective_is_the_penalised_likelihood_of_the_conditionals() -> None:
    """The package's objective with centred features, against the conditionals that training reads off."""
    rng = np.random.default_rng(0)
    states = torch.from_numpy(rng.integers(0, MISSING + 1, (30, 5)).astype(np.int8))
    weights, profile = torch.from_numpy(rng.random(30)), profile_at_random(5, rng)
    for allowed in (None, ~torch.eye(5, dtype=torch.bool)):
        if allowed is not None:
            allowed[0, 3] = allowed[3, 0] = False
        objective = pseudo_likelihood(states, weights, profile, allowed)
        point = torch.from_numpy(0.3 * rng.normal(size=objective.parameters))
        fields, couplings = objective.unpack(point)
        potts = Potts(fields, couplings.view(5, MISSING, 5, MISSING), profile)
        log_p = potts.logits(states).log_softmax(dim=-1)
        expected = 0.0
        for row, site in itertools.product(range(30), range(5)):
            if (letter := int(states[row, site])) < MISSING:
                expected -= float(weights[row] / weights.sum() * log_p[row, site, letter])
        partners = 4 if allowed is None else 18 / 5
        penalty = 0.01 * float(fields.square().sum())
        penalty += 0.01 * 0.5 * partners * (MISSING - 1) * float(couplings.square().sum())
        expected += penalty / float(weights.sum())
        assert float(objective(point)[0]) == pytest.approx(expected, rel=1e-9)
        if allowed is not None:
            assert not potts.couplings[0, :, 3].any()


def test_masked_site_is_the_profile_average_of_logits() -> None:
    rng = np.random.default_rng(1)
    potts = potts_at_random(4, rng)
    states = torch.from_numpy(rng.integers(0, MISSING, (1, 4)).astype(np.int8))
    hidden = states.clone()
    hidden[0, 1] = hidden[0, 3] = MISSING
    expected = torch.zeros(4, MISSING, dtype=torch.float64)
    for a, b in itertools.product(range(MISSING), repeat=2):
        filled = states.clone()
        filled[0, 1], filled[0, 3] = a, b
        expected += potts.profile[1, a] * potts.profile[3, b] * potts.logits(filled)[0]
    torch.testing.assert_close(potts.logits(hidden)[0], expected, atol=1e-10, rtol=0)


def test_conditional_ignores_its_own_site_and_jacobian_is_the_coupling() -> None:
    rng = np.random.default_rng(2)
    potts = potts_at_random(5, rng)
    states = torch.from_numpy(rng.integers(0, MISSING, (1, 5)).astype(np.int8))
    mutant = states.clone()
    mutant[0, 2] = (states[0, 2] + 7) % MISSING
    change = potts.logits(mutant)[0] - potts.logits(states)[0]
    wanted = potts.couplings[2, int(mutant[0, 2])] - potts.couplings[2, int(states[0, 2])]
    torch.testing.assert_close(change, wanted, atol=1e-12, rtol=0)
    assert torch.equal(change[2], torch.zeros(MISSING, dtype=torch.float64))


def test_fit_finds_the_coupled_pair(tmp_path) -> None:
    family = synthetic_family()
    potts = fit(family, iterations=30)
    scores = coupling_map(potts.couplings)
    assert np.unravel_index(int(scores.argmax()), scores.shape) in {(2, 9), (9, 2)}
    assert strongest_pairs(potts.couplings, 1).nonzero().tolist() == [[2, 9], [9, 2]]
    states = torch.from_numpy(family.held_out)
    by_profile = potts.profile.log().expand(len(states), -1, -1)
    assert perplexity(potts.logits(states), states) < 0.95 * perplexity(by_profile, states)
    potts.save(tmp_path / "potts.npz")
    torch.testing.assert_close(Potts.load(tmp_path / "potts.npz").couplings, potts.couplings)


def test_uniform_conditionals_have_perplexity_twenty() -> None:
    states = torch.tensor([[0, 5, MISSING]], dtype=torch.int8)
    assert perplexity(torch.zeros(1, 3, MISSING), states) == pytest.approx(20)
