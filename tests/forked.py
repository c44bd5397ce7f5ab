"""Processes of their own for tests, forked from a server that has imported everything: they begin at once.

A fresh interpreter takes seconds of a processor until torch, xarray and zarr are there; a fork of one that
has them takes milliseconds, and is a process as any other: it is killed, has locks and limits of its own.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

#: What the server imports; none of it starts a thread.
PRELOADED = [
    "__main__",
    "torch",
    "dask.array",
    "scipy.sparse",
    "xarray",
    "zarr",
    "stubs",
    "catjac_widgets.engine.api",
    "catjac_widgets.language_models.registry",
    "catjac_widgets.structures.protein_readers",
]


def context() -> ForkServerContext:
    """Return multiprocessing's context whose processes are forked from the server, which is started once."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(PRELOADED)
    # Before 3.11.10 the server does not know the paths of this process, and would silently import nothing.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return made


def start(function: Callable[..., None], *arguments: Any, **options: Any) -> tuple[BaseProcess, Connection]:
    """Call a function in a process of its own, with the environment of this one as it is now.

    The function takes one end of a pipe before its arguments; the other end is returned.
    """
    processes = context()
    # A shell of IPython leaves a module in the place of the main one, without what multiprocessing reads.
    if not hasattr(sys.modules["__main__"], "__spec__"):
        sys.modules["__main__"].__spec__ = None
    ours, theirs = processes.Pipe()
    call = (dict(os.environ), function, theirs, arguments, options)
    process = processes.Process(target=_call, args=call, daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _call(
    environment: dict[str, str],
    function: Callable[..., None],
    pipe: Connection,
    arguments: tuple[Any, ...],
    options: dict[str, Any],
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    try:
        function(pipe, *arguments, **options)
    finally:
        # multiprocessing leaves its processes without.
        atexit._run_exitfuncs()


def answer(process: BaseProcess, pipe: Connection, seconds: float = 120) -> Any:
    """Return what a process sends next.

    Raises
    ------
    AssertionError
        If it ends without, or takes too long; it is killed then.
    """
    if not pipe.poll(seconds):
        process.kill()
        raise AssertionError(f"a process said nothing for {seconds} s")
    try:
        return pipe.recv()
    except EOFError:
        process.join(seconds)
        raise AssertionError(f"a process ended without an answer: {process.exitcode}") from None
