"""Which proteins the embedded model `mini` has learnt."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from catjac_widgets.errors import CheckpointError, SequenceError
from catjac_widgets.language_models.esm.mini import weights
from catjac_widgets.proteins.alphabets import ESM_LETTERS

#: Where to send somebody whose protein `mini` does not know.
LARGER = "esm2_t33_650M_UR50D"

#: A protein counts as known where chance would give as good an alignment with a training query this often.
KNOWN_E_VALUE = 1e-3

# Gapped BLOSUM62 with penalties -11 and -1: lambda and K of the extreme-value distribution of local scores.
_LAMBDA, _K = 0.267, 0.041
_GAPS = (-11, -1)


@dataclass(frozen=True)
class Familiarity:
    """How well the embedded model knows a protein.

    Attributes
    ----------
    family
        The training family with the nearest query.
    identity
        Identical residues over the shorter of sequence and query, 0 … 1, aligned globally with free ends.
    known
        Whether that is near enough for the model's answers to mean something.
    sentence
        The same for a person to read.
    """

    family: str
    identity: float
    known: bool
    sentence: str


@lru_cache(maxsize=256)
def familiarity(residues: str) -> Familiarity:
    """Say whether the embedded model has learnt a protein's family.

    The nearest training query is the one with the best local alignment (BLOSUM62, gaps -11/-1); whether the
    family counts as known goes by its E-value, since identities of homologues and of strangers overlap. Of
    natural members of the training families three quarters are recognised so; others practically never are.

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

    References
    ----------
    Altschul & Gish (1996), Methods Enzymol. 266:460 (E-values of gapped local alignments).
    """
    if not residues:
        raise SequenceError("The sequence is empty; give at least two residues.")
    sequence = "".join(letter if letter in ESM_LETTERS else "X" for letter in residues.upper())
    families = _families(weights.FOLDER / weights.CARD)
    scores = [_align(sequence, family["query"], local=True).score for family in families]
    best = max(range(len(families)), key=lambda index: scores[index])
    family, total = families[best], sum(len(other["query"]) for other in families)
    e_value = _K * len(sequence) * total * math.exp(-_LAMBDA * scores[best])
    identity = _identity(sequence, family["query"])
    known = e_value <= KNOWN_E_VALUE
    label = f"{family['name']} ({family['id']})" if family.get("name") else family["id"]
    share = f"{100 * identity:.0f} % identical"
    if known:
        sentence = f"mini has learnt the family {label}; this sequence is {share} to its query."
    else:
        sentence = (
            f"mini does not know this protein (nearest query: {label}, {share}): "
            f"use a larger model such as {LARGER}."
        )
    return Familiarity(family["id"], identity, known, sentence)


@lru_cache(maxsize=4)
def _families(card: Path) -> tuple[dict[str, Any], ...]:
    """Families that the model was trained on: dictionaries with id, query and, if known, name."""
    try:
        listed = json.loads(card.read_text(encoding="utf-8"))["families"]
        found = tuple(family for family in listed if family.get("trained", True) and family["query"])
        if not found:
            raise ValueError("no family")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"The embedded model's card ({card.name}) cannot be read; install catjac-widgets again."
        ) from error
    return found


def _align(sequence: str, query: str, *, local: bool) -> Any:
    from biotite.sequence import ProteinSequence
    from biotite.sequence.align import SubstitutionMatrix, align_optimal

    return align_optimal(
        ProteinSequence(sequence),
        ProteinSequence(query),
        SubstitutionMatrix.std_protein_matrix(),
        gap_penalty=_GAPS,
        terminal_penalty=False,
        local=local,
        max_number=1,
    )[0]


def _identity(sequence: str, query: str) -> float:
    trace = _align(sequence, query, local=False).trace
    equal = sum(i >= 0 and j >= 0 and sequence[i] == query[j] for i, j in trace)
    return equal / min(len(sequence), len(query))
