"""``%catjac`` and ``%%catjac``: Jacobians and the explorer in one line of a notebook."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError as IPythonUsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.utils.process import arg_split

import catjac_widgets
from catjac_widgets.errors import CatjacError, UsageError

#: What `%catjac` can do, each with one line of help.
COMMANDS = {
    "explore": "the linked explorer of a protein: a live contact map while its Jacobian is computed",
    "jacobian": "the categorical Jacobian: J = %catjac jacobian WHAT",
    "models": "the models by name: embedded, in the cache or to be downloaded",
    "examples": "the proteins that come with the package",
    "cache": "where Jacobians are kept, how many and how large; 'cache clear' empties it",
    "device": "what models run on",
    "help": "this text",
}


@magics_class
class CatjacMagics(Magics):
    """The magics; errors that a person can act on are one sentence without a traceback."""

    @no_var_expand  # "$name" means the object, not its text
    @magic_arguments()
    @argument("command", nargs="?", default="help", metavar="COMMAND", help=" | ".join(COMMANDS))
    @argument(
        "what",
        nargs="*",
        metavar="WHAT",
        help="An example's name, pdb:1UBQ, uniprot:P00974, a FASTA or structure file, $variable, or a "
        "sequence. With %%%%catjac the cell's body is FASTA text instead.",
    )
    @argument("--model", "-m", default="mini", help="Model name, checkpoint or $variable (mini).")
    @argument("--structure", "-s", help="Structure to compare with: pdb:1UBQ, a file or $variable.")
    @argument("--chain", help="The structure's chain, where there are several.")
    @argument("--record", help="Name or number of the FASTA record, where there are several.")
    @argument("--visible", help="What the model sees: 12-22,80-90; the rest is masked.")
    @argument("--variant", choices=("full", "fast"), default="full", help="20 letters, or the mask token.")
    @argument("--to", metavar="NAME", help="Also put the result into this variable.")
    @line_cell_magic
    def catjac(self, line: str, cell: str | None = None) -> Any:
        """Look inside protein language models with the categorical Jacobian."""
        try:
            # Intermixed, because options may stand before WHAT too.
            words = _words(line)
            return self._run(CatjacMagics.catjac.parser.parse_intermixed_args(words), cell)
        except CatjacError as error:
            # IPython prints a UsageError as one sentence, and `J = %catjac …` then leaves J alone.
            raise IPythonUsageError(str(error)) from None

    def _run(self, arguments: Any, cell: str | None) -> Any:
        command = arguments.command
        if cell is not None and command == "help":
            command = "explore"
        if command not in COMMANDS:
            near = difflib.get_close_matches(command, COMMANDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(COMMANDS)}."
            raise UsageError(f"%catjac has no command {command!r}; {hint}")
        if arguments.to and not arguments.to.isidentifier():
            raise UsageError(f"{arguments.to!r} cannot be a variable's name; give one such as --to ex.")
        handler: Callable[[Any, str | None], Any] = getattr(self, f"_{command}")
        value = handler(arguments, cell)
        if arguments.to:
            self._variables[arguments.to] = value
        return value

    @property
    def _variables(self) -> dict[str, Any]:
        """The notebook's variables."""
        assert self.shell is not None  # magics exist within a shell only
        return self.shell.user_ns

    def _explore(self, arguments: Any, cell: str | None) -> Any:
        protein, options = self._protein(arguments, cell)
        return catjac_widgets.explore(
            protein.sequence, structure=self._structure(arguments, protein), **options
        )

    def _jacobian(self, arguments: Any, cell: str | None) -> Any:
        protein, options = self._protein(arguments, cell)
        return catjac_widgets.jacobian(protein.sequence, **options)

    def _models(self, arguments: Any, cell: str | None) -> Any:
        return catjac_widgets.models()

    def _examples(self, arguments: Any, cell: str | None) -> Any:
        return catjac_widgets.examples()

    def _cache(self, arguments: Any, cell: str | None) -> Any:
        if arguments.what == ["clear"]:
            catjac_widgets.cache.clear()
        elif arguments.what not in ([], ["info"]):
            raise UsageError("%catjac cache knows 'info' and 'clear'.")
        return catjac_widgets.cache.info()

    def _device(self, arguments: Any, cell: str | None) -> Any:
        from catjac_widgets.installation import Report, devices

        return Report(devices())

    def _help(self, arguments: Any, cell: str | None) -> None:
        print(help_text())

    def _protein(self, arguments: Any, cell: str | None) -> tuple[Any, dict[str, Any]]:
        """Find the protein meant, and the options that `explore` and `jacobian` share."""
        from catjac_widgets.notebook.variables import protein_of
        from catjac_widgets.proteins.masks import Mask
        from catjac_widgets.proteins.reading import read_protein

        # The residues are checked where the model's letters are known.
        chosen = {"chain": arguments.chain, "record": arguments.record, "check": False}
        if cell is None:
            protein = protein_of(" ".join(arguments.what), self._variables, **chosen)
        elif arguments.what:
            raise UsageError("%%catjac takes its sequence from the cell's body; leave WHAT out.")
        else:
            # Pasted text is never a name, also where it is one line.
            protein = read_protein(f">\n{cell}" if ">" not in cell else cell, **chosen)
        options: dict[str, Any] = {"model": self._named(arguments.model), "variant": arguments.variant}
        if arguments.visible is not None:
            options["mask"] = Mask.parse(protein.sequence, arguments.visible)
        return protein, options

    def _structure(self, arguments: Any, protein: Any) -> Any:
        if arguments.structure is None:
            return protein.structure
        named = self._named(arguments.structure)
        if not isinstance(named, str):
            return named
        return catjac_widgets.structure(named, chain=arguments.chain)

    def _named(self, text: str) -> Any:
        """Look up the object that "$name" stands for, any other text as it is."""
        from catjac_widgets.notebook.variables import value_of

        return value_of(text, self._variables) if text.startswith("$") else text


def _words(line: str) -> list[str]:
    """Divide a line as a shell does.

    Raises
    ------
    UsageError
        If a quotation mark has no partner.
    """
    try:
        return arg_split(line, posix=os.name == "posix")
    except ValueError as error:
        raise UsageError(
            "A quotation mark or backslash in this line has no partner; close it or leave it out."
        ) from error


def help_text() -> str:
    """List the commands, and what WHAT may be."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  %catjac {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return (
        f"{commands}\n\n"
        "WHAT is an example's name, pdb:1UBQ, uniprot:P00974, a FASTA or structure file, $variable, or a\n"
        "sequence; %%catjac takes pasted FASTA from the cell's body. All options: %catjac?"
    )
