"""Choosing a device and a precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import DeviceError, UsageError

if TYPE_CHECKING:
    import torch


def choose_device(wanted: str | torch.device | None = None) -> torch.device:
    """Turn a request into a device that is there; CUDA, then MPS, then the CPU where nothing is asked for.

    Raises
    ------
    DeviceError
        If the device is unknown or absent.
    """
    import torch

    mps = torch.backends.mps.is_available()
    if wanted is None:
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        device = torch.device(wanted)
    except (RuntimeError, TypeError) as error:
        raise DeviceError(f"{wanted!r} is not a device; use 'cuda', 'cuda:1', 'mps' or 'cpu'.") from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            why = (
                "this torch is built for the CPU only" if torch.version.cuda is None else "no GPU is visible"
            )
            raise DeviceError(f"There is no CUDA device here ({why}); use device='cpu' or leave it out.")
        if (device.index or 0) >= count:
            raise DeviceError(f"There is no {device}; CUDA devices here go from cuda:0 to cuda:{count - 1}.")
    elif device.type == "mps" and not mps:
        raise DeviceError("There is no MPS device here; use device='cpu' or leave it out.")
    elif device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"{wanted!r} is not a device that models run on; use 'cuda', 'mps' or 'cpu'.")
    return device


def choose_dtype(wanted: Any = None) -> torch.dtype:
    """Turn "float32" (the default), "float16", "bfloat16" or a torch dtype into a torch dtype.

    Raises
    ------
    UsageError
        For any other.
    """
    import torch

    name = str(wanted or "float32").removeprefix("torch.")
    if name not in ("float32", "float16", "bfloat16"):
        raise UsageError(
            f"dtype is 'float32', 'float16' or 'bfloat16', not {name!r} (for float64 see numerics=)."
        )
    return getattr(torch, name)
