"""Files that commands write: checked before any work, and in place only when they are whole."""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from catjac_widgets.errors import UsageError

if TYPE_CHECKING:
    import xarray as xr

    from catjac_widgets.proteins.sequences import Sequence

#: Bytes of rows that are written at a time.
_PART_BYTES = 64 * 2**20

#: What stands for a record's name in an output's.
_NAME = "{name}"


def check_output(output: Path, force: bool) -> None:
    """Refuse, before any work, an output that exists or cannot be written.

    Raises
    ------
    UsageError
        Saying which.
    """
    _check_folder(output)
    if output.exists() and not force:
        raise UsageError(f"{output} exists already; name another file, or overwrite it with --force.")


def _check_folder(output: Path) -> None:
    folder = output.parent
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder} to write {output.name} into; make it first.")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"The folder {folder} cannot be written to; choose another for {output.name}.")


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


def is_for_each(output: Path) -> bool:
    """Whether an output is a pattern for several files."""
    return _NAME in output.name


def paths_for(output: Path, what: str) -> tuple[list[Sequence], dict[str, Path]]:
    """Read the records of a FASTA file, and put each one's name into the output's.

    Characters that do not belong in file names become "_"; a record without a name has its number.

    Returns
    -------
    records : list of Sequence
        All with a name.
    paths : dict
        Where each goes, by name.

    Raises
    ------
    UsageError
        If there is no such file or folder, or two records would share a file.
    """
    from catjac_widgets.proteins.reading import read_fasta

    path = Path(os.path.expanduser(what))
    if not path.is_file():
        raise UsageError(f"{output} asks for each record of a FASTA file, and {what} is no file; name one.")
    _check_folder(output)
    records = [
        record if record.name else replace(record, name=str(number))
        for number, record in enumerate(read_fasta(path), start=1)
    ]
    paths: dict[str, Path] = {}
    taken: dict[str, str] = {}
    for record in records:
        plain = re.sub(r"[^\w.+-]+", "_", record.name).lstrip(".") or "_"
        if plain.lower() in taken:
            raise UsageError(
                f"The records {taken[plain.lower()]} and {record.name} of {path.name} would both be written "
                f"to {output.name.replace(_NAME, plain)}; rename one."
            )
        taken[plain.lower()] = record.name
        paths[record.name] = output.with_name(output.name.replace(_NAME, plain))
    return records, paths


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
