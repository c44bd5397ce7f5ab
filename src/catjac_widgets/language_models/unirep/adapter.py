"""UniRep as a language model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catjac_widgets.language_models.adapters.encoding import Encoding
from catjac_widgets.language_models.adapters.network import NetworkModel, fingerprint_of, hidden_code
from catjac_widgets.language_models.base import Runner, choose_numerics
from catjac_widgets.language_models.unirep.runner import StatesRunner

if TYPE_CHECKING:
    from catjac_widgets.language_models.unirep.network import MultiplicativeLSTM
    from catjac_widgets.proteins.masks import Mask

#: The amino acids in the order of UniRep's tokens; 12 between C and G is selenocysteine.
LETTERS = "MRHKDESTNQCGPAVIFYWL"
_TOKENS = (*range(1, 12), *range(13, 22))

#: What begins every sequence.
_START = 24

#: The gap, token 0, is never predicted: the column of a letter is the one before its token.
ENCODING = Encoding(
    LETTERS, _TOKENS, prefix=(_START,), columns=tuple(token - 1 for token in _TOKENS), shift=1
)


class UniRep(NetworkModel):
    """An mLSTM trained on UniRef50 to tell the next residue: Alley et al. (2019), Nat Methods 16:1315.

    It reads from left to right and has no mask token. Its Jacobian is one-sided, and contacts of the protein
    do not show in it.

    Parameters
    ----------
    network
        Used where it is.
    name
        What a person calls it.
    file_fingerprint
        Of the file that its weights come from.
    """

    network: MultiplicativeLSTM

    def __init__(
        self, network: MultiplicativeLSTM, *, name: str, file_fingerprint: str | None = None
    ) -> None:
        super().__init__(network, ENCODING, name=name, file_fingerprint=file_fingerprint, causal=True)

    def prepare(self, residues: str, mask: Mask | None = None, numerics: str = "exact") -> Runner:
        """See `LanguageModel.prepare`; a network with code of somebody's own runs through that code."""
        if mask is not None or hidden_code(self.network):
            return super().prepare(residues, mask, numerics)
        chosen = choose_numerics(self.numerics, numerics, model=self.name)
        model = self.in_float64() if chosen.dtype == "float64" else self
        assert isinstance(model, UniRep)
        # Refused before anything is run, where it cannot be encoded.
        encoding, tokens = self.encoding, self.encode(residues)
        return StatesRunner(model.network, encoding, residues, tokens, name=self.name, dtype=chosen.dtype)

    def row_bytes(self, length: int) -> int:
        """See `LanguageModel.row_bytes`: logits, and the states of one step only."""
        return 4 * (2 * length * len(LETTERS) + 14 * self.network.layers * self.network.width)

    def seconds_per_sequence(self, length: int) -> float:
        """See `LanguageModel.seconds_per_sequence`; on average half of the steps are run."""
        # As one thread took; a step is a few small products a layer.
        step = 2.0 * self.parameters / 1.2e10 + 3e-6 * self.network.layers
        return (length + 1) / 2 * step


def identity_fingerprint(weights: str) -> str:
    """Fingerprint of a model in float32 whose file has this one."""
    return fingerprint_of(weights, ENCODING, {}, "torch.float32")
