"""Run a recovery again from what its result says."""

from __future__ import annotations

import threading
from typing import Any

import xarray as xr

from catjac_widgets.analysis.labels import sequence_of
from catjac_widgets.analysis.recovery.one_protein import recovery_scan
from catjac_widgets.analysis.recovery.over_proteins import recovery_curves
from catjac_widgets.analysis.recovery.targets import target_of
from catjac_widgets.errors import ModelError, UsageError
from catjac_widgets.language_models.registry import identify


def rerun_recovery(
    found: xr.Dataset,
    model: Any = None,
    *,
    cache: bool = True,
    progress: bool = True,
    stop: threading.Event | None = None,
) -> xr.Dataset:
    """Run a recovery again, on the same targets with the same draws, perhaps with another model.

    Parameters
    ----------
    found
        What `recovery`, `recovery_scan` or `recovery_curves` returned, or what was read back from a file.
    model
        Another model; by default the one that the result names, which must still be the same.
    cache, progress, stop
        See `recovery`.

    Returns
    -------
    xr.Dataset
        As `found`; equal to it with the same model on the same device.

    Raises
    ------
    ModelError
        If the named model is no longer the one that the result was made with.
    UsageError
        If the result lacks what is needed.
    """
    needed = {"source", "model", "model_fingerprint", "seed", "avoided", "steps"}
    if not isinstance(found, xr.Dataset) or not needed <= set(found.attrs):
        raise UsageError("The result no longer says how it was made; pass it as catjac returned it.")
    said = found.attrs
    if model is None:
        model = str(said["model"])
        if identify(model).fingerprint != said["model_fingerprint"]:
            raise ModelError(
                f"{model} is not the model any more that the result was made with; pass model={model!r} to "
                "run it with what there is."
            )
    steps = str(said["steps"])
    options: dict[str, Any] = {
        "pattern": [str(name) for name in found["pattern"].values],
        "source": str(said["source"]),
        "steps": None if steps == "published" else [int(step) for step in steps.split(",")],
        "seed": int(said["seed"]),
        "avoided": int(said["avoided"]),
        "variant": str(said.get("variant", "full")),
        "control": bool(said.get("control", True)),
        "masked_ends": bool(said.get("masked_ends", False)),
        "cache": cache,
        "progress": progress,
        "stop": stop,
    }
    if "threshold" in said:
        options["threshold"] = float(said["threshold"])
    fragments = [target_of(str(text)).fragments for text in found["fragment"].values]
    if "segment" not in found["R"].dims:
        again = recovery_scan(sequence_of(found), model, fragments=fragments, **options)
    else:
        names = [str(name) for name in found["name"].values]
        owners = [str(name) for name in found["protein"].values]
        again = recovery_curves(
            dict(zip(names, (str(text) for text in found["sequence"].values), strict=True)),
            model,
            fragments={
                name: [each for each, owner in zip(fragments, owners, strict=True) if owner == name]
                for name in names
            },
            confidence=float(said["confidence"]),
            band=str(said["band"]),
            **options,
        )
    # How the targets were chosen is as it was; only the model may be another.
    made = {key: again.attrs[key] for key in ("model", "model_fingerprint")}
    again.attrs = {**said, **made}
    return again
