"""The command ``catjac``: its subcommands, found when they are needed, and how errors reach a person."""

from __future__ import annotations

import importlib
import os
from typing import Any

import click

from catjac_widgets import __version__
from catjac_widgets.errors import (
    Cancelled,
    CatjacError,
    MaskError,
    ModelNotFoundError,
    SequenceError,
    StructureError,
    UsageError,
)

#: Where each subcommand lives, imported when it is used, so that ``catjac --help`` is quick.
_COMMANDS = {
    "cache": "cache",
    "contacts": "jacobian",
    "couplings": "couplings",
    "demo": "demo",
    "doctor": "listings",
    "evaluate": "evaluate",
    "examples": "listings",
    "jacobian": "jacobian",
    "lab": "lab",
    "models": "listings",
    "pretrained": "pretrained",
}
_BAD_INPUT = (UsageError, SequenceError, MaskError, ModelNotFoundError, StructureError)


class Commands(click.Group):
    """A group that imports its commands late and prints errors as one sentence.

    Exit status: 2 for bad input, 1 for anything else that a person can act on, 130 after Ctrl-C.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the subcommands without importing them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"catjac_widgets.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand, or suggest the nearest one."""
        if args and not args[0].startswith("-") and args[0] not in _COMMANDS:
            import difflib

            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"the commands are {', '.join(_COMMANDS)}."
            raise UsageError(f"There is no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run it, turning errors that a person can act on into one sentence and an exit status."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, Cancelled) as error:
            said = str(error) or "rows computed so far are kept; the same command continues from them."
            click.echo(f"catjac: stopped: {said}", err=True)
            ctx.exit(130)
        except CatjacError as error:
            if os.environ.get("CATJAC_DEBUG"):
                raise
            click.echo(f"catjac: {error}", err=True)
            ctx.exit(2 if isinstance(error, _BAD_INPUT) else 1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="catjac")
def main() -> None:
    """Look inside protein language models with the categorical Jacobian.

    WHAT is an example's name (catjac examples), pdb:1UBQ, uniprot:P00974, a FASTA or structure file, or a
    sequence.
    """
