"""The model that comes with the package, `mini`: its file, and which proteins it has learnt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from catjac_widgets.alphabets import ESM_LETTERS
from catjac_widgets.errors import CheckpointError, SequenceError

#: The folder with `mini.safetensors` (weights) and `mini.json` (families and queries it was trained on).
FOLDER = Path(__file__).with_name("embedded")
WEIGHTS, CARD = "mini.safetensors", "mini.json"

#: Where to send somebody whose protein `mini` does not know.
LARGER = "esm2_t33_650M_UR50D"

#: From this identity to a training query on, over at least so many aligned residues, a protein counts as known.
KNOWN_IDENTITY = 0.40
KNOWN_RESIDUES = 20


@dataclass(frozen=True)
class Familiarity:
    """How well the embedded model knows a protein.

    Attributes
    ----------
    family
        The training family with the nearest query.
    identity
        Identical residues over the shorter of the two sequences, 0 … 1.
    known
        Whether that is near enough for the model's answers to mean something.
    sentence
        The same for a person to read.
    """

    family: str
    identity: float
    known: bool
    sentence: str


def embedded_file() -> Path:
    """Path of the embedded weights.

    Raises
    ------
    CheckpointError
        If they are not in this installation.
    """
    path = FOLDER / WEIGHTS
    if not path.is_file():
        raise CheckpointError(
            f"The embedded model is missing from this installation ({WEIGHTS}); install catjac-widgets again."
        )
    return path


def familiarity(residues: str) -> Familiarity:
    """Say whether the embedded model has learnt a protein's family.

    The sequence is aligned to each training query (global, end gaps free, BLOSUM62, gaps −11/−1: Needleman and
    Wunsch 1970, Gotoh 1982), and the most identical one counts.

    Parameters
    ----------
    residues
        One chain in one-letter code.

    Raises
    ------
    SequenceError
        If it is empty.
    CheckpointError
        If the embedded model is missing from this installation.
    """
    if not residues:
        raise SequenceError("The sequence is empty; give at least two residues.")
    best, identity, aligned = None, -1.0, 0
    for family in _families(FOLDER / CARD):
        share, count = _identity(residues.upper(), family["query"])
        if share > identity:
            best, identity, aligned = family, share, count
    if best is None:
        raise CheckpointError(
            f"The embedded model's card ({CARD}) names no family; install catjac-widgets again."
        )
    known = identity >= KNOWN_IDENTITY and aligned >= min(KNOWN_RESIDUES, len(best["query"]))
    label = f"{best.get('name') or best['id']} ({best['id']})"
    share = f"{100 * identity:.0f} % identical"
    if known:
        sentence = f"mini has learnt the family {label}; this sequence is {share} to its query."
    else:
        sentence = f"mini does not know this protein (nearest: {label}, {share}): use a larger model such as {LARGER}."
    return Familiarity(best["id"], identity, known, sentence)


@lru_cache(maxsize=4)
def _families(card: Path) -> tuple[dict[str, Any], ...]:
    try:
        return tuple(json.loads(card.read_text(encoding="utf-8"))["families"])
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"The embedded model's card ({CARD}) cannot be read; install catjac-widgets again."
        ) from error


@lru_cache(maxsize=4096)
def _identity(residues: str, query: str) -> tuple[float, int]:
    """(identical residues over the shorter length, aligned residues)."""
    import numpy as np
    from biotite.sequence import ProteinSequence
    from biotite.sequence.align import SubstitutionMatrix, align_optimal

    clean = "".join(letter if letter in ESM_LETTERS else "X" for letter in residues)
    alignment = align_optimal(
        ProteinSequence(clean),
        ProteinSequence(query),
        SubstitutionMatrix.std_protein_matrix(),
        gap_penalty=(-11, -1),
        terminal_penalty=False,
        max_number=1,
    )[0]
    pairs = alignment.trace[(alignment.trace >= 0).all(axis=1)]
    equal = np.array([clean[a] == query[b] for a, b in pairs], dtype=bool)
    return float(equal.sum()) / min(len(clean), len(query)), len(pairs)
