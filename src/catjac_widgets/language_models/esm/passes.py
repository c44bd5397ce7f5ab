"""Running a fair-esm model where it is: in evaluation mode, in full float32, one thread at a time.

A stock model runs through `forward`; whatever is altered through the model's own forward pass.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.adapters.running import evaluating, full_float32
from catjac_widgets.language_models.esm.alterations.found import Alterations, alterations
from catjac_widgets.language_models.fingerprints import WeightsWatch

if TYPE_CHECKING:
    import torch

    from catjac_widgets.language_models.esm.linear_layers import LinearLayers


class AsFound:
    """A model as it was when somebody began with it, whose passes are not to be mixed with those of another.

    Parameters
    ----------
    model
        fair-esm's, altered or not. Of one that is altered in ways that cannot be seen, weights are not looked
        after: its own code may bring them from elsewhere for each pass.
    """

    def __init__(self, model: Any) -> None:
        self._found = alterations(model)
        self._watch = None if self._found.hidden else WeightsWatch(model)

    def check(self, now: Alterations) -> None:
        """Compare with what was found just now.

        Raises
        ------
        ModelError
            If the model was altered meanwhile, as far as that shows without reading a weight.
        """
        if now != self._found or (self._watch is not None and self._watch.moved()):
            raise ModelError(
                "The model was altered while its Jacobian was computed; call again for the altered one."
            )


def letter_pass(
    model: Any,
    tokens: torch.Tensor,
    residues: slice,
    columns: list[int],
    linear: LinearLayers | None = None,
    as_found: AsFound | None = None,
) -> torch.Tensor:
    """Logits (B, L, A) of tokens (B, T) at `residues` for the vocabulary's `columns`, on the model's device.

    Parameters
    ----------
    linear
        How dense layers are multiplied; as they are by default.
    as_found
        What the model has to be like still.

    Raises
    ------
    ModelError
        If it is not.
    """
    import torch

    from catjac_widgets.language_models.esm.forward import letter_logits

    device = model.embed_tokens.weight.device
    letters = torch.tensor(columns, device=device)
    with running(model) as altered:
        if as_found is not None:
            as_found.check(altered)
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

    Entering it says what is altered; if anything is, the model's own forward must run.

    Parameters
    ----------
    contents
        See `alterations.found.alterations`.
    """

    def __init__(self, model: Any, *, contents: bool = True) -> None:
        self._model, self._contents, self._stack = model, contents, ExitStack()

    def __enter__(self) -> Alterations:
        self._stack.enter_context(evaluating(self._model))
        self._stack.enter_context(full_float32)
        return alterations(self._model, contents=self._contents)

    def __exit__(self, *failure: Any) -> None:
        self._stack.__exit__(*failure)
