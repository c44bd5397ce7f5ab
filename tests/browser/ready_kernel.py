"""Kernels that are there at once: forked from a process that has imported what every notebook imports.

``serve`` imports and waits; ``start``, which Jupyter runs as the kernel, has one forked and stands for it:
signals go on to it, and either ends with the other. Each kernel is a process of its own, as fresh as one that
has just done its first imports.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
from typing import Any


def serve(address: str) -> None:
    """Import, listen at that Unix socket, and fork a kernel for each that asks."""
    import biotite.structure.io.pdbx  # noqa: F401
    import ipykernel.ipkernel
    import ipykernel.kernelapp  # noqa: F401
    import scipy.spatial  # noqa: F401

    import catjac
    import catjac_widgets.widgets.explorer.launch
    import catjac_widgets.widgets.explorer.view  # noqa: F401

    # Half of the modules come with the first model. Nothing is computed: threads would be lost by forking.
    catjac.load_model("mini")
    assert not {"bokeh", "nglview"} & set(sys.modules), "a test looks whether a kernel has imported them"
    signal.signal(signal.SIGCHLD, lambda *_: _reap())
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    while True:
        asking, _ = listening.accept()
        if os.fork() == 0:
            try:
                listening.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _be_kernel(asking)
            finally:
                os._exit(0)
        asking.close()


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _be_kernel(asking: socket.socket) -> None:
    asked: dict[str, Any] = json.loads(asking.makefile().readline())
    asking.sendall(f"{os.getpid()}\n".encode())
    os.environ.clear()
    os.environ.update(asked["environment"])
    # This process' parent is not the server, whose end it sees on the socket.
    os.environ.pop("JPY_PARENT_PID", None)
    os.chdir(asked["folder"])
    threading.Thread(target=lambda: asking.recv(1) or os._exit(0), daemon=True).start()
    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.launch_instance(["-f", asked["connection"]])


def start(address: str, connection: str) -> None:
    """Ask for a kernel and stand for it until it ends."""
    asking = socket.socket(socket.AF_UNIX)
    asking.connect(address)
    asked = {"connection": connection, "environment": dict(os.environ), "folder": os.getcwd()}
    asking.sendall(json.dumps(asked).encode() + b"\n")
    kernel = int(asking.makefile().readline())
    signal.signal(signal.SIGINT, lambda *_: os.kill(kernel, signal.SIGINT))
    asking.recv(1)


if __name__ == "__main__":
    {"serve": serve, "start": start}[sys.argv[1]](*sys.argv[2:])
