"""``python -m catjac_widgets.cli``: the command where scripts are not on the path."""

from catjac_widgets.cli.group import main

if __name__ == "__main__":
    main(prog_name="catjac")
