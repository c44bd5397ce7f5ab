"""Parameters of a Potts model: fields and couplings, their gauge, and the files people keep them in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from catjac_widgets.alphabets import ALIGNMENT_LETTERS, GAP
from catjac_widgets.errors import CheckpointError

ALIGNMENT_STATES = ALIGNMENT_LETTERS + GAP


@dataclass(frozen=True, eq=False)
class PottsParameters:
    """A Potts model over K columns with q states.

    Attributes
    ----------
    fields
        V, shape (K, q).
    couplings
        W, shape (K, q, K, q), symmetric (W[i,a,j,b] = W[j,b,i,a]), zero for i = j.
    letters
        The q states, in order; the gap may be one of them.
    sequence
        The residues (L ≥ K) of the query that the columns belong to; "" where unknown, then L = K.
    columns
        Which residues (0-based) have a column, ascending; all by default.
    neff
        Effective number of sequences it was fitted to, NaN where unknown.
    """

    fields: np.ndarray
    couplings: np.ndarray
    letters: str = ALIGNMENT_STATES
    sequence: str = ""
    columns: tuple[int, ...] = ()
    neff: float = float("nan")

    def __post_init__(self) -> None:
        K, q = self.fields.shape
        if self.couplings.shape != (K, q, K, q) or len(self.letters) != q:
            raise CheckpointError(
                f"The Potts model has fields {self.fields.shape}, couplings {self.couplings.shape} and "
                f"{len(self.letters)} letters, which do not fit together."
            )
        if not self.columns:
            object.__setattr__(self, "columns", tuple(range(K)))
        if len(self.columns) != K or self.columns[-1] >= self.length:
            raise CheckpointError(
                f"The Potts model has {K} columns, {len(self.columns)} places and {self.length} residues."
            )

    @property
    def length(self) -> int:
        """L, the residues of the query."""
        return len(self.sequence) or len(self.columns)

    @property
    def residue_letters(self) -> str:
        """The states without the gap."""
        return "".join(letter for letter in self.letters if letter not in "-.")

    def zero_sum(self) -> PottsParameters:
        """Give the same model in the zero-sum gauge: fields and couplings sum to 0 over every letter axis."""
        V, W = self.fields.astype(np.float64), self.couplings.astype(np.float64)
        mean_i = W.mean(axis=1, keepdims=True)
        mean_j = W.mean(axis=3, keepdims=True)
        both = W.mean(axis=(1, 3), keepdims=True)
        fields = V + (mean_i - both).sum(axis=(0, 1))
        fields = fields - fields.mean(axis=1, keepdims=True)
        return replace(self, fields=fields, couplings=W - mean_i - mean_j + both)

    def for_residues(self) -> tuple[np.ndarray, np.ndarray]:
        """Fields (L, A) and couplings (L, A, L, A) over the residues' letters; zero without a column."""
        keep = [self.letters.index(letter) for letter in self.residue_letters]
        place, A, L = list(self.columns), len(keep), self.length
        fields = np.zeros((L, A), dtype=self.fields.dtype)
        fields[place] = self.fields[:, keep]
        couplings = np.zeros((L, A, L, A), dtype=self.couplings.dtype)
        inner = self.couplings[:, keep][:, :, :, keep]
        couplings[np.ix_(place, range(A), place, range(A))] = inner
        return fields, couplings

    def save(self, path: str | Path) -> None:
        """Write ``.npz`` or ``.safetensors``, whichever the name ends in; couplings as float32.

        Raises
        ------
        CheckpointError
            For another ending.
        """
        path = Path(path)
        arrays: dict[str, np.ndarray] = {
            "fields": np.ascontiguousarray(self.fields, dtype=np.float32),
            "couplings": np.ascontiguousarray(self.couplings, dtype=np.float32),
            "columns": np.array(self.columns, dtype=np.int64),
            "neff": np.array([self.neff]),
        }
        if path.suffix == ".safetensors":
            from safetensors.numpy import save_file

            save_file(arrays, path, metadata={"letters": self.letters, "sequence": self.sequence})
        elif path.suffix == ".npz":
            np.savez_compressed(path, letters=self.letters, sequence=self.sequence, **arrays)  # type: ignore[arg-type]
        else:
            raise CheckpointError(f"{path.name}: a Potts model is saved as .npz or .safetensors.")


