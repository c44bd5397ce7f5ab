"""How far 16-bit (and 8-bit) differences are off on `mini`, by the types of products and of attention.

    python benchmarks/low_precision.py [--out low_precision.csv] [--proteins ww bpti sh3]

Runs on a CPU, where a type is as exact as on a GPU and only slower; "float8" is emulated: weights and
differences are rounded to float8 (e4m3) with a scale a row, and multiplied in float32. Whole Jacobians are
compared with those of the plain loop over fair-esm.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY / "src"), str(REPOSITORY / "benchmarks")]

import agreement  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from machine import facts  # noqa: E402
from shapes import in_half, random_model  # noqa: E402
from speed import show, write  # noqa: E402
from speed_modes import Plain  # noqa: E402

import catjac  # noqa: E402
from catjac_widgets.language_models.base import Substitution  # noqa: E402
from catjac_widgets.language_models.esm.adapter import FairEsm  # noqa: E402
from catjac_widgets.language_models.esm.numerics.delta_16_bit import Delta16BitRunner  # noqa: E402
from catjac_widgets.language_models.esm.numerics.delta_16_bit_pass import Delta16BitPass  # noqa: E402

#: Products and attention of each kind compared; "float16" alone is the model itself in that type.
KINDS = [
    ("bfloat16", "float32"),
    ("bfloat16", "float16"),
    ("bfloat16", "bfloat16"),
    ("float16", "float32"),
    ("float16", "float16"),
    ("float8", "float16"),
]

#: The largest number of e4m3.
LARGEST = 448.0


def in_eight_bits(x: torch.Tensor) -> torch.Tensor:
    """Round to float8 with a scale a row, and back to float32."""
    scale = x.abs().amax(-1, keepdim=True).clamp_min(1e-30) / LARGEST
    return (x / scale).to(torch.float8_e4m3fn).float() * scale


class EightBits(Delta16BitPass):
    """Differences in float8."""

    def _product(self, dense: Any, difference: torch.Tensor) -> torch.Tensor:
        if self._checking:
            return super()._product(dense, difference)
        return in_eight_bits(difference.float()) @ in_eight_bits(dense.full()).t()


def jacobian(runner: Any, residues: str) -> np.ndarray:
    """Whole Jacobian (L, 20, L, 20), letters in the model's order."""
    letters = list(runner.prepared.letters)
    made = [
        runner.rows([Substitution(position, letter) for letter in letters])
        for position in range(len(residues))
    ]
    found = np.stack(made) - runner.wild_type()
    for position, residue in enumerate(residues):
        found[position, letters.index(residue)] = 0.0
    return found


def compare(name: str) -> list[dict[str, Any]]:
    """Make the rows of the table for one example."""
    residues = str(catjac.examples()[name].sequence.residues)
    model = random_model("mini", "cpu")
    rows = Plain(model, residues).rows(list(range(len(residues))))
    plain = np.stack([rows[position] for position in sorted(rows)])
    made = []

    def tell(products: str, attention: str, runner: Any) -> None:
        found = jacobian(runner, residues)
        near = agreement.of_rows(dict(enumerate(found)), rows) | agreement.of_maps(found, plain)
        made.append(
            {
                "protein": name,
                "products": products,
                "attention": attention,
                "relative_error": f"{near['relative_error']:.5f}",
                "map_spearman": f"{near['map_spearman']:.6f}",
                "top_L_overlap": f"{near['top_L_overlap']:.3f}",
                "in_float32": len(getattr(runner, "in_float32", ())),
            }
        )

    for products, attention in KINDS:
        kind = "bfloat16" if products == "float8" else products
        exact = model.prepare(residues)
        runner = Delta16BitRunner(exact.prepared, getattr(torch, kind), getattr(torch, attention))
        if products == "float8":
            runner._pass.__class__ = EightBits
        tell(f"delta-{products}", attention, runner)
    half: FairEsm = in_half(model)
    tell("float16", "float16", half.prepare(residues))
    return made


def main() -> None:
    """Compare, print, and write where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="CSV file")
    parser.add_argument("--proteins", nargs="+", default=["ww", "bpti", "sh3"])
    options = parser.parse_args()
    made = [row for name in options.proteins for row in compare(name)]
    show(made)
    if options.out:
        write(options.out, made, facts("cpu"))


if __name__ == "__main__":
    main()
