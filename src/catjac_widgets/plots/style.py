"""How the figures look: one palette and one grey that can be read on white and on dark ground, one figure.

The ground is transparent, so that a figure fits the theme of the page it stands on, also after a change of
theme and in a saved page.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from catjac_widgets.errors import UsageError

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure

#: Seven hues, in the order to take them; each contrasts at least 3 : 1 with white and with #111111.
PALETTE = ("#e0662b", "#3b7dd8", "#9d69d1", "#1a9c8c", "#a8761b", "#c4569e", "#5c8a2f")

#: Text, axes and whatever is not data; contrasts more than 4 : 1 with both.
GREY = "#7a7a7a"

FONT = "Helvetica, Arial, sans-serif"
TITLE_SIZE, LABEL_SIZE, TICK_SIZE = "15px", "14px", "13px"
WIDTH, HEIGHT = 640, 380
LINE_WIDTH, POINT_SIZE, BAND_ALPHA = 2.5, 6, 0.18


def figure(
    title: str = "",
    *,
    x: str = "",
    y: str = "",
    width: int = WIDTH,
    height: int = HEIGHT,
    tools: str = "pan,box_zoom,wheel_zoom,reset,save",
    **options: Any,
) -> Figure:
    """Make an empty figure in the project's style, which shows itself as the last value of a cell.

    Parameters
    ----------
    title
        Above the figure; what it shows, in a few words.
    x, y
        Axis labels, with the unit.
    width, height
        Pixels.
    tools, options
        As of `bokeh.plotting.figure`.

    Returns
    -------
    bokeh.plotting.figure
        Give it a caption with `add_note`, and a legend with ``legend_label=`` and `tidy_legend`.

    Raises
    ------
    UsageError
        For an option that bokeh's figures have not, or one of a wrong kind.
    """
    from bokeh.plotting import figure as bokeh_figure

    chosen = {"toolbar_location": "right"} | options
    try:
        made = bokeh_figure(title=title or None, width=width, height=height, tools=tools, **chosen)
    except (AttributeError, TypeError, ValueError) as error:
        # bokeh names the option, and the possible or similar ones.
        raise UsageError(f"bokeh makes no such figure: {str(error).splitlines()[0]}.") from error
    made.toolbar.logo, made.toolbar.autohide = None, True
    made.background_fill_color = made.border_fill_color = None
    made.outline_line_color = None
    made.min_border = 8
    for grid in made.grid:
        grid.grid_line_color, grid.grid_line_alpha = GREY, 0.2
    for axis, label in ((made.xaxis, x), (made.yaxis, y)):
        for each in axis:
            each.axis_label = label or None
            each.axis_label_text_font, each.axis_label_text_font_size = FONT, LABEL_SIZE
            each.axis_label_text_font_style = "normal"
            each.major_label_text_font, each.major_label_text_font_size = FONT, TICK_SIZE
            each.axis_label_text_color = each.major_label_text_color = GREY
            each.axis_line_color = each.major_tick_line_color = GREY
            each.minor_tick_line_color = None
    _style_title(made.title, TITLE_SIZE, "bold")
    return showing_itself(made)


def add_note(made: Figure, text: str) -> None:
    """Write a line below a figure: what its points rest on, or what it is no evidence of."""
    from bokeh.models.annotations import Title

    line = Title(text=text)
    _style_title(line, TICK_SIZE, "normal")
    made.add_layout(line, "below")


def tidy_legend(made: Figure, place: Literal["right", "above", "below"] = "right", title: str = "") -> None:
    """Put the legend beside ("right"), "above" or "below" the figure; a click on an entry hides its curve."""
    for legend in list(made.legend):
        made.center = [part for part in made.center if part is not legend]
        made.add_layout(legend, place)
        legend.title = title or None
        legend.orientation = "vertical" if place == "right" else "horizontal"
        legend.background_fill_color = legend.border_line_color = None
        legend.label_text_font, legend.label_text_font_size = FONT, TICK_SIZE
        legend.label_text_color = legend.title_text_color = GREY
        legend.update(padding=0, margin=6, spacing=4)
        legend.click_policy = "hide"


def signed(value: float) -> str:
    """Write a correlation with its sign, the minus as long as the plus."""
    return f"{value:+.2f}".replace("-", "−")


def showing_itself(model: Any) -> Any:
    """Let a bokeh model (a figure, or a row or column of them) be shown by being the last value of a cell."""

    def display() -> None:
        from bokeh.io import show

        from catjac_widgets.widgets.base.bokeh_panel import send_script

        send_script()
        show(model)

    # What IPython looks for; bokeh itself shows a table of properties there.
    shown: Callable[[], None] = display
    model._ipython_display_ = shown
    return model


def save_html(model: Any, path: str | Path, title: str = "catjac") -> Path:
    """Write a figure, or a row or column of them, as a page that needs neither kernel nor network."""
    from bokeh.embed import file_html
    from bokeh.resources import INLINE

    target = Path(path)
    target.write_text(file_html(model, resources=INLINE, title=title), encoding="utf-8")
    return target


def _style_title(title: Any, size: str, style: str) -> None:
    if title is not None:
        title.text_font, title.text_font_size, title.text_font_style = FONT, size, style
        title.text_color = GREY
