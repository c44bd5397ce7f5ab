"""The slice of the Jacobian as a panel."""

from __future__ import annotations

from catjac_widgets.widgets.base.panels import Panel, PanelContext, register_panel
from catjac_widgets.widgets.jacobian_slice.view import JacobianSlice


def _make(context: PanelContext) -> JacobianSlice:
    return JacobianSlice(
        state=context.state, find=context.find, jacobian=context.jacobian, mean_block=context.mean_block
    )


register_panel(
    Panel("slice", "Block", height=600, make=_make, order=30, attribute="jacobian_slice", eager=True)
)
