"""What a benchmark ran on: the machine, its own rate for matrix products, and the memory that is taken."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

REPOSITORY = Path(__file__).resolve().parent.parent

#: Processor flags that decide how fast few bits are multiplied.
FLAGS = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16",
    "asimddp",
)  # fmt: skip

#: Sides of the square matrices by which peaks are measured.
SIDE_ON_CPU, SIDE_ON_GPU = 2048, 8192


def facts(device: str) -> dict[str, str]:
    """Say what the numbers were measured on."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    info = _processor_info()
    processor = info.get("model name", platform.processor() or platform.machine())
    flags = set((info.get("flags") or info.get("Features") or "").split())
    if device.startswith("cuda"):
        processor = torch.cuda.get_device_name()
    return {
        "device": processor,
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "flags": " ".join(flag for flag in FLAGS if flag in flags),
        "load_before": f"{os.getloadavg()[0]:.1f}",
        "torch": torch.__version__,
        "commit": commit,
    }


def _processor_info() -> dict[str, str]:
    """Return what Linux tells of the first processor, nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def ready(device: str) -> None:
    """Wait for the device."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds(call: Callable[[], Any], device: str) -> float:
    """Time one call."""
    ready(device)
    began = time.perf_counter()
    call()
    ready(device)
    return time.perf_counter() - began


def peaks(device: str, types: set[str]) -> dict[str, float]:
    """Operations a second of a large matrix product, the best of ten, by type; TF32 is off."""
    side = SIDE_ON_GPU if device.startswith("cuda") else SIDE_ON_CPU
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    found = {}
    try:
        for name in sorted(types):
            values = torch.randn(2, side, side, device=device).mul_(20 if name == "int8" else 1)
            a, b = values.to(getattr(torch, name))
            # As for a dense layer: the second matrix lies with its columns together.
            multiply = torch._int_mm if name == "int8" else torch.mm
            found[name] = _rate(lambda a=a, b=b, multiply=multiply: multiply(a, b.t()), side, device)
    finally:
        torch.set_float32_matmul_precision(before)
    return found


def _rate(call: Callable[[], Any], side: int, device: str) -> float:
    try:
        took = [seconds(call, device)]
        # A type that the processor lacks is emulated, and a single product then says as much as ten.
        while len(took) < 11 and sum(took) < 5:
            took.append(seconds(call, device))
    except RuntimeError:
        return float("nan")
    return 2.0 * side**3 / min(took)


class PeakMemory:
    """How far this process's memory rises above where it stands now (the device's, where that is a GPU)."""

    def __init__(self, device: str) -> None:
        self._cuda = device.startswith("cuda")
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
            self._start = torch.cuda.memory_allocated()
        else:
            # Writing 5 there makes the highest mark the present one (Linux).
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self._start = _status("VmRSS")

    def risen(self) -> int:
        """Bytes between the start and the highest point since."""
        return (torch.cuda.max_memory_allocated() if self._cuda else _status("VmHWM")) - self._start


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status does not tell {name}.")
