"""Masked recovery: which contacts come back when fragments are shown with their flanks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from catjac_widgets.analysis.contacts.head import CONTACT_HEAD_MAPS, check_contact_head
from catjac_widgets.analysis.options import check_options, options_of
from catjac_widgets.analysis.recovery.measures import RECOVERED
from catjac_widgets.analysis.recovery.patterns import AVOIDED, PUBLISHED_PATTERNS, check_patterns
from catjac_widgets.analysis.recovery.protocols import CONSTANTS, Protocol, choose_targets
from catjac_widgets.analysis.recovery.protocols import protocol as make_protocol
from catjac_widgets.analysis.recovery.target_scan import run_targets
from catjac_widgets.analysis.recovery.targets import as_target
from catjac_widgets.analysis.sources import SOURCES
from catjac_widgets.engine.jobs.mask_scan import scan_masks
from catjac_widgets.errors import ModelError, UsageError
from catjac_widgets.language_models.esm.masked_ends import masked_ends
from catjac_widgets.language_models.esm.published import MASKED_ENDS
from catjac_widgets.language_models.identity import ModelIdentity
from catjac_widgets.language_models.registry import identify, resolve_model
from catjac_widgets.proteins.masks import Fragment
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Sequence


def recovery(
    sequence: Sequence | str | Path,
    model: Any = "mini",
    *,
    fragments: Fragment | Iterable[Fragment],
    pattern: str | Iterable[str] = "flanking",
    source: str = "contact_head",
    steps: int | Iterable[int] | None = None,
    seed: int = 0,
    avoided: int = AVOIDED,
    threshold: float = RECOVERED,
    variant: str = "full",
    control: bool = True,
    unknown: Mapping[str, str] | None = None,
    cache: bool = True,
    progress: bool = True,
    stop: threading.Event | None = None,
) -> xr.Dataset:
    """Show fragments and more and more beside them, and measure how much of their contacts comes back.

    All but the fragments is masked, then f residues a flank are shown (or as many elsewhere). With O and M
    the block of the unmasked and of the masked map (within one fragment, or between two),
    R = Σ(O ⊙ M) / Σ(O ⊙ O).

    Parameters
    ----------
    sequence, model, unknown
        As for `jacobian`.
    fragments
        One fragment (first, last), or a list of one or two; 1-based, both ends included.
    pattern
        One or several of "flanking" (both sides of one fragment; the outer sides of two, "outward"),
        "flanking_inward", "flanking_both", "flanking_first", "flanking_last", "random" (anywhere else, drawn
        anew at each step, as published), "random_nested" (each step adds to the one before), "random_distant"
        and "random_distant_nested" (nothing nearer than `avoided` residues). Random patterns show as many
        residues as "flanking" does at that step.
    source
        "contact_head", as published: probabilities of the model's contact head. "jacobian": block norms of J
        over visible pairs, letters centred, O and M both corrected (APC) over the same visible residues; R is
        then on no calibrated scale, and `R_control` beside it is that of a random Potts model, which must be
        1 everywhere.
    steps
        Flank lengths f: None for the published 0, 1, … (one short of the nearer end of the chain); a number n
        for 0 … n − 1; or a list. Flanks end where the chain ends.
    seed
        Of the random patterns.
    avoided
        See "random_distant"; 30 as published.
    threshold
        Stored beside a contact-head result: recovered means R above it; 0.5 as published.
    variant
        "full" or "fast" Jacobian, for source="jacobian".
    control
        Whether `R_control` is computed, for source="jacobian".
    cache
        Whether maps are taken from the store and kept there: all masks of the call are one array with a mask
        axis under one key.
    progress
        Show a bar if it takes a while.
    stop
        An event that cancels when it is set; what was computed is kept.

    Returns
    -------
    xr.Dataset
        Dims (pattern, fragment, step); fragment has one entry here. R and cosine, float64, NaN where a
        pattern has too few residues left or the unmasked block is 0 throughout (`reason` says so); visible,
        the exact number of visible residues (0 where there is no such step); masked (…, pos), bool, the mask
        itself: ``catjac.Mask.from_array(curve.masked.sel(…).values)``. `attrs` hold what runs it again.

    Raises
    ------
    ModelError
        If the model has no fitted contact head and source is "contact_head".
    MaskError, SequenceError, UsageError
        For fragments that do not fit, a sequence that cannot be read, or an option that does not exist.
    Cancelled
        If `stop` was set.

    References
    ----------
    Zhang Z. et al. (2024), Protein language models learn evolutionary statistics of interacting sequence
    motifs, PNAS 121:e2406285121.
    """
    identity, resolved, parsed = _prepare(sequence, model, source, unknown)
    target = as_target(fragments, len(parsed))
    patterns = check_patterns(pattern, target)
    return run_targets(
        parsed,
        resolved,
        identity,
        [target],
        patterns,
        source=source,
        steps=steps,
        seed=seed,
        avoided=avoided,
        threshold=threshold,
        variant=variant,
        control=control,
        cache=cache,
        progress=progress,
        stop=stop,
    )


def recovery_scan(
    sequence: Sequence | str | Path,
    model: Any = "mini",
    *,
    protocol: str | Protocol = "segment",
    pattern: str | Iterable[str] = PUBLISHED_PATTERNS,
    source: str = "contact_head",
    fragments: Iterable[Any] | None = None,
    contacts: Any = None,
    secondary_structure: Any = None,
    steps: int | Iterable[int] | None = None,
    seed: int = 0,
    avoided: int = AVOIDED,
    threshold: float = RECOVERED,
    variant: str = "full",
    control: bool = True,
    unknown: Mapping[str, str] | None = None,
    cache: bool = True,
    progress: bool = True,
    stop: threading.Event | None = None,
    **constants: Any,
) -> xr.Dataset:
    """Run `recovery` over all eligible segments, or pairs of secondary-structure elements, of one protein.

    Parameters
    ----------
    protocol
        "segment": 22 residues, Σ O > 15, more than 10 residues beyond either end. "pair": windows of 11 about
        the centres of elements (E ≥ 4, H ≥ 8 residues) that lie 50 to 100 apart, Σ O > 10. "nearby": windows
        of 11 with 5 between them, Σ O > 10, start and end tokens masked. At most 3 targets, drawn with `seed`
        (nearby ones far from each other). Or a `Protocol`.
    constants
        Other values of the protocol's constants: size, minimum_contacts, margin, distance, strand, helix,
        gap, picks, masked_ends.
    fragments
        The targets themselves, each as in `recovery`; then nothing is chosen.
    contacts
        What eligibility is judged by: (L, L) array or map, or a `Structure`; the unmasked contact head by
        default.
    secondary_structure
        For pairs: L letters H, E or anything else, or a `Structure`.
    sequence, model, pattern, source, steps, seed, avoided, threshold, variant, control, unknown, cache, progress, stop
        See `recovery`.

    Returns
    -------
    xr.Dataset
        As of `recovery`, with one entry of `fragment` a target (none where nothing is eligible). `attrs` also
        hold the protocol, by what eligibility was judged, and the secondary structure.

    Raises
    ------
    CatjacError
        As `recovery`, if eligibility cannot be judged, and for a constant that has no use: the protocol does
        not go by it, or the targets are given, for which only masked_ends matters.
    """  # noqa: E501
    check_constants(recovery_scan, protocol, fragments, constants)
    rules = make_protocol(protocol, **constants)
    identity, resolved, parsed = _prepare(sequence, model, source, unknown, rules.masked_ends)
    patterns = check_patterns(pattern)
    chosen: dict[str, Any] = {"protocol": "given", "masked_ends": int(rules.masked_ends)}
    if fragments is not None:
        targets = [as_target(each, len(parsed)) for each in fragments]
    else:
        judged, by = _judge(parsed, resolved, identity, contacts, cache=cache, progress=progress, stop=stop)
        states = _states(secondary_structure, parsed)
        targets = choose_targets(rules, parsed, judged, secondary_structure=states, seed=seed)
        chosen = _said(rules) | {"eligible_by": by, "secondary_structure": states or ""}
    for target in targets:
        check_patterns(patterns, target)
    found = run_targets(
        parsed,
        resolved,
        identity,
        targets,
        patterns,
        source=source,
        steps=steps,
        seed=seed,
        avoided=avoided,
        threshold=threshold,
        variant=variant,
        control=control,
        cache=cache,
        progress=progress,
        stop=stop,
    )
    return found.assign_attrs(chosen)


def check_constants(
    function: Callable[..., Any], protocol: Any, fragments: Any, constants: Mapping[str, Any]
) -> None:
    """Refuse options that are none of a function's own, and no constants that its targets are chosen by.

    Raises
    ------
    UsageError
        Names the option, and those that are possible.
    """
    name = protocol.name if isinstance(protocol, Protocol) else protocol
    used = CONSTANTS.get(name, ()) if isinstance(name, str) else ()
    why = f"with protocol={name!r}"
    if fragments is not None:
        used, why = ("masked_ends",), "with fragments="
    elif not used:
        return  # There is no such protocol, which is said by itself.
    own = options_of(function, "sequence", "proteins", "model")
    check_options(function.__name__, constants, (*own, *used), why)


def _prepare(
    sequence: Sequence | str | Path,
    model: Any,
    source: str,
    unknown: Mapping[str, str] | None,
    ends_masked: bool = False,
) -> tuple[ModelIdentity, Any, Sequence]:
    resolved = model if isinstance(model, str | Path) else resolve_model(model)
    if ends_masked:
        resolved = with_masked_ends(resolved)
    identity = check_source(source, resolved)
    return identity, resolved, as_sequence(sequence, letters=identity.letters, unknown=unknown)


def check_source(source: str, model: Any) -> ModelIdentity:
    """Identify a model, and refuse a source of maps that does not exist or that it has not."""
    if source not in SOURCES:
        raise UsageError(f"source={source!r} is neither 'contact_head' nor 'jacobian'.")
    identity = identify(model)
    if not identity.has_mask_token:
        raise ModelError(
            f"{identity.name} has no mask token, so that nothing can be masked and recovered; use a masked "
            "language model."
        )
    if source == "contact_head":
        check_contact_head(identity)
    return identity


def with_masked_ends(model: Any) -> Any:
    """Give a name of the model with masked ends for a name (nothing is loaded), else that model."""
    if not isinstance(model, str | Path):
        return masked_ends(model)
    text = str(model).strip()
    return text if text.startswith(f"{MASKED_ENDS}:") else f"{MASKED_ENDS}:{text}"


def _said(rules: Protocol) -> dict[str, Any]:
    """Say a protocol in texts and numbers, as files keep them."""
    nearest, farthest = rules.distance
    return {
        "protocol": rules.name,
        "size": rules.size,
        "minimum_contacts": float(rules.minimum_contacts),
        "margin": rules.margin,
        "distance": f"{nearest}-{'' if farthest is None else farthest}",
        "strand": rules.strand,
        "helix": rules.helix,
        "gap": rules.gap,
        "picks": -1 if rules.picks is None else rules.picks,
        "masked_ends": int(rules.masked_ends),
    }


def _judge(
    sequence: Sequence, model: Any, identity: ModelIdentity, contacts: Any, **scan: Any
) -> tuple[np.ndarray, str]:
    """Find the map that eligibility is judged by, and what it is."""
    if contacts is None:
        if not identity.has_contact_head:
            raise ModelError(
                f"{identity.name} has no fitted contact head to choose segments by; pass contacts= (a map or "
                "a structure) or fragments=."
            )
        kept: list[np.ndarray] = []
        nothing = np.zeros((1, len(sequence)), dtype=bool)
        scan_masks(
            sequence, model, nothing, lambda _, maps: kept.append(maps[0]), maps=CONTACT_HEAD_MAPS, **scan
        )
        return kept[0], f"contact head of {identity.name}"
    if hasattr(contacts, "map_to"):
        contacts = contacts.contacts(sequence)
    kind = "a given map"
    if isinstance(contacts, xr.DataArray):
        kind = str(contacts.attrs.get("kind", kind))
        contacts = contacts.transpose("pos_i", "pos_j").values
    return np.asarray(contacts, dtype=np.float64), kind


def _states(secondary_structure: Any, sequence: Sequence) -> str | None:
    if secondary_structure is None or isinstance(secondary_structure, str):
        return secondary_structure
    if hasattr(secondary_structure, "secondary_structure"):
        secondary_structure = secondary_structure.secondary_structure(sequence)
    return "".join(str(state) or "-" for state in np.asarray(secondary_structure))
