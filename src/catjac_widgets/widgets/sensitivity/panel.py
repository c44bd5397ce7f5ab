"""The residue tracks as a panel."""

from __future__ import annotations

from catjac_widgets.widgets.base.bokeh_panel import load_bokeh, offer_script
from catjac_widgets.widgets.base.panels import Panel, PanelContext, register_panel
from catjac_widgets.widgets.sensitivity.view import Sensitivity


def _make(context: PanelContext) -> Sensitivity:
    return Sensitivity(state=context.state)


register_panel(
    Panel(
        "sensitivity",
        "Residues",
        height=330,
        make=_make,
        order=40,
        slow=True,
        load=load_bokeh,
        in_cell=offer_script,
        show_summary=lambda view, summary: view.show(summary),
    )
)
