"""Explorers of whatever names a protein."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import read_protein
from catjac_widgets.widgets.base.structures import as_structure
from catjac_widgets.widgets.base.traits import Pair
from catjac_widgets.widgets.contact_map.view import native_contacts
from catjac_widgets.widgets.explorer.registry import check_panels, panel_names
from catjac_widgets.widgets.explorer.session import Session, session_of
from catjac_widgets.widgets.explorer.view import Explorer

if TYPE_CHECKING:
    import numpy as np


def explore(
    sequence: Any,
    model: Any = "mini",
    *,
    structure: Any = None,
    mask: Mask | np.ndarray | None = None,
    variant: str = "full",
    min_separation: int = 6,
    selection: Pair | None = None,
    numerics: str = "exact",
    batch_size: int | None = None,
    linker: str = "",
    unknown: Mapping[str, str] | None = None,
    cache: bool = True,
    colour_map: str = "ocean",
    panels: Iterable[str] | None = None,
) -> Explorer:
    """Explore a protein's Jacobian while it is computed; returns at once.

    Parameters
    ----------
    sequence
        As of `catjac.jacobian`. An example, a `Structure`, a structure file or "pdb:1UBQ" brings its
        structure.
    model
        As of `catjac.jacobian`; a model that is given by name is loaded in the background.
    structure
        Native contacts to ring, and the structure to show: `catjac.structure(…)`, a path, "pdb:…"; or a
        square array (1, 0, NaN unresolved), which is only ringed.
    min_separation
        Pairs nearer than that along one chain are dimmed and not counted.
    selection
        Pair (i, j) of 1-based positions to begin with.
    colour_map
        "ocean", "ember" or "graphite".
    panels
        What to show at first, all by default: some of "sequence", "map", "slice", "sensitivity", "recovery",
        "structure" and of those that were registered (`register_panel`).
    mask, variant, numerics, batch_size, linker, unknown, cache
        See `catjac.jacobian`.

    Returns
    -------
    Explorer
        A widget: shown by being the cell's last value.

    Raises
    ------
    CatjacError
        As `catjac.jacobian`, for what can be told before the work starts; the rest is shown in the widget.
    """
    from catjac_widgets.engine.plans.request import make_request
    from catjac_widgets.language_models.base import choose_numerics
    from catjac_widgets.language_models.registry import identify, resolve_model

    identity = identify(model)
    protein = read_protein(sequence, letters=identity.letters, unknown=unknown)
    request = make_request(
        protein.sequence,
        model,
        identity=identity,
        mask=mask,
        variant=variant,
        numerics=numerics,
        batch_size=batch_size,
        linker=linker,
        cache=cache,
        # The map and the sensitivity of a known protein are stored beside its rows, which nobody may ask for.
        lazy="stored",
    )
    known, model = request.sequence, request.model
    shown = panel_names() if panels is None else check_panels(panels)
    structure = as_structure(protein.structure if structure is None else structure, known)
    native = None if structure is None else native_contacts(structure, known)
    session = session_of(request)

    def reopen(other: Any) -> Session:
        # The same protein and options; what another model does not take is said by its request.
        resolved = other if isinstance(other, str | Path) else resolve_model(other)
        identity = identify(resolved)
        sequence = known.check(identity.letters, unknown=unknown)
        return session_of(
            dataclasses.replace(
                request,
                sequence=sequence,
                model=resolved,
                identity=identity,
                mask=Mask.none(sequence),
                numerics=choose_numerics(identity.numerics, numerics, model=identity.name),
            )
        )

    # The first one is made here, so that what is wrong with the request is raised before there is a widget.
    first = session.start(request.mask)
    jobs = [first]
    try:
        return Explorer(
            known,
            lambda mask: jobs.pop() if jobs else session.start(mask),
            native=native,
            head=session.head,
            head_under=session.head_under,
            preview=session.preview,
            reopen=reopen,
            model=model,
            structure=structure,
            panels=shown,
            notice=session.notice,
            model_name=session.name,
            mask=request.mask if request.mask else None,
            min_separation=min_separation,
            selection=selection,
            colour_map=colour_map,
        )
    except BaseException:
        first.cancel()
        raise
