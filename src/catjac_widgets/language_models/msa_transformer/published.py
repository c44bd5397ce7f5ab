"""The published MSA Transformers, and how models with an alignment are named."""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from catjac_widgets.errors import ModelNotFoundError
from catjac_widgets.input_files import shown
from catjac_widgets.language_models.adapters.encoding import Encoding
from catjac_widgets.language_models.esm.alterations.stock_code import patches, replaced_in
from catjac_widgets.language_models.esm.published import PublishedModel
from catjac_widgets.proteins.alphabets import ESM_LETTERS

PREFIX = "msa_transformer:"

#: How many rows of an alignment are read by default; in training there were some hundred.
DEFAULT_DEPTH = 128

_DEPTH = "depth="


@dataclass(frozen=True)
class PublishedMSATransformer(PublishedModel):
    """One of the published MSA Transformers.

    Attributes
    ----------
    rows_width
        Width of what is learned for each row: in the first release one number, later a vector.
    rows
        Rows that it can read at most.
    """

    rows_width: int = 0
    rows: int = 1024

    @cached_property
    def parameters(self) -> int:
        """Number of parameters without the contact head, tied ones counted once."""
        width = self.width
        # Two attentions (over rows and over columns), the wide layers, and a norm before each.
        block = 16 * width**2 + 19 * width
        head = width**2 + 3 * width
        embedded = 33 * width + 33 + self.positions * width + self.rows * self.rows_width
        return embedded + self.layers * block + head + 4 * width

    def row(self) -> dict[str, Any]:
        """See `PublishedModel.row`."""
        return {
            **super().row(),
            "name": f"{PREFIX}<alignment>@{self.name}",
            # There is no end token.
            "context": self.positions - 3,
            "alignment_rows": DEFAULT_DEPTH,
            "note": f"reads an alignment, {DEFAULT_DEPTH} rows of it by default",
        }


# The sizes of the files were not looked up: some twelve bytes a parameter, as ESM-1b's file of that time has.
PUBLISHED = {
    each.name: each
    for each in (
        PublishedMSATransformer(
            "esm_msa1b_t12_100M_UR50S", "MSA Transformer", 12, 768, 14 * 10**8, positions=1026, rows_width=768
        ),
        PublishedMSATransformer(
            "esm_msa1_t12_100M_UR50S", "MSA Transformer", 12, 768, 14 * 10**8, positions=1026, rows_width=1
        ),
    )
}

DEFAULT_WEIGHTS = "esm_msa1b_t12_100M_UR50S"

#: How residues become tokens in all checkpoints of this architecture (a test compares); no token ends a row.
ENCODING = Encoding(ESM_LETTERS, tuple(range(4, 24)), prefix=(0,), mask=32)

#: Modules of fair-esm with the code of this model alone.
_OWN_CODE = ("esm.axial_attention", "esm.model.msa_transformer")


def patched() -> str:
    """Name a function that was replaced, in this process, for all models of this kind, or ""."""
    if not all(name in sys.modules for name in _OWN_CODE):
        return ""
    return next(iter([*patches(), *replaced_in(*_OWN_CODE)]), "")


@dataclass(frozen=True)
class ParsedName:
    """What a name says: ``msa_transformer:<alignment>[@<weights>][@depth=<rows>]``.

    Attributes
    ----------
    alignment
        Path of the alignment.
    weights
        One of `PUBLISHED`, or the path of a checkpoint.
    depth
        How many rows are read at most.
    """

    alignment: str
    weights: str = DEFAULT_WEIGHTS
    depth: int = DEFAULT_DEPTH


def parse_name(name: str) -> ParsedName:
    """Take a name apart. What stands behind the last "@" belongs to the path if it has a full stop.

    Raises
    ------
    ModelNotFoundError
        If there is no alignment in it, or a setting that does not exist or comes twice.
    """
    rest = name.removeprefix(PREFIX)
    found: dict[str, str] = {}
    while True:
        head, separator, setting = rest.rpartition("@")
        is_file = setting.endswith((".pt", ".pth"))
        if not separator or ("." in setting and not is_file):
            break
        rest = head
        number = setting.removeprefix(_DEPTH)
        is_depth = number != setting and number.isascii() and number.isdigit() and int(number) > 0
        if not (is_file or is_depth or setting in PUBLISHED):
            near = difflib.get_close_matches(setting, PUBLISHED, n=1, cutoff=0.4)
            guess = f"did you mean @{near[0]}? " if near else ""
            raise ModelNotFoundError(
                f"The MSA Transformer has no weights or setting {shown(setting)!r}; {guess}It has "
                f"{', '.join(PUBLISHED)}, the path of a .pt checkpoint, and {_DEPTH}{DEFAULT_DEPTH}."
            )
        kind = "depth" if is_depth else "weights"
        if kind in found:
            raise ModelNotFoundError(
                f"{shown(name)!r} names {shown(found[kind])} and {shown(setting)}; a model has one of them."
            )
        found[kind] = number if is_depth else setting
    if not rest.strip():
        raise ModelNotFoundError(
            f"{shown(name)!r} names no alignment; write {PREFIX}family.a3m, and behind it @ and weights or "
            f"@{_DEPTH}{DEFAULT_DEPTH} where they are others than these."
        )
    return ParsedName(
        rest.strip(), found.get("weights", DEFAULT_WEIGHTS), int(found.get("depth", DEFAULT_DEPTH))
    )
