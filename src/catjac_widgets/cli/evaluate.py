"""``catjac evaluate``: contact maps of a folder of proteins against their structures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catjac_widgets.errors import UsageError
from catjac_widgets.export.files import check_output, replacing

if TYPE_CHECKING:
    import xarray as xr


@click.command("evaluate")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="The table, OUT.csv")
@click.option(
    "--methods",
    metavar="NAMES",
    help="Of jacobian, contact_head, potts, inverse_covariance and mean_field; all but the last by default.",
)
@click.option("--model", "-m", default="mini", show_default=True, help="Model name or checkpoint path.")
@click.option("--device", help="cuda, cuda:1, mps or cpu; the fastest there is by default.")
@click.option("--only", metavar="NAMES", help="Only these proteins of the folder.")
@click.option(
    "--ordered", is_flag=True, help="Rank (i, j) and (j, i) as two pairs, as Zhang et al. (2024) do."
)
@click.option(
    "--cutoff", type=click.FloatRange(min=0, min_open=True), default=8.0, show_default=True, help="Å"
)
@click.option("--plot", type=click.Path(path_type=Path), help="A figure as a page of its own, OUT.html")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
@click.option("--force", is_flag=True, help="Compute these methods again, whatever the table holds.")
def evaluate_command(
    folder: Path,
    output: Path,
    methods: str | None,
    model: str,
    device: str | None,
    only: str | None,
    ordered: bool,
    cutoff: float,
    plot: Path | None,
    quiet: bool,
    force: bool,
) -> None:
    """Score contact maps of the proteins in FOLDER against their structures, into one table.

    Files belong together by name: P1.fasta or P1.a3m with P1.pdb or P1.cif (.gz as well). The table is
    written after every map; the same command continues one that was stopped, and computes anew only what
    has changed.
    A protein that cannot be evaluated has a row that says why.
    """
    for path, ending in ((output, ".csv"), (plot, ".html")):
        if path is None:
            continue
        if path.suffix != ending:
            raise UsageError(f"The output {path} does not end in {ending}; name it out{ending}.")
        check_output(path, force=True)
    from catjac_widgets import load_model
    from catjac_widgets.analysis.benchmark.evaluate import evaluate
    from catjac_widgets.analysis.benchmark.methods import USUAL

    table = evaluate(
        folder,
        model if device is None else load_model(model, device=device),
        _names(methods) or USUAL,
        output=output,
        only=_names(only),
        pairs="ordered" if ordered else "unordered",
        cutoff=cutoff,
        force=force,
        command=_command(sys.argv[1:]) if sys.argv[1:2] == ["evaluate"] else "",
        progress=not quiet,
    )
    if plot is not None:
        from catjac_widgets.plots.evaluation import plot_evaluation
        from catjac_widgets.plots.style import save_html

        with replacing(plot) as page:
            save_html(plot_evaluation(table), page, "Precision of contact maps")
    click.echo(summary(table))
    click.echo(f"{output}: {table.sizes['protein']} proteins" + (f"; {plot}" if plot else ""))


def summary(table: xr.Dataset) -> str:
    """Write the means over proteins as lines of text, and how many proteins have an error."""
    from catjac_widgets.analysis.benchmark.evaluation_table import evaluation_means
    from catjac_widgets.analysis.benchmark.methods import METHODS

    lines = []
    if table.sizes.get("range"):
        means = evaluation_means(table)
        lines.append(f"{'mean precision at L':<20} {'|i − j| ≥ 6':>22} {'|i − j| ≥ 24':>22}  proteins")
        for method in means["source"].values:
            cells = [_interval(means.sel(source=method, range=span)) for span in ("all", "long")]
            count = int(means["proteins"].sel(source=method, range="all"))
            lines.append(f"{METHODS[str(method)].title:<20} {cells[0]:>22} {cells[1]:>22} {count:>9}")
    failed = [str(p) for p, bad in zip(table["protein"].values, _failed(table), strict=True) if bad]
    if failed:
        shown = ", ".join(failed[:5]) + (", …" if len(failed) > 5 else "")
        lines.append(
            f"{len(failed)} of {table.sizes['protein']} proteins have an error in the table: {shown}"
        )
    return "\n".join(lines)


def _failed(table: xr.Dataset) -> Any:
    return (table["error"] != "").any("source").values


def _interval(cell: xr.Dataset) -> str:
    mean, low, high = (float(cell[name]) for name in ("mean", "low", "high"))
    return f"{mean:.3f}" + (f" ({low:.3f}–{high:.3f})" if low == low else "") if mean == mean else "–"


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _command(words: list[str]) -> str:
    """Write the command with paths cut to their last part, which is the same on every machine."""
    return "catjac " + " ".join(word.rstrip("/").rsplit("/", 1)[-1] for word in words)
