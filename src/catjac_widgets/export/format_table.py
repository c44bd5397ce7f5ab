"""The table of output formats: file ending → writer. Each module of `formats` registers itself."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from catjac_widgets.errors import UsageError
from catjac_widgets.export.files import check_output, replacing
from catjac_widgets.input_files import shown, user_path

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Content = Literal["jacobian", "contacts"]
_TITLES: dict[str, str] = {"jacobian": "a Jacobian", "contacts": "a contact map"}


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes
    ----------
    content
        What it holds: "jacobian" or "contacts".
    ending
        Of the file's name: ".zarr".
    title
        What it is, for a person.
    write
        (array, path, …): writes the whole array to a path that does not exist yet. What it takes beside these
        are the format's options.
    is_store
        Whether it is a zarr store, which is a folder.
    """

    content: Content
    ending: str
    title: str
    write: Callable[..., None]
    is_store: bool = False

    def check_options(self, given: Iterable[str]) -> None:
        """Refuse options that this format has no use for.

        Raises
        ------
        OptionError
            Names the first one, and those there are.
        """
        from catjac_widgets.analysis.options import check_options, options_of

        data = list(inspect.signature(self.write).parameters)[:2]
        check_options(
            f"Writing {_TITLES[self.content]} as {self.ending}", given, options_of(self.write, *data)
        )


_formats: dict[tuple[str, str], Format] = {}


def register_format(made: Format) -> None:
    """Add a format to the table; a later one of the same content and ending takes its place."""
    _formats[made.content, made.ending] = made


def formats() -> pd.DataFrame:
    """List what can be written.

    Returns
    -------
    pandas.DataFrame
        One row a format: content ("jacobian" or "contacts"), ending, title.
    """
    import pandas as pd

    _load()
    return pd.DataFrame(
        [(made.content, made.ending, made.title) for made in _formats.values()],
        columns=["content", "ending", "title"],
    )


def endings(content: Content) -> list[str]:
    """List the endings of the files that can hold it."""
    _load()
    return [made.ending for made in _formats.values() if made.content == content]


def format_of(path: Path, content: Content) -> Format:
    """Find the format that a file's name asks for.

    Raises
    ------
    UsageError
        If no format of that content has such an ending.
    """
    _load()
    try:
        return _formats[content, path.suffix]
    except KeyError:
        known = endings(content)
        raise UsageError(
            f"The output {shown(path)} ends in none of {', '.join(known)}, as which {_TITLES[content]} can "
            f"be written; name it {shown(path.stem) or 'out'}{known[0]}."
        ) from None


def write(array: xr.DataArray, path: str | Path, *, force: bool = False, **options: Any) -> Path:
    """Write a Jacobian or a contact map in the format that the file's name asks for.

    The file is in place only when it is whole.

    Parameters
    ----------
    array
        As `catjac.jacobian` or `catjac.contacts` return it.
    path
        For a Jacobian ``J.zarr`` or ``J.nc``; for a contact map ``pairs.csv`` or ``map.npz``. `formats` lists
        all.
    force
        Whether a file that exists is overwritten.
    **options
        Of the format: for pairs ``top`` (how many) and ``separation`` (least |i − j|), for Jacobians
        ``part_bytes`` (held in memory at a time).

    Returns
    -------
    pathlib.Path
        Where it is.

    Raises
    ------
    UsageError
        If the array or the ending is neither, the file exists or cannot be written, or an option is none of
        the format's or makes no sense.
    """
    output = user_path(path)
    made = format_of(output, _content_of(array))
    made.check_options(options)
    check_output(output, force, is_store=made.is_store)
    with replacing(output) as partial:
        made.write(array, partial, **options)
    return output


def _content_of(array: xr.DataArray) -> Content:
    dims = set(getattr(array, "dims", ()))
    if {"pos_in", "pos_out"} <= dims:
        return "jacobian"
    if {"pos_i", "pos_j"} <= dims:
        return "contacts"
    raise UsageError(
        "Only a Jacobian (pos_in, aa_in, pos_out, aa_out) or a contact map (pos_i, pos_j) can be written; "
        "select nothing away before."
    )


@cache
def _load() -> None:
    """Import every module of `formats` once; they register themselves."""
    folder = importlib.import_module("catjac_widgets.export.formats")
    for found in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}."):
        importlib.import_module(found.name)
