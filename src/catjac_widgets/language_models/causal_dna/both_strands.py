"""The sum of what a model tells that reads from left to right, of both strands."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.adapters.encoding import no_mask_token
from catjac_widgets.language_models.base import LanguageModel, Runner, Substitution, choose_numerics
from catjac_widgets.language_models.causal_dna.strands import Strands
from catjac_widgets.language_models.identity import ModelIdentity
from catjac_widgets.language_models.runners import check_substitution
from catjac_widgets.proteins.alphabets import MASK_LETTER

if TYPE_CHECKING:
    import torch

    from catjac_widgets.proteins.masks import Mask

#: What Jacobians of such a model say of it.
BOTH = (("strands", "both"),)


class BothStrands(LanguageModel):
    """A causal model of nucleotides that also reads the reverse complement; its logits are the sum.

    The logits at a nucleotide are those that the model gives after reading what lies before it, plus those of
    its partner after reading the other strand up to there, that is, what lies behind it. So the Jacobian is
    J(s) + flip₄(J(rc s)): its blocks with j > i come from the strand itself, those with j < i from the other
    one, and those with j = i are 0.

    Parameters
    ----------
    model
        Reads from left to right; its letters are the nucleotides of DNA or RNA.

    Raises
    ------
    ModelError
        If it reads from both sides already, or has other letters.
    """

    causal = False
    has_mask_token = False
    attributes = BOTH

    def __init__(self, model: LanguageModel) -> None:
        if not model.causal:
            raise ModelError(_reads_from_both_sides(model.name))
        self.strand = model
        self.other = Strands(model.letters, model.name)
        self.name, self.letters = f"{model.name}, both strands", model.letters
        self.max_residues, self.length = model.max_residues, model.length
        self.numerics = tuple(each for each in model.numerics if not each.approximate)

    @property
    def fingerprint(self) -> str:
        """See `LanguageModel.fingerprint`."""
        return both_strands_fingerprint(self.strand.fingerprint)

    @property
    def changed(self) -> bool:
        """See `LanguageModel.changed`."""
        return self.strand.changed

    @property
    def unseen(self) -> str:
        """See `LanguageModel.unseen`."""
        return self.strand.unseen

    @property
    def altered_with(self) -> object:
        """See `LanguageModel.altered_with`."""
        return self.strand.altered_with

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.strand.device

    @property
    def parameters(self) -> int:
        """How many parameters the model has."""
        return self.strand.parameters

    def encode(self, residues: str, mask: Mask | None = None) -> torch.Tensor:
        """See `LanguageModel.encode`: the tokens of this strand, then those of the other one."""
        import torch

        if mask is not None:
            raise ModelError(no_mask_token(self.name))
        here = self.strand.encode(residues)
        return torch.cat([here, self.strand.encode(self.other.of(residues))])

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `LanguageModel.logits`."""
        half = tokens.shape[1] // 2
        other = self.strand.logits(tokens[:, half:])
        return self.strand.logits(tokens[:, :half]) + other.flip(1)[..., self.other.order]

    def prepare(self, residues: str, mask: Mask | None = None, numerics: str = "exact") -> Runner:
        """See `LanguageModel.prepare`."""
        choose_numerics(self.numerics, numerics, model=self.name)
        if mask is not None:
            raise ModelError(no_mask_token(self.name))
        return _StrandsRunner(
            self,
            residues,
            self.strand.prepare(residues, None, numerics),
            # Residues that are no letters are refused by the one above.
            self.strand.prepare(self.other.of(residues), None, numerics),
        )

    def row_bytes(self, length: int) -> int:
        """See `LanguageModel.row_bytes`; one strand runs after the other."""
        return self.strand.row_bytes(length)

    def seconds_per_sequence(self, length: int) -> float:
        """See `LanguageModel.seconds_per_sequence`."""
        return 2 * self.strand.seconds_per_sequence(length)


class _StrandsRunner:
    """Runs each substitution on both strands; see `Runner`."""

    def __init__(self, model: BothStrands, residues: str, here: Runner, other: Runner) -> None:
        self._model, self._residues = model, residues
        self._here, self._other = _Strand(here), _Strand(other)

    def wild_type(self) -> np.ndarray:
        """See `Runner`."""
        return self._here.wild_type + self._model.other.turned(self._other.wild_type)

    def rows(self, substitutions: list[Substitution]) -> np.ndarray:
        """See `Runner`; at the substituted nucleotide the logits are exactly those of the wild type."""
        model, last = self._model, len(self._residues) - 1
        for change in substitutions:
            check_substitution(change, self._residues, model.letters, model.name)
            if change.letter == MASK_LETTER:
                raise ModelError(no_mask_token(model.name))
        partners = [
            Substitution(last - change.position, model.other.complement[change.letter])
            for change in substitutions
        ]
        return self._here.rows(substitutions) + model.other.turned(self._other.rows(partners))


class _Strand:
    """Runs one strand, and keeps what lies before a substitution free of rounding."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    @cached_property
    def wild_type(self) -> np.ndarray:
        """Logits (L, A)."""
        return self._runner.wild_type()

    def rows(self, substitutions: list[Substitution]) -> np.ndarray:
        """Logits (B, L, A) of mutants."""
        rows = self._runner.rows(substitutions)
        for change, row in zip(substitutions, rows, strict=True):
            row[: change.position + 1] = self.wild_type[: change.position + 1]
        return rows


def both_strands_fingerprint(strand: str) -> str:
    """Fingerprint of the sum over both strands of the model that has this one."""
    return hashlib.sha256(f"both strands|{strand}".encode()).hexdigest()


def of_identity(strand: ModelIdentity) -> ModelIdentity:
    """Tell what is known of the sum from what is known of the model.

    Raises
    ------
    ModelError
        See `BothStrands`.
    """
    if not strand.causal:
        raise ModelError(_reads_from_both_sides(strand.name))
    Strands(strand.letters, strand.name)
    return replace(
        strand,
        fingerprint=both_strands_fingerprint(strand.fingerprint),
        numerics=tuple(each for each in strand.numerics if not each.approximate),
        has_contact_head=False,
        causal=False,
        has_mask_token=False,
        attributes=BOTH,
    )


def _reads_from_both_sides(name: str) -> str:
    return (
        f"{name} reads from both sides already; strands are summed of models that read from left to right "
        "(causal=True)."
    )
