"""Explorers of whatever names a protein."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from catjac_widgets.proteins.masks import Mask, as_mask
from catjac_widgets.proteins.reading import read_protein
from catjac_widgets.proteins.sequences import Sequence
from catjac_widgets.widgets.base.traits import Pair
from catjac_widgets.widgets.contact_map.view import native_contacts
from catjac_widgets.widgets.explorer.head_maps import head_of, head_under
from catjac_widgets.widgets.explorer.registry import check_panels, panel_names
from catjac_widgets.widgets.explorer.view import Explorer
from catjac_widgets.widgets.recovery.view import unfamiliar

if TYPE_CHECKING:
    import numpy as np

    from catjac_widgets.engine.jobs.job import Job


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
        Residues, FASTA text, a path, a `Sequence`, or one of `catjac.examples()`, which brings its structure.
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
    from catjac_widgets.analysis.previews.in_background import start_preview
    from catjac_widgets.engine.api import submit
    from catjac_widgets.engine.priorities import Priority
    from catjac_widgets.language_models.registry import identify

    protein = read_protein(sequence, letters=identify(model).letters, unknown=unknown)
    known = protein.sequence
    structure = protein.structure if structure is None else structure
    hidden = as_mask(mask, known)
    shown = panel_names() if panels is None else check_panels(panels)
    structure = readable_structure(structure, known)
    native = None if structure is None else native_contacts(structure, known)

    def start(mask: Mask) -> Job:
        return submit(
            known,
            model,
            mask=mask,
            variant=variant,
            numerics=numerics,
            batch_size=batch_size,
            linker=linker,
            cache=cache,
            # Behind the contact head's one pass, which fills the screen first.
            priority=Priority.BACKGROUND,
        )

    # The first one is made here, so that what is wrong with the request is raised before there is a widget.
    first = start(hidden)
    jobs = [first]
    try:
        return Explorer(
            known,
            lambda mask: jobs.pop() if jobs else start(mask),
            native=native,
            head=lambda job: head_of(known, model, job),
            head_under=lambda mask: head_under(known, model, mask),
            # Rows are less urgent than the contact head and the preview, which fill the screen first.
            preview=lambda job, come, failed: start_preview(job.plan, model, come, failed),
            model=model,
            structure=structure,
            panels=shown,
            # What the embedded model has to say about a protein that it does not know.
            notice=unfamiliar(known) if first.plan.model == "mini" else "",
            model_name=first.plan.model,
            mask=hidden if hidden else None,
            min_separation=min_separation,
            selection=selection,
            colour_map=colour_map,
        )
    except BaseException:
        first.cancel()
        raise


def readable_structure(structure: Any, sequence: Sequence) -> Any:
    """Read a path or an id once, for all who need the structure; anything else stays what it is.

    Raises
    ------
    StructureError
        If it cannot be read or does not fit the sequence.
    """
    if isinstance(structure, str | os.PathLike):
        from catjac_widgets.structures.experimental import structure as read_structure

        return read_structure(structure, sequence=sequence)
    return structure