def read_potts(path: str | Path) -> PottsParameters:
    """Read a Potts model from a file.

    Parameters
    ----------
    path
        ``.npz`` or ``.safetensors`` of `PottsParameters.save`; ``.params`` (binary, single or double
        precision) of plmc; ``.raw`` (text) of CCMpred.

    Raises
    ------
    CheckpointError
        If it cannot be read or is none of these.
    """
    path = Path(path).expanduser()
    readers = {
        ".npz": _read_npz,
        ".safetensors": _read_safetensors,
        ".params": read_plmc,
        ".raw": read_ccmpred,
    }
    if path.suffix not in readers:
        raise CheckpointError(f"{path.name} is no Potts model; give one of {', '.join(readers)}.")
    try:
        return readers[path.suffix](path)
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"{path.name} cannot be read as a Potts model ({error}).") from error


def _read_npz(path: Path) -> PottsParameters:
    with np.load(path, allow_pickle=False) as stored:
        return PottsParameters(
            stored["fields"],
            stored["couplings"],
            str(stored["letters"]),
            str(stored["sequence"]),
            tuple(int(column) for column in stored["columns"]),
            float(stored["neff"][0]),
        )


def _read_safetensors(path: Path) -> PottsParameters:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as stored:
        texts = stored.metadata() or {}
        columns = tuple(int(column) for column in stored.get_tensor("columns"))
        return PottsParameters(
            stored.get_tensor("fields"),
            stored.get_tensor("couplings"),
            texts["letters"],
            texts["sequence"],
            columns,
            float(stored.get_tensor("neff")[0]),
        )


def read_plmc(path: str | Path) -> PottsParameters:
    """Read the binary parameter file of plmc (Hopf et al. 2017), single or double precision.

    Five int32 (columns, states, valid and invalid sequences, iterations), five numbers (the last is the
    effective number of sequences), the alphabet, the sequences' weights, the target's residues and numbers,
    frequencies and fields (columns, states), then for all pairs i < j the pair frequencies, and for all pairs
    the couplings, each (states of i, states of j).

    Raises
    ------
    CheckpointError
        If its size is not what its header says.
    """
    content = Path(path).read_bytes()
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
    take(K, "<i4")
    take(K * q, kind)
    fields = take(K * q, kind).reshape(K, q).astype(np.float64)
    take(pairs * q * q, kind)
    blocks = take(pairs * q * q, kind).reshape(pairs, q, q).astype(np.float64)
    known = target if all(residue.isalpha() for residue in target) else ""
    return PottsParameters(fields, _from_pairs(blocks, K, q), "".join(letters), known.upper(), neff=neff)


def read_ccmpred(path: str | Path) -> PottsParameters:
    """Read a text file of CCMpred (Seemayer et al. 2014, option ``-r``): K lines of 20 fields, then blocks.

    Each block follows a line ``# i j`` (0-based) and has 21 lines of 21 couplings; letters ARND…V and the
    gap. The gap's field, which the file does not hold, is 0.

    Raises
    ------
    CheckpointError
        If a line or block is missing or of another length.
    """
    name = Path(path).name
    lines = [line for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    first = next((k for k, line in enumerate(lines) if line.startswith("#")), len(lines))
    q = len(ALIGNMENT_STATES)
    fields = np.array([[float(value) for value in line.split()] for line in lines[:first]])
    if fields.ndim != 2 or fields.shape[1] != q - 1:
        raise CheckpointError(f"{name} is no CCMpred file: it does not begin with lines of {q - 1} numbers.")
    K = len(fields)
    expected = K + K * (K - 1) // 2 * (q + 1)
    if len(lines) != expected:
        raise CheckpointError(f"{name} has {len(lines)} lines where {expected} are due for {K} columns.")
    couplings = np.zeros((K, q, K, q))
    for start in range(first, len(lines), q + 1):
        i, j = (int(word) for word in lines[start].lstrip("# ").split()[:2])
        block = np.array(
            [[float(value) for value in line.split()] for line in lines[start + 1 : start + 1 + q]]
        )
        couplings[i, :, j, :] = block
        couplings[j, :, i, :] = block.T
    return PottsParameters(np.hstack([fields, np.zeros((K, 1))]), couplings)


def _from_pairs(blocks: np.ndarray, K: int, q: int) -> np.ndarray:
    couplings = np.zeros((K, q, K, q), dtype=blocks.dtype)
    first, second = np.triu_indices(K, 1)
    couplings[first, :, second, :] = blocks
    couplings[second, :, first, :] = blocks.transpose(0, 2, 1)
    return couplings
