"""What each residue does and suffers, along the chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from catjac_widgets.proteins.coordinates import sequence_along
from catjac_widgets.widgets.base.arrays import array_trait
from catjac_widgets.widgets.base.bokeh_panel import BokehView, bare_figure, name_residue_axis
from catjac_widgets.widgets.base.state import STATIC, SharedState
from catjac_widgets.widgets.base.tracks import TRACKS

if TYPE_CHECKING:
    import xarray as xr
    from bokeh.plotting import figure

#: Pixels of one track, and what the axis below takes.
LANE, AXIS = 46, 34


class Sensitivity(BokehView):
    """Influence, sensitivity, self-response and entropy by residue; dragging across residues chooses them.

    Parameters
    ----------
    J
        A Jacobian, or what `catjac.sensitivity(J)` made of it; None where it is to come (`show`).
    state
        Another widget whose selection, hover and chosen residues to share.
    **traits
        Initial values of any trait below or of `SharedState`.

    Attributes
    ----------
    values
        float32, (4, L): influence, sensitivity, self-response (norms of blocks centred over letters, in
        logits) and entropy (nats); NaN where unknown. Or None.

    Raises
    ------
    JacobianError
        As `catjac.sensitivity`.
    """

    _esm = STATIC / "sensitivity_view.js"

    values = array_trait()
    tracks = traitlets.List([[name, colour] for _, name, colour in TRACKS]).tag(sync=True)

    def __init__(
        self, J: xr.DataArray | xr.Dataset | None = None, *, state: SharedState | None = None, **traits: Any
    ) -> None:
        if J is not None:
            summary = summarised(J)
            one = summary["sensitivity"]
            names = {
                name: f"{name}_out" for name in ("pos", "chain", "number", "wild_type") if name in one.coords
            }
            known = sequence_along(one.rename({"pos": "pos_out"} | names), "out")
            traits = {"sequence": known, "values": stacked(summary)} | traits
        super().__init__(state=state, **traits)

    def show(self, J: xr.DataArray | xr.Dataset | None) -> None:
        """Show another Jacobian of the same sequence (or its summary); None empties the panel."""
        self.values = None if J is None else stacked(summarised(J))

    def _figure(self) -> figure:
        from bokeh.models import ColumnDataSource, Range1d

        length = len(self.sequence) if self.sequence is not None else 1
        count = len(TRACKS)
        made = bare_figure(
            LANE * count + AXIS,
            x_range=Range1d(start=0.5, end=length + 0.5),
            y_range=Range1d(start=0, end=count),
            name="figure",
        )
        made.yaxis.visible = False
        made.ygrid.visible = False
        name_residue_axis(made)
        for name in ("residues", "pair", "hover"):
            source = ColumnDataSource({"x0": [], "x1": []}, name=name)
            made.vstrip(
                x0="x0",
                x1="x1",
                source=source,
                level="underlay",
                line_color=None,
                fill_alpha=0.2,
                name=f"{name} band",
            )
        for k, (_, _, colour) in enumerate(TRACKS):
            source = ColumnDataSource({"x": [], "top": []}, name=f"track {k}")
            made.vbar(
                "x", width=0.86, bottom=count - 1 - k, top="top", source=source, color=colour, line_color=None
            )
        names = ColumnDataSource({"x": [], "y": [], "text": []}, name="names")
        made.text(
            "x", "y", "text", source=names, text_baseline="top", text_font_size="11px", name="lane names"
        )
        return made


def summarised(J: xr.DataArray | xr.Dataset) -> xr.Dataset:
    """Summarise a Jacobian by residue; a summary stays what it is."""
    import xarray as xr

    if isinstance(J, xr.Dataset):
        return J
    from catjac_widgets.analysis.summaries import sensitivity

    return sensitivity(J)


def stacked(summary: xr.Dataset) -> np.ndarray:
    """Stack a summary's tracks, float32 (4, L); NaN for one that it lacks."""
    empty = np.full(summary.sizes["pos"], np.nan)
    rows = [np.asarray(summary[name]) if name in summary else empty for name, _, _ in TRACKS]
    return np.stack(rows).astype(np.float32)
