"""How an entry lies in files: the zarr v3 metadata that follows from its key, and the version of the layout.

``docs/store.md`` describes it for whoever reads or writes entries without this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catjac_widgets.engine.cache.chunked.chunks import ChunkForm

if TYPE_CHECKING:
    from catjac_widgets.engine.cache.entries import Kept

#: Name of the zarr group of an entry.
GROUP = "arrays.zarr"

#: Version of the layout that is written. 1: without digests, as catjac 0.1 wrote it; it is still read.
FORMAT = 2


class NewerEntryError(OSError):
    """An entry that a later version of this package wrote: it is neither read nor changed."""


def metadata(plan: Kept, version: int = FORMAT) -> dict[str, dict[str, Any]]:
    """Derive the zarr v3 metadata of an entry from its key, by path in its folder."""
    rows_form = ChunkForm(
        (plan.chunk_length, *plan.rows_shape[1:]), plan.dtype, packed=plan.rows_bits is not None
    )
    attributes: dict[str, Any] = {"catjac_key": plan.key}
    if version > 1:
        attributes["catjac_format"] = version
    made: dict[str, dict[str, Any]] = {
        f"{GROUP}/zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": attributes},
        f"{GROUP}/{plan.rows_name}/zarr.json": _array_metadata(plan.rows_shape, plan.rows_dims, rows_form),
    }
    for name, (shape, dims) in plan.beside_shapes.items():
        made[f"{GROUP}/{name}/zarr.json"] = _array_metadata(shape, dims, ChunkForm(shape, plan.dtype))
    return made


def _array_metadata(shape: tuple[int, ...], dims: tuple[str, ...], form: ChunkForm) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": form.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(form.shape)}},
        # With "." a row is one file in a flat folder, so that one listing says which rows are done.
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": "NaN",
        "codecs": form.codecs,
        "attributes": {},
        "dimension_names": list(dims),
    }


def format_of(group: Any) -> int | None:
    """Which version of the layout the metadata of a group say, None where they make no sense."""
    attributes = group.get("attributes") if isinstance(group, dict) else None
    version = attributes.get("catjac_format", 1) if isinstance(attributes, dict) else None
    return version if isinstance(version, int) and not isinstance(version, bool) else None


def check_not_newer(group: Any, key: str) -> None:
    """Refuse an entry of a later version.

    Raises
    ------
    NewerEntryError
        With a sentence.
    """
    version = format_of(group)
    if version is not None and version > FORMAT:
        raise NewerEntryError(
            f"the entry {key[:12]} was written by a later version of catjac (format {version}, "
            f"this one knows {FORMAT}); upgrade catjac to use it"
        )
