"""The files that people keep Potts models in: our own, and those of GREMLIN, plmc and CCMpred."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from catjac_widgets.errors import CatjacError, CheckpointError, ResourceError
from catjac_widgets.input_files import check_file, read_file, reason, shown, user_path
from catjac_widgets.language_models.devices import physical_memory
from catjac_widgets.language_models.potts.parameters import (
    ALIGNMENT_STATES,
    UNKNOWN,
    PottsParameters,
    check_size,
)
from catjac_widgets.proteins.sequences import MOST_RESIDUES

#: Bytes of a text of parameters that are read at most, unpacked; 1,000 columns of CCMpred have about as much.
LARGEST_TEXT = 2 * 2**30

#: States of a column at most; the largest alphabet that anybody fits has 64, of codons.
_MOST_STATES = 65

#: GREMLIN_CPP's alphabets, by their number of states.
_GREMLIN_LETTERS = {21: ALIGNMENT_STATES, 5: "AUCG-", 3: "01-"}


def read_potts(path: str | Path) -> PottsParameters:
    """Read a Potts model from a file.

    Parameters
    ----------
    path
        ``.npz`` or ``.safetensors`` of `PottsParameters.save`; ``.params``, ``.model`` or ``.Jij`` of plmc
        (binary, version 2, single or double precision); ``.raw`` of CCMpred; ``.mrf`` or ``.gremlin`` of
        GREMLIN. The text files may be packed (``.gz``).

    Raises
    ------
    CheckpointError
        If it cannot be read, is none of these, or holds numbers that are not finite.
    ResourceError
        If it would not fit into memory.
    """
    path = user_path(path)
    readers: dict[str, Callable[[Path], PottsParameters]] = {
        ".npz": _read_npz,
        ".safetensors": _read_safetensors,
        ".params": read_plmc,
        ".model": read_plmc,
        ".Jij": read_plmc,
        ".raw": read_ccmpred,
        ".mrf": read_gremlin,
        ".gremlin": read_gremlin,
    }
    ending = Path(path.name.removesuffix(".gz")).suffix
    if ending not in readers:
        raise CheckpointError(f"{shown(path.name)} is no Potts model; give one of {', '.join(readers)}.")
    check_file(path, error=CheckpointError, noun="Potts model")
    try:
        made = readers[ending](path)
    except CatjacError:
        raise
    except MemoryError as error:
        raise ResourceError(f"{shown(path.name)} does not fit into memory; give a smaller model.") from error
    except Exception as error:  # whatever the parsers stumble over
        raise CheckpointError(
            f"{shown(path.name)} cannot be read as a Potts model ({reason(error)}); get it anew."
        ) from error
    if not (np.isfinite(made.fields).all() and np.isfinite(made.couplings).all()):
        raise CheckpointError(f"{shown(path.name)} holds numbers that are not finite; get it anew.")
    return made


#: What our own files hold.
_ARRAYS = ("fields", "couplings", "columns", "neff", "numbering")


def _read_npz(path: Path) -> PottsParameters:
    _check_archive(path)
    with np.load(path, allow_pickle=False) as stored:
        texts = {name: str(stored[name]) for name in ("letters", "sequence")}
        return _from_arrays({name: stored[name] for name in _ARRAYS if name in stored}, texts)


def _check_archive(path: Path) -> None:
    """Look at what an archive's arrays would unfold into before one of them is read."""
    with zipfile.ZipFile(path) as archive:
        for name in (*_ARRAYS, "letters", "sequence"):
            if f"{name}.npy" not in archive.namelist():
                continue
            with archive.open(f"{name}.npy") as file:
                version = np.lib.format.read_magic(file)
                read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
                shape, _, dtype = read[version[0]](file)
            if name == "couplings":
                _check_shape(shape, dtype)
            elif dtype.itemsize * math.prod(shape) > 8 * MOST_RESIDUES * _MOST_STATES:
                raise ValueError(f"{name} is too large")


def _read_safetensors(path: Path) -> PottsParameters:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as stored:
        _check_shape(tuple(stored.get_slice("couplings").get_shape()), np.dtype(np.float32))
        names = set(_ARRAYS) & set(stored.keys())
        return _from_arrays({name: stored.get_tensor(name) for name in names}, stored.metadata() or {})


def _check_shape(shape: tuple[int, ...], dtype: np.dtype) -> None:
    if len(shape) != 4 or shape[1] > _MOST_STATES:
        raise ValueError(f"its couplings have the shape {shape}")
    check_size(shape[0], shape[1], dtype.itemsize)


