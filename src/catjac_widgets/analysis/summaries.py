"""What a Jacobian says about single residues, and about pairs of mutations."""

from __future__ import annotations

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.analysis.contacts.maps import contacts, stored_map
from catjac_widgets.analysis.contacts.norms import block_norms
from catjac_widgets.analysis.probabilities import entropy, log_softmax
from catjac_widgets.errors import JacobianError
from catjac_widgets.proteins.coordinates import AXES


def sensitivity(J: xr.DataArray, *, allow_partial: bool = False) -> xr.Dataset:
    """Summarise how strongly each residue acts on the others and is acted upon.

    With F_ij the Frobenius norm of the block J[i, :, j, :], centred over the letters only, and i ≠ j:

    * influence of i: sqrt(Σ_j F_ij²), the effect of mutating i on all other positions;
    * sensitivity of j: sqrt(Σ_i F_ij²), the effect of mutations elsewhere on j;
    * self_response: F_ii, reported apart because it would dominate;
    * asymmetry: (F_ij − F_ji) / (F_ij + F_ji), 0 where both are 0;
    * coupling_strength: row sum of the contact map `contacts(J)`;
    * entropy: of the wild-type logits over the A letters, in nats (where J brings `wild_type_logits`);
    * conservation: ln A − entropy, in nats, as sequence logos count it.

    Parameters
    ----------
    J
        Raw or letter-centred Jacobian; read row by row.
    allow_partial
        Use the rows that are there, even if some visible residue has none yet.

    Returns
    -------
    xr.Dataset
        float64; all over `pos`, asymmetry over (pos_i, pos_j). A masked residue has no influence (NaN), but a
        sensitivity, because its logits are read all the same.

    Raises
    ------
    JacobianError
        For a J that is partial, centred over positions, damaged, or lacks an axis or labels.
    """
    J = labels.check_axes(J)
    _refuse_position_centred(J)
    size = J.sizes["pos_out"]
    F = stored_map(J, "block_norms")
    if F is None:
        used = labels.usable_positions(J, allow_partial=allow_partial)
        F = np.full((size, size), np.nan)
        F[used.columns] = block_norms(J, rows=used.rows).values
    off_diagonal = np.where(np.eye(size, dtype=bool), 0.0, F)
    there = np.isfinite(F).any(axis=1)
    with np.errstate(invalid="ignore"):
        asymmetry = (F - F.T) / (F + F.T)
    asymmetry[(F + F.T) == 0] = 0.0
    contact_map = contacts(J, allow_partial=True, allow_centred=True)
    strength = np.where(there, np.nansum(contact_map.values, axis=1), np.nan)
    variables = {
        "influence": ("pos", np.where(there, np.sqrt((off_diagonal**2).sum(axis=1)), np.nan)),
        "sensitivity": ("pos", np.sqrt(np.nansum(off_diagonal**2, axis=0))),
        "self_response": ("pos", np.diagonal(F).copy()),
        "asymmetry": (("pos_i", "pos_j"), asymmetry),
        "coupling_strength": ("pos", strength),
    }
    coords = labels.map_coordinates(J, ["", "i", "j"])
    made = xr.Dataset(variables, coords=coords, attrs=labels.provenance(J))
    if "wild_type_logits" in J.coords:
        logits = J["wild_type_logits"].transpose("pos_out", "aa_out").values
        H = entropy(log_softmax(logits))
        made["entropy"] = ("pos", H, {"units": "nats"})
        known = labels.alphabets(J)
        size = logits.shape[-1] if known is None else known.allowed_out.sum(axis=1)
        made["conservation"] = ("pos", np.log(size) - H, {"units": "nats"})
    return made


def epistasis(J: xr.DataArray) -> xr.DataArray:
    """Change of the log-odds of b against the wild type at j, caused by a at i.

    ε[i,a,j,b] = J[i,a,j,b] − J[i,a,j,w_j] − J[i,w_i,j,b] + J[i,w_i,j,w_j]; the last two are zero for a raw J,
    and make the result the same for a J centred over its letters. For a Potts model this is the double-mutant
    term exactly and symmetric under (i,a) ↔ (j,b); for a language model the asymmetry is a diagnostic. Blocks
    with i = j hold no pair of mutations and only tell how the logits at i answer to a change at i.

    Parameters
    ----------
    J
        Raw Jacobian of the full variant (or one centred over letters only). A lazy dask J stays lazy.

    Returns
    -------
    xr.DataArray
        J's shape, labels and dtype, name "epistasis".

    Raises
    ------
    JacobianError
        For the fast variant, for a J centred over positions (the term cannot be had back from it), or where
        the wild-type letters are not known or were selected away.
    """
    J = labels.check_axes(J)
    if labels.is_fast(J):
        raise JacobianError(
            "The fast variant masks residues instead of mutating them, so it holds no pairs of mutations; "
            'compute the Jacobian with variant="full".'
        )
    _refuse_position_centred(J)
    missing = [name for name in ("wild_type_in", "wild_type_out") if name not in J.coords]
    if missing:
        raise JacobianError(
            f"Epistasis is relative to the wild type, and the coordinate {' and '.join(missing)} is gone; "
            "keep it."
        )
    outputs = _wild_type_letters(J, "out")
    against_wild_type = J - J.sel(aa_out=outputs).drop_vars("aa_out")
    if _is_raw(J) and not _has_wild_type_rows(J):
        made = against_wild_type
    else:
        inputs = _wild_type_letters(J, "in")
        made = against_wild_type - against_wild_type.sel(aa_in=inputs).drop_vars("aa_in")
    made = made.transpose(*AXES).assign_coords(J.coords)
    known = labels.alphabets(J)
    if known is not None:
        # Letters of another alphabet than a residue's own have no odds there.
        possible = xr.DataArray(known.allowed_out, dims=("pos_out", "aa_out"))
        made = made.where(possible | made.isnull(), 0.0)
    made.attrs = {**labels.provenance(J), "kind": "epistasis"}
    return made.rename("epistasis")


def _is_raw(J: xr.DataArray) -> bool:
    return str(J.attrs.get("kind", "raw")) == "raw"


def _refuse_position_centred(J: xr.DataArray) -> None:
    over = set(str(J.attrs.get("centred_over", "")).split())
    unknown_kind = not _is_raw(J) and not over
    if (
        over & {"pos_in", "pos_out"}
        or unknown_kind
        or J.attrs.get("symmetrised")
        or labels.averages_to_zero(J)
    ):
        raise JacobianError(
            "This Jacobian was centred over positions or symmetrised; what mutations do cannot be had back "
            "from it, so pass the raw one."
        )


def _has_wild_type_rows(J: xr.DataArray) -> bool:
    return set(map(str, J["wild_type_in"].values)) <= set(labels.letters(J, "aa_in"))


def _wild_type_letters(J: xr.DataArray, side: str) -> xr.DataArray:
    """Return the wild-type letters along `pos_<side>`, to select with."""
    wanted = np.array([str(letter) for letter in J[f"wild_type_{side}"].values])
    gone = sorted(set(wanted) - set(labels.letters(J, f"aa_{side}")))
    if gone:
        raise JacobianError(
            f"The wild-type letter {', '.join(gone)} is not among aa_{side}, so there is nothing to compare "
            "with; select letters after taking the epistasis."
        )
    return xr.DataArray(wanted, dims=f"pos_{side}")
