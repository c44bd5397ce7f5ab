"""The front end in a notebook: ``%load_ext catjac`` and the ``%catjac`` magics."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Register ``%catjac`` and ``%%catjac`` with their completion; loading twice changes nothing."""
    from catjac_widgets.notebook.completion import complete
    from catjac_widgets.notebook.magics import CatjacMagics

    unload_ipython_extension(ipython)
    ipython.register_magics(CatjacMagics)
    if ipython.Completer is not None:
        ipython.Completer.custom_matchers.append(complete)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Take the magics and their completion away again; what was computed stays."""
    from catjac_widgets.notebook.completion import complete

    for kind in ("line", "cell"):
        ipython.magics_manager.magics[kind].pop("catjac", None)
    ipython.magics_manager.registry.pop("CatjacMagics", None)
    if ipython.Completer is not None and complete in ipython.Completer.custom_matchers:
        ipython.Completer.custom_matchers.remove(complete)
