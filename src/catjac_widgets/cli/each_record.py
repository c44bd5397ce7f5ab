"""One output file for each record of a FASTA file: ``-o 'maps/{name}.csv'``."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from catjac_widgets.errors import UsageError
from catjac_widgets.export.files import LONGEST_NAME, check_folder
from catjac_widgets.input_files import shown, user_path

if TYPE_CHECKING:
    from catjac_widgets.proteins.sequences import Sequence

#: What stands for a record's name in an output's.
_NAME = "{name}"


def is_for_each(output: Path) -> bool:
    """Whether an output is a pattern for several files."""
    return _NAME in output.name


def paths_for(output: Path, what: str) -> tuple[list[Sequence], dict[str, Path]]:
    """Read the records of a FASTA file, and put each one's name into the output's.

    Characters that do not belong in file names become "_"; a record without a name has its number.

    Returns
    -------
    records : list of Sequence
        All with a name.
    paths : dict
        Where each goes, by name.

    Raises
    ------
    UsageError
        If there is no such file or folder, or two records would share a file.
    """
    from catjac_widgets.proteins.reading import read_records

    path = user_path(what)
    if not os.path.isfile(path):
        raise UsageError(
            f"{output} asks for each record of a FASTA file, and {shown(what)} is no file; name one."
        )
    records = [
        record if record.name else replace(record, name=str(number))
        for number, record in enumerate(read_records(path), start=1)
    ]
    paths: dict[str, Path] = {}
    taken: dict[str, str] = {}
    for record in records:
        plain = re.sub(r"[^\w.+-]+", "_", record.name).lstrip(".") or "_"
        made = output.with_name(output.name.replace(_NAME, plain))
        if len(os.fsencode(made.name)) > LONGEST_NAME:
            raise UsageError(
                f"The record {shown(record.name)} of {shown(path.name)} has a name of {len(plain)} letters, "
                "too long for a file's name; shorten it."
            )
        check_folder(made)
        if plain.lower() in taken:
            raise UsageError(
                f"The records {shown(taken[plain.lower()])} and {shown(record.name)} of {shown(path.name)} "
                f"would both be written to {output.name.replace(_NAME, plain)}; rename one."
            )
        taken[plain.lower()] = record.name
        paths[record.name] = made
    return records, paths
