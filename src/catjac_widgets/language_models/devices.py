"""Choosing a device and a precision."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.errors import DeviceError, ResourceError, UsageError
from catjac_widgets.language_models.catalogue import in_bytes

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


def likely_device() -> str:
    """Name the device that `choose_device` will choose, without waiting for torch if there is no accelerator.

    Torch takes seconds to import, and whoever only needs to know whose turn it is shall not wait for it.
    """
    drivers = ("/dev/nvidiactl", "/proc/driver/nvidia", "/dev/dxg", "/dev/kfd")
    torch = sys.modules.get("torch")
    # Another thread may be in the middle of importing it; asking it anything would wait for that.
    imported = torch is not None and not getattr(torch.__spec__, "_initializing", False)
    if imported or sys.platform != "linux" or any(map(os.path.exists, drivers)):
        return str(choose_device(None))
    return "cpu"


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads of the CPU for what this thread runs inside, then as many as before.

    For passes that are so small that waiting for each other takes threads longer than the work itself: on
    cores that others use too, each of the dozens of products of a pass waits for whichever thread is not
    running just then.
    """
    import torch

    # Torch keeps the number for each thread; only a thread whose very first call falls inside inherits it.
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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


def check_memory(name: str, needed: int) -> None:
    """Refuse a model whose float32 weights would not fit into this machine's memory.

    Raises
    ------
    ResourceError
        Naming what is needed and what there is.
    """
    present = physical_memory()
    if present is not None and needed > present:
        raise ResourceError(
            f"{name} needs {in_bytes(needed)} of memory to be loaded but this machine has "
            f"{in_bytes(present)}; use a smaller model, such as esm2_t33_650M_UR50D."
        )


def physical_memory() -> int | None:
    """Bytes of memory that this machine, or the container or job that this process runs in, has.

    None where the system does not tell.
    """
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return cgroup_memory_limit()
    return min(total, cgroup_memory_limit() or total)


def cgroup_memory_limit(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> int | None:
    """Bytes that Linux's control groups allow this process, None where they set no limit.

    Parameters
    ----------
    root
        Where they are mounted.
    membership
        Which of them this process is in.

    Notes
    -----
    The least limit of the process's own group and of all that it lies in, of version 2 (``memory.max``) and
    version 1 (``memory.limit_in_bytes``).
    """
    limits = []
    for folder, name in _memory_groups(root, membership):
        try:
            text = (folder / name).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if text.isdigit():  # "max" otherwise
            limits.append(int(text))
    return min(limits, default=None)


def _memory_groups(root: Path, membership: Path) -> Iterator[tuple[Path, str]]:
    """Give the folder of each group whose limit counts, and the name of the file with it."""
    # In a container of its own the path is that outside, and the mounted root is the group itself.
    yield root, "memory.max"
    yield root / "memory", "memory.limit_in_bytes"
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        mounted, name = (root / "memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
        group = Path(path.lstrip("/"))
        for folder in (group, *group.parents):
            yield mounted / folder, name


def place(model: Any, name: str, device: torch.device, dtype: torch.dtype) -> Any:
    """Move a model that was just loaded to its device and precision; rotary frequencies stay in float32.

    Raises
    ------
    DeviceError
        If it does not fit into the device's memory.
    """
    import torch

    # Rounded to 16-bit floats, they would turn by whole radians at the end of a long sequence.
    frequencies = {key: value for key, value in model.named_buffers() if key.endswith("inv_freq")}
    try:
        model = model.to(device=device, dtype=dtype)
    except torch.OutOfMemoryError as error:
        needed = sum(parameter.numel() * dtype.itemsize for parameter in model.parameters())
        raise DeviceError(
            f"{name} ({in_bytes(needed)}) does not fit into the memory of {device}; free some, "
            "use dtype='float16', device='cpu', or a smaller model."
        ) from error
    for key, value in frequencies.items():
        owner, _, attribute = key.rpartition(".")
        setattr(model.get_submodule(owner), attribute, value.to(device=device, dtype=torch.float32))
    return model
