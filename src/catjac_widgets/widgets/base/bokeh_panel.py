"""What the bokeh views share: the figure on its way to the page, bokeh's script, and what to do without it.

A figure is described in Python once; the view in the browser fills it from its traits and joins it to the
shared state there, so that hover and selection need no kernel and live on in a saved page.
"""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any

import traitlets

from catjac_widgets.widgets.base.state import STATIC, View

if TYPE_CHECKING:
    from bokeh.plotting import figure

MISSING = "Bokeh, which draws this panel, is not installed where the kernel runs; run: %pip install bokeh"

#: The cells that hold bokeh's script, as the notebook names them ("" where it does not), and the run of each
#: that put it there.
_sent_to: dict[str, str] = {}


class BokehView(View):
    """Base of the views that bokeh draws.

    Attributes
    ----------
    item
        The figure as bokeh's JSON, as text: bokeh reads the keys in their order, and a notebook's file sorts
        them. Empty where bokeh is missing.
    problem
        A sentence, where the panel cannot be shown; else "".
    """

    _css = STATIC / "catjac.css"

    item = traitlets.Unicode("").tag(sync=True)
    problem = traitlets.Unicode("").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        try:
            import bokeh  # noqa: F401
        except ImportError:
            self.problem = MISSING
        else:
            send_script()
            self.item = _described(self._figure())
        self.on_msg(self._asked_for_script)

    def _figure(self) -> figure:
        raise NotImplementedError

    def _asked_for_script(self, widget: Any, content: dict[str, Any], buffers: Any) -> None:
        if content.get("kind") == "bokeh":
            # The cell with the script was cleared, or the page was loaded anew.
            self.delivery.post(("bokeh", id(self)), self._send_script, prepare=script, urgent=True)

    def _send_script(self, code: bytes) -> None:
        self.send({"kind": "bokeh"}, buffers=[code])


def script() -> bytes:
    """Read bokeh's own script, about 1.3 MB."""
    from pathlib import Path

    import bokeh

    return (Path(bokeh.__file__).parent / "server" / "static" / "js" / "bokeh.min.js").read_bytes()


def send_script() -> None:
    """Put bokeh's script into the output of the running cell, once a notebook, so that it is saved with it.

    A cell that is run again has lost its output, so it gets the script again. Outside a notebook nothing is
    sent; a page that lacks the script asks for it.
    """
    from IPython import get_ipython

    shell = get_ipython()
    on_main = threading.current_thread() is threading.main_thread()
    if not on_main or shell is None or getattr(shell, "kernel", None) is None:
        return
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell = str((parent.get("metadata") or {}).get("cellId", ""))
    run = str((parent.get("header") or {}).get("msg_id", ""))
    again = cell != "" and cell in _sent_to and _sent_to[cell] != run
    if _sent_to and not again:
        return
    from bokeh.io import output_notebook
    from bokeh.resources import Resources

    output_notebook(Resources(mode="inline", components=["bokeh"]), hide_banner=True)
    _sent_to[cell] = run


def offer_script() -> None:
    """Put bokeh's script into the running cell's output, where there is bokeh."""
    with contextlib.suppress(ImportError):
        send_script()


def load_bokeh() -> None:
    """Import what figures are made of, where there is bokeh: it takes most of a second."""
    with contextlib.suppress(ImportError):
        import bokeh.embed
        import bokeh.plotting  # noqa: F401


def bare_figure(height: int, **options: Any) -> figure:
    """Make a figure as wide as its cell, without toolbar; the page's theme is put on in the browser."""
    from bokeh.plotting import figure

    made = figure(
        height=height, min_width=200, sizing_mode="stretch_width", toolbar_location=None, tools="", **options
    )
    made.min_border = 4
    made.outline_line_color = None
    made.xgrid.visible = False
    for axis in made.axis:
        axis.minor_tick_line_color = None
    return made


def name_residue_axis(made: figure) -> None:
    """Name the x axis and its ticks, so that the browser can put the chosen residue numbers there."""
    from bokeh.models import FixedTicker

    made.xaxis.name = "residue axis"
    made.xaxis.ticker = FixedTicker(ticks=[], name="residue ticks")


def _described(made: figure) -> str:
    from bokeh.embed import json_item

    return json.dumps(json_item(made))
