"""Methods against each other, protein by protein: one line a protein, one mark a method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.analysis.benchmark.evaluation_table import evaluation_means
from catjac_widgets.analysis.benchmark.methods import METHODS
from catjac_widgets.analysis.sources import present_word
from catjac_widgets.errors import UsageError
from catjac_widgets.plots.style import GREY, PALETTE, TICK_SIZE, add_note, figure, tidy_legend

if TYPE_CHECKING:
    import xarray as xr
    from bokeh.plotting import figure as Figure

_MEASURES = {
    "precision_at_l": "precision of the best L pairs",
    "precision_at_l_half": "precision of the best L/2 pairs",
    "precision_at_l_fifth": "precision of the best L/5 pairs",
    "auc": "mean precision of the best 0.1 L … L pairs",
}
_MARKERS = {
    "jacobian": "circle",
    "contact_head": "diamond",
    "potts": "square",
    "inverse_covariance": "triangle",
    "mean_field": "inverted_triangle",
}
_TRAINED, _OTHERS = "trained on", "not trained on"
_LINE_HEIGHT = 18


def plot_evaluation(
    table: xr.Dataset, *, measure: str = "precision_at_l", span: str = "all", width: int = 720
) -> Figure:
    """Draw an evaluation: each protein a line, each method a mark, best proteins on top.

    Parameters
    ----------
    table
        Of `evaluate` or `read_evaluation`.
    measure
        precision_at_l, precision_at_l_half, precision_at_l_fifth or auc.
    span
        Range of sequence separation: all (|i − j| ≥ 6), local, short, medium or long.
    width
        Pixels.

    Returns
    -------
    bokeh.plotting.figure
        Where the table says which proteins the model was trained on, these stand apart. Short bars are what
        guessing gives; a click on a method in the legend hides it.

    Raises
    ------
    UsageError
        For another measure or range, or where nothing could be evaluated.
    """
    if measure not in _MEASURES:
        raise UsageError(f"measure={measure!r} is none of {', '.join(_MEASURES)}.")
    if span not in table["range"].values:
        allowed = ", ".join(map(str, table["range"].values)) or "none, nothing could be evaluated"
        raise UsageError(f"span={span!r} is none of the table's ranges ({allowed}).")
    part = table.sel(range=span)
    values = part[measure].transpose("protein", "source").values
    groups = _groups(part)
    best = np.nanmax(np.where(np.isfinite(values), values, -1.0), axis=1)
    # The axis runs upwards.
    order = sorted(range(len(values)), key=lambda k: (groups[k] == _TRAINED, best[k]))
    names = [str(name) for name in part["protein"].values]
    factors: list[Any] = [(groups[k], names[k]) if groups[k] else names[k] for k in order]
    from bokeh.models import FactorRange, HoverTool, Range1d

    made = figure(
        f"Precision of contact maps, {_separation(span)}",
        x=_MEASURES[measure],
        width=width,
        height=120 + _LINE_HEIGHT * len(factors),
        y_range=FactorRange(*factors),
        x_range=Range1d(start=-0.02, end=1.02),
    )
    made.ygrid.grid_line_color = None
    made.yaxis.major_tick_line_color = None
    for axis in made.yaxis:
        axis.update(group_text_color=GREY, group_text_font_size=TICK_SIZE, separator_line_color=GREY)
    wanted = (True, False) if any(groups) else (None,)
    means = [evaluation_means(table, measure=measure, in_sample=each).sel(range=span) for each in wanted]
    at = {names[k]: factor for k, factor in zip(order, factors, strict=True)}
    low, high = np.nanmin(np.where(np.isfinite(values), values, np.inf), axis=1), best
    known = [k for k in order if best[k] >= 0]
    made.hbar(
        y=[at[names[k]] for k in known],
        left=[low[k] for k in known],
        right=[high[k] for k in known],
        height=0.08,
        color=GREY,
        alpha=0.5,
    )
    made.scatter(
        x=[float(np.nanmax(part["random"].values[k])) for k in known],
        y=[at[names[k]] for k in known],
        marker="dash",
        angle=np.pi / 2,
        size=9,
        color=GREY,
        legend_label="guessing",
    )
    tips: list[Any] = []
    for place, said in enumerate(map(str, part["source"].values)):
        method = present_word(said)
        rows = [k for k in order if np.isfinite(values[k, place])]
        if not rows:
            continue
        data = {
            "value": values[rows, place],
            "y": [at[names[k]] for k in rows],
            "protein": [names[k] for k in rows],
            "method": [METHODS[method].title] * len(rows),
            "length": [int(part["length"].values[k]) for k in rows],
            "low": part["low"].values[rows, place],
            "high": part["high"].values[rows, place],
        }
        mean = " / ".join(f"{float(each['mean'].sel(source=said)):.2f}" for each in means)
        tips.append(
            made.scatter(
                x="value",
                y="y",
                source=data,
                size=9,
                marker=_MARKERS[method],
                color=PALETTE[list(METHODS).index(method)],
                alpha=0.9,
                legend_label=f"{METHODS[method].title} {mean}",
            )
        )
    shown = [("", "@protein, @method"), (_MEASURES[measure], "@value{0.00}"), ("L", "@length")]
    if measure == "precision_at_l":
        shown.insert(2, ("95 %", "@low{0.00} – @high{0.00}"))
    made.add_tools(HoverTool(renderers=tips, tooltips=shown))
    tidy_legend(made, "right", f"means: {_TRAINED} / not" if any(groups) else "means")
    add_note(made, _note(table, len(known)))
    return made


def _groups(part: xr.Dataset) -> list[str]:
    """Say of each protein whether the model was trained on it; "" for all where that does not differ."""
    known = part["in_sample"].transpose("protein", "source").values
    said = [_TRAINED if "yes" in row else _OTHERS if "no" in row else "" for row in known]
    return said if len(set(said)) > 1 and "" not in said else [""] * len(said)


def _separation(span: str) -> str:
    from catjac_widgets.analysis.benchmark.precision import RANGES

    first, last = RANGES.get(span, (6, None))
    return f"|i − j| ≥ {first}" if last is None else f"|i − j| from {first} to {last - 1}"


def _note(table: xr.Dataset, count: int) -> str:
    models = sorted({str(name) for name in table["model"].values.ravel()} - {""})
    known = table["in_sample"].transpose("protein", "source").values
    text = f"{count} of {table.sizes['protein']} proteins"
    if models:
        text += f"; Jacobian and contact head of {', '.join(models)}"
    trained = int((known == "yes").any(axis=1).sum())
    return text + (f", trained on {trained} of them." if trained else ".")
