"""Atoms from PDB, mmCIF and BinaryCIF files, plain or gzipped, or from the Protein Data Bank by id."""

from __future__ import annotations

import gzip
import io
import os
import re
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.errors import StructureError
from catjac_widgets.input_files import read_file, reason, shown
from catjac_widgets.structures.binary_cif import unpack

if TYPE_CHECKING:
    from biotite.structure import AtomArray

_FORMATS = {".pdb": "pdb", ".ent": "pdb", ".cif": "cif", ".mmcif": "cif", ".bcif": "bcif"}

#: Bytes of a structure that are read at most, unpacked; the largest entries of the PDB have about as much.
LARGEST_STRUCTURE = 256 * 2**20
_PDB_ID = re.compile(r"(pdb_0000)?[1-9][A-Za-z0-9]{3}")


def read_atoms(path: Path) -> AtomArray:
    """Read the first model, first alternate locations, of a structure file.

    Parameters
    ----------
    path
        A .pdb, .ent, .cif, .mmcif or .bcif file, or one of these with .gz at the end.

    Raises
    ------
    StructureError
        If the file is missing, of another kind, or not what its name says.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    kind = _FORMATS.get(suffixes[-1]) if suffixes else None
    if kind is None:
        raise StructureError(
            f"{shown(path.name)} is no structure file by its name; give a .pdb, .cif or .bcif file (.gz as "
            'well), or "pdb:" and an id.'
        )
    content = read_file(path, limit=LARGEST_STRUCTURE, error=StructureError, noun="structure file")
    return parse_atoms(content, kind, shown(path.name))


def parse_atoms(content: bytes, kind: str, name: str) -> AtomArray:
    """Parse the content of a file of one of the kinds "pdb", "cif" and "bcif".

    Raises
    ------
    StructureError
        If there are no atoms in it.
    """
    from biotite.structure.io import pdb, pdbx

    atoms = None
    with warnings.catch_warnings():
        # Missing element columns and the like are guessed by biotite and nothing to worry a person with.
        warnings.simplefilter("ignore")
        try:
            if kind == "pdb":
                file = pdb.PDBFile.read(io.StringIO(content.decode("utf-8", errors="replace")))
                atoms = file.get_structure(model=1, altloc="first")
            elif kind == "cif":
                cif = pdbx.CIFFile.read(io.StringIO(content.decode("utf-8", errors="replace")))
                atoms = pdbx.get_structure(cif, model=1, altloc="first")
            else:
                atoms = pdbx.get_structure(
                    pdbx.BinaryCIFFile.deserialize(unpack(content)), model=1, altloc="first"
                )
        except Exception as error:  # biotite raises whatever its parsers stumble over
            raise StructureError(
                f"{name} is not a readable {kind} file ({reason(error)}); get it anew."
            ) from error
    # What has no coordinates is not resolved.
    atoms = atoms[np.isfinite(atoms.coord).all(axis=1)]
    if not len(atoms):
        raise StructureError(f"{name} holds no atoms; get it anew.")
    return atoms


def download(pdb_id: str) -> AtomArray:
    """Read an entry of the Protein Data Bank, from the cache folder if it was fetched before.

    Raises
    ------
    StructureError
        If it is no PDB id, there is no such entry, or there is no network.
    """
    from catjac_widgets.engine.cache.store import cache

    if not _PDB_ID.fullmatch(pdb_id):
        raise StructureError(f"{shown(pdb_id)!r} is no PDB id; an id has four characters, as in pdb:1A3A.")
    name = pdb_id.lower()
    folder = None if cache.local_folder is None else cache.local_folder / "structures"
    kept = None if folder is None else folder / f"{name}.cif.gz"
    if kept is not None and kept.is_file():
        try:
            return read_atoms(kept)
        except StructureError:
            kept.unlink(missing_ok=True)  # broken off or damaged: fetched anew
    content = _fetch(name)
    atoms = parse_atoms(content, "cif", f"PDB entry {name.upper()}")
    if kept is not None:
        _keep(kept, content)
    return atoms


def _fetch(name: str) -> bytes:
    import requests
    from biotite.database import RequestError, rcsb

    try:
        file = rcsb.fetch(name, "cif")
    except RequestError as error:
        raise StructureError(f"The Protein Data Bank has no entry {name.upper()}; check the id.") from error
    except (requests.RequestException, OSError) as error:
        raise StructureError(
            f"PDB entry {name.upper()} could not be downloaded (is there a network?); "
            "give the path of a .pdb or .cif file instead."
        ) from error
    return file.getvalue().encode("utf-8")


def _keep(path: Path, content: bytes) -> None:
    """Write whole or not at all; a cache that cannot be written is no reason to fail."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
            part.write(gzip.compress(content))
        os.replace(part.name, path)
    except OSError:
        return
