"""Contacts between codons: the Jacobian of coding sequences folded to the residues that they stand for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.analysis.contacts.maps import refuse_centred
from catjac_widgets.analysis.contacts.operations import remove_components, zero_diagonal
from catjac_widgets.block_math.centring import centred
from catjac_widgets.errors import JacobianError, UsageError
from catjac_widgets.proteins.coordinates import residue_coordinates
from catjac_widgets.proteins.sequences import CHAIN_NAMES, Chain, Sequence

#: The standard genetic code, NCBI's table 1: all codons with the letters in the order TCAG.
_CODE = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
_CODONS = {
    f"{a}{b}{c}": _CODE[16 * i + 4 * j + k]
    for i, a in enumerate("TCAG")
    for j, b in enumerate("TCAG")
    for k, c in enumerate("TCAG")
}

#: Axes of the folded Jacobian: codon, place in it, letter, of the input and of the output.
_AXES, _ONE_SIDED_AXES = (0, 1, 2, 3, 4, 5), (1, 2, 4, 5)


def codon_contacts(J: xr.DataArray, coding: Iterable[tuple[int, int]], *, removed: int = 1) -> xr.DataArray:
    """Contact map between the codons of coding sequences, also of several that overlap.

    The rows and columns of each coding sequence are cut out and put one after the other, shape
    (N, 3, 4, N, 3, 4); then all six axes are centred, the Frobenius norm is taken over places and letters,
    the map is added to its transpose, the diagonal set to 0, APC applied, and the diagonal set to 0 again.
    A Jacobian of a model that reads from left to right is centred over places and letters only, because
    means over codons would mix its blocks with its zeros.

    Parameters
    ----------
    J
        Raw Jacobian of nucleotides, full variant, one-sided or summed over both strands, with all rows of the
        coding sequences.
    coding
        Coding sequences as (first, last) positions, 1-based, ends included, on the strand of J: whole codons.
        A stop codon at the end is left out. Where two overlap, codons that share nucleotides show it.
    removed
        See `catjac.contacts`.

    Returns
    -------
    xr.DataArray
        float64, dims (pos_i, pos_j) over all codons; `chain_i` is "A" for the first coding sequence, "B" for
        the second, `wild_type_i` the amino acid, `number_i` its number in the protein. `chain_block` cuts out
        the contacts between two of them.

    Raises
    ------
    JacobianError
        For a J that is not raw, not of nucleotides or the full variant, or lacks rows.
    UsageError
        For coding sequences that lie outside, are no whole codons, or stop within.

    References
    ----------
    sokrypton/ColabBio, categorical_jacobian/2onk_analysis.ipynb.
    """
    J = labels.check_axes(J)
    refuse_centred(J)
    for axis in ("aa_in", "aa_out"):
        if {"T" if letter == "U" else letter for letter in labels.letters(J, axis)} != set("ACGT"):
            raise JacobianError(
                f"Codons are made of nucleotides, and {axis} is {', '.join(labels.letters(J, axis))}; pass "
                "the full Jacobian of a model of DNA or RNA."
            )
    residues = labels.sequence_of(J).residues
    positions = labels.positions(J, "pos_out")
    if len(residues) != len(positions):
        raise JacobianError("The Jacobian does not say which nucleotides its columns are; pass it whole.")
    nucleotide = dict(zip((int(each) for each in positions), residues, strict=True))
    places, proteins = _coding(list(coding), nucleotide)
    folded = _folded(J, places)
    axes = _ONE_SIDED_AXES if labels.is_one_sided(J) else _AXES
    folded = centred(folded, axes)
    norms = np.sqrt(np.einsum("ipajqb,ipajqb->ij", folded, folded))
    values = zero_diagonal(remove_components(zero_diagonal(norms + norms.T), removed))
    sequence = Sequence(tuple(Chain(CHAIN_NAMES[k], each) for k, each in enumerate(proteins)))
    return xr.DataArray(
        values,
        dims=("pos_i", "pos_j"),
        coords=residue_coordinates(sequence),
        name="contacts",
        attrs={
            **{key: value for key, value in labels.provenance(J).items() if key != "visible"},
            "sequence": str(sequence),
            "kind": "Jacobian, codons",
            "removed": int(removed),
        },
    )


def _coding(spans: list[tuple[int, int]], nucleotide: dict[int, str]) -> tuple[np.ndarray, list[str]]:
    """Positions of all codons, int (N, 3), and the protein of each coding sequence."""
    if not spans or len(spans) > len(CHAIN_NAMES):
        raise UsageError("coding= holds no coding sequence; give (first, last) positions: [(1, 300)].")
    places, proteins = [], []
    for first, last in spans:
        name = f"The coding sequence {first}–{last}"
        if not (first in nucleotide and last in nucleotide and first < last):
            raise UsageError(
                f"{name} does not lie within the positions {min(nucleotide)}–{max(nucleotide)}; give its "
                "first and last nucleotide."
            )
        if (last - first + 1) % 3:
            raise UsageError(
                f"{name} has {last - first + 1} nucleotides, which are no whole codons; check its ends."
            )
        codons: np.ndarray = np.arange(first, last + 1).reshape(-1, 3)
        words = ["".join(nucleotide.get(int(k), "?") for k in codon).replace("U", "T") for codon in codons]
        if any("?" in word for word in words):
            raise UsageError(f"{name} is not there as a whole; select none of its nucleotides away.")
        protein = "".join(_CODONS[word] for word in words)
        codons, protein = (codons[:-1], protein[:-1]) if protein.endswith("*") else (codons, protein)
        if "*" in protein or len(protein) < 2:
            why = f"stops at codon {protein.index('*') + 1}" if "*" in protein else "is too short"
            raise UsageError(f"{name} {why}; check its ends and its frame.")
        places.append(codons)
        proteins.append(protein)
    return np.concatenate(places), proteins


def _folded(J: xr.DataArray, places: np.ndarray) -> np.ndarray:
    """Cut out the rows and columns of codons, float64 (N, 3, A, N, 3, A), reading J a codon at a time."""
    row_of = {int(position): k for k, position in enumerate(labels.positions(J, "pos_in"))}
    column_of = {int(position): k for k, position in enumerate(labels.positions(J, "pos_out"))}
    columns = np.array([column_of[int(position)] for position in places.ravel()])
    A_in, A_out, N = J.sizes["aa_in"], J.sizes["aa_out"], len(places)
    folded = np.empty((N, 3, A_in, N, 3, A_out))
    for k, codon in enumerate(places):
        rows = [row_of.get(int(position), -1) for position in codon]
        if -1 in rows:
            raise JacobianError(f"J has no row of position {codon[rows.index(-1)]}; complete it.")
        values = J.isel(pos_in=rows).values[:, :, columns]
        if np.isnan(values).any():
            raise JacobianError(f"J has no row of positions {codon[0]}–{codon[-1]}; complete it.")
        folded[k] = values.reshape(3, A_in, N, 3, A_out)
    return folded
