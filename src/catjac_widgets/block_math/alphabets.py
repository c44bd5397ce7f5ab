"""Jacobians over several alphabets, of which each residue has one: means and blocks of what can be.

Of a protein residue the letters of nucleotides are no substitutions, and its logits at them no answers: these
numbers are 0 and do not count. The Jacobian falls into one part for each pair of alphabets, and each part is
centred by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Alphabets:
    """Which letters residues may have, on either side of a Jacobian.

    Attributes
    ----------
    groups_in, groups_out
        Indices of the letters of each alphabet, along `aa_in` and `aa_out`.
    allowed_in, allowed_out
        Bool (n, A_in) and (L, A_out): whether a residue may have a letter.
    """

    groups_in: tuple[np.ndarray, ...]
    groups_out: tuple[np.ndarray, ...]
    allowed_in: np.ndarray
    allowed_out: np.ndarray

    @classmethod
    def of(
        cls,
        alphabets: Sequence[str],
        inputs: tuple[Sequence[str], Sequence[str]],
        outputs: tuple[Sequence[str], Sequence[str]],
    ) -> Alphabets | None:
        """Find them out; None where there is one alphabet only, so that everything can be.

        Parameters
        ----------
        alphabets
            The letters of each.
        inputs, outputs
            Residues and letters of the two sides. A single letter that is in no alphabet (a mask) may stand
            anywhere.
        """
        if len(alphabets) < 2:
            return None
        groups_in, allowed_in = _side(alphabets, *inputs)
        groups_out, allowed_out = _side(alphabets, *outputs)
        return cls(groups_in, groups_out, allowed_in, allowed_out)

    def at(self, rows: np.ndarray, columns: np.ndarray) -> Alphabets:
        """Return those of some residues only, by index."""
        return Alphabets(self.groups_in, self.groups_out, self.allowed_in[rows], self.allowed_out[columns])

    @property
    def weights_in(self) -> np.ndarray:
        """Of each input letter, how many times as many residues there are as may have it, (A_in,)."""
        return _weights(self.allowed_in)

    @property
    def weights_out(self) -> np.ndarray:
        """Of each output letter, how many times as many residues there are as may have it, (A_out,)."""
        return _weights(self.allowed_out)

    def centre_in(self, values: np.ndarray, axis: int) -> None:
        """Subtract the mean over the input letters of each alphabet; of a single letter nothing."""
        _centre(values, axis, self.groups_in)

    def centre_out(self, values: np.ndarray, axis: int) -> None:
        """Subtract the mean over the output letters of each alphabet."""
        _centre(values, axis, self.groups_out)

    def centred_row(self, row: np.ndarray, axes: Sequence[int]) -> np.ndarray:
        """Centre a row (A_in, L, A_out) over some of its axes; a new array.

        Letters that cannot be have to be 0 and stay so.
        """
        made = row.copy()
        for axis in axes:
            if axis == 1:
                made -= made.mean(axis=1, keepdims=True) * self.weights_out
                made *= self.allowed_out
            else:
                (self.centre_in if axis == 0 else self.centre_out)(made, axis)
        return made

    def blocks(self, rows: slice | int, columns: slice) -> np.ndarray:
        """Tell which numbers of blocks can be: bool, (rows, columns, A_in, A_out), or of one row."""
        return self.allowed_in[rows][..., None, :, None] & self.allowed_out[columns][:, None, :]


def _side(
    alphabets: Sequence[str], residues: Sequence[str], letters: Sequence[str]
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    if len(letters) == 1 and not any(letters[0] in each for each in alphabets):
        return (np.arange(1),), np.ones((len(residues), 1), dtype=bool)
    kinds = {letter: number for number, each in enumerate(alphabets) for letter in each}
    of_letters = np.array([kinds.get(letter, -1) for letter in letters])
    of_residues = np.array([kinds.get(residue, -1) for residue in residues])
    groups = (np.flatnonzero(of_letters == number) for number in range(len(alphabets)))
    return tuple(group for group in groups if len(group)), of_residues[:, None] == of_letters


def _weights(allowed: np.ndarray) -> np.ndarray:
    return len(allowed) / np.maximum(allowed.sum(axis=0), 1)


def _centre(values: np.ndarray, axis: int, groups: tuple[np.ndarray, ...]) -> None:
    view = np.moveaxis(values, axis, 0)
    for group in groups:
        if values.shape[axis] > 1:
            view[group] -= view[group].mean(axis=0)
