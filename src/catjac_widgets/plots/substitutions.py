"""Heat map of every substitution along a protein, and double mutants against what a Jacobian says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.errors import JacobianError, UsageError
from catjac_widgets.plots.style import FONT, GREY, PALETTE, TICK_SIZE, add_note, figure, signed, tidy_legend
from catjac_widgets.proteins.alphabets import ORDERS

if TYPE_CHECKING:
    import xarray as xr
    from bokeh.plotting import figure as Figure

#: From worse by way of the wild type to better; all cells are filled, so that the ground does not show.
_WORSE, _SAME, _BETTER = "#b2382a", "#f4f1ea", "#2762a8"
_CELL = 15


def plot_substitutions(
    scores: xr.DataArray, *, order: str = "chemistry", limit: float | None = None, width: int | None = None
) -> Figure:
    """Draw substitution scores as a heat map: residues along, letters up; a dot marks the wild type.

    Parameters
    ----------
    scores
        Of `substitution_scores`, dims (pos, aa); or any array labelled likewise.
    order
        Of the letters: "chemistry", "esm", "alignment", "alphabetical", or the letters themselves.
    limit
        Score at which the colours end, on both sides; the 98th percentile of the sizes by default.
    width
        Pixels; by default it grows with the protein, up to 1100.

    Returns
    -------
    bokeh.plotting.figure

    Raises
    ------
    JacobianError
        If the axes are others, or no number is finite.
    UsageError
        If `order` lacks a letter.
    """
    from bokeh.models import HoverTool, LinearColorMapper, Range1d
    from bokeh.models.annotations.legends import ColorBar
    from bokeh.transform import transform

    if set(scores.dims) != {"pos", "aa"} or "wild_type" not in scores.coords:
        raise JacobianError(
            "Substitution scores have the axes pos and aa and the coordinate wild_type; make them with "
            "substitution_scores(sequence, model)."
        )
    scores = scores.transpose("pos", "aa")
    letters = [str(letter) for letter in scores["aa"].values]
    wanted = [letter for letter in ORDERS.get(order, order) if letter in letters]
    if set(wanted) != set(letters):
        raise UsageError(f"order={order!r} lacks {', '.join(sorted(set(letters) - set(wanted)))}.")
    values = scores.sel(aa=wanted).values.astype(np.float64)
    finite = np.abs(values[np.isfinite(values)])
    if not len(finite):
        raise JacobianError("No substitution score is a finite number, so there is nothing to draw.")
    top = float(limit or np.quantile(finite, 0.98) or 1.0)
    positions = [int(position) for position in scores["pos"].values]
    wild = [str(letter) for letter in scores["wild_type"].values]
    names = [str(name) for name in (scores["residue"].values if "residue" in scores.coords else positions)]
    pos, aa = np.meshgrid(np.arange(len(positions)), np.arange(len(wanted)), indexing="ij")
    source = {
        "pos": np.array(positions)[pos.ravel()],
        "aa": [wanted[k] for k in aa.ravel()],
        "score": values.ravel(),
        "name": [f"{names[p]}{wanted[a]}" for p, a in zip(pos.ravel(), aa.ravel(), strict=True)],
    }
    made = figure(
        _title(scores),
        x="residue",
        width=width or int(np.clip(150 + _CELL * len(positions), 480, 1100)),
        height=120 + _CELL * len(wanted),
        x_range=Range1d(start=positions[0] - 0.5, end=positions[-1] + 0.5),
        y_range=wanted[::-1],
        tools="xpan,xwheel_zoom,box_zoom,reset,save",
    )
    made.grid.grid_line_color = None
    made.yaxis.major_tick_line_color = None
    mapper = LinearColorMapper(palette=_diverging(), low=-top, high=top, nan_color=GREY)
    cells = made.rect(
        x="pos",
        y="aa",
        width=1.0,
        height=1.0,
        source=source,
        fill_color=transform("score", mapper),
        line_color=None,
        dilate=True,
    )
    shown = [k for k, letter in enumerate(wild) if letter in wanted]
    made.scatter(
        x=[positions[k] for k in shown],
        y=[wild[k] for k in shown],
        size=4,
        color="#333333",
    )
    tips = [("", "@name"), ("log-odds", "@score{+0.00} nats")]
    made.add_tools(HoverTool(renderers=[cells], tooltips=tips))
    # Ticks say what a person calls the residue: the structure's numbers where there are some.
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 1000) if len(positions) / s <= 16)
    ticks = [k for k in range(len(positions)) if (k + 1) % step == 0 or step == 1]
    made.xaxis.ticker = [positions[k] for k in ticks]
    made.xaxis.major_label_overrides = {positions[k]: names[k] for k in ticks}
    bar = ColorBar(color_mapper=mapper, width=10, title="nats", background_fill_color=None)
    bar.major_label_text_color = bar.title_text_color = GREY
    bar.major_label_text_font = bar.title_text_font = FONT
    bar.major_label_text_font_size = bar.title_text_font_size = TICK_SIZE
    bar.bar_line_color = bar.major_tick_line_color = None
    made.add_layout(bar, "right")
    add_note(made, "log p(letter) − log p(wild type); dots mark the wild type, blue is more probable.")
    return made


def plot_double_mutants(doubles: xr.Dataset, *, width: int = 560) -> Figure:
    """Scatter the double-mutant term of `double_mutants` against the Jacobian's conditional epistasis.

    Parameters
    ----------
    doubles
        Made with ``J=``.
    width
        Pixels.

    Returns
    -------
    bokeh.plotting.figure
        A colour a pair (of the first seven), with its Spearman correlation in the legend.

    Raises
    ------
    UsageError
        If the Jacobian's side is not there.
    """
    from bokeh.models import HoverTool

    if "conditional" not in doubles:
        raise UsageError("There is no 'conditional' to compare with; call double_mutants with J=.")
    made = figure(
        "Two mutations at once",
        x="conditional epistasis of the Jacobian (nats)",
        y="double-mutant term by passes (nats)",
        width=width,
        height=460,
    )
    letters = [str(letter) for letter in doubles["aa_i"].values]
    points: list[Any] = []
    ends = [0.0]
    for k in range(min(doubles.sizes["pair"], len(PALETTE))):
        one = doubles.isel(pair=k)
        first, second = str(one["wild_type_i"].values), str(one["wild_type_j"].values)
        names = [str(one[f"residue_{side}"].values) for side in ("i", "j")]
        chosen = [
            (a, b)
            for a in range(len(letters))
            for b in range(len(letters))
            if letters[a] != first and letters[b] != second
        ]
        x = np.array([float(one["conditional"].values[a, b]) for a, b in chosen])
        y = np.array([float(one["epistasis"].values[a, b]) for a, b in chosen])
        ends += [float(x.min()), float(x.max()), float(y.min()), float(y.max())]
        rho = float(one["spearman"])
        points.append(
            made.scatter(
                x="x",
                y="y",
                source={
                    "x": x,
                    "y": y,
                    "name": [f"{names[0]}{letters[a]}, {names[1]}{letters[b]}" for a, b in chosen],
                },
                size=5,
                color=PALETTE[k],
                alpha=0.55,
                legend_label=f"{names[0]}–{names[1]}" + (f", ρ = {signed(rho)}" if np.isfinite(rho) else ""),
            )
        )
    made.line([min(ends), max(ends)], [min(ends), max(ends)], color=GREY, line_dash="dashed")
    tips = [("", "@name"), ("Jacobian", "@x{+0.00}"), ("by passes", "@y{+0.00}")]
    made.add_tools(HoverTool(renderers=points, tooltips=tips))
    tidy_legend(made, "right")
    add_note(made, "Dashed: equal, as for every Potts model.")
    return made


def _title(scores: xr.DataArray) -> str:
    name = str(scores.attrs.get("sequence_name", ""))
    model = str(scores.attrs.get("model", ""))
    return ", ".join(
        part for part in (f"Substitutions of {name}" if name else "Substitutions", model) if part
    )


def _diverging(count: int = 255) -> list[str]:
    """Blend the three colours into a palette, linear in sRGB."""

    def parts(colour: str) -> np.ndarray:
        return np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)], dtype=np.float64)

    made = []
    for t in np.linspace(-1, 1, count):
        end = _WORSE if t < 0 else _BETTER
        rgb = np.rint((1 - abs(t)) * parts(_SAME) + abs(t) * parts(end)).astype(int)
        made.append("#" + "".join(f"{value:02x}" for value in rgb))
    return made
