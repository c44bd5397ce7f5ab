"""Fill a cache folder with the package of version 0.1, and note the numbers that it gave.

Usage, with that version installed: python make.py CACHE_FOLDER ARCHIVE.tar.xz
"""

from __future__ import annotations

import io
import os
import sys
import tarfile
from pathlib import Path

import numpy as np

folder, archive = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
os.environ["CATJAC_CACHE"] = str(folder)

from requests_of_the_fixture import ALIGNMENT, RECOVERY, REQUESTS  # noqa: E402

import catjac  # noqa: E402


def _anonymous(item: tarfile.TarInfo) -> tarfile.TarInfo:
    item.uid = item.gid = item.mtime = 0
    item.uname = item.gname = ""
    return item


numbers: dict[str, np.ndarray] = {}
for name, (sequence, options) in REQUESTS.items():
    J = catjac.jacobian(sequence, "mini", progress=False, **options)
    numbers[name] = J.values
    numbers[f"{name} wild type"] = J["wild_type_logits"].values

curve = catjac.recovery(*RECOVERY["args"], progress=False, **RECOVERY["options"])
numbers["recovery"] = curve["R"].values

alignment = folder.parent / "family.a3m"
alignment.write_text(ALIGNMENT)
sequence = ALIGNMENT.splitlines()[1]
numbers["potts"] = catjac.jacobian(sequence, f"potts:{alignment}", progress=False).values

buffer = io.BytesIO()
np.savez(buffer, **numbers)
with tarfile.open(archive, "w:xz", preset=9) as packed:
    expected = tarfile.TarInfo("expected.npz")
    expected.size = len(buffer.getvalue())
    packed.addfile(expected, io.BytesIO(buffer.getvalue()))
    for path in sorted(folder.rglob("*")):
        # Neither who uses an entry nor where files of models lay means anything elsewhere.
        if path.is_file() and "in_use" not in path.parts and path.name != "model-files.json":
            packed.add(path, f"cache/{path.relative_to(folder)}", filter=_anonymous)
