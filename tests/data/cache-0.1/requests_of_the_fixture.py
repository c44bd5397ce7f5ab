"""What was asked of version 0.1, and is asked again of the present one."""

from __future__ import annotations

from typing import Any

import numpy as np

SEQUENCE = "MKTAY"

#: Sequence and options of each `catjac.jacobian`, all with the embedded model.
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "full": (SEQUENCE, {}),
    "mask": (SEQUENCE, {"mask": np.array([False, True, False, False, True])}),
    "fast": (SEQUENCE, {"variant": "fast"}),
    "fast, chains and linker": ("MKTAYI:QRQISF", {"variant": "fast", "linker": "GGG"}),
    "delta": (SEQUENCE, {"numerics": "delta-int8", "positions": [2, 4]}),
}

#: Of the contact head under many masks, for `catjac.recovery`.
RECOVERY: dict[str, Any] = {
    "args": ("MKTAYIAKQRQI", "mini"),
    "options": {"fragments": [(4, 6)], "pattern": ["flanking", "random"], "steps": 4},
}

#: Of which a Potts model is fitted.
ALIGNMENT = """>query
MKTA
>1
MKSA
>2
LKTG
>3
MRTA
>4
LRSG
>5
MKTG
>6
LKSA
>7
MRSA
"""
