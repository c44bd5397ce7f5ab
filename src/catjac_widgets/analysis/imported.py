"""Jacobians that were made elsewhere: plain arrays, with the labels that analyses and views need."""

from __future__ import annotations

import math
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
import xarray as xr

from catjac_widgets._version import __version__
from catjac_widgets.engine.compute.memory import available_memory
from catjac_widgets.errors import CatjacError, JacobianError, ResourceError, UsageError
from catjac_widgets.input_files import check_file, reason, shown, user_path
from catjac_widgets.proteins.alphabets import ESM_LETTERS, MASK_LETTER
from catjac_widgets.proteins.coordinates import AXES, residue_coordinates
from catjac_widgets.proteins.masks import as_mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Sequence

Kind = Literal["auto", "raw", "centred"]

#: What wild-type rows of a raw Jacobian, and means of a centred one, are at most, of its largest number:
#: 16-bit floats are rounded to a 2,000th, and the kernels of two batches differ.
_ZERO = 2e-3

_LETTER_AXES = "aa_in aa_out"


def read_jacobian(
    what: str | Path | np.ndarray,
    sequence: Any,
    *,
    letters: str = ESM_LETTERS,
    kind: Kind = "auto",
    symmetrised: bool = False,
    model: str = "imported",
    key: str | None = None,
) -> xr.DataArray:
    """Take a Jacobian that was made by other software.

    Three layouts are known by their shapes, with L residues and A letters: (L, A, L, A), all of it, as Zhang
    et al. keep it [1]_; (L, 1, L, A), residues masked in the place of substituted; and (L(L−1)/2, A, A), the
    blocks of pairs i < j in the order of ``numpy.triu_indices(L, 1)``, as ColabBio does [2]_. The last is
    rebuilt by symmetry: J[j, b, i, a] = J[i, a, j, b]. It does not say what the diagonal blocks were; they
    are set to 0, and so enter the means over positions that `contacts` subtracts.

    Parameters
    ----------
    what
        An array, or the path of an .npy or .npz file; nothing in it is ever unpickled.
    sequence
        The protein that it is of; anything `as_sequence` reads.
    letters
        The order of the letters on both sides; that of the ESM family by default.
    kind
        What was subtracted: "raw", nothing, so that the rows of the wild type are 0; "centred", the means
        over letters at least. "auto" finds out, and refuses what is neither; of a symmetrised one it cannot
        tell whether letters and sequence are the right ones.
    symmetrised
        Whether J was averaged with its transpose; the triangle was in any case.
    model
        What to call the model that it is of.
    key
        Name of the array in an .npz file that holds several.

    Returns
    -------
    xr.DataArray
        "jacobian", float32, dims (pos_in, aa_in, pos_out, aa_out), labelled as `jacobian` does it. The
        attributes say where it came from (`imported_from`, `imported_dtype`), its `kind`, and whether it is
        `symmetrised`. `contacts` takes a centred one with ``allow_centred=True``; `epistasis` takes a raw one
        that was not symmetrised.

    Raises
    ------
    JacobianError
        If the file is none of these, or the array has another shape than the sequence and the letters say,
        numbers that are not finite, or wild-type rows that are neither 0 nor centred: then letters or
        sequence are others.
    SequenceError
        If the sequence cannot be read, or has a residue that is none of the letters.
    UsageError
        For letters that are no alphabet, or a `kind` that does not exist.
    ResourceError
        If it would not fit into memory.

    References
    ----------
    .. [1] Zhang Z. et al. (2024), PNAS 121:e2406285121; zzhangzzhang/pLMs-interpretability.
    .. [2] sokrypton/ColabBio, categorical_jacobian.
    """
    if not isinstance(letters, str) or len(letters) < 2 or len(set(letters)) < len(letters):
        raise UsageError(f"letters={letters!r} is no alphabet; give each letter once, in the array's order.")
    if kind not in ("auto", "raw", "centred"):
        raise UsageError(f"kind={kind!r} is unknown; use 'auto', 'raw' or 'centred'.")
    protein = as_sequence(sequence, letters=letters)
    L, A = len(protein), len(letters)
    found = _found(what, key)
    triangle = _check_shape(found, L, A)
    a_in = A if triangle else found.shape[1]
    needed = 4 * L * a_in * L * A + found.bytes_beside
    if needed > 0.8 * available_memory():
        raise ResourceError(
            f"The Jacobian takes {needed / 1e9:.1f} GB of memory, more than is free; import a part of the "
            "protein, or an .npy file in the place of an .npz."
        )
    try:
        values = _whole(found.values(), L, A) if triangle else np.array(found.values(), dtype=np.float32)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise JacobianError(f"{found.name} cannot be read ({reason(error)}); get it anew.") from error
    for row in values:
        if not np.isfinite(row).all():
            raise JacobianError(
                f"{found.name} holds numbers that are not finite; import the Jacobian of one that has none "
                "(16-bit floats end at 65,504)."
            )
    symmetric = triangle or symmetrised
    which = _kind_of(values, protein, letters, kind, symmetric, found.name)
    return _labelled(values, protein, letters, which, symmetric, triangle, model, found)


