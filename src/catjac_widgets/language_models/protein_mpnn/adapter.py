"""ProteinMPNN on one structure as a language model."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import torch

from catjac_widgets.language_models import fingerprints
from catjac_widgets.language_models.adapters.network import NetworkModel
from catjac_widgets.language_models.adapters.running import evaluating, full_float32
from catjac_widgets.language_models.base import WITHOUT_APC, Runner, Substitution, choose_numerics
from catjac_widgets.language_models.protein_mpnn.backbone import Backbone
from catjac_widgets.language_models.protein_mpnn.decoding import Decoder
from catjac_widgets.language_models.protein_mpnn.features import Geometry
from catjac_widgets.language_models.protein_mpnn.network import Network
from catjac_widgets.language_models.protein_mpnn.published import (
    ENCODING,
    LAST,
    LETTERS,
    NOT_DECODED,
    OTHERS,
    settings_of,
)
from catjac_widgets.language_models.runners import check_substitution
from catjac_widgets.proteins.alphabets import MASK_LETTER

if TYPE_CHECKING:
    from catjac_widgets.proteins.masks import Mask


class ProteinMPNN(NetworkModel):
    """Logits of each residue, given a backbone and the letters of the other residues.

    A masked residue is not decoded: it counts with its backbone, and not as the letter X. There is no contact
    head, and since the model is given the structure, contacts of its Jacobian predict nothing; they tell
    which residues it takes to depend on each other.

    Parameters
    ----------
    network
        With weights.
    backbone
        Of the structure; sequences have its length.
    name
        What to call it.
    readout
        `OTHERS` or `LAST`, see `Decoder`. The logits of `OTHERS` at a residue depend on its own letter, which
        comes back through the neighbours; those of `LAST` do not, and take some ten times as long.
    file_fingerprint
        See `NetworkModel`.
    """

    network: Network
    has_contact_head = False
    #: Contact maps are not corrected by the average product unless somebody says so.
    attributes = WITHOUT_APC

    def __init__(
        self,
        network: Network,
        backbone: Backbone,
        *,
        name: str = "protein_mpnn",
        readout: str = OTHERS,
        file_fingerprint: str | None = None,
    ) -> None:
        super().__init__(
            network.eval(),
            ENCODING,
            name=name,
            settings=settings_of(backbone.digest, readout),
            file_fingerprint=file_fingerprint,
        )
        self.backbone, self.readout, self.length = backbone, readout, len(backbone)
        self._decoder: tuple[tuple[object, ...], Decoder] | None = None

    def decoder(self) -> Decoder:
        """Encode the backbone, or give what was made of it while no weight has changed."""
        stamp = (str(self.device), *fingerprints.weights_stamp(self.network))
        if self._decoder is None or self._decoder[0] != stamp:
            with evaluating(self.network), full_float32, torch.no_grad():
                encoded = self.network(self._geometry())
                self._decoder = stamp, Decoder(self.network, encoded, self.readout)
        return self._decoder[1]

    def _geometry(self) -> Geometry:
        coordinates = torch.from_numpy(self.backbone.coordinates).to(self.dtype).to(self.device)
        read = coordinates[:, 1:2] if self.network.features.alpha_only else coordinates
        return Geometry(
            coordinates.nan_to_num(),
            torch.from_numpy(self.backbone.index).to(self.device),
            torch.from_numpy(self.backbone.chain).to(self.device),
            read.isfinite().all(dim=2).all(dim=1).to(self.dtype),
        )

    def all_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `NetworkModel.all_logits`."""
        return self.decoder().logits(tokens)

    def prepare(self, residues: str, mask: Mask | None = None, numerics: str = "exact") -> Runner:
        """See `LanguageModel.prepare`."""
        chosen = choose_numerics(self.numerics, numerics, model=self.name)
        return _Mutants(self.in_float64() if chosen.dtype == "float64" else self, residues, mask)

    def in_float64(self) -> ProteinMPNN:
        """See `NetworkModel.in_float64`; the backbone is encoded anew."""
        made = super().in_float64()
        assert isinstance(made, ProteinMPNN)
        made._decoder = None
        return made

    def row_bytes(self, length: int) -> int:
        """See `LanguageModel.row_bytes`; messages are computed in parts."""
        width = self.network.hidden
        return 8 * 4 * length * width

    def seconds_per_sequence(self, length: int) -> float:
        """See `LanguageModel.seconds_per_sequence`."""
        network = self.network
        messages = len(network.decoder_layers) * length * min(length, network.features.neighbours)
        return (10 if self.readout == LAST else 1) * 2.0 * messages * network.hidden**2 / 2e10


class _Mutants:
    """Mutants of one sequence; see `Runner`."""

    def __init__(self, model: ProteinMPNN, residues: str, mask: Mask | None) -> None:
        self._model, self._residues = model, residues
        tokens = model.encode(residues, mask)
        self._decoder = model.decoder()
        self._tokens = tokens[None].to(model.device)
        self._states: list[tuple[torch.Tensor, torch.Tensor]] | None = None
        self._wild_type: np.ndarray | None = None

    def wild_type(self) -> np.ndarray:
        if self._wild_type is None:
            with evaluating(self._model.network), full_float32, torch.no_grad():
                self._wild_type = self._letters(self._decoder.logits(self._tokens))[0]
        return self._wild_type

    def rows(self, substitutions: list[Substitution]) -> np.ndarray:
        model, L = self._model, len(self._residues)
        for change in substitutions:
            check_substitution(change, self._residues, model.letters, model.name)
        made = [np.empty((0, L, len(LETTERS)), dtype=str(model.dtype).removeprefix("torch."))]
        for position, group in groupby(substitutions, key=lambda change: change.position):
            letters = [
                NOT_DECODED if change.letter == MASK_LETTER else LETTERS.index(change.letter)
                for change in group
            ]
            made.append(self._at(position, torch.tensor(letters, device=model.device)))
        return np.concatenate(made)

    def _at(self, position: int, letters: torch.Tensor) -> np.ndarray:
        decoder = self._decoder
        with evaluating(self._model.network), full_float32, torch.no_grad():
            if decoder.readout == OTHERS:
                if self._states is None:
                    self._states = decoder.states(self._tokens, decoder.reads_others)
                return self._letters(decoder.mutants(self._tokens, self._states, position, letters))
            mutated = self._tokens.repeat(len(letters), 1)
            mutated[:, position] = letters
            found = self._letters(decoder.logits(mutated))
        # Nothing of its own letter is left at a residue that is decoded last, but rounding.
        found[:, position] = self.wild_type()[position]
        return found

    def _letters(self, logits: torch.Tensor) -> np.ndarray:
        return logits[..., : len(LETTERS)].cpu().numpy()
