"""The Jacobian of gLM2 as its authors compute it, strands and all, to compare with their figures."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from catjac_widgets.engine.compute.memory import check_selection
from catjac_widgets.engine.jobs.passes import in_batches
from catjac_widgets.engine.plans.request import make_request
from catjac_widgets.errors import ModelError
from catjac_widgets.language_models.registry import resolve_model
from catjac_widgets.proteins.coordinates import AXES, residue_coordinates
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Chain, Sequence

if TYPE_CHECKING:
    import xarray as xr


def tattabio_jacobian(
    sequence: Any,
    model: Any,
    *,
    fast: bool = False,
    batch_size: int | None = None,
    progress: bool = True,
    stop: threading.Event | None = None,
) -> xr.DataArray:
    """Jacobian over both alphabets and over strands, as gLM2's authors compute it; nothing is kept.

    ``contacts(J, order="C")`` is then their map. Prefer `catjac.jacobian`: here, rows of strands and of
    letters of the other alphabet are 0, but the logits read at strands and of the other alphabet are not,
    and enter means and norms. With `fast` the one row of a hidden residue stands in place of each of its
    alphabet's.

    Parameters
    ----------
    sequence
        As of `catjac.jacobian`: "<+>MALTKVE<+>aatttaag".
    model
        A gLM2, strands read.
    fast
        Hide each residue instead of substituting it.
    batch_size, progress, stop
        See `catjac.masked_perplexity`.

    Returns
    -------
    xarray.DataArray
        float32, dims (pos_in, aa_in, pos_out, aa_out): T tokens, strands included (residue "+" or "-", number
        "0"), by 24 letters, nucleotides first.

    Raises
    ------
    ModelError
        If the model is none that reads strands.
    ResourceError
        If it does not fit into memory.
    Cancelled
        If `stop` was set.

    References
    ----------
    Cornman A. et al. (2024), The OMG dataset, bioRxiv 2024.08.14.607850; notebook
    ``categorical_jacobian_gLM2.ipynb`` of TattaBio/gLM2.
    """
    import xarray as xr

    request = make_request(sequence, model, cache=False)
    identity, residues = request.identity, request.plan.model_residues
    if not identity.strands or len(identity.alphabets) != 2:
        raise ModelError(f"{identity.name} reads no strands; this is the Jacobian of gLM2's authors.")
    proteins, nucleotides = identity.alphabets
    letters, length = nucleotides + proteins, len(residues)
    check_selection(4 * length**2 * len(letters) ** 2)
    loaded = resolve_model(request.model)
    columns = [identity.letters.index(letter) for letter in letters]
    changes = [
        (place, letter)
        for place, residue in enumerate(residues)
        for letter in ([""] if fast and residue in letters else "" if fast else loaded.letters_at(residue))
        if letter != residue
    ]
    values = np.zeros((length, len(letters), length, len(letters)), dtype=np.float32)

    def logits(inputs: list[Any]) -> np.ndarray:
        import torch

        return loaded.logits(torch.stack(inputs)).float().cpu().numpy()[..., columns]

    def encoded(place: int, letter: str) -> Any:
        if letter:
            return loaded.encode(residues[:place] + letter + residues[place + 1 :])
        return loaded.encode(residues, Mask.from_array(np.arange(length) == place))

    def run(part: slice) -> np.ndarray:
        if part.start == 0:
            wild_type.append(logits([loaded.encode(residues)])[0])
        made = logits([encoded(*change) for change in changes[part]]) - wild_type[0]
        for (place, letter), effect in zip(changes[part], made, strict=True):
            own = loaded.letters_at(residues[place])
            for each in letter or own:
                values[place, letters.index(each)] = effect
        return np.zeros(len(made))

    wild_type: list[np.ndarray] = []
    in_batches(
        run,
        len(changes),
        loaded,
        length=length,
        batch_size=batch_size,
        description=f"Jacobian of {identity.name}'s authors",
        progress=progress,
        stop=stop,
    )
    tokens = _with_strands(request.sequence)
    attrs = {
        "long_name": "categorical Jacobian",
        "units": "logits",
        "description": "of gLM2's authors: strands are residues, only the input is restricted to alphabets",
        "kind": "raw",
        "form": "TattaBio, fast" if fast else "TattaBio",
        "sequence_name": request.sequence.name,
        "model": identity.name,
        "model_fingerprint": identity.fingerprint,
        "complete": 1,
    }
    coords: dict[Any, Any] = {
        "aa_in": np.array(list(letters), dtype=str),
        "aa_out": np.array(list(letters), dtype=str),
        **residue_coordinates(tokens, ("in", "out")),
    }
    return xr.DataArray(values, dims=AXES, coords=coords, name="jacobian", attrs=attrs)


def _with_strands(sequence: Sequence) -> Sequence:
    """Make a residue of each strand, number 0 of its chain."""
    pairs = zip(sequence.strands, sequence.chains, strict=True)
    chains = (Chain(chain.name, strand + chain.residues, ("0", *chain.numbers)) for strand, chain in pairs)
    return Sequence(tuple(chains), sequence.name)