def _from_arrays(arrays: dict[str, np.ndarray], texts: dict[str, str]) -> PottsParameters:
    for name in ("fields", "couplings"):
        if arrays[name].dtype.kind != "f":
            raise ValueError(f"{name} are no numbers")
    neff, residual = (float(value) for value in (*arrays["neff"], np.nan)[:2])
    # Files of version 0.1 have no numbering: all residues of the query were known there.
    first_number, is_part = (int(value) for value in arrays.get("numbering", (1, 0)))
    return PottsParameters(
        arrays["fields"],
        arrays["couplings"],
        texts["letters"],
        texts["sequence"],
        tuple(int(column) for column in arrays["columns"]),
        neff,
        residual,
        first_number=first_number,
        is_part=bool(is_part),
    )


def read_plmc(path: str | Path) -> PottsParameters:
    """Read the binary parameter file of plmc (Hopf et al. 2017), version 2, single or double precision.

    Five int32 (columns, states, valid and invalid sequences, iterations), five numbers (the last is the
    effective number of sequences), the alphabet, the sequences' weights, the target's residues and numbers,
    frequencies and fields (columns, states), then for all pairs i < j the pair frequencies, and for all pairs
    the couplings, each (states of i, states of j).

    With a focus sequence (option ``-f``), plmc leaves out the columns in which that has a gap or a lower-case
    letter, and numbers the others by their place in the alignment, from the start that the focus sequence's
    name tells (``NAME/20-180``). These numbers say between which residues the columns lie; residues without a
    column, and those before the first and after the last one, are not in the file. Without a focus sequence
    there is one residue a column.

    Raises
    ------
    CheckpointError
        If its size is not what its header says, or the numbers do not ascend.

    References
    ----------
    The layout is that of plmc's own reader, ``scripts/read_params.m``; the numbers are those of ``MSARead``
    in its ``src/plm.c``.
    """
    content = read_file(
        Path(path), limit=(physical_memory() or 8 * 2**30) // 4, error=CheckpointError, noun="plmc file"
    )
    if len(content) < 20:
        raise CheckpointError(f"{Path(path).name} is too short for a plmc file; fetch it again.")
    K, q, valid, invalid, _ = (int(value) for value in np.frombuffer(content, "<i4", 5))
    pairs = K * (K - 1) // 2
    numbers = 5 + valid + invalid + 2 * K * q + 2 * pairs * q * q
    texts = 20 + q + K + 4 * K
    kinds = {texts + numbers * size: f"<f{size}" for size in (4, 8)} if min(K, q, valid, invalid) >= 0 else {}
    if len(content) not in kinds:
        raise CheckpointError(
            f"{Path(path).name} is no plmc file of version 2, or is cut short: {len(content)} bytes do not "
            "fit its header."
        )
    if not K or not 0 < q <= _MOST_STATES:
        raise CheckpointError(f"{Path(path).name} holds {K} columns of {q} states; fetch it again.")
    check_size(K, q)
    kind, at = kinds[len(content)], 20

    def take(count: int, dtype: str) -> np.ndarray:
        nonlocal at
        found = np.frombuffer(content, dtype, count, at)
        at += count * np.dtype(dtype).itemsize
        return found

    neff = float(take(5, kind)[4])
    letters = take(q, "S1").astype("U1")
    take(valid + invalid, kind)
    target = "".join(take(K, "S1").astype("U1"))
    places = take(K, "<i4").astype(np.int64)
    take(K * q, kind)
    fields = take(K * q, kind).reshape(K, q).astype(np.float64)
    take(pairs * q * q, kind)
    blocks = take(pairs * q * q, kind).reshape(pairs, q, q).astype(np.float64)
    couplings = np.zeros((K, q, K, q))
    first, second = np.triu_indices(K, 1)
    couplings[first, :, second, :] = blocks
    couplings[second, :, first, :] = blocks.transpose(0, 2, 1)
    made = PottsParameters(fields, couplings, "".join(letters), neff=neff)
    if not any(residue.isalpha() for residue in target):
        return made
    return _numbered(made, places, target, Path(path).name)


def _numbered(made: PottsParameters, numbers: np.ndarray, target: str, name: str) -> PottsParameters:
    """Put the columns where plmc's numbers say, between residues that the file does not hold."""
    if (np.diff(numbers) < 1).any():
        raise CheckpointError(
            f"{name} numbers its columns {numbers[:5]} …, which do not ascend; fetch it again."
        )
    columns = numbers - numbers[0]
    if columns[-1] >= MOST_RESIDUES:
        raise CheckpointError(
            f"{name} has a column {columns[-1]:,} residues after its first; fetch it again."
        )
    residues = np.full(columns[-1] + 1, UNKNOWN)
    # A focus sequence may have gaps where the alphabet is not that of proteins.
    residues[columns] = [letter.upper() if letter.isalpha() else UNKNOWN for letter in target]
    return replace(
        made,
        sequence="".join(residues),
        columns=tuple(int(column) for column in columns),
        first_number=int(numbers[0]),
        is_part=True,
    )


