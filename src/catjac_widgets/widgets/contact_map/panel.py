"""The contact map as a panel."""

from __future__ import annotations

from catjac_widgets.widgets.base.panels import Panel, PanelContext, register_panel
from catjac_widgets.widgets.contact_map.view import ContactMap


def _make(context: PanelContext) -> ContactMap:
    return ContactMap(state=context.state, native=context.native, label="No map yet")


register_panel(
    Panel("map", "Contacts", height=690, make=_make, order=20, attribute="contact_map", eager=True)
)
