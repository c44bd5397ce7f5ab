"""``catjac jacobian`` and ``catjac contacts``: from a sequence to a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from catjac_widgets.cli.each_record import is_for_each, paths_for
from catjac_widgets.errors import UsageError
from catjac_widgets.export.files import check_output, replacing
from catjac_widgets.export.format_table import format_of

if TYPE_CHECKING:
    import xarray as xr

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = (
    click.argument("what"),
    click.option("--model", "-m", default="mini", show_default=True, help="Model name or checkpoint path."),
    click.option("--device", help="cuda, cuda:1, mps or cpu; the fastest there is by default."),
    click.option("--variant", type=click.Choice(["full", "fast"]), default="full", show_default=True),
    click.option("--visible", metavar="RANGES", help="What the model sees: 12-22,80-90; the rest is masked."),
    click.option("--chain", help="The structure's chain, where there are several."),
    click.option("--record", help="Name or number of the FASTA record, where there are several."),
    click.option("--batch-size", type=click.IntRange(min=1), help="Sequences a forward pass."),
    click.option("--no-cache", is_flag=True, help="Neither read nor keep rows."),
    click.option("--quiet", "-q", is_flag=True, help="No progress bar."),
    click.option("--force", is_flag=True, help="Overwrite the output."),
)


def _with_options(function: Function) -> Function:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command("jacobian")
@_with_options
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    help="OUT.zarr or OUT.nc; FOLDER/{name}.zarr for each record of a FASTA file.",
)
@click.option("--positions", metavar="RANGES", help="Only rows of these positions: 1-20,35.")
def jacobian_command(output: Path, positions: str | None, force: bool, **options: Any) -> None:
    """Compute the categorical Jacobian of WHAT and write it as zarr or netCDF."""
    made = format_of(output, "jacobian")
    if is_for_each(output):
        write_each(output, made.write, made.is_store, force=force, positions=positions, **options)
        return
    check_output(output, force, is_store=made.is_store)
    J = _jacobian(positions=positions, **options)
    with replacing(output) as path:
        made.write(J, path)
    click.echo(f"{output}: {' × '.join(map(str, J.shape))}, {J.attrs['model']}")


@click.command("contacts")
@_with_options
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="OUT.csv (pairs) or OUT.npz (the map); FOLDER/{name}.csv for each record of a FASTA file.",
)
@click.option("--separation", type=click.IntRange(min=1), help="Least |i − j|, 6 if not given.")
@click.option("--top", type=click.IntRange(min=1), help="How many pairs; all with -o, otherwise 20.")
def contacts_command(
    output: Path | None, separation: int | None, top: int | None, force: bool, **options: Any
) -> None:
    """Predict the contacts of WHAT from its Jacobian (order A, APC): the best pairs, or the whole map."""
    made = None if output is None else format_of(output, "contacts")
    pairs = {name: n for name, n in (("top", top), ("separation", separation)) if n is not None}
    if made is not None:
        made.check_options(pairs)
    for_each = output is not None and is_for_each(output)
    if output is not None and not for_each:
        check_output(output, force)
    from catjac_widgets import contacts
    from catjac_widgets.analysis.benchmark.top_contacts import top_contacts

    if output is not None and made is not None and for_each:

        def write(J: xr.DataArray, path: Path) -> None:
            made.write(contacts(J), path, **pairs)

        write_each(output, write, made.is_store, force=force, **options)
        return
    C = contacts(_jacobian(positions=None, **options))
    if output is None or made is None:
        for pair in top_contacts(C, top or 20, separation or 6).itertuples():
            click.echo(f"{pair.residue_i:>8} {pair.residue_j:>8} {pair.score:9.4f}")
        return
    with replacing(output) as path:
        made.write(C, path, **pairs)
    click.echo(f"{output}: {C.attrs.get('model', options['model'])}, {C.sizes['pos_i']} residues")


def _jacobian(
    *,
    what: str,
    model: str,
    device: str | None,
    variant: str,
    visible: str | None,
    positions: str | None,
    chain: str | None,
    record: str | None,
    batch_size: int | None,
    no_cache: bool,
    quiet: bool,
) -> xr.DataArray:
    from catjac_widgets import jacobian, load_model
    from catjac_widgets.proteins.masks import Mask
    from catjac_widgets.proteins.reading import read_protein

    # The residues are checked where the model's letters are known.
    sequence = read_protein(what, chain=chain, record=record, check=False).sequence
    mask = None if visible is None else Mask.parse(sequence, visible)
    rows = None if positions is None else Mask.parse(sequence, positions).visible.tolist()
    # With a name alone, a result that is in the cache loads no checkpoint.
    return jacobian(
        sequence,
        model if device is None else load_model(model, device=device),
        positions=rows,
        mask=mask,
        variant=variant,
        batch_size=batch_size,
        cache=not no_cache,
        progress=not quiet,
    )


def write_each(
    output: Path,
    write: Callable[[xr.DataArray, Path], None],
    is_store: bool,
    *,
    what: str,
    model: str,
    device: str | None,
    variant: str,
    batch_size: int | None,
    no_cache: bool,
    quiet: bool,
    force: bool,
    **others: Any,
) -> None:
    """Write one file for each record of a FASTA file, leaving out those that are there already.

    Raises
    ------
    UsageError
        If WHAT is no such file, or an option speaks of one protein.
    """
    asked = next((name for name, value in others.items() if value is not None), None)
    if asked is not None:
        raise UsageError(f"--{asked} is about one protein, and {output} asks for each record; leave one out.")
    from catjac_widgets import jacobians, load_model

    records, paths = paths_for(output, what)
    todo = {name: path for name, path in paths.items() if force or not path.exists()}
    for path in todo.values():
        check_output(path, force, is_store=is_store)
    found: Iterator[xr.DataArray] = iter(())
    if todo:
        found = jacobians(
            [record for record in records if record.name in todo],
            model if device is None else load_model(model, device=device),
            variant=variant,
            batch_size=batch_size,
            cache=not no_cache,
            progress=not quiet,
        )
    written = 0
    try:
        for J in found:
            with replacing(todo[J.attrs["sequence_name"]]) as path:
                write(J, path)
            written += 1
    finally:
        there = f", {len(paths) - len(todo)} were there already" if len(todo) < len(paths) else ""
        click.echo(f"{output}: {written} of {len(paths)} written{there}")
