"""``catjac jacobian`` and ``catjac contacts``: from a sequence to a file."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from catjac_widgets.errors import UsageError

if TYPE_CHECKING:
    import xarray as xr

Function = TypeVar("Function", bound=Callable[..., Any])

#: Bytes of rows that are written at a time.
_PART_BYTES = 64 * 2**20

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
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="OUT.zarr or OUT.nc")
@click.option("--positions", metavar="RANGES", help="Only rows of these positions: 1-20,35.")
def jacobian_command(output: Path, positions: str | None, force: bool, **options: Any) -> None:
    """Compute the categorical Jacobian of WHAT and write it as zarr or netCDF."""
    if output.suffix not in (".zarr", ".nc"):
        raise UsageError(f"The output {output} ends in neither .zarr nor .nc; name it out.zarr.")
    check_output(output, force)
    J = _jacobian(positions=positions, **options)
    with replacing(output) as path:
        (write_zarr if output.suffix == ".zarr" else write_netcdf)(J, path)
    click.echo(f"{output}: {' × '.join(map(str, J.shape))}, {J.attrs['model']}")


@click.command("contacts")
@_with_options
@click.option("--output", "-o", type=click.Path(path_type=Path), help="OUT.csv (pairs) or OUT.npz (the map)")
@click.option("--separation", type=click.IntRange(min=1), default=6, show_default=True, help="Least |i − j|.")
@click.option("--top", type=click.IntRange(min=1), help="How many pairs; all with -o, otherwise 20.")
def contacts_command(
    output: Path | None, separation: int, top: int | None, force: bool, **options: Any
) -> None:
    """Predict the contacts of WHAT from its Jacobian (order A, APC): the best pairs, or the whole map."""
    if output is not None:
        if output.suffix not in (".csv", ".npz"):
            raise UsageError(f"The output {output} ends in neither .csv nor .npz; name it out.csv.")
        check_output(output, force)
    from catjac_widgets import contacts
    from catjac_widgets.analysis.evaluation import top_contacts

    C = contacts(_jacobian(positions=None, **options))
    if output is None:
        for pair in top_contacts(C, top or 20, separation).itertuples():
            click.echo(f"{pair.residue_i:>8} {pair.residue_j:>8} {pair.score:9.4f}")
        return
    with replacing(output) as path:
        if output.suffix == ".npz":
            write_map(C, path)
        else:
            top_contacts(C, top or C.size, separation).to_csv(path, index=False)
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
    from catjac_widgets.masks import Mask
    from catjac_widgets.notebook.what import find_protein

    protein = find_protein(what, chain=chain, record=record)
    mask = None if visible is None else Mask.parse(protein.sequence, visible)
    rows = None if positions is None else Mask.parse(protein.sequence, positions).visible.tolist()
    # With a name alone, a result that is in the cache loads no checkpoint.
    return jacobian(
        protein.sequence,
        model if device is None else load_model(model, device=device),
        positions=rows,
        mask=mask,
        variant=variant,
        batch_size=batch_size,
        cache=not no_cache,
        progress=not quiet,
    )


def check_output(output: Path, force: bool) -> None:
    """Refuse, before any work, an output that exists or cannot be written.

    Raises
    ------
    UsageError
        Saying which.
    """
    folder = output.parent
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder} to write {output.name} into; make it first.")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"The folder {folder} cannot be written to; choose another for {output.name}.")
    if output.exists() and not force:
        raise UsageError(f"{output} exists already; name another file, or overwrite it with --force.")


@contextmanager
def replacing(output: Path) -> Iterator[Path]:
    """Give a path beside `output` that takes its place when all went well, and is removed otherwise."""
    partial = output.with_name(f".{output.stem}.partial{output.suffix}")
    _remove(partial)
    try:
        yield partial
        _remove(output)
        partial.rename(output)
    except OSError as error:
        raise UsageError(f"{output} could not be written ({error}).") from error
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_zarr(J: xr.DataArray, path: Path) -> None:
    """Write a Jacobian as zarr: a chunk a row, labels as text that other readers of zarr understand."""
    # numpy's fixed-width text has no zarr 3 specification; variable-length text has one.
    text = {name: (c.dims, c.values.astype(object)) for name, c in J.coords.items() if c.dtype.kind == "U"}
    J = J.assign_coords(text)
    with warnings.catch_warnings():
        # xarray opens consolidated stores without a warning, others with one; both kinds can be read.
        warnings.filterwarnings("ignore", "Consolidated metadata")
        for rows in _parts(J):
            if rows.start == 0:
                J[rows].to_zarr(path, encoding={J.name: {"chunks": (1, *J.shape[1:])}})
            else:
                J[rows].to_zarr(path, append_dim="pos_in")


def write_netcdf(J: xr.DataArray, path: Path) -> None:
    """Write a Jacobian as netCDF 4."""
    import h5netcdf
    import numpy as np

    J.coords.to_dataset().to_netcdf(path, engine="h5netcdf")
    with h5netcdf.File(path, "a") as file:
        made = file.create_variable(J.name, J.dims, J.dtype, fillvalue=np.nan)
        made.attrs.update(J.attrs)
        for rows in _parts(J):
            made[rows] = J[rows].values


def _parts(J: xr.DataArray) -> Iterator[slice]:
    """Divide the rows into parts that may be held: what lies on disk is not loaded as a whole."""
    step = max(1, _PART_BYTES * J.shape[0] // max(1, J.nbytes))
    for start in range(0, J.shape[0], step):
        yield slice(start, min(start + step, J.shape[0]))


def write_map(C: xr.DataArray, path: Path) -> None:
    """Write the whole map as compressed numpy arrays: scores, positions, residues."""
    import numpy as np

    with path.open("wb") as file:
        np.savez_compressed(
            file,
            scores=C.values,
            positions=C["pos_i"].values,
            residues=C["residue_i"].values.astype(str),
            model=str(C.attrs.get("model", "")),
            sequence=str(C.attrs.get("sequence", "")),
        )
