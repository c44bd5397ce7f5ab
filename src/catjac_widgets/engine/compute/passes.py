"""Forward passes over many inputs in batches that fit into the device's memory; no threads, no store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from catjac_widgets.engine.compute.sweep import OutOfMemory, free_device_memory, on_device
from catjac_widgets.errors import DeviceError

T = TypeVar("T")


def batches_that_fit(
    run: Callable[[slice], T], count: int, size: int, model: str
) -> Iterator[tuple[slice, T]]:
    """Run inputs 0 … count − 1 in batches, smaller ones once the device's memory does not suffice.

    Parameters
    ----------
    run
        Called with the inputs' slice.
    count
        How many inputs there are.
    size
        Inputs a batch; halved, for good, when the device runs out of memory.
    model
        The model's name, for the error.

    Yields
    ------
    part : slice
        Which inputs, in ascending order.
    made
        What `run` returned.

    Raises
    ------
    DeviceError
        If one input is too much for the device, or the device is lost.
    """
    done = 0
    while done < count:
        part = slice(done, min(done + size, count))
        try:
            made = on_device(lambda part=part: run(part))  # type: ignore[misc]
        except OutOfMemory as error:
            if part.stop - part.start == 1:
                raise too_large(model) from error.__cause__
            size = (part.stop - part.start) // 2
            free_device_memory()
            continue
        done = part.stop
        yield part, made


def run_one(call: Callable[[], T], model: str) -> T:
    """Run one input, with the typed errors of `batches_that_fit`."""
    try:
        return on_device(call)
    except OutOfMemory as error:
        raise too_large(model) from error.__cause__


def too_large(model: str) -> DeviceError:
    """Make the error for a device that has not enough memory for one sequence."""
    return DeviceError(
        f"The device has not enough memory for one sequence with {model}; use a smaller model, a shorter "
        "sequence or another device."
    )
