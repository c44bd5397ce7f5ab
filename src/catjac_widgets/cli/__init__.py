"""The front end in a shell: the command ``catjac``."""

from catjac_widgets.cli.group import main

__all__ = ["main"]
