"""The masked-recovery curve as a panel."""

from __future__ import annotations

from catjac_widgets.widgets.base.bokeh_panel import load_bokeh, offer_script
from catjac_widgets.widgets.base.panels import Panel, PanelContext, register_panel
from catjac_widgets.widgets.recovery.view import RecoveryCurve


def _make(context: PanelContext) -> RecoveryCurve:
    return RecoveryCurve(model=context.model, state=context.state)


register_panel(
    Panel(
        "recovery",
        "Recovery",
        height=400,
        make=_make,
        order=50,
        attribute="recovery_curve",
        slow=True,
        load=load_bokeh,
        in_cell=offer_script,
        use_model=RecoveryCurve.use_model,
    )
)
