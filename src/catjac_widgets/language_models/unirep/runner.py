"""Running mutants of one sequence through an LSTM: each from its substitution on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.adapters.encoding import no_mask_token
from catjac_widgets.language_models.adapters.running import full_float32, lock_of
from catjac_widgets.language_models.runners import Substitution, check_substitution
from catjac_widgets.proteins.alphabets import MASK_LETTER

if TYPE_CHECKING:
    import torch

    from catjac_widgets.language_models.adapters.encoding import Encoding
    from catjac_widgets.language_models.unirep.network import MultiplicativeLSTM


class StatesRunner:
    """Runs the wild type once, keeps the state before each residue, and goes on from there with a mutant.

    A mutant differs from the wild type after its substitution only: half of the steps are saved, and the
    logits at the residue itself and before it are those of the wild type, bit by bit.

    Parameters
    ----------
    network
        Its weights are taken as they are now.
    encoding
        Of its sequences: one token before the residues.
    residues, tokens
        The wild type, and its tokens.
    name
        The model's, for messages.
    dtype
        Of the rows: "float32" or "float64".
    """

    def __init__(
        self,
        network: MultiplicativeLSTM,
        encoding: Encoding,
        residues: str,
        tokens: torch.Tensor,
        *,
        name: str,
        dtype: str,
    ) -> None:
        import torch

        from catjac_widgets.language_models.unirep.network import Ready

        self._name, self._encoding, self._residues = name, encoding, residues
        self._device, self._dtype = network.embedding.device, getattr(torch, dtype)
        # The last residue says what comes after it only.
        self._tokens = tokens[:-1].to(self._device)
        with lock_of(network), full_float32, torch.no_grad():
            self._ready = Ready(network, list(encoding.columns))
        self._states: list[torch.Tensor] = []
        self._wild_type: torch.Tensor | None = None

    def wild_type(self) -> np.ndarray:
        """See `Runner`."""
        return self._numpy(self._run_wild_type()).copy()

    def rows(self, substitutions: list[Substitution]) -> np.ndarray:
        """See `Runner`.

        Raises
        ------
        ModelError
            For a residue that is not there or a letter that the model does not know.
        """
        import torch

        for change in substitutions:
            check_substitution(change, self._residues, self._encoding.letters, self._name)
            if change.letter == MASK_LETTER:
                raise ModelError(no_mask_token(self._name))
        wild_type = self._run_wild_type()
        logits = wild_type.repeat(len(substitutions), 1, 1)
        # Those that begin first lead: whoever has begun at a step is a beginning of the batch.
        order = sorted(range(len(substitutions)), key=lambda k: substitutions[k].position)
        changes = [substitutions[k] for k in order]
        token_of = dict(zip(self._encoding.letters, self._encoding.tokens, strict=True))
        put = torch.tensor([token_of[change.letter] for change in changes], device=self._device)
        places = np.array([change.position for change in changes], dtype=int)
        first = min((change.position for change in changes), default=len(self._residues))
        with full_float32, torch.no_grad():
            state = self._ready.start(0)
            # Token k + 1 is residue k; after it come the logits of residue k + 1.
            for residue in range(first, len(self._residues) - 1):
                begun, now = np.searchsorted(places, [residue, residue + 1])
                tokens = self._tokens[residue + 1].repeat(int(now))
                if now > begun:
                    kept = self._states[residue].expand(-1, -1, int(now - begun), -1)
                    state = torch.cat([state, kept], dim=2)
                    tokens[begun:] = put[begun:now]
                state = self._ready.step(tokens, state)
                logits[:now, residue + 1] = self._ready.logits(state).to(logits.dtype)
        back = np.empty(len(order), dtype=int)
        back[order] = np.arange(len(order))
        return self._numpy(logits)[back]

    def _run_wild_type(self) -> torch.Tensor:
        """Logits (L, A) of the wild type; the state before each residue is kept."""
        import torch

        if self._wild_type is None:
            states, logits = [], []
            with full_float32, torch.no_grad():
                state = self._ready.start(1)
                for token in self._tokens:
                    state = self._ready.step(token[None], state)
                    states.append(state)
                    logits.append(self._ready.logits(state)[0])
            self._states, self._wild_type = states, torch.stack(logits).to(self._dtype)
        return self._wild_type

    @staticmethod
    def _numpy(logits: torch.Tensor) -> np.ndarray:
        return logits.cpu().numpy()
