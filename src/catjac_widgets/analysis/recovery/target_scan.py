"""Run recovery experiments: all masks of all targets and patterns of one protein in one scan."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.analysis.contacts.head import CONTACT_HEAD_MAPS
from catjac_widgets.analysis.contacts.norms import block_norms
from catjac_widgets.analysis.contacts.operations import apc, zero_diagonal
from catjac_widgets.analysis.recovery.measures import RECOVERED, block_cosine, recovered_fraction
from catjac_widgets.analysis.recovery.patterns import AVOIDED, check_steps, patterned_masks
from catjac_widgets.analysis.recovery.targets import Target
from catjac_widgets.engine.api import jacobian
from catjac_widgets.engine.jobs.mask_scan import scan_masks
from catjac_widgets.engine.plans.mask_scan import MapKind
from catjac_widgets.language_models.identity import ModelIdentity
from catjac_widgets.proteins.coordinates import residue_coordinates
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Sequence

#: Jacobians a chunk: each is thousands of passes, so that little is lost when a scan is stopped.
_JACOBIANS_A_BLOCK = 4


def norm_maps(variant: str) -> MapKind:
    """Define maps that are, under each mask, the block norms of J with its letters centred.

    Float (m, L, L), symmetric: of the symmetrised J for the full variant, and averaged with its transpose for
    the fast one; 0 where a residue is hidden. Nothing is subtracted for what all residues share.
    """

    def make(model: Any, sequence: Sequence, masks: list[Mask | None]) -> np.ndarray:
        maps = np.zeros((len(masks), len(sequence), len(sequence)))
        for k, mask in enumerate(masks):
            J = jacobian(sequence, model, mask=mask, variant=variant, cache=False, progress=False)
            used = labels.usable_positions(J, allow_partial=False)
            norms = block_norms(
                J,
                centred_over=("aa_in", "aa_out"),
                symmetrised=variant == "full",
                rows=used.rows,
                columns=used.columns,
            ).values
            maps[k][np.ix_(used.columns, used.columns)] = (norms + norms.T) / 2
        return maps

    return MapKind(f"jacobian_norms_{variant}", make, most_masks=_JACOBIANS_A_BLOCK, slow=True)


def visible_block(norms: np.ndarray, shown: np.ndarray, target: Target) -> np.ndarray:
    """Take a target's block out of a map of norms, corrected (D0, APC, D0) over visible pairs only."""
    place = np.flatnonzero(shown)
    corrected = zero_diagonal(apc(zero_diagonal(norms[np.ix_(place, place)])))
    rows = np.searchsorted(place, np.arange(target.rows.start, target.rows.stop))
    columns = np.searchsorted(place, np.arange(target.columns.start, target.columns.stop))
    return corrected[np.ix_(rows, columns)]


