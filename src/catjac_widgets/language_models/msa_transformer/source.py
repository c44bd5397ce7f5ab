"""Where MSA Transformers come from: an alignment that is named, and a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import SequenceError
from catjac_widgets.input_files import check_file, user_path
from catjac_widgets.language_models.adapters.network import fingerprint_of
from catjac_widgets.language_models.base import EXACT, FLOAT64, LanguageModel
from catjac_widgets.language_models.esm.checkpoints import ALIGNED
from catjac_widgets.language_models.esm.sources import FileSource, HubSource
from catjac_widgets.language_models.fingerprints import file_memory
from catjac_widgets.language_models.identity import ModelIdentity
from catjac_widgets.language_models.msa_transformer.published import (
    ENCODING,
    PUBLISHED,
    parse_name,
    patched,
)
from catjac_widgets.language_models.msa_transformer.rows import (
    VERSION,
    AlignedRows,
    attributes_of,
    check_size,
    choose_rows,
    settings_of,
)
from catjac_widgets.language_models.progress import watcher

if TYPE_CHECKING:
    import torch


#: Under which what was found of an alignment is remembered, beside what other families find of it.
_REMEMBERED = "msa_transformer"


class _File(FileSource):
    architectures = ALIGNED


class _Published(HubSource):
    architectures = ALIGNED


class MSASource:
    """The name ``msa_transformer:<alignment>…``, see `parse_name`; weights are fetched when first needed."""

    def __init__(self, name: str) -> None:
        self.name, self._parsed = name, parse_name(name)
        self._path = user_path(self._parsed.alignment)
        weights = self._parsed.weights
        self._checkpoint = (
            _Published(PUBLISHED[weights]) if weights in PUBLISHED else _File(weights, user_path(weights))
        )

    def identity(self) -> ModelIdentity:
        """See `Source`."""
        digest, length, rows = self._facts_of_rows()
        facts = self._checkpoint.facts()
        check_size(length, rows, self.name, facts.max_residues, None)
        return ModelIdentity(
            self.name,
            fingerprint_of(facts.fingerprint, ENCODING, settings_of(digest), "torch.float32"),
            facts.letters,
            None,
            facts.contact_head,
            (EXACT, FLOAT64),
            patched(),
            length=length,
            attributes=attributes_of(rows),
        )

    def load(self, device: torch.device, dtype: torch.dtype) -> LanguageModel:
        """See `Source`."""
        from catjac_widgets.language_models.msa_transformer.adapter import MSATransformer

        rows = self._rows()
        model, alphabet, facts = self._checkpoint.read(device, dtype)
        return MSATransformer(
            model,
            alphabet,
            rows,
            name=self.name,
            file_fingerprint=facts.fingerprint,
            contact_head=facts.contact_head,
        )

    def _rows(self) -> AlignedRows:
        check_file(self._path, error=SequenceError, noun="alignment")
        return choose_rows(self._path, self._parsed.depth, progress=watcher() is None)

    def _facts_of_rows(self) -> tuple[str, int, int]:
        """Digest, length and number of the rows that are read; found again only after the file changed."""
        check_file(self._path, error=SequenceError, noun="alignment")
        depth = str(self._parsed.depth)
        facts = file_memory.get([self._path]) or {}
        known = facts.get(_REMEMBERED)
        if not isinstance(known, dict) or known.get("version") != VERSION:
            known = {"version": VERSION}
        if not _are_facts(known.get(depth)):
            seen = file_memory.seen([self._path])
            rows = self._rows()
            known = {**known, depth: [rows.digest, len(rows.query), len(rows)]}
            file_memory.put([self._path], {**facts, _REMEMBERED: known}, seen)
        digest, length, count = known[depth]
        return digest, length, count


def _are_facts(known: Any) -> bool:
    return isinstance(known, list) and [type(each) for each in known] == [str, int, int]