@dataclass(frozen=True)
class _Found:
    """An array whose shape is known before its numbers are read."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    array: np.ndarray | None = None
    path: Path | None = None
    member: str = ""

    @property
    def bytes_beside(self) -> int:
        """Memory that it takes while it is turned into float32."""
        return math.prod(self.shape) * self.dtype.itemsize if self.member else 0

    def values(self) -> np.ndarray:
        if self.array is not None:
            return self.array
        if self.member:
            with np.load(cast(Path, self.path), allow_pickle=False) as archive:
                return np.asarray(archive[self.member])
        # A plain file is not read as a whole before it is turned into float32.
        return np.load(cast(Path, self.path), mmap_mode="r", allow_pickle=False)


def _found(what: Any, key: str | None) -> _Found:
    if isinstance(what, np.ndarray):
        return _Found("The array", what.shape, what.dtype, array=what)
    if not isinstance(what, str | os.PathLike):
        raise JacobianError(
            f"A Jacobian made elsewhere is an array or the path of an .npy or .npz file, not "
            f"{type(what).__name__}; give one of these."
        )
    path = user_path(os.fspath(what))
    check_file(path, error=JacobianError, noun="Jacobian")
    name = shown(path.name)
    try:
        if path.suffix == ".npy":
            with path.open("rb") as file:
                return _Found(name, *_header(file), path=path)
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                arrays = [each.removesuffix(".npy") for each in archive.namelist() if each.endswith(".npy")]
                member = _chosen(arrays, key, name)
                with archive.open(f"{member}.npy") as packed:
                    return _Found(name, *_header(cast(BinaryIO, packed)), path=path, member=member)
    except CatjacError:
        raise
    except Exception as error:  # whatever a broken file makes the parsers stumble over
        raise JacobianError(
            f"{name} cannot be read as an array of numpy ({reason(error)}); get it anew."
        ) from error
    raise JacobianError(
        f"{name} is no file that a Jacobian made elsewhere is read from; give an .npy or .npz file (those of "
        "catjac, .nc and .zarr, are opened with xarray)."
    )


def _chosen(arrays: list[str], key: str | None, name: str) -> str:
    wanted = arrays if key is None else [each for each in arrays if each == key]
    if len(wanted) == 1:
        return wanted[0]
    there = ", ".join(map(shown, arrays[:10])) or "none"
    raise JacobianError(f"{name} holds the arrays {there}; choose the Jacobian with key=….")


def _header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array that is stored; its numbers are not read."""
    version = np.lib.format.read_magic(file)
    read: Any = np.lib.format
    shape, _, dtype = (read.read_array_header_1_0 if version == (1, 0) else read.read_array_header_2_0)(file)
    return shape, dtype


