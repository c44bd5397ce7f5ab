"""The sequence track as a panel, across both columns."""

from __future__ import annotations

from catjac_widgets.widgets.base.panels import Panel, PanelContext, register_panel
from catjac_widgets.widgets.sequence_mask.view import SequenceMask


def _make(context: PanelContext) -> SequenceMask:
    return SequenceMask(state=context.state, model=context.model)


register_panel(
    Panel(
        "sequence",
        "Sequence",
        height=150,
        make=_make,
        order=10,
        attribute="sequence_mask",
        wide=True,
        eager=True,
        use_model=SequenceMask.use_model,
    )
)
