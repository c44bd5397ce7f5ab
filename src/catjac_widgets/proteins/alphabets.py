"""Letters and their orders. An alphabet is data: nothing else in the package assumes an order."""

from __future__ import annotations

#: The 20 amino acids in the order of the ESM family's tokens 4 to 23.
ESM_LETTERS = "LAGVSERTIDPKQNFYMHWC"

#: The same letters by chemistry, for 20 × 20 pictures: aliphatic, aromatic, acidic, basic, polar, special.
DISPLAY_LETTERS = "AFILVMWYDEKRHNQSTGPC"

#: The same letters from hydrophobic to hydrophilic: Kyte & Doolittle (1982), J Mol Biol 157:105, table 2.
HYDROPHOBICITY_LETTERS = "IVLFCMAGTSWYPHEQDNKR"

#: The order of alignments and Potts models, without and with the gap.
ALIGNMENT_LETTERS = "ARNDCQEGHILKMFPSTWYV"
GAP = "-"

#: Nucleotides.
DNA_LETTERS = "ACGT"
RNA_LETTERS = "ACGU"

#: How a masked residue is written in labels (the fast variant's only `aa_in`).
MASK_LETTER = "<mask>"

#: Letter orders a person can ask for by name.
ORDERS = {
    "esm": ESM_LETTERS,
    "chemistry": DISPLAY_LETTERS,
    "alignment": ALIGNMENT_LETTERS,
    "alphabetical": "".join(sorted(ESM_LETTERS)),
    "hydrophobicity": HYDROPHOBICITY_LETTERS,
}

#: Three-letter residue names, with the modified residues that stand for a standard one.
THREE_TO_ONE = {
    "ALA": "A", "ARG": "R", "ASN": "N", "ASP": "D", "CYS": "C", "GLN": "Q", "GLU": "E", "GLY": "G",
    "HIS": "H", "ILE": "I", "LEU": "L", "LYS": "K", "MET": "M", "PHE": "F", "PRO": "P", "SER": "S",
    "THR": "T", "TRP": "W", "TYR": "Y", "VAL": "V", "MSE": "M", "SEC": "C", "PYL": "K", "ASH": "D",
    "GLH": "E", "HID": "H", "HIE": "H", "HIP": "H", "CYX": "C", "LYN": "K", "LRT": "K",
    "YPL": "C",
}  # fmt: skip

_TO_UPPER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def upper_case(text: str) -> str:
    """Write the letters a to z as A to Z, and leave all else as it is.

    `str.upper` makes SS of "ß", FI of the ligature "fi" and S of the long s: residues that nobody wrote.
    """
    return text.translate(_TO_UPPER)
