from __future__ import annotations

import numpy as np
import pytest
import torch
from labelled_potts import sampled_alignment

from catjac_widgets.language_models.potts.fit import fit_potts
from catjac_widgets.language_models.potts.pseudo_likelihood import PseudoLikelihood, minimise

WEIGHTS = torch.from_numpy(np.random.default_rng(1).uniform(0.2, 1, 6))
TARGETS = torch.from_numpy(np.random.default_rng(1).integers(3, size=(6, 3)))
ONE_HOT = torch.nn.functional.one_hot(TARGETS, 3).double()
PENALTIES = {"field_penalty": 0.02, "coupling_penalty": 0.05}


def small_objective(features: torch.Tensor | None = ONE_HOT, **options) -> PseudoLikelihood:
    return PseudoLikelihood(features, TARGETS, WEIGHTS, states=3, dtype=torch.float64, **PENALTIES, **options)


def random_vector(objective: PseudoLikelihood, seed: int = 2) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=objective.parameters))


KNOWN = torch.tensor([[True, False, True]] * 3 + [[True, True, True]] * 3)
ALLOWED = torch.tensor([[True, True, False], [True, True, True], [False, True, True]])


@pytest.mark.parametrize(
    ("features", "options"),
    [(ONE_HOT, {}), (None, {}), (ONE_HOT - 0.3, {"known": KNOWN, "allowed": ALLOWED})],
    ids=["features", "letters", "centred, with gaps in what is known"],
)
def test_the_gradient_against_finite_differences_and_the_value_against_a_loop(features, options):
    objective = small_objective(features, **options)
    vector = random_vector(objective)
    value, gradient = objective(vector)
    for k in range(objective.parameters):
        step = torch.zeros_like(vector)
        step[k] = 1e-5
        slope = (objective(vector + step)[0] - objective(vector - step)[0]) / 2e-5
        assert slope == pytest.approx(float(gradient[k]), abs=1e-7)
    fields, couplings = objective.unpack(vector)
    W = couplings.view(3, 3, 3, 3).numpy()
    assert not W[np.arange(3), :, np.arange(3)].any()
    if "allowed" in options:
        assert not W[0, :, 2].any()
    f = (ONE_HOT if features is None else features).numpy()
    total = 0.02 * float((fields**2).sum()) + 0.05 * (W**2).sum()
    share = (WEIGHTS / WEIGHTS.sum()).numpy()
    for n in range(6):
        for j in range(3):
            z = [float(fields[j, b]) + sum(f[n, i] @ W[i, :, j, b] for i in range(3)) for b in range(3)]
            if "known" not in options or KNOWN[n, j]:
                total -= share[n] * (z[TARGETS[n, j]] - np.log(np.exp(z).sum()))
    assert value == pytest.approx(total, rel=1e-12)


def test_sums_of_rows_equal_the_product(monkeypatch):
    from catjac_widgets.language_models.potts import pseudo_likelihood

    random = np.random.default_rng(3)
    targets = torch.from_numpy(random.integers(4, size=(200, 5)))
    features = torch.nn.functional.one_hot(targets, 4).double()
    weights = torch.from_numpy(random.uniform(0.2, 1, 200))
    monkeypatch.setattr(pseudo_likelihood, "_BLOCK", 64 * 20)  # several blocks, the last one shorter
    letters = PseudoLikelihood(None, targets, weights, states=4, dtype=torch.float64, **PENALTIES)
    product = PseudoLikelihood(features, targets, weights, **PENALTIES)
    vector = random_vector(letters)
    (a, by_a), (b, by_b) = letters(vector), product(vector)
    assert a == pytest.approx(b, rel=1e-12)
    torch.testing.assert_close(by_a, by_b, rtol=1e-12, atol=1e-12)
    for one, other in zip(letters.moments(), product.moments(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_the_symmetric_part_is_taken_over_all_tiles():
    from catjac_widgets.language_models.potts.pseudo_likelihood import _TILE

    length = _TILE // 20 + 5  # 21 states: the last tiles are narrow
    objective = PseudoLikelihood(
        None, torch.zeros(2, length, dtype=torch.long), torch.ones(2), states=21, **PENALTIES
    )
    raw = torch.randn(objective.size, objective.size, generator=torch.Generator().manual_seed(0))
    wanted = ((raw + raw.T) / 2).view(length, 21, length, 21).clone()
    for k in range(length):
        wanted[k, :, k, :] = 0
    before = raw.clone()
    assert torch.equal(objective.symmetric(raw), wanted.view_as(raw))
    assert torch.equal(raw, before)


def test_the_minimum_is_one_and_the_residual_estimates_the_way_to_it():
    objective = small_objective()
    found = minimise(objective, torch.zeros(3, 3).double(), iterations=500, tolerance=1e-9)
    _, by_fields, by_couplings = objective.at(found.fields, found.couplings)
    assert float(by_fields.abs().max()) < 1e-8
    assert float(by_couplings.abs().max()) < 1e-8
    start = objective.symmetric(torch.from_numpy(np.random.default_rng(5).normal(size=(9, 9))))
    other = minimise(objective, torch.ones(3, 3).double(), start, iterations=500, tolerance=1e-9)
    torch.testing.assert_close(other.couplings, found.couplings, rtol=0, atol=5e-7)
    torch.testing.assert_close(other.fields, found.fields, rtol=0, atol=5e-7)
    near = minimise(objective, torch.zeros(3, 3).double(), tolerance=1e-2)
    assert near.evaluations < found.evaluations
    assert near.residual <= 1e-2
    distance = (near.couplings - found.couplings).norm() / found.couplings.norm()
    assert 1e-5 < float(distance) < 0.1


def test_the_default_stop_is_near_the_optimum():
    alignment = sampled_alignment(pairs=[(0, 4), (2, 6)], length=12, count=500, seed=6)
    converged = fit_potts(alignment, tolerance=1e-8, float64=True, progress=False)
    assert converged.residual <= 1e-8
    stopped = fit_potts(alignment, progress=False)
    assert stopped.residual <= 1e-3
    distance = np.linalg.norm(stopped.couplings - converged.couplings) / np.linalg.norm(converged.couplings)
    assert distance < 0.03


def test_who_watches_sees_it_end_and_can_end_it():
    alignment = sampled_alignment(pairs=[(0, 4)], length=6, count=100, seed=7)
    seen: list[float] = []
    fit_potts(alignment, watch=seen.append, progress=False)
    assert seen[0] == 0
    assert seen[-1] == 1
    assert seen == sorted(seen)

    def stop(share: float) -> None:
        if share > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_potts(alignment, watch=stop, progress=False)


def test_without_features_the_states_are_needed():
    with pytest.raises(ValueError, match="number of states"):
        PseudoLikelihood(None, TARGETS, WEIGHTS, **PENALTIES)
