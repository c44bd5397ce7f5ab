"""How an entry lies on disk: the zarr v3 metadata that follows from its key, and the version of the layout.

``docs/store.md`` describes it for whoever reads or writes entries without this package.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.engine.cache.folder.files import read_json

if TYPE_CHECKING:
    from catjac_widgets.engine.cache.entries import Kept

#: Name of the zarr group in an entry's folder.
GROUP = "arrays.zarr"

#: Version of the layout that is written. 1: without digests, as catjac 0.1 wrote it; it is still read.
FORMAT = 2


class NewerEntryError(OSError):
    """An entry that a later version of this package wrote: it is neither read nor changed."""


def metadata(plan: Kept, version: int = FORMAT) -> dict[str, dict[str, Any]]:
    """Derive the zarr v3 metadata of an entry from its key, by path in its folder."""
    rows = _array_metadata(plan, plan.rows_shape, plan.rows_dims, first_chunk=plan.chunk_length)
    attributes: dict[str, Any] = {"catjac_key": plan.key}
    if version > 1:
        attributes["catjac_format"] = version
    made: dict[str, dict[str, Any]] = {
        f"{GROUP}/zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": attributes},
        f"{GROUP}/{plan.rows_name}/zarr.json": rows,
    }
    for name, (shape, dims) in plan.beside_shapes.items():
        made[f"{GROUP}/{name}/zarr.json"] = _array_metadata(plan, shape, dims, first_chunk=shape[0])
    return made


def _array_metadata(
    plan: Kept, shape: tuple[int, ...], dims: tuple[str, ...], *, first_chunk: int
) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": plan.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [first_chunk, *shape[1:]]}},
        # With "." a row is one file in a flat folder, so that one listing says which rows are done.
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": "NaN",
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "attributes": {},
        "dimension_names": list(dims),
    }


def format_of(folder: Path) -> int | None:
    """Which version of the layout an entry says it has, None where it says nothing that can be read."""
    group = read_json(folder / GROUP / "zarr.json")
    attributes = group.get("attributes") if isinstance(group, dict) else None
    version = attributes.get("catjac_format", 1) if isinstance(attributes, dict) else None
    return version if isinstance(version, int) and not isinstance(version, bool) else None


def check_not_newer(folder: Path) -> None:
    """Refuse an entry of a later version.

    Raises
    ------
    NewerEntryError
        With a sentence.
    """
    version = format_of(folder)
    if version is not None and version > FORMAT:
        raise NewerEntryError(
            f"the entry {folder.name[:12]} was written by a later version of catjac (format {version}, "
            f"this one knows {FORMAT}); upgrade catjac to use it"
        )