def run_targets(
    sequence: Sequence,
    model: Any,
    identity: ModelIdentity,
    targets: list[Target],
    patterns: tuple[str, ...],
    *,
    source: str,
    steps: int | Iterable[int] | None,
    seed: int,
    avoided: int = AVOIDED,
    threshold: float = RECOVERED,
    variant: str = "full",
    control: bool = True,
    cache: bool = True,
    progress: bool = True,
    stop: threading.Event | None = None,
) -> xr.Dataset:
    """Compute R of every target under every pattern at every step; see `catjac.recovery` for the result."""
    length = len(sequence)
    # A generator would be used up by the first target.
    given = steps if steps is None or isinstance(steps, int | np.integer) else list(steps)
    of_target = [check_steps(given, target, length) for target in targets]
    flanks = sorted({step for listed in of_target for step in listed})
    size = (len(patterns), len(targets), len(flanks))
    masked = np.ones((*size, length), dtype=bool)
    exists: np.ndarray = np.zeros(size, dtype=bool)
    for t, (target, listed) in enumerate(zip(targets, of_target, strict=True)):
        at = np.searchsorted(flanks, listed)
        for p, pattern in enumerate(patterns):
            masked[p, t, at], exists[p, t, at] = patterned_masks(
                sequence, target, pattern, listed, seed=seed, avoided=avoided
            )
    cells = np.argwhere(exists)
    # Many steps share a mask, the one without flanks above all; each is run once, the unmasked map first.
    unique, which = np.unique(
        np.concatenate([np.zeros((1, length), bool), masked[exists]]), axis=0, return_inverse=True
    )
    which = which.ravel()
    assert not unique[0].any()  # False sorts before True.
    uses: list[list[tuple[int, int, int]]] = [[] for _ in unique]
    for (p, t, s), number in zip(cells, which[1:], strict=True):
        uses[number].append((int(p), int(t), int(s)))

    kind = norm_maps(variant) if source == "jacobian" else CONTACT_HEAD_MAPS

    def measure(of: Any, *, cache: bool) -> dict[str, np.ndarray]:
        found = {name: np.full(size, np.nan) for name in ("R", "cosine")}
        original: list[np.ndarray] = []

        def on_block(first: int, maps: np.ndarray) -> None:
            if not original:
                original.append(np.array(maps[0], dtype=np.float64))
            before = original[0]
            for number, after in enumerate(maps, start=first):
                shown = ~unique[number]
                for p, t, s in uses[number]:
                    target = targets[t]
                    if source == "jacobian":
                        pair = visible_block(before, shown, target), visible_block(after, shown, target)
                    else:
                        pair = before[target.rows, target.columns], after[target.rows, target.columns]
                    found["R"][p, t, s] = recovered_fraction(*pair)
                    found["cosine"][p, t, s] = block_cosine(*pair)

        scan_masks(sequence, of, unique, on_block, maps=kind, cache=cache, progress=progress, stop=stop)
        return found

    found = measure(model, cache=cache)
    axes = ("pattern", "fragment", "step")
    variables: dict[Hashable, Any] = {
        "R": (axes, found["R"], {"long_name": "recovered share of the unmasked contacts", "units": "1"}),
        "cosine": (axes, found["cosine"], {"long_name": "cosine of unmasked and masked block", "units": "1"}),
        "visible": (axes, np.where(exists, (~masked).sum(axis=-1), 0), {"long_name": "visible residues"}),
        "masked": ((*axes, "pos"), masked),
    }
    if source == "jacobian" and control:
        from catjac_widgets.language_models.potts.adapter import random_potts

        potts = random_potts(length, letters=identity.letters, seed=seed)
        variables["R_control"] = (
            axes,
            measure(potts, cache=False)["R"],
            {"long_name": "R of a Potts model, whose Jacobian no mask can change: 1", "units": "1"},
        )
    nothing = "The unmasked map is 0 throughout this block, so R is not defined."
    empty = [bool(np.isnan(found["R"][:, t][exists[:, t]]).any()) for t in range(len(targets))]
    coords: dict[Hashable, Any] = {
        "pattern": list(patterns),
        "fragment": np.array([str(target) for target in targets], dtype=str),
        "step": np.array(flanks, dtype=np.int64),
        **residue_coordinates(sequence, [""]),
        "reason": ("fragment", np.array([nothing if bad else "" for bad in empty], dtype=str)),
    }
    attrs: dict[Hashable, str | int | float] = {
        "kind": f"recovery, {'Jacobian, ' + variant if source == 'jacobian' else 'contact head'}",
        "source": source,
        "sequence": str(sequence),
        "sequence_name": sequence.name,
        "model": identity.name,
        "model_fingerprint": identity.fingerprint,
        "seed": int(seed),
        "avoided": int(avoided),
        "steps": "published" if given is None else ",".join(str(step) for step in flanks),
    }
    if source == "contact_head":
        attrs["threshold"] = float(threshold)
    else:
        # 0.5 was set for probabilities.
        attrs |= {"variant": variant, "control": int(control)}
    return xr.Dataset(variables, coords=coords, attrs=attrs)