def read_ccmpred(path: str | Path) -> PottsParameters:
    """Read a text file of CCMpred (Seemayer et al. 2014, option ``-r``): K lines of 20 fields, then blocks.

    Each block follows a line ``# i j`` (0-based) and has 21 lines of 21 couplings (letters of i, letters of
    j); letters ARND…V and the gap. A line ``#>META>``, which builds with JSON support add, is skipped. The
    gap's field, which the file does not hold, is 0. CCMpred leaves out no column, and writes no number: there
    is one residue a column.

    Raises
    ------
    CheckpointError
        If a line or block is missing or of another length.

    References
    ----------
    The layout is that of CCMpred's ``write_raw``.
    """
    name, q = Path(path).name, len(ALIGNMENT_STATES)
    lines = [line for line in _lines(path) if not line.startswith("#>")]
    first = next((k for k, line in enumerate(lines) if line.startswith("#")), len(lines))
    fields = np.array([_numbers(line, q - 1, name) for line in lines[:first]])
    K = len(fields)
    expected = K + K * (K - 1) // 2 * (q + 1)
    if not K or len(lines) != expected:
        raise CheckpointError(f"{name} has {len(lines)} lines where {expected} are due for {K} columns.")
    check_size(K, q)
    couplings = np.zeros((K, q, K, q))
    for start in range(first, len(lines), q + 1):
        i, j = _pair(lines[start], name, K)
        block = np.array([_numbers(line, q, name) for line in lines[start + 1 : start + 1 + q]])
        couplings[i, :, j, :] = block
        couplings[j, :, i, :] = block.T
    return PottsParameters(np.hstack([fields, np.zeros((K, 1))]), couplings)


def read_gremlin(path: str | Path) -> PottsParameters:
    """Read a text file of GREMLIN_CPP (option ``-mrf_o``): fields ``V[i] …`` and pairs ``W[i][j] …``.

    The numbers i and j (0-based) are columns of the whole alignment; those that are missing had too many
    gaps. So column i belongs to residue i + 1 of an alignment's first row without gaps, and how many residues
    follow the last column is not in the file. 21 states are ARND…V and the gap, 5 are AUCG-, 3 are 01-. Pairs
    that are not there are not coupled.

    Raises
    ------
    CheckpointError
        If a line is of another form or length.

    References
    ----------
    The layout is that of GREMLIN_CPP's README and ``Mrf::save``, the numbers those of ``Msa::load``.
    """
    name = Path(path).name
    fields: dict[int, list[float]] = {}
    blocks: dict[tuple[int, int], list[float]] = {}
    for line in _lines(path):
        tag, _, rest = line.partition(" ")
        one = re.fullmatch(r"V\[(\d+)\]", tag)
        two = re.fullmatch(r"W\[(\d+)\]\[(\d+)\]", tag)
        if one:
            fields[int(one[1])] = [float(word) for word in rest.split()]
        elif two:
            blocks[int(two[1]), int(two[2])] = [float(word) for word in rest.split()]
        else:
            raise CheckpointError(f"{name} is no GREMLIN file: a line begins with {tag[:20]!r}.")
    columns = sorted(fields)
    states = {len(values) for values in fields.values()}
    q = states.pop() if len(states) == 1 else 0
    if q not in _GREMLIN_LETTERS or any(len(values) != q * q for values in blocks.values()):
        raise CheckpointError(
            f"{name} is no GREMLIN file, or is cut short: lines V hold 21, 5 or 3 numbers, W their square."
        )
    if not {i for pair in blocks for i in pair} <= set(columns):
        raise CheckpointError(f"{name} couples columns that have no line V; fetch it again.")
    place = {column: k for k, column in enumerate(columns)}
    K = len(columns)
    check_size(K, q)
    couplings = np.zeros((K, q, K, q))
    for (i, j), values in blocks.items():
        block = np.array(values).reshape(q, q)
        couplings[place[i], :, place[j], :] = block
        couplings[place[j], :, place[i], :] = block.T
    return PottsParameters(
        np.array([fields[column] for column in columns]),
        couplings,
        _GREMLIN_LETTERS[q],
        columns=tuple(columns),
        is_part=True,
    )


def _lines(path: str | Path) -> list[str]:
    content = read_file(Path(path), limit=LARGEST_TEXT, error=CheckpointError, noun="Potts model")
    return [line for line in content.decode("utf-8").splitlines() if line.strip()]


def _numbers(line: str, count: int, name: str) -> list[float]:
    words = line.split()
    if len(words) != count:
        raise CheckpointError(f"{name} has a line of {len(words)} numbers where {count} are due.")
    return [float(word) for word in words]


def _pair(line: str, name: str, length: int) -> tuple[int, int]:
    words = line.lstrip("# ").split()
    if not line.startswith("#") or len(words) < 2 or not all(word.isdigit() for word in words[:2]):
        raise CheckpointError(f"{name} has the line {line[:40]!r} where '# i j' is due.")
    i, j = int(words[0]), int(words[1])
    if not 0 <= i < j < length:
        raise CheckpointError(f"{name} couples columns {i} and {j} of {length}.")
    return i, j
