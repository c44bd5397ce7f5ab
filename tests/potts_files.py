"""Writes Potts models as plmc, GREMLIN and CCMpred write them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from catjac_widgets.language_models.potts.parameters import PottsParameters

#: plmc's default alphabet, the gap first.
PLMC_LETTERS = "-ACDEFGHIKLMNPQRSTVWY"


def plmc_bytes(
    potts: PottsParameters,
    *,
    target: str = "",
    numbers: tuple[int, ...] = (),
    double: bool = False,
    neff: float = 2.5,
) -> bytes:
    """`OutputParametersFull` of plmc; `target` and `numbers` (one a column) are those of a focus sequence."""
    kind, dtype = ("d", "<f8") if double else ("f", "<f4")
    K = len(potts.columns)
    order = [potts.letters.index(letter) for letter in PLMC_LETTERS]
    content = struct.pack("<5i", K, 21, 3, 1, 100) + struct.pack(f"<5{kind}", 0.2, 0.01, 16, 0, neff)
    content += PLMC_LETTERS.encode() + struct.pack(f"<4{kind}", 1, 1, 2, 0)
    content += (target or PLMC_LETTERS[0] * K).encode()
    content += struct.pack(f"<{K}i", *(numbers or range(1, K + 1)))
    content += np.zeros((K, 21), dtype).tobytes() + potts.fields[:, order].astype(dtype).tobytes()
    blocks = potts.couplings[:, order][:, :, :, order]
    first, second = np.triu_indices(K, 1)
    pairs = np.ascontiguousarray(blocks[first, :, second, :])
    return content + np.zeros(pairs.shape, dtype).tobytes() + pairs.astype(dtype).tobytes()


def gremlin_text(potts: PottsParameters, columns: tuple[int, ...]) -> str:
    """`Mrf::save` of GREMLIN_CPP; `columns` are 0-based places in the alignment."""
    lines = [
        f"V[{column}] " + " ".join(f"{value:g}" for value in row)
        for column, row in zip(columns, potts.fields, strict=True)
    ]
    for i in range(len(columns)):
        for j in range(i + 1, len(columns)):
            values = " ".join(f"{value:.8g}" for value in potts.couplings[i, :, j].ravel())
            lines.append(f"W[{columns[i]}][{columns[j]}] {values}")
    return "\n".join(lines) + "\n"


def write_plmc(path: Path, potts: PottsParameters, **how: object) -> Path:
    path.write_bytes(plmc_bytes(potts, **how))  # type: ignore[arg-type]
    return path


def write_gremlin(path: Path, potts: PottsParameters, columns: tuple[int, ...]) -> Path:
    path.write_text(gremlin_text(potts, columns))
    return path
