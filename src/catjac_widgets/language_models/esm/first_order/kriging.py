"""A Jacobian's rows for all letters, from an approximation of all and the truth of a few.

The errors of the approximation at one position are taken for draws, one for each other residue and letter
read there, of a Gaussian vector over the letters that are put: with the covariance Σ of the effects
themselves and no error for the wild type's own letter, which changes nothing. Known errors then tell of the
others as in kriging: e = Σ[:, known] (Σ[known, known] + λ)⁻¹ e[known].

Shapes: L residues, A letters, k letters known at each.

Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), equation 2.25.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

#: Variance of what the model of errors misses, as a share of a letter's mean variance.
NOISE = 0.2


def letter_covariance(jacobian: Tensor, positions: Tensor) -> Tensor:
    """Covariance (A, A) of the letters put, over what they do to other residues, scaled to mean variance 1.

    Parameters
    ----------
    jacobian
        Rows (n, A, L, A), the wild type's letter zero.
    positions
        Which residues the rows belong to (n,); what these do to themselves is left out.
    """
    rows = torch.arange(len(jacobian), device=jacobian.device)

    def products(blocks: Tensor) -> Tensor:
        """Sum the products of letters over all that follows them, less the means over the letters read."""
        flat, means = blocks.flatten(2), blocks.mean(3)
        whole = flat @ flat.transpose(1, 2) - blocks.shape[3] * (means @ means.transpose(1, 2))
        return whole.sum(0)

    found = products(jacobian) - products(jacobian[rows, :, positions].unsqueeze(2))
    scale = found.trace() / len(found)
    # Where nothing has an effect all letters are alike.
    return found / scale if float(scale) > 0 else torch.eye(len(found), dtype=found.dtype).to(found)


def choose_letters(covariance: Tensor, number: int) -> Tensor:
    """Letters to run, best first, for each letter that the wild type may have: (A, number).

    Each is the one that leaves the least variance of the others about their mean (a greedy design).

    Parameters
    ----------
    covariance
        (A, A).
    number
        How many, fewer than A.
    """
    size = len(covariance)
    every = torch.arange(size)
    sigma = covariance.double().cpu()
    noise = NOISE * float(sigma.diagonal().mean())

    def without(left: Tensor, letters: Tensor) -> Tensor:
        """Covariances (A, A, A) that are left when one letter of each is known."""
        column = left[every, :, letters]
        return (
            left
            - column[:, :, None] * column[:, None] / (left[every, letters, letters] + noise)[:, None, None]
        )

    left = without(sigma.expand(size, -1, -1), every)
    free = ~torch.eye(size, dtype=torch.bool)
    found = []
    for _ in range(number):
        centred = left - left.mean(1, keepdim=True)
        gain = centred.square().sum(1) / (left.diagonal(dim1=1, dim2=2) + noise)  # (A, A)
        best = gain.where(free, -1).argmax(1)
        free[every, best] = False
        left = without(left, best)
        found.append(best)
    return torch.stack(found, dim=1).to(covariance.device) if found else every.new_zeros(size, 0)


def kriging_correction(
    approximate: Tensor, known: Tensor, letters: Tensor, wild_type: Tensor, covariance: Tensor
) -> Tensor:
    """Correct an approximation by letters that are known.

    Parameters
    ----------
    approximate
        (L, A, L, A).
    known
        Rows of some letters (L, k, L, A).
    letters
        Which these are (L, k); none of them the wild type's.
    wild_type
        Index of the wild type's letter (L,), whose rows are zero.
    covariance
        Of the letters (A, A), as of `letter_covariance`.

    Returns
    -------
    torch.Tensor
        (L, A, L, A): known rows as they are, zero for the wild type, the others corrected.
    """
    length = len(approximate)
    rows = torch.arange(length, device=approximate.device)
    given = torch.cat([wild_type[:, None], letters], dim=1)  # (L, 1 + k)
    truth = torch.cat([torch.zeros_like(known[:, :1]), known], dim=1)
    errors = (truth - approximate[rows[:, None], given]).flatten(2)  # (L, 1 + k, L A)
    sigma = covariance.double().cpu()
    noise = NOISE * float(sigma.diagonal().mean()) * torch.eye(given.shape[1], dtype=sigma.dtype)
    each = {tuple(row) for row in given.tolist()}
    tables = {row: _carried(sigma, noise, list(row)).to(approximate) for row in each}
    weights = torch.stack([tables[tuple(row)] for row in given.tolist()])  # (L, A, 1 + k)
    found = approximate + torch.bmm(weights, errors).view_as(approximate)
    found[rows[:, None], given] = truth
    return found


def _carried(sigma: Tensor, noise: Tensor, known: list[int]) -> Tensor:
    """Weights (A, k) of known errors in those of all letters."""
    return torch.linalg.solve(sigma[known][:, known] + noise, sigma[known]).t()
