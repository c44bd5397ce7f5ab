"""Figures of a Jacobian against couplings: rank correlation by cut-off, and entry by entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from catjac_widgets.errors import UsageError
from catjac_widgets.plots.style import BAND_ALPHA, GREY, LINE_WIDTH, PALETTE, POINT_SIZE, add_note, figure
from catjac_widgets.plots.style import tidy_legend as tidy

if TYPE_CHECKING:
    import pandas as pd
    from bokeh.models.renderers import DataRenderer
    from bokeh.plotting import figure as Figure

#: Points of a scatter plot at most; above it, a sample is drawn.
_MOST_POINTS = 6000


def plot_couplings(table: pd.DataFrame, *, title: str = "Jacobian against couplings") -> Figure:
    """Draw Spearman's correlation by cut-off: a thin line a family, the mean of each model with its band.

    Parameters
    ----------
    table
        Of `couplings_table`; several may be concatenated, one colour a model and kind of couplings.

    Returns
    -------
    bokeh.plotting.figure
        The band is the 95 % interval of the mean over families (bootstrap, 2000 draws). A note says how many
        families it rests on, and whether the model has learnt them.

    Raises
    ------
    UsageError
        If the table holds no correlation.

    References
    ----------
    Zhang Z. et al. (2024), Protein language models learn evolutionary statistics of interacting sequence
    motifs, PNAS 121:e2406285121, figure 4B.
    """
    from bokeh.models import ColumnDataSource, HoverTool

    kept = table[np.isfinite(table["spearman"])] if "spearman" in table else table[:0]
    if not len(kept):
        raise UsageError("The table holds no correlation; make one with couplings_table(alignments, model).")
    made = figure(title, x="couplings larger than n σ in size: n", y="Spearman correlation with J")
    lines: list[DataRenderer] = []
    for k, ((model, kind), rows) in enumerate(kept.groupby(["model", "couplings"], sort=False)):
        colour = PALETTE[k % len(PALETTE)]
        label = f"{model}, {str(kind).replace('_', ' ')}"
        for family, curve in rows.groupby("family"):
            source = ColumnDataSource(
                {
                    "x": curve["cutoff"],
                    "y": curve["spearman"],
                    "family": [family] * len(curve),
                    "entries": curve["entries"],
                }
            )
            lines.append(made.line("x", "y", source=source, color=colour, alpha=0.22, legend_label=label))
        cutoffs, mean, low, high = _means(rows)
        made.varea(cutoffs, low, high, color=colour, alpha=BAND_ALPHA, legend_label=label)
        made.line(cutoffs, mean, color=colour, line_width=LINE_WIDTH, legend_label=label)
        made.scatter(cutoffs, mean, color=colour, size=POINT_SIZE, legend_label=label)
    made.add_tools(
        HoverTool(
            renderers=lines,
            tooltips=[("", "@family"), ("n", "@x"), ("Spearman", "@y{0.00}"), ("entries", "@entries{0,0}")],
        )
    )
    made.xaxis.ticker = sorted(set(kept["cutoff"]))
    tidy(made, "above")
    families = kept["family"].nunique()
    add_note(
        made, f"Mean of {families} famil{'y' if families == 1 else 'ies'}, 95 % interval; thin: each one."
    )
    learnt = int(kept[kept["in_sample"]]["family"].nunique())
    if learnt:
        add_note(made, f"{learnt} of them mini was trained on: there this measures its training, no more.")
    return made


def plot_couplings_scatter(
    entries: xr.Dataset, *, cutoff: float = 1.0, title: str = "", seed: int = 0
) -> Figure:
    """Draw J's entries against couplings, one point an entry of a pair and two letters.

    Parameters
    ----------
    entries
        Of `couplings_entries`.
    cutoff
        Couplings of at most so many σ in size are grey.
    seed
        Of the sample that is drawn of more than 6,000 entries.

    Returns
    -------
    bokeh.plotting.figure
        Hover names the pair and the letters.

    Raises
    ------
    UsageError
        If there is no entry.
    """
    from bokeh.models import ColumnDataSource, HoverTool

    if not entries["couplings"].size:
        raise UsageError("There is no pair of residues to draw; the couplings need two columns.")
    W, ours = entries["couplings"].values, entries["jacobian"].values
    sigma = float(entries.attrs["sigma"])
    place = np.arange(W.size)
    if len(place) > _MOST_POINTS:
        place = np.sort(np.random.default_rng(seed).choice(place, _MOST_POINTS, replace=False))
    pair, a, b = np.unravel_index(place, W.shape)
    letters_i, letters_j = entries["aa_i"].values, entries["aa_j"].values
    pos_i, pos_j = entries["pos_i"].values, entries["pos_j"].values
    names = [
        f"{letters_i[p]}{pos_i[k]} – {letters_j[q]}{pos_j[k]}" for k, p, q in zip(pair, a, b, strict=True)
    ]
    x, y = W.ravel()[place], ours.ravel()[place]
    large = np.abs(x) > cutoff * sigma
    made = figure(title, x="coupling", y="J, centred and symmetrised (logits)")
    points: list[DataRenderer] = []
    groups = ((~large, GREY, 0.25, f"up to {cutoff:g} σ"), (large, PALETTE[0], 0.5, f"above {cutoff:g} σ"))
    for chosen, colour, alpha, label in groups:
        if not chosen.any():
            continue
        source = ColumnDataSource(
            {"x": x[chosen], "y": y[chosen], "name": [n for n, c in zip(names, chosen, strict=True) if c]}
        )
        points.append(
            made.scatter(
                "x",
                "y",
                source=source,
                size=3,
                color=colour,
                alpha=alpha,
                legend_label=label,
                line_color=None,
            )
        )
    tooltips = [("", "@name"), ("coupling", "@x{0.000}"), ("J", "@y{0.000}")]
    made.add_tools(HoverTool(renderers=points, tooltips=tooltips))
    tidy(made, "above")
    drawn = f", {len(place):,} of {W.size:,} drawn" if len(place) < W.size else ""
    add_note(made, f"The {W.shape[0]} best-coupled pairs of residues, {W.size:,} entries{drawn}.")
    return made


def _means(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cut-offs, means over families, and the bootstrap's 2.5th and 97.5th percentiles of them."""
    random = np.random.default_rng(0)
    cutoffs = np.array(sorted(set(rows["cutoff"])))
    mean, low, high = [], [], []
    for cutoff in cutoffs:
        values = rows.loc[rows["cutoff"] == cutoff, "spearman"].to_numpy()
        drawn = values[random.integers(len(values), size=(2000, len(values)))].mean(axis=1)
        mean.append(values.mean())
        low.append(np.percentile(drawn, 2.5))
        high.append(np.percentile(drawn, 97.5))
    return cutoffs, np.array(mean), np.array(low), np.array(high)
