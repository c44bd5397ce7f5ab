"""The Potts model that a Jacobian is the Jacobian of."""

from __future__ import annotations

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.analysis.contacts.operations import apc, centre, symmetrise
from catjac_widgets.errors import JacobianError
from catjac_widgets.language_models.potts.parameters import PottsParameters


def potts_of_jacobian(J: xr.DataArray, *, pairs: int | None = None) -> PottsParameters:
    """Take a Jacobian at its word: the Potts model that has these couplings and the same logits at its query.

    Couplings are J's blocks, symmetrised and centred over both letters (the zero-sum gauge); fields make up
    for the rest. Of a Potts model's Jacobian that is the model itself; of a language model's, its
    second-order picture around the query.

    Parameters
    ----------
    J
        Full Jacobian, every row there, with the coordinate `wild_type_logits`.
    pairs
        Keep the couplings of so many pairs only, those of the highest norm after average product correction;
        all by default.

    Returns
    -------
    PottsParameters
        Over J's residues and letters, float64, no gap.

    Raises
    ------
    JacobianError
        If J is partial or lacks the logits of its wild type.
    """
    J = labels.check_axes(J)
    labels.usable_positions(J, allow_partial=False)
    if "wild_type_logits" not in J.coords:
        raise JacobianError("J lacks its wild_type_logits; use what catjac.jacobian returned.")
    even = symmetrise(centre(J, ("aa_in", "aa_out")))
    W = even.transpose("pos_in", "aa_in", "pos_out", "aa_out").values.astype(np.float64)
    L = len(W)
    W[np.arange(L), :, np.arange(L), :] = 0
    if pairs is not None:
        scores = apc(np.sqrt(np.einsum("iajb,iajb->ij", W, W)))
        first, second = np.triu_indices(L, 1)
        best = np.argsort(-scores[first, second], kind="stable")[:pairs]
        kept = np.zeros((L, L), dtype=bool)
        kept[first[best], second[best]] = kept[second[best], first[best]] = True
        W *= kept[:, None, :, None]
    letters = "".join(labels.letters(J, "aa_out"))
    residues = labels.sequence_of(J).residues
    logits = J["wild_type_logits"].transpose("pos_out", "aa_out").values.astype(np.float64)
    logits = logits - logits.mean(axis=1, keepdims=True)
    at = [letters.index(residue) for residue in residues]
    fields = logits - W[np.arange(L), at].sum(axis=0)
    return PottsParameters(fields, W, letters, residues)