def _check_shape(found: _Found, L: int, A: int) -> bool:
    """Refuse an array that cannot be the Jacobian; tell whether it is the upper triangle of one."""
    if found.dtype.kind != "f" or found.dtype.itemsize > 8:
        raise JacobianError(
            f"{found.name} holds {found.dtype}, not floating-point numbers; a Jacobian is float16, float32 "
            "or float64."
        )
    if found.shape in ((L, A, L, A), (L, 1, L, A)):
        return False
    if found.shape == (L * (L - 1) // 2, A, A):
        return True
    raise JacobianError(
        f"{found.name} has the shape {found.shape}; that of {L} residues and {A} letters is {(L, A, L, A)}, "
        f"{(L, 1, L, A)} where residues are masked, or {(L * (L - 1) // 2, A, A)} for pairs i < j."
    )


def _whole(triangle: np.ndarray, L: int, A: int) -> np.ndarray:
    """Lay the blocks of pairs i < j on both sides of the diagonal."""
    values = np.zeros((L, A, L, A), dtype=np.float32)
    first = 0
    for i in range(L - 1):
        blocks = np.asarray(triangle[first : first + L - 1 - i], dtype=np.float32)
        values[i, :, i + 1 :] = blocks.transpose(1, 0, 2)
        values[i + 1 :, :, i] = blocks.transpose(0, 2, 1)
        first += L - 1 - i
    return values


def _kind_of(
    values: np.ndarray, protein: Sequence, letters: str, asked: Kind, symmetric: bool, name: str
) -> Kind:
    """Find out whether it is raw or centred, or whether it is what it is said to be."""
    scale = float(max(np.abs(row).max() for row in values)) or 1.0
    if values.shape[1] == 1:
        return "raw" if asked == "auto" else asked
    wild_type = [letters.index(letter) for letter in protein.residues]
    own = max(
        float(np.abs(row[a][np.arange(len(row[a])) != i]).max())
        for i, (row, a) in enumerate(zip(values, wild_type, strict=True))
    )
    means = max(float(max(np.abs(row.mean(axis=0)).max(), np.abs(row.mean(axis=2)).max())) for row in values)
    is_centred = means <= _ZERO * scale
    # The other half of what was averaged is no row of the wild type.
    is_raw = own <= _ZERO * scale or (symmetric and not is_centred)
    if asked == "auto" and (is_raw or is_centred):
        return "centred" if is_centred else "raw"
    if (asked == "raw" and is_raw) or (asked == "centred" and is_centred):
        return asked
    wrong = {
        "auto": "are not 0, as they are in a raw Jacobian, nor is it centred",
        "raw": "are not 0, as they are in a raw one",
        "centred": "are no matter, but its means over letters are not 0, as they are in a centred one",
    }[asked]
    raise JacobianError(
        f"{name} is no Jacobian of this sequence in the letters {letters}: the rows of the wild type "
        f"{wrong}; give the sequence and the order of letters that it was made with."
    )


def _labelled(
    values: np.ndarray,
    protein: Sequence,
    letters: str,
    kind: Kind,
    symmetric: bool,
    triangle: bool,
    model: str,
    found: _Found,
) -> xr.DataArray:
    fast = values.shape[1] == 1
    coords: dict[Any, Any] = {
        "aa_in": np.array([MASK_LETTER] if fast else list(letters), dtype=str),
        "aa_out": np.array(list(letters), dtype=str),
        **residue_coordinates(protein, ("in", "out")),
    }
    attrs: dict[str, str | int] = {
        "long_name": "categorical Jacobian",
        "units": "logits",
        "description": "a Jacobian made by other software",
        "kind": kind,
        **({"centred_over": _LETTER_AXES} if kind == "centred" else {}),
        **({"symmetrised": 1} if symmetric else {}),
        **({"diagonal_blocks": "unknown, set to 0"} if triangle else {}),
        "imported_from": found.name if found.path is not None else "an array",
        "imported_dtype": found.dtype.name,
        "sequence": str(protein),
        "sequence_name": protein.name,
        "visible": str(as_mask(None, protein)),
        "model": str(model),
        "variant": "fast" if fast else "full",
        "numerics": found.dtype.name,
        "linker": "",
        "complete": 1,
        "package_version": __version__,
    }
    return xr.DataArray(values, dims=AXES, coords=coords, name="jacobian", attrs=attrs)
