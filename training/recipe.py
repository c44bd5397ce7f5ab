"""Which families `mini` is trained on, and which of them ship as examples."""

from __future__ import annotations

TRAINED = (
    "PF00397_1PIN",
    "PF00018_2O9S",
    "PF00327_1BXY",
    "PF00014_1BPI",
    "PF08666_1UCS",
    "PF00013_1WVN",
    "PF00313_3I2Z",
    "PF00364_2EVB",
    "PF12844_3FYM",
    "PF00076_2X1B",
    "PF00486_2ZXJ",
    "PF00041_1TEN",
    "PF00168_3F04",
    "PF00595_2H3L",
    "PF00581_1GN0",
)
"""Chosen by size before training: at most 92 residues and at least ten effective rows a residue, without the
data's three weakest such alignments (1GUU, 1CZP, 2A0B)."""

EXAMPLES = (
    "PF00014_1BPI",
    "PF00397_1PIN",
    "PF00018_2O9S",
    "PF00076_2X1B",
    "PF00364_2EVB",
    "PF00041_1TEN",
)
"""Left out of the contact head's training."""
