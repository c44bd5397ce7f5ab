"""The wheel that holds AntiBERTy's weights, and the files that are read of it."""

from __future__ import annotations

from catjac_widgets.language_models.weights.wheels import Wheel

_FOLDER = "antiberty/trained_models"
WEIGHTS = f"{_FOLDER}/AntiBERTy_md_smooth/pytorch_model.bin"
CONFIG = f"{_FOLDER}/AntiBERTy_md_smooth/config.json"
VOCABULARY = f"{_FOLDER}/vocab.txt"

WHEEL = Wheel(
    package="antiberty",
    version="0.1.3",
    sha256="30d910992b190013871bac49cdc032e01a19339f7d2b958ab99b0eb44638352a",
    bytes=96_631_471,
    licence="MIT",
    files=(WEIGHTS, CONFIG, VOCABULARY),
)
