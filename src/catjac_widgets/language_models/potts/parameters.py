"""Parameters of a Potts model: fields, couplings, their gauge; saving them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from catjac_widgets.errors import CheckpointError
from catjac_widgets.proteins.alphabets import ALIGNMENT_LETTERS, GAP

ALIGNMENT_STATES = ALIGNMENT_LETTERS + GAP


@dataclass(frozen=True, eq=False)
class PottsParameters:
    """A Potts model over K columns with q states.

    Attributes
    ----------
    fields
        V, shape (K, q).
    couplings
        W, shape (K, q, K, q), symmetric (W[i,a,j,b] = W[j,b,i,a]), zero for i = j.
    letters
        The q states, in order; the gap may be one of them.
    sequence
        The residues (L ≥ K) of the query that the columns belong to; "" where unknown, then L = K.
    columns
        Which residues (0-based) have a column, ascending; all by default.
    neff
        Effective number of sequences it was fitted to, NaN where unknown.
    residual
        How far from the optimum a fit stopped (see `fit_potts`), NaN where unknown.
    """

    fields: np.ndarray
    couplings: np.ndarray
    letters: str = ALIGNMENT_STATES
    sequence: str = ""
    columns: tuple[int, ...] = ()
    neff: float = float("nan")
    residual: float = float("nan")

    def __post_init__(self) -> None:
        K, q = self.fields.shape
        if self.couplings.shape != (K, q, K, q) or len(self.letters) != q:
            raise CheckpointError(
                f"The Potts model has fields {self.fields.shape}, couplings {self.couplings.shape} and "
                f"{len(self.letters)} letters, which do not fit together."
            )
        if not self.columns:
            object.__setattr__(self, "columns", tuple(range(K)))
        if len(self.columns) != K or self.columns[-1] >= self.length:
            raise CheckpointError(
                f"The Potts model has {K} columns, {len(self.columns)} places and {self.length} residues."
            )

    @property
    def length(self) -> int:
        """L, the residues of the query."""
        return len(self.sequence) or len(self.columns)

    @property
    def residue_letters(self) -> str:
        """The states without the gap."""
        return "".join(letter for letter in self.letters if letter not in "-.")

    def zero_sum(self) -> PottsParameters:
        """Give the same model in the zero-sum gauge: fields and couplings sum to 0 over every letter axis."""
        V, W = self.fields.astype(np.float64), self.couplings.astype(np.float64)
        mean_i = W.mean(axis=1, keepdims=True)
        mean_j = W.mean(axis=3, keepdims=True)
        both = W.mean(axis=(1, 3), keepdims=True)
        fields = V + (mean_i - both).sum(axis=(0, 1))
        fields = fields - fields.mean(axis=1, keepdims=True)
        return replace(self, fields=fields, couplings=W - mean_i - mean_j + both)

    def for_residues(self) -> tuple[np.ndarray, np.ndarray]:
        """Fields (L, A) and couplings (L, A, L, A) over the residues' letters; zero without a column."""
        keep = [self.letters.index(letter) for letter in self.residue_letters]
        place, A, L = list(self.columns), len(keep), self.length
        fields = np.zeros((L, A), dtype=self.fields.dtype)
        fields[place] = self.fields[:, keep]
        couplings = np.zeros((L, A, L, A), dtype=self.couplings.dtype)
        inner = self.couplings[:, keep][:, :, :, keep]
        couplings[np.ix_(place, range(A), place, range(A))] = inner
        return fields, couplings

    def save(self, path: str | Path) -> None:
        """Write ``.npz`` or ``.safetensors``, whichever the name ends in; couplings as float32.

        Raises
        ------
        CheckpointError
            For another ending.
        """
        path = Path(path)
        arrays: dict[str, np.ndarray] = {
            "fields": np.ascontiguousarray(self.fields, dtype=np.float32),
            "couplings": np.ascontiguousarray(self.couplings, dtype=np.float32),
            "columns": np.array(self.columns, dtype=np.int64),
            "neff": np.array([self.neff, self.residual]),
        }
        if path.suffix == ".safetensors":
            from safetensors.numpy import save_file

            save_file(arrays, path, metadata={"letters": self.letters, "sequence": self.sequence})
        elif path.suffix == ".npz":
            np.savez_compressed(path, letters=self.letters, sequence=self.sequence, **arrays)  # type: ignore[arg-type]
        else:
            raise CheckpointError(f"{path.name}: a Potts model is saved as .npz or .safetensors.")
