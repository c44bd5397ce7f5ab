"""Running a fair-esm model where it is: in evaluation mode, in full float32, one thread at a time.

A stock model runs through `forward`; whatever is altered through the model's own forward pass.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from catjac_widgets.language_models.esm.stock import altered_modules, evaluating, full_float32

if TYPE_CHECKING:
    import torch

    from catjac_widgets.language_models.esm.linear_layers import LinearLayers


def letter_pass(
    model: Any, tokens: torch.Tensor, residues: slice, columns: list[int], linear: LinearLayers | None = None
) -> torch.Tensor:
    """Logits (B, L, A) of tokens (B, T) at `residues` for the vocabulary's `columns`, on the model's device.

    `linear` says how dense layers are multiplied, as they are by default.
    """
    import torch

    from catjac_widgets.language_models.esm.forward import letter_logits

    device = model.embed_tokens.weight.device
    letters = torch.tensor(columns, device=device)
    with running(model) as altered:
        if not altered and not bool((tokens == model.padding_idx).any()):
            with torch.inference_mode():
                given = () if linear is None else (linear,)
                return letter_logits(model, tokens.to(device), residues, letters, *given)
        # Rotary tables, which fair-esm remembers, would break training later if made in inference mode.
        with torch.no_grad():
            found = model(tokens.to(device))
            return (found["logits"] if isinstance(found, dict) else found)[:, residues][..., letters]


def contact_pass(model: Any, tokens: torch.Tensor, residues: slice) -> torch.Tensor:
    """Contact probabilities (B, L, L), float32 on the CPU."""
    import torch

    from catjac_widgets.language_models.esm.forward import contact_logits

    tokens = tokens.to(model.embed_tokens.weight.device)
    with running(model) as altered:
        if altered:
            with torch.no_grad():
                return model.predict_contacts(tokens).float().cpu()
        with torch.inference_mode():
            return contact_logits(model, tokens, residues).sigmoid().float().cpu()


class running:
    """Around a pass: evaluation mode, full float32, one thread a model.

    Entering it says whether the model's own forward must run.
    """

    def __init__(self, model: Any) -> None:
        self._model, self._stack = model, ExitStack()

    def __enter__(self) -> bool:
        self._stack.enter_context(evaluating(self._model))
        self._stack.enter_context(full_float32)
        return bool(altered_modules(self._model))

    def __exit__(self, *failure: Any) -> None:
        self._stack.__exit__(*failure)
