"""Labelled Jacobians made by hand, with the coordinates and attributes that the engine gives them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from catjac_widgets.proteins.alphabets import ESM_LETTERS, MASK_LETTER
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Sequence


def labelled(
    values: np.ndarray,
    sequence: Sequence | str,
    *,
    letters_in: list[str] | str | None = None,
    letters_out: list[str] | str = ESM_LETTERS,
    mask: Mask | None = None,
    wild_type_logits: np.ndarray | None = None,
    **attrs: object,
) -> xr.DataArray:
    """Label an array (L, A_in, L, A_out); rows of masked residues become NaN."""
    sequence = as_sequence(sequence)
    mask = mask or Mask.none(sequence)
    if letters_in is None:
        letters_in = [MASK_LETTER] if values.shape[1] == 1 else ESM_LETTERS
    values = np.array(values)
    values[mask.array] = np.nan
    coords: dict = {"aa_in": list(letters_in), "aa_out": list(letters_out)}
    for side in ("in", "out"):
        axis = f"pos_{side}"
        coords[axis] = sequence.positions
        coords[f"chain_{side}"] = (axis, np.array(sequence.chain_names))
        coords[f"number_{side}"] = (axis, np.array(sequence.numbers))
        coords[f"wild_type_{side}"] = (axis, np.array(list(sequence.residues)))
        coords[f"residue_{side}"] = (axis, np.array(sequence.labels))
    if wild_type_logits is not None:
        coords["wild_type_logits"] = (("pos_out", "aa_out"), wild_type_logits)
    everything: dict = {
        "sequence": str(sequence),
        "sequence_name": sequence.name,
        "visible": str(mask),
        "model": "stub",
        "model_fingerprint": "stub-1",
        "variant": "fast" if values.shape[1] == 1 else "full",
        "numerics": "exact",
        "linker": "",
        "complete": 1,
        "kind": "raw",
    }
    return xr.DataArray(
        values,
        dims=("pos_in", "aa_in", "pos_out", "aa_out"),
        coords=coords,
        name="jacobian",
        attrs={**everything, **attrs},
    )


def random_sequence(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list(ESM_LETTERS), length))


def random_jacobian(
    length: int = 8, seed: int = 0, *, sequence: Sequence | str | None = None, **options
) -> xr.DataArray:
    """A raw Jacobian of noise: float32, exactly zero at the wild-type letter, logits along."""
    generator = np.random.default_rng(seed)
    sequence = as_sequence(sequence or random_sequence(length, seed))
    L = len(sequence)
    fast = options.pop("fast", False)
    values = generator.normal(size=(L, 1 if fast else 20, L, 20)).astype(np.float32)
    values += (3 * generator.normal(size=20)).astype(np.float32)
    if not fast:
        for k, letter in enumerate(sequence.residues):
            values[k, ESM_LETTERS.index(letter)] = 0
    logits = generator.normal(size=(L, 20)).astype(np.float32)
    return labelled(values, sequence, wild_type_logits=logits, **options)


def potts_couplings(length: int, seed: int = 0) -> np.ndarray:
    """Couplings W (L, 20, L, 20): symmetric, with zero diagonal blocks, float64."""
    W = np.random.default_rng(seed).normal(size=(length, 20, length, 20))
    W = (W + W.transpose(2, 3, 0, 1)) / 2
    for k in range(length):
        W[k, :, k] = 0
    return W


def potts_jacobian(
    W: np.ndarray, sequence: str, fields: np.ndarray | None = None, mask: Mask | None = None
) -> xr.DataArray:
    """Closed form: J = W[i,a,j,b] − W[i,w_i,j,b], logits V + Σ_i W[i,x_i] over the visible residues."""
    L = len(sequence)
    chosen = [ESM_LETTERS.index(letter) for letter in sequence]
    wild = W[np.arange(L), chosen]
    seen = np.ones(L, bool) if mask is None else ~mask.array
    logits = (np.zeros((L, 20)) if fields is None else fields) + wild[seen].sum(axis=0)
    return labelled(W - wild[:, None], sequence, wild_type_logits=logits, mask=mask, numerics="float64")
