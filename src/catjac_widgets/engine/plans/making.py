"""Plans are made here, of what was asked for, once all of it is checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.engine.plans.jacobian import VARIANTS, Plan
from catjac_widgets.engine.plans.positions import check_positions
from catjac_widgets.errors import MaskError, SequenceError, UsageError
from catjac_widgets.language_models.base import EXACT, Numerics
from catjac_widgets.proteins.alphabets import upper_case
from catjac_widgets.proteins.masks import Mask, as_mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Sequence

if TYPE_CHECKING:
    from pathlib import Path


def make_plan(
    sequence: Sequence | str | Path,
    *,
    model: str,
    fingerprint: str,
    letters: str,
    max_residues: int | None = None,
    positions: Iterable[int] | int | None = None,
    mask: Mask | np.ndarray | Iterable[bool] | None = None,
    variant: str = "full",
    numerics: Numerics = EXACT,
    linker: str = "",
    unknown: Mapping[str, str] | None = None,
    rows_bits: int | None = None,
) -> Plan:
    """Make a plan for a model of which no more is known than this; see `make_request` for others.

    Parameters
    ----------
    sequence
        Anything `as_sequence` reads.
    model, fingerprint, letters, max_residues
        What the model's identity says.
    positions
        1-based positions whose rows are wanted; all by default.
    mask
        `Mask` or one bool a residue; nothing masked by default.
    numerics
        One of those that the model offers; see `choose_numerics`.
    variant, linker, unknown
        See `catjac.jacobian`.
    rows_bits
        See `Plan`.

    Raises
    ------
    SequenceError, MaskError, UsageError
        See `plan_of_checked`, `as_sequence`, `as_mask` and `check_positions`.
    """
    made = as_sequence(sequence, unknown=unknown, letters=letters)
    return plan_of_checked(
        made,
        as_mask(mask, made),
        check_positions(positions, len(made)),
        model=model,
        fingerprint=fingerprint,
        letters=letters,
        max_residues=max_residues,
        variant=variant,
        numerics=numerics,
        linker=linker,
        rows_bits=rows_bits,
    )


def plan_of_checked(
    sequence: Sequence,
    mask: Mask,
    positions: tuple[int, ...],
    *,
    model: str,
    fingerprint: str,
    letters: str,
    max_residues: int | None,
    variant: str,
    numerics: Numerics,
    linker: str,
    causal: bool = False,
    rows_bits: int | None = None,
    attributes: tuple[tuple[str, str], ...] = (),
    alphabets: tuple[str, ...] = (),
    strands: bool = False,
) -> Plan:
    """Make the plan of a sequence, a mask and positions that were read and checked one by one.

    Parameters
    ----------
    sequence, mask, positions
        As of `as_sequence`, `as_mask` and `check_positions`.
    model, fingerprint, letters, max_residues, variant, numerics, linker, rows_bits
        See `make_plan`.
    causal, alphabets, strands
        See `Plan`; letters and alphabets those of the sequence.

    Raises
    ------
    SequenceError
        Fewer than two residues, or more than the model takes.
    MaskError
        A mask of another length, or one that leaves nothing visible.
    UsageError
        A variant or linker that is none of the allowed ones.
    """
    if variant not in VARIANTS:
        allowed = " or ".join(repr(word) for word in VARIANTS)
        raise UsageError(f"variant={variant!r} is unknown; use {allowed}.")
    linker = upper_case(str(linker or ""))
    if linker and strands:
        raise UsageError(
            f"{model} reads a strand between chains, where a linker would be; leave linker= out."
        )
    wrong = next((letter for letter in linker if letter not in letters), None)
    if wrong is not None:
        raise UsageError(
            f"The linker contains {wrong!r}, which {model} does not know; use for instance 'G' * 25."
        )
    if len(sequence) < 2:
        raise SequenceError("The sequence has one residue; a Jacobian needs at least two.")
    if len(sequence.chains) == 1:
        linker = ""  # It would sit between chains, and must not make another key where there is one chain.
    total = len(sequence) + (len(sequence.chains) if strands else len(linker) * (len(sequence.chains) - 1))
    if max_residues is not None and total > max_residues:
        counted = f"{total} residues" + (
            " with its linkers" if linker else " with its strands" if strands else ""
        )
        raise SequenceError(
            f"The sequence has {counted}, but {model} takes at most {max_residues}; "
            "cut it into domains or choose a model that takes more."
        )
    if all(as_mask(mask, sequence).masked):
        raise MaskError(
            "The mask hides every residue, so there is no row to compute; leave some residues visible."
        )
    return Plan(
        sequence=sequence,
        mask=mask,
        linker=linker,
        variant=variant,
        numerics=numerics,
        positions=positions,
        model=model,
        fingerprint=fingerprint,
        letters=letters,
        causal=causal,
        rows_bits=rows_bits,
        attributes=attributes,
        alphabets=alphabets,
        strands=strands,
    )
