"""Precision of contacts against how probable the model finds the protein."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.errors import UsageError
from catjac_widgets.plots.style import GREY, PALETTE, add_note, figure, signed, tidy_legend

if TYPE_CHECKING:
    import xarray as xr
    from bokeh.plotting import figure as Figure

_LABELS = {
    "pseudo_perplexity": "pseudo-perplexity",
    "neff": "effective number of sequences, Neff",
}


def plot_scaling(table: xr.Dataset, *, against: str = "pseudo_perplexity", width: int = 760) -> Figure:
    """Scatter precision at L against pseudo-perplexity (or Neff), a colour a model, a thin line a protein.

    Parameters
    ----------
    table
        Of `scaling`.
    against
        "pseudo_perplexity" or "neff".
    width
        Pixels.

    Returns
    -------
    bokeh.plotting.figure
        The legend gives Spearman's ρ of each model with its interval; the horizontal axis is logarithmic.

    Raises
    ------
    UsageError
        For another quantity, or where no point is known.
    """
    from bokeh.models import HoverTool, NumeralTickFormatter

    if against not in _LABELS:
        raise UsageError(f"against={against!r} is neither 'pseudo_perplexity' nor 'neff'.")
    y = table["precision_at_l"].transpose("model", "protein").values
    x = (
        table["pseudo_perplexity"].transpose("model", "protein").values
        if against == "pseudo_perplexity"
        else np.broadcast_to(table["neff"].values, y.shape)
    )
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        raise UsageError(
            "No protein has both numbers (Neff needs an alignment), so there is nothing to draw."
        )
    proteins = [str(name) for name in table["protein"].values]
    made = figure(
        f"{table.attrs['source']}: contacts found against {_LABELS[against]}",
        x=f"{_LABELS[against]} (logarithmic)",
        y=f"precision at L, |i − j| ≥ {table.attrs['separation']}",
        width=width,
        height=440,
        x_axis_type="log",
    )
    made.xaxis.ticker = _ticks(x[known])
    made.xaxis.formatter = NumeralTickFormatter(format="0,0")
    if len(y) > 1 and against == "pseudo_perplexity":
        kept = [k for k in range(len(proteins)) if known[:, k].sum() > 1]
        made.multi_line(
            xs=[x[known[:, k], k].tolist() for k in kept],
            ys=[y[known[:, k], k].tolist() for k in kept],
            color=GREY,
            alpha=0.35,
        )
    points: list[Any] = []
    for m, model in enumerate(map(str, table["model"].values)):
        rows = np.flatnonzero(known[m])
        if not len(rows):
            continue
        cell = table.sel(against=against).isel(model=m)
        points.append(
            made.scatter(
                x="x",
                y="y",
                source={
                    "x": x[m, rows],
                    "y": y[m, rows],
                    "protein": [proteins[k] for k in rows],
                    "model": [model] * len(rows),
                },
                size=9,
                color=PALETTE[m % len(PALETTE)],
                alpha=0.85,
                legend_label=f"{model}: {_rho(cell['spearman'], cell['low'], cell['high'])}",
            )
        )
    tips = [("", "@protein, @model"), (_LABELS[against], "@x{0.0}"), ("precision at L", "@y{0.00}")]
    made.add_tools(HoverTool(renderers=points, tooltips=tips))
    tidy_legend(made, "above")
    for legend in made.above:
        if hasattr(legend, "ncols"):
            legend.ncols = 2
    share = f"{100 * table.attrs['confidence']:.0f} %"
    text = f"{int(known.any(axis=0).sum())} proteins; ρ: Spearman, {share} over proteins"
    if len(y) > 1 and against == "pseudo_perplexity":
        pooled = _rho(table["pooled_spearman"], table["pooled_low"], table["pooled_high"])
        text += f"; all points: {pooled}"
    add_note(made, text + ".")
    return made


def _rho(value: Any, low: Any, high: Any) -> str:
    value, low, high = float(value), float(low), float(high)
    if not np.isfinite(value):
        return "ρ not defined"
    text = f"ρ = {signed(value)}"
    return text if not np.isfinite(low) else f"{text} ({signed(low)} to {signed(high)})"


def _ticks(values: np.ndarray) -> list[float]:
    """Round numbers on a logarithmic axis, at least two of them within the values or around them."""
    low, high = float(values.min()), float(values.max())
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 4, 5, 6, 7, 8, 9)):
        ticks = [step * 10.0**power for power in range(-1, 7) for step in steps]
        inside = [tick for tick in ticks if low / 1.2 <= tick <= high * 1.2]
        if len(inside) >= 4:
            return inside
    return inside
