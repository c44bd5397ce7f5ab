"""Letters that are known tell of the others: against closed forms and a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from catjac_widgets.language_models.esm.first_order import kriging
from catjac_widgets.language_models.esm.first_order.kriging import (
    choose_letters,
    kriging_correction,
    letter_covariance,
)

LENGTH, LETTERS = 6, 7


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def jacobian(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of random effects, zero for the wild type's letter; and those letters."""
    found = numbers(LENGTH, LETTERS, LENGTH, LETTERS, seed=seed)
    wild_type = torch.arange(LENGTH) % 3
    found[torch.arange(LENGTH), wild_type] = 0
    return found, wild_type


def test_covariance_agrees_with_a_plain_loop() -> None:
    J, _ = jacobian()
    positions = torch.tensor([1, 4, 5])
    expected = np.zeros((LETTERS, LETTERS))
    for row, position in zip(J[positions].numpy(), positions.tolist(), strict=True):
        for other in range(LENGTH):
            if other != position:
                block = row[:, other] - row[:, other].mean(1, keepdims=True)
                expected += block @ block.T
    expected *= LETTERS / np.trace(expected)
    np.testing.assert_allclose(letter_covariance(J[positions], positions), expected, rtol=1e-10)


def test_no_effect_makes_all_letters_alike() -> None:
    assert torch.equal(letter_covariance(torch.zeros(2, 4, 2, 4), torch.arange(2)), torch.eye(4))


@pytest.mark.parametrize("number", [0, 1, 4])
def test_letters_agree_with_trying_each(number: int) -> None:
    """The greedy choice by rank-one steps is that of conditioning on each set anew."""
    root = numbers(LETTERS, LETTERS, seed=3)
    sigma = (root @ root.T).numpy()
    noise = kriging.NOISE * np.diag(sigma).mean()
    centring = np.eye(LETTERS) - 1 / LETTERS
    found = choose_letters(torch.tensor(sigma), number)
    assert found.shape == (LETTERS, number)
    for wild_type in range(LETTERS):
        known = [wild_type]
        for _ in range(number):
            left = {}
            for letter in set(range(LETTERS)) - set(known):
                given = [*known, letter]
                told = np.linalg.inv(sigma[np.ix_(given, given)] + noise * np.eye(len(given)))
                rest = sigma - sigma[:, given] @ told @ sigma[given]
                left[letter] = np.trace(centring @ rest @ centring)
            known.append(min(left, key=left.__getitem__))
        assert found[wild_type].tolist() == known[1:]


def test_errors_of_few_kinds_come_back_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors that are mixtures of two patterns over the letters are known from any two letters."""
    monkeypatch.setattr(kriging, "NOISE", 0.0)
    patterns = numbers(LETTERS, 2, seed=1)
    approximate, _ = jacobian(1)
    wild_type = torch.zeros(LENGTH, dtype=torch.int64)
    patterns[0] = 0  # the wild type's letter has no error
    approximate[:, 0] = 0
    exact = approximate + torch.einsum("as,isjb->iajb", patterns, numbers(LENGTH, 2, LENGTH, LETTERS, seed=2))
    sigma = patterns @ patterns.T
    sigma[0, 0] = 1.0
    letters = torch.tensor([[2, 5], [1, 3], [4, 6], [2, 5], [3, 6], [1, 2]])
    known = exact[torch.arange(LENGTH)[:, None], letters]
    torch.testing.assert_close(
        kriging_correction(approximate, known, letters, wild_type, sigma), exact, rtol=1e-9, atol=1e-9
    )


def test_a_right_approximation_stays_as_it_is() -> None:
    exact, wild_type = jacobian(4)
    letters = torch.tensor([[4, 6]]).expand(LENGTH, -1)
    known = exact[torch.arange(LENGTH)[:, None], letters]
    sigma = letter_covariance(exact, torch.arange(LENGTH))
    torch.testing.assert_close(
        kriging_correction(exact, known, letters, wild_type, sigma), exact, rtol=0, atol=1e-12
    )


def test_the_correction_agrees_with_a_plain_loop() -> None:
    approximate, wild_type = jacobian(5)
    exact, _ = jacobian(6)
    sigma = letter_covariance(exact, torch.arange(LENGTH))
    letters = choose_letters(sigma, 2)[wild_type]
    known = exact[torch.arange(LENGTH)[:, None], letters]
    found = kriging_correction(approximate, known, letters, wild_type, sigma).numpy()
    S = sigma.numpy()
    for i in range(LENGTH):
        given = [int(wild_type[i]), *letters[i].tolist()]
        told = np.linalg.inv(S[np.ix_(given, given)] + kriging.NOISE * np.eye(3))
        for a in range(LETTERS):
            if a in given:
                np.testing.assert_array_equal(found[i, a], exact[i, a])
                continue
            expected = approximate[i, a].numpy().copy()
            for k, letter in enumerate(given):
                for m, other in enumerate(given):
                    error = exact[i, other] - approximate[i, other]
                    expected += S[a, letter] * told[k, m] * error.numpy()
            np.testing.assert_allclose(found[i, a], expected, rtol=1e-9, atol=1e-9)
