"""``catjac couplings``: a model's Jacobian against the couplings of families of sequences."""

from __future__ import annotations

import os
from pathlib import Path

import click

from catjac_widgets.errors import UsageError
from catjac_widgets.export.files import check_output, replacing

_ENDINGS = (".a3m", ".afa", ".aln")


@click.command("couplings")
@click.argument("alignments", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="OUT.csv")
@click.option("--model", "-m", default="mini", show_default=True, help="Model name or checkpoint path.")
@click.option(
    "--couplings",
    type=click.Choice(["inverse_covariance", "mean_field", "potts"]),
    default="inverse_covariance",
    show_default=True,
    help="What is read off the alignments.",
)
@click.option("--plot", type=click.Path(path_type=Path), help="Also draw it: OUT.html")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
@click.option("--force", is_flag=True, help="Overwrite the output.")
def couplings_command(
    alignments: tuple[Path, ...],
    output: Path,
    model: str,
    couplings: str,
    plot: Path | None,
    quiet: bool,
    force: bool,
) -> None:
    """Correlate a model's Jacobian with the couplings of ALIGNMENTS (A3M files, or folders of them).

    One row a family and cut-off: Spearman's correlation over the L best-coupled pairs of residues.
    """
    if output.suffix != ".csv":
        raise UsageError(f"The output {output} does not end in .csv; name it out.csv.")
    check_output(output, force)
    if plot is not None:
        if plot.suffix != ".html":
            raise UsageError(f"The plot {plot} does not end in .html; name it out.html.")
        check_output(plot, force)
    from catjac_widgets.analysis.couplings.comparison import couplings_table

    table = couplings_table(_files(alignments), model, couplings=couplings, progress=not quiet)  # type: ignore[arg-type]
    with replacing(output) as path:
        table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    if plot is not None:
        from catjac_widgets.plots.couplings import plot_couplings
        from catjac_widgets.plots.style import save_html

        with replacing(plot) as page:
            save_html(plot_couplings(table), page)
    for family, error in table.loc[table["error"] != "", ["family", "error"]].itertuples(index=False):
        click.echo(f"catjac: {family}: {error}", err=True)
    if "spearman" not in table:
        raise UsageError("No alignment could be compared; see above.")
    mean = table.dropna(subset="spearman").groupby("cutoff")["spearman"].mean()
    said = ", ".join(f"{n:g} σ {value:.3f}" for n, value in mean.items())
    click.echo(f"{output}: {table['family'].nunique()} families, mean correlation above {said}")


def _files(given: tuple[Path, ...]) -> list[Path]:
    found: list[Path] = []
    for path in given:
        if os.path.isdir(path):
            found += sorted(
                each for each in path.iterdir() if each.name.removesuffix(".gz").endswith(_ENDINGS)
            )
        elif os.path.isfile(path):
            found.append(path)
        else:
            raise UsageError(f"There is no file or folder {path}; check the path.")
    if not found:
        raise UsageError(f"There is no alignment ({', '.join(_ENDINGS)}) in {given[0]}.")
    return found
