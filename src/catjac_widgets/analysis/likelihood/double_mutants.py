"""Epistasis between two residues, measured by running the model on the mutants themselves."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from catjac_widgets.analysis import labels
from catjac_widgets.analysis.statistics import spearman
from catjac_widgets.analysis.summaries import epistasis
from catjac_widgets.engine.jobs.passes import in_batches
from catjac_widgets.engine.plans.request import make_request
from catjac_widgets.errors import JacobianError, ModelError, UsageError
from catjac_widgets.language_models.registry import resolve_model
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Sequence


def double_mutants(
    sequence: Sequence | str | Path,
    model: Any = "mini",
    *,
    pairs: Any,
    J: xr.DataArray | None = None,
    linker: str = "",
    unknown: Mapping[str, str] | None = None,
    batch_size: int | None = None,
    progress: bool = True,
    stop: threading.Event | None = None,
) -> xr.Dataset:
    """Measure log p(ab) p(wt) / (p(a) p(b)) for all mutations a at i and b at j of chosen pairs of residues.

    By Bayes' rule the term is the change, caused by a at i, of the log-odds of b against the wild type at j,
    when j is masked: log p_j(b | a)/p_j(w_j | a) − log p_j(b | w_i)/p_j(w_j | w_i); and just as well the one
    with i and j exchanged. For a model whose conditionals belong to one distribution (a Potts model) both are
    equal and are the double-mutant term H(ab) − H(a) − H(b) + H(wt); otherwise their difference tells how far
    the model is from having one. Unlike `epistasis`, which reads a Jacobian, nothing is visible of the
    residue that is read.

    Parameters
    ----------
    sequence, model, linker, unknown
        As for `jacobian`.
    pairs
        (i, j), 1-based positions, i ≠ j; or a table with the columns pos_i and pos_j, such as
        `top_contacts`. Each pair takes 2 A passes (40 for amino acids).
    J
        The full Jacobian of the same sequence and model, to compare with.
    batch_size
        Inputs run at once; makes no difference to the result beyond rounding.
    progress
        Show a bar if it takes a while.
    stop
        Set it from another thread to cancel.

    Returns
    -------
    xr.Dataset
        By (pair, aa_i, aa_j), float64, in nats, 0 where either letter is the wild type: `forward` (i mutated,
        j read), `backward` (j mutated, i read) and their mean, `epistasis`; by pair: pos_i, pos_j and labels.
        With J also `conditional`, the mean of both directions of `epistasis(J)`, and by pair `spearman`, its
        rank correlation with `epistasis` over all double mutants.

    Raises
    ------
    UsageError
        Without pairs, or for a pair that is not two positions of the sequence.
    JacobianError
        If J is of another sequence or model, or lacks a pair's rows.
    Cancelled
        If `stop` was set.
    """
    import torch

    request = make_request(sequence, model, linker=linker, unknown=unknown)
    plan, resolved = request.plan, request.model
    chosen = _pairs(pairs, plan.length)
    if J is not None:
        _check_jacobian(J, plan, chosen)
    loaded = resolve_model(resolved)
    letters, residues, kept = plan.letters, plan.model_residues, plan.kept
    A = len(letters)
    inputs, read = [], []
    for i, j in chosen:
        for mutated, masked in ((i, j), (j, i)):
            hidden = np.zeros(len(residues), dtype=bool)
            hidden[kept[masked - 1]] = True
            mask, place = Mask.from_array(hidden), int(kept[mutated - 1])
            own = plan.letters_at(mutated - 1)
            for letter in letters:
                # A letter of another alphabet is no substitution, and changes nothing.
                put = letter if letter in own else residues[place]
                inputs.append(loaded.encode(residues[:place] + put + residues[place + 1 :], mask))
                read.append(int(kept[masked - 1]))
    tokens, where = torch.stack(inputs), np.array(read)

    def run(part: slice) -> np.ndarray:
        logits = loaded.residue_logits(residues, tokens[part]).double().cpu().numpy()
        found = logits[np.arange(len(logits)), where[part]]
        if not np.isfinite(found).all():
            raise ModelError(f"{plan.model} gives logits that are not finite.")
        return found

    logits = in_batches(
        run,
        len(tokens),
        loaded,
        length=len(residues),
        batch_size=batch_size,
        description=f"Double mutants, {plan.model}",
        progress=progress,
        stop=stop,
    ).reshape(len(chosen), 2, A, A)
    wild = np.array([letters.index(letter) for letter in plan.sequence.residues])
    first, second = np.array(chosen).T - 1
    forward = _against_wild_type(logits[:, 0], wild[first], wild[second])
    backward = _against_wild_type(logits[:, 1], wild[second], wild[first]).transpose(0, 2, 1)
    if plan.blocks is not None:
        # Letters of another alphabet than a residue's are no mutants.
        of_letters = plan.blocks.allowed_out
        possible = of_letters[first][:, :, None] & of_letters[second][:, None, :]
        forward, backward = np.where(possible, forward, 0.0), np.where(possible, backward, 0.0)
    axes = ("pair", "aa_i", "aa_j")
    mean = (forward + backward) / 2
    variables: dict[Hashable, Any] = {
        "epistasis": (axes, mean, {"units": "nats"}),
        "forward": (axes, forward, {"units": "nats"}),
        "backward": (axes, backward, {"units": "nats"}),
    }
    if J is not None:
        conditional = _conditional(J, chosen, letters)
        variables["conditional"] = (axes, conditional, {"units": "nats"})
        variables["spearman"] = ("pair", _agreement(mean, conditional, wild[first], wild[second]))
    coords: dict[Hashable, Any] = {"aa_i": list(letters), "aa_j": list(letters)}
    for side, index in (("i", first), ("j", second)):
        coords[f"pos_{side}"] = ("pair", index + 1)
        coords[f"wild_type_{side}"] = ("pair", np.array([plan.sequence.residues[k] for k in index]))
        coords[f"residue_{side}"] = ("pair", np.array([plan.sequence.labels[k] for k in index]))
    return xr.Dataset(
        variables,
        coords=coords,
        attrs={
            "kind": "double-mutant epistasis",
            "sequence": str(plan.sequence),
            "sequence_name": plan.sequence.name,
            "model": plan.model,
            "model_fingerprint": plan.fingerprint,
            "linker": plan.linker,
        },
    )


def _pairs(pairs: Any, length: int) -> list[tuple[int, int]]:
    if hasattr(pairs, "columns"):
        if not {"pos_i", "pos_j"} <= set(pairs.columns):
            raise UsageError("The table of pairs has no columns pos_i and pos_j.")
        pairs = zip(pairs["pos_i"], pairs["pos_j"], strict=True)
    if not isinstance(pairs, Iterable):
        raise UsageError("pairs is a list of (i, j), 1-based positions; give for instance [(11, 35)].")
    made = []
    for pair in pairs:
        try:
            i, j = (int(value) for value in pair)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{pair!r} is not a pair; give two 1-based positions.") from error
        if not (1 <= i <= length and 1 <= j <= length) or i == j:
            raise UsageError(f"({i}, {j}) are not two positions of 1–{length}; positions count from 1.")
        made.append((i, j))
    if not made:
        raise UsageError("There is no pair; give at least one (i, j).")
    return made


def _against_wild_type(logits: np.ndarray, mutated: np.ndarray, read: np.ndarray) -> np.ndarray:
    """Double difference (n, A, A) of logits [pair, letter put, letter read] against both wild types."""
    each = np.arange(len(logits))
    odds = logits - logits[each, :, read][:, :, None]
    return odds - odds[each, mutated][:, None, :]


def _check_jacobian(J: xr.DataArray, plan: Any, pairs: list[tuple[int, int]]) -> None:
    J = labels.check_axes(J)
    if str(J.attrs.get("sequence", plan.sequence)) != str(plan.sequence):
        raise JacobianError("J is of another sequence than the double mutants; give both of the same.")
    if str(J.attrs.get("model_fingerprint", plan.fingerprint)) != plan.fingerprint:
        raise JacobianError("J is of another model than the double mutants; give both of the same.")
    there = set(labels.positions(J, "pos_in")[labels.rows_present(J)]) & set(labels.positions(J, "pos_out"))
    lacking = sorted({position for pair in pairs for position in pair} - there)
    if lacking:
        raise JacobianError(f"J has no row and column of position {lacking[0]}; compute it, or leave it out.")


def _conditional(J: xr.DataArray, pairs: list[tuple[int, int]], letters: str) -> np.ndarray:
    axes, order = ("aa_in", "aa_out"), list(letters)
    found = []
    positions = sorted({position for pair in pairs for position in pair})
    E = epistasis(J.sel(pos_in=positions, pos_out=positions)).sel(aa_in=order, aa_out=order)
    for i, j in pairs:
        there = E.sel(pos_in=i, pos_out=j).transpose(*axes).values.astype(np.float64)
        back = E.sel(pos_in=j, pos_out=i).transpose(*axes).values.astype(np.float64)
        found.append((there + back.T) / 2)
    return np.array(found)


def _agreement(one: np.ndarray, other: np.ndarray, wild_i: np.ndarray, wild_j: np.ndarray) -> np.ndarray:
    """Rank correlation over the double mutants of each pair, rows and columns of the wild type left out."""
    found = []
    for k in range(len(one)):
        x = np.delete(np.delete(one[k], wild_i[k], axis=0), wild_j[k], axis=1).ravel()
        y = np.delete(np.delete(other[k], wild_i[k], axis=0), wild_j[k], axis=1).ravel()
        found.append(spearman(x, y))
    return np.array(found)
