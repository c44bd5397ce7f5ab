"""Recovery curves as a figure, with the numbers of segments and proteins that each point rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.errors import UsageError
from catjac_widgets.plots.style import (
    BAND_ALPHA,
    FONT,
    GREY,
    LINE_WIDTH,
    PALETTE,
    POINT_SIZE,
    TICK_SIZE,
    add_note,
    figure,
    showing_itself,
    tidy_legend,
)

if TYPE_CHECKING:
    import xarray as xr

#: What each pattern is called in a legend, and its colour.
NAMES = {
    "flanking": ("flanks", PALETTE[0]),
    "random": ("random", PALETTE[1]),
    "random_distant": ("random, distant", PALETTE[2]),
    "flanking_both": ("flanks, all ends", PALETTE[3]),
    "flanking_inward": ("flanks, inward", PALETTE[4]),
    "random_nested": ("random, nested", PALETTE[5]),
    "random_distant_nested": ("random, distant, nested", PALETTE[6]),
    "flanking_first": ("flank before", PALETTE[4]),
    "flanking_last": ("flank after", PALETTE[6]),
}

#: About how many columns the table of numbers below the curves has, and how high one of its rows is.
_COLUMNS, _ROW = 9, 20
_WIDTH, _MARGIN = 760, 0.06


def plot_recovery(found: xr.Dataset, what: str | None = None, *, title: str | None = None) -> Any:
    """Draw recovery against flank length, a curve a pattern.

    Parameters
    ----------
    found
        What `catjac.masking.curves` returned: a curve with its band for each pattern, and below it the
        segments and proteins behind the points. Or what `catjac.recovery` or `recovery_scan` returned: R of
        each target.
    what
        "percent" recovered (the default where something was counted), or the "mean" of R.
    title
        Instead of one that says what was run.

    Returns
    -------
    bokeh figure, or column of two
        Shows itself as the last value of a cell; `plots.style.save_html` keeps it as a page. Hovering a point
        tells its numbers; a click on the legend hides a curve. The Jacobian's R has its control beside it: a
        Potts model, whose R is 1 whatever is shown.

    Raises
    ------
    UsageError
        For anything else, or `what` that the result does not hold.
    """
    if not hasattr(found, "data_vars") or not {"R", "visible"} <= set(found):
        raise UsageError("That is no result of a recovery; pass the Dataset that catjac.recovery… returned.")
    if "segment" not in found["R"].dims:
        return _plot_targets(found, title)
    what = what or ("percent" if "percent" in found else "mean")
    if what not in ("percent", "mean") or what not in found:
        raise UsageError(
            f"what={what!r}: the result holds no such curve; run it with a threshold=, or draw 'mean'."
        )
    return _plot_curves(found, what, title)


def _plot_curves(curves: xr.Dataset, what: str, title: str | None) -> Any:
    from bokeh.layouts import column
    from bokeh.models import ColumnDataSource, HoverTool

    low, high = ("low", "high") if what == "percent" else ("mean_low", "mean_high")
    steps = curves["step"].values
    last = float(max(steps.max(initial=1), 1))
    threshold = curves.attrs.get("threshold")
    label = f"segments with R > {threshold:g} (%)" if what == "percent" else "mean R"
    top = (
        104 if what == "percent" else 1.08 * max(1.0, float(np.nanmax(_or_zero(curves[high], curves[what]))))
    )
    bottom = (
        -4 if what == "percent" else min(-0.04, 1.08 * float(np.nanmin(_or_zero(curves[low], curves[what]))))
    )
    made = figure(
        title if title is not None else _title(curves),
        x="flank on each side (residues)",
        y=label,
        x_range=(-_MARGIN * last, (1 + _MARGIN) * last),
        width=_WIDTH,
        y_range=(bottom, top),
    )
    points: list[Any] = []
    for pattern in curves["pattern"].values:
        name, colour = NAMES[str(pattern)]
        one = curves.sel(pattern=pattern)
        here = one["segments"].values > 0
        data: dict[str, Any] = {
            "flank": steps[here],
            "value": one[what].values[here],
            "low": one[low].values[here],
            "high": one[high].values[here],
            "segments": one["segments"].values[here],
            "proteins": one["proteins"].values[here],
            "pattern": [name] * int(here.sum()),
        }
        source = ColumnDataSource(data)
        # A band ends where fewer than two proteins are left; bokeh cannot draw it across NaN.
        banded = ColumnDataSource(
            {key: np.asarray(value)[np.isfinite(data["low"])] for key, value in data.items()}
        )
        made.varea("flank", "low", "high", source=banded, color=colour, alpha=BAND_ALPHA, legend_label=name)
        made.line("flank", "value", source=source, color=colour, line_width=LINE_WIDTH, legend_label=name)
        points.append(
            made.scatter("flank", "value", source=source, color=colour, size=POINT_SIZE, legend_label=name)
        )
    if what == "mean" and "R_control" in curves:
        _draw_control(made, steps, curves["R_control"].values)
    made.add_tools(
        HoverTool(
            renderers=points,
            tooltips=[
                ("", "@pattern, flank @flank"),
                (label, "@value{0.[00]} (@low{0.[00]} – @high{0.[00]})"),
                ("rests on", "@segments segments of @proteins proteins"),
            ],
        )
    )
    tidy_legend(made)
    numbers = _numbers(curves, made.x_range)
    share = f"{100 * curves.attrs['confidence']:g} %"
    wilson = what == "percent" and curves.attrs["band"] == "wilson"
    add_note(made, f"Bands: {share}, {'Wilson' if wilson else 'bootstrap over proteins'}.")
    # The two frames must stand above each other, whatever is written beside them.
    made.min_border_left = numbers.min_border_left = 150
    made.min_border_right = numbers.min_border_right = 180
    return showing_itself(column(made, numbers))


def _numbers(curves: xr.Dataset, x_range: Any) -> Any:
    """Write segments / proteins below the curves, as survival plots write the number at risk."""
    steps = curves["step"].values
    every = max(1, -(-len(steps) // _COLUMNS))
    names = [NAMES[str(pattern)][0] for pattern in curves["pattern"].values]
    made = figure(
        "Segments / proteins behind the points",
        width=_WIDTH,
        height=_ROW * len(names) + 52,
        x_range=x_range,
        y_range=names[::-1],
        tools="",
    )
    made.toolbar_location = None
    title: Any = made.title
    title.update(text_font_size=TICK_SIZE, text_font_style="normal")
    made.xaxis.visible = False
    made.grid.visible = False
    made.yaxis.axis_line_color = made.yaxis.major_tick_line_color = None
    for pattern, name in zip(curves["pattern"].values, names, strict=True):
        one = curves.sel(pattern=pattern).isel(step=slice(None, None, every))
        texts = [f"{s}/{p}" for s, p in zip(one["segments"].values, one["proteins"].values, strict=True)]
        made.text(
            x=one["step"].values,
            y=[name] * len(texts),
            text=texts,
            color=NAMES[str(pattern)][1],
            text_align="center",
            text_baseline="middle",
            text_font={"value": FONT},
            text_font_size=TICK_SIZE,
        )
    return made


def _plot_targets(found: xr.Dataset, title: str | None) -> Any:
    """One target a plain curve a pattern; several, thin curves of one colour."""
    from bokeh.models import ColumnDataSource, HoverTool

    R = found["R"]
    finite = R.values[np.isfinite(R.values)]
    made = figure(
        title if title is not None else _title(found),
        x="flank on each side (residues)",
        y="R",
        y_range=(min(-0.04, 1.08 * finite.min(initial=0)), 1.08 * max(1.0, finite.max(initial=1))),
    )
    points: list[Any] = []
    for pattern in found["pattern"].values:
        name, colour = NAMES[str(pattern)]
        for fragment in range(found.sizes["fragment"]):
            one = found.sel(pattern=pattern).isel(fragment=fragment)
            here = np.isfinite(one["R"].values)
            data = {
                "flank": one["step"].values[here],
                "R": one["R"].values[here],
                "visible": one["visible"].values[here],
                "fragment": [str(one["fragment"].values)] * int(here.sum()),
                "pattern": [name] * int(here.sum()),
            }
            style: dict[str, Any] = {"source": ColumnDataSource(data), "color": colour, "legend_label": name}
            made.line("flank", "R", line_width=LINE_WIDTH, **style)
            points.append(made.scatter("flank", "R", size=POINT_SIZE, **style))
    if "threshold" in found.attrs:
        _draw_level(made, float(found.attrs["threshold"]))
    if "R_control" in found:
        _draw_control(made, found["step"].values, found["R_control"].values)
    made.add_tools(
        HoverTool(
            renderers=points,
            tooltips=[
                ("", "@pattern, flank @flank"),
                ("R", "@R{0.00}"),
                ("contacts of", "@fragment"),
                ("shown", "@visible residues"),
            ],
        )
    )
    tidy_legend(made)
    if found.sizes["fragment"] == 1:
        add_note(made, f"Contacts of residues {found['fragment'].values[0]}.")
    return made


def _draw_control(made: Any, steps: np.ndarray, values: np.ndarray) -> None:
    """Draw the mean of a Potts model's R, which must be 1, in grey."""
    with np.errstate(invalid="ignore"):
        axes = tuple(range(values.ndim - 1))
        there = np.isfinite(values).sum(axis=axes)
        mean = np.nansum(values, axis=axes) / np.where(there, there, np.nan)
    here = there > 0
    made.line(
        steps[here],
        mean[here],
        color=GREY,
        line_width=LINE_WIDTH,
        line_dash="dotted",
        legend_label="Potts control",
    )


def _draw_level(made: Any, value: float) -> None:
    from bokeh.models.annotations import Span

    made.add_layout(
        Span(location=value, dimension="width", line_color=GREY, line_dash="dashed", line_width=1.5)
    )


def _title(found: xr.Dataset) -> str:
    source = "contact head" if found.attrs.get("source") == "contact_head" else "Jacobian"
    about = found.attrs.get("sequence_name") or ""
    return ", ".join(filter(None, ["Masked recovery", str(about), str(found.attrs["model"]), source]))


def _or_zero(bound: xr.DataArray, value: xr.DataArray) -> np.ndarray:
    """Give a band's edge, the curve itself where there is no band, and 0 where there is nothing."""
    return np.nan_to_num(np.where(np.isfinite(bound), bound, value))
