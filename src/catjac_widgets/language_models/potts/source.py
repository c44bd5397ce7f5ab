"""Where Potts models come from: files of parameters, and alignments to fit them to."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, TypeGuard

from catjac_widgets.errors import CheckpointError
from catjac_widgets.input_files import check_file, user_path
from catjac_widgets.language_models.base import LanguageModel
from catjac_widgets.language_models.fingerprints import file_memory, sha256_of_file
from catjac_widgets.language_models.identity import ModelIdentity
from catjac_widgets.language_models.potts.adapter import Potts
from catjac_widgets.language_models.potts.files import read_potts
from catjac_widgets.language_models.potts.kept_fits import keep_fit, read_fit
from catjac_widgets.language_models.potts.parameters import UNKNOWN, PottsParameters
from catjac_widgets.language_models.progress import watcher
from catjac_widgets.proteins.alignments import read_alignment

if TYPE_CHECKING:
    import torch

#: Changes whenever the same alignment would be fitted otherwise.
_FIT = "GREMLIN pseudo-likelihood 1"

#: Changes whenever the same file of parameters would be read otherwise.
_READ = "with the columns' numbers"


class PottsSource:
    """The name ``potts:<file>``: a saved model, a parameter file of another tool, or an alignment to fit to.

    A fit is kept in the cache folder under the alignment's content and the settings of the fit, which are the
    model's fingerprint too: what is in the cache already needs no fit.
    """

    def __init__(self, rest: str) -> None:
        self.name = f"potts:{rest}"
        self.path = user_path(rest)

    def _is_alignment(self) -> bool:
        return self.path.name.removesuffix(".gz").endswith((".a3m", ".afa", ".fasta", ".fa", ".aln"))

    def identity(self) -> ModelIdentity:
        """See `Source`; nothing is fitted for it."""
        self._check()
        facts = self._facts_of_alignment() if self._is_alignment() else self._facts_of_parameters()
        return ModelIdentity(self.name, facts["fingerprint"], facts["letters"], facts["length"], False)

    def _facts_of_parameters(self) -> dict[str, Any]:
        facts = file_memory.get([self.path])
        if not _are_facts(facts, read=_READ):
            seen = file_memory.seen([self.path])
            model = Potts(read_potts(self.path), name=self.name)
            facts = {
                "read": _READ,
                "fingerprint": model.fingerprint,
                "letters": model.letters,
                "length": model.max_residues,
            }
            file_memory.put([self.path], facts, seen)
        return facts

    def _facts_of_alignment(self) -> dict[str, Any]:
        facts = file_memory.get([self.path])
        if not _are_facts(facts, fit=_FIT, read=_READ):
            from catjac_widgets.language_models.potts.fit import query_of

            seen = file_memory.seen([self.path])
            alignment = read_alignment(self.path)
            query = query_of(alignment)
            # Version 0.1 left the columns' numbers out where a residue of the query was not known.
            fit = f"{_FIT} {_READ}" if UNKNOWN in query else _FIT
            facts = {
                "fit": _FIT,
                "read": _READ,
                "fingerprint": hashlib.sha256(f"{fit} {sha256_of_file(self.path)}".encode()).hexdigest(),
                "letters": alignment.letters[: alignment.gap],
                "length": alignment.length if query else len(alignment.columns_below()),
            }
            file_memory.put([self.path], facts, seen)
        return facts

    def load(self, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        """See `Source`; it always computes in its own precision."""
        if not self._is_alignment():
            return Potts(read_potts(self.path), name=self.name, device=device)
        fingerprint = self.identity().fingerprint
        return Potts(
            self._fitted(fingerprint, device), name=self.name, device=device, fingerprint=fingerprint
        )

    def _fitted(self, fingerprint: str, device: torch.device) -> PottsParameters:
        from catjac_widgets.language_models.potts.fit import fit_potts

        kept = read_fit(fingerprint)
        if kept is not None:
            return kept
        follow = watcher()
        made = fit_potts(
            self.path,
            device=device,
            progress=follow is None,
            watch=None if follow is None else lambda share: follow(f"fitting {self.path.name}", share),
        )
        keep_fit(fingerprint, made)
        return made

    def _check(self) -> None:
        noun = "alignment" if self._is_alignment() else "Potts model"
        check_file(self.path, error=CheckpointError, noun=noun)


def _are_facts(known: dict[str, Any] | None, **made_by: str) -> TypeGuard[dict[str, Any]]:
    """Whether what was remembered of a file is what this version remembers."""
    types = {"fingerprint": str, "letters": str, "length": int | None}
    return (
        known is not None
        and all(known.get(name) == text for name, text in made_by.items())
        and all(name in known and isinstance(known[name], kind) for name, kind in types.items())
    )
