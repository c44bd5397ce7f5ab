"""Adapter for gLM2: elements of two alphabets, each behind its strand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catjac_widgets.language_models.glm2.encoding import GenomicEncoding
from catjac_widgets.language_models.glm2.published import ALPHABETS, CONTEXT
from catjac_widgets.language_models.huggingface.adapter import MaskedNetwork

if TYPE_CHECKING:
    import torch

#: Logit of a letter that a residue cannot be: its probability is 0, and it is the same in every input.
IMPOSSIBLE = -1e4


class Glm2(MaskedNetwork):
    """A masked language model of genomes, used where it is.

    Of proteins alone it tells the 20 amino acids, of DNA alone the 4 nucleotides, of both all 24 letters.

    Parameters
    ----------
    network
        Called with `input_ids`, gives `logits`.
    encoding
        How elements become tokens, and whether strands are told.
    max_residues
        The longest input, strands included.
    others
        See `MaskedNetwork`.
    """

    alphabets = ALPHABETS

    def __init__(
        self, network: Any, encoding: GenomicEncoding, *, max_residues: int | None = CONTEXT, **others: Any
    ) -> None:
        super().__init__(network, encoding, **others)
        self._remote_code = bool(others.get("remote_code"))
        limits = [limit for limit in (max_residues, self.max_residues) if limit is not None]
        self.max_residues = min(limits, default=None)
        self.strands = bool(encoding.strands)

    def encoded(self, encoding: GenomicEncoding, name: str) -> Glm2:
        """Return the same network with another encoding."""
        from catjac_widgets.language_models.fingerprints import weights_stamp

        as_loaded = self._file is not None and self._loaded_as == weights_stamp(self.network)
        return Glm2(
            self.network,
            encoding,
            max_residues=self.max_residues,
            name=name,
            file_fingerprint=self._file if as_loaded else None,
            fingerprint=self._vouched,
            remote_code=self._remote_code,
        )

    def all_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `NetworkModel.all_logits`; there is no padding to tell of."""
        return self.network(input_ids=tokens).logits

    def residue_logits(self, residues: str, tokens: torch.Tensor) -> torch.Tensor:
        """See `LanguageModel.residue_logits`."""
        import torch

        told = self.letters_of(residues)
        columns = torch.tensor([self.letters.index(letter) for letter in told], device=self.device)
        logits = self.logits(tokens).index_select(2, columns)
        if len(told) < len(self.letters):
            return logits
        possible = [[letter in self.letters_at(residue) for letter in told] for residue in residues]
        return logits.masked_fill(~torch.tensor(possible, device=logits.device), IMPOSSIBLE)

    def row_bytes(self, length: int) -> int:
        """See `LanguageModel.row_bytes`; gLM2's configuration has names of its own."""
        width = int(getattr(getattr(self.network, "config", None), "dim", 0))
        if not width:
            return super().row_bytes(length)
        # The gated layer's two halves are 8/3 times as wide as the model.
        per_token = 8 * width + 3 * (8 * width // 3) + 64
        return self.dtype.itemsize * (length + 2) * per_token + 4 * length * len(self.letters)
