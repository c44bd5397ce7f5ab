"""`evaluate`: contact maps of several methods against experimental structures, protein by protein."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import uuid
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import xarray as xr

from catjac_widgets.analysis.benchmark.entries import Entry, find_entries
from catjac_widgets.analysis.benchmark.evaluation_table import (
    Row,
    as_dataset,
    read_rows,
    version,
    write_table,
)
from catjac_widgets.analysis.benchmark.methods import METHODS, USUAL, Method
from catjac_widgets.analysis.benchmark.precision import precision_by_range
from catjac_widgets.analysis.benchmark.scored_pairs import Pairs
from catjac_widgets.analysis.sources import as_source, present_word
from catjac_widgets.analysis.statistics import CONFIDENCE, DRAWS
from catjac_widgets.errors import Cancelled, CatjacError, UsageError
from catjac_widgets.input_files import user_path
from catjac_widgets.progress import with_progress
from catjac_widgets.structures.geometry import CUTOFF, Atoms

#: Changes whenever the same input would give other rows.
_FORMAT = 1

#: By these titles methods are known in the digests of tables, which go on.
_FORMER_TITLES = {"contact head": "attention head"}


def evaluate(
    what: Any,
    model: Any = "mini",
    methods: Iterable[str] = USUAL,
    *,
    output: str | Path | None = None,
    only: Iterable[str] | None = None,
    pairs: Pairs = "unordered",
    cutoff: float = CUTOFF,
    atoms: Atoms = "observed",
    force: bool = False,
    command: str = "",
    progress: bool = True,
    stop: threading.Event | None = None,
) -> xr.Dataset:
    """Score contact maps against structures: precision at L, L/2, L/5 and AUC over the usual ranges.

    Parameters
    ----------
    what
        A folder of (sequence or alignment, structure), or a mapping of names to such; see `find_entries`.
    model
        The language model.
    methods
        Of "jacobian", "contact_head", "potts", "inverse_covariance", "mean_field"; the last three read the
        alignment.
    output
        A CSV file that is written after every map. Rows that it holds already are taken from it as long as
        protein, method, model and settings are the same, so that a run that was stopped goes on and only what
        has changed is computed anew.
    only
        Names of proteins to take; all by default.
    pairs
        "unordered", or the paper's "ordered" (see `precision_at_l`).
    cutoff, atoms
        What a contact is, see `Structure.contacts`.
    force
        Compute the methods asked for again, whatever the file holds; its other rows stay.
    command
        What the file says it was made by; this call by default.
    progress
        Show a bar with an estimate.
    stop
        Set it from another thread to cancel.

    Returns
    -------
    xr.Dataset
        See `as_dataset`. What goes wrong with one protein is that protein's `error`. The interval (low, high)
        of a protein's precision at L is a bootstrap over its residues; `evaluation_means` has that over
        proteins. Couplings fitted to an alignment are kept in the cache as maps.

    Raises
    ------
    UsageError
        For an unknown method or name, or a file that is no such table or has other settings.
    ModelError
        If the model cannot be found or loaded.
    Cancelled
        If `stop` was set; rows done are kept in `output`.
    """
    model, methods = _model_first(model, methods)
    names = _checked(methods)
    entries, left_out = find_entries(what)
    chosen = _chosen(entries, only)
    identity = _identity(model) if any(METHODS[name].reads == "model" for name in names) else None
    settings: dict[str, Any] = {
        "pairs": pairs,
        "cutoff": float(cutoff),
        "atoms": atoms,
        "interval": f"{100 * CONFIDENCE:.0f} %, bootstrap over the protein's residues, {DRAWS} draws",
    }
    path = None if output is None else user_path(output)
    rows, commands = _kept_rows(path, settings)
    said = (
        command or f"catjac.benchmark.evaluate({_shown(what)}, model={_name(identity)!r}, methods={names!r})"
    )
    table = _Table(rows, [each.name for each in entries])
    todo = [
        (entry, name)
        for entry in chosen
        for name in names
        if force or not table.has(entry.name, name, _digest(entry, METHODS[name], identity, settings))
    ]
    here = version() if todo else ""
    if left_out and progress:
        print(f"Left out, without their other half: {', '.join(left_out)}", file=sys.stderr)
    for _, entry, name in with_progress(
        [(place, *pair) for place, pair in enumerate(todo, start=1)],
        lambda item: f"Map {item[0]} of {len(todo)}, {item[1].name}, {METHODS[item[2]].title}",
        cost=lambda item: _cost(*item[1:]),
        shown=progress,
    ):
        if stop is not None and stop.is_set():
            kept = f"in {path.name}" if path else "nowhere"
            raise Cancelled(f"Stopped; {len(table.rows)} rows are kept {kept}.")
        made = _rows(entry, name, model, identity, settings)
        for row in made:
            row["version"] = here
        table.replace(entry.name, name, made)
        if path is not None:
            write_table(path, table.rows, settings, list(dict.fromkeys([*commands, said])))
    wanted = [
        row
        for row in table.rows
        if row["method"] in names and row["protein"] in {entry.name for entry in chosen}
    ]
    return as_dataset(wanted, settings, list(dict.fromkeys([*commands, said])))


class _Table:
    """Rows in the order of proteins, methods and ranges."""

    def __init__(self, rows: list[Row], proteins: list[str]) -> None:
        self._by: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            self._by.setdefault((row["protein"], row["method"]), []).append(row)
        self._place = {name: place for place, name in enumerate(proteins)}

    def has(self, protein: str, method: str, digest: str) -> bool:
        """Whether that result is there; what went wrong is tried again."""
        rows = self._by.get((protein, method), [])
        return bool(rows) and all(row["digest"] == digest and not row["error"] for row in rows)

    def replace(self, protein: str, method: str, rows: list[Row]) -> None:
        self._by[protein, method] = rows

    @property
    def rows(self) -> list[Row]:
        order = list(METHODS)
        last = len(self._place)
        keys = sorted(self._by, key=lambda key: (self._place.get(key[0], last), order.index(key[1])))
        return [row for key in keys for row in self._by[key]]


def _rows(entry: Entry, name: str, model: Any, identity: Any, settings: dict[str, Any]) -> list[Row]:
    """Score one map, or say in one row why there is none."""
    method = METHODS[name]
    reads_model = method.reads == "model"
    row: Row = {
        "protein": entry.name,
        "method": name,
        "model": identity.name if reads_model else "",
        "digest": _digest(entry, method, identity, settings),
    }
    try:
        truth = entry.truth.contacts(entry.query, settings["cutoff"], atoms=settings["atoms"])
        row["structure"] = entry.truth.name
        if entry.aligned is not None:
            row["neff"] = _neff(entry)
        if reads_model:
            row["in_sample"] = _in_sample(entry, identity)
        found = precision_by_range(method.make(entry, model), truth, pairs=settings["pairs"])
        resolved = int(truth.notnull().any("pos_j").sum())
    except CatjacError as error:
        return [{**dict.fromkeys(_ALL), **row, "range": "", "error": " ".join(str(error).split())}]
    except (ValueError, ArithmeticError, MemoryError, OSError) as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return [{**dict.fromkeys(_ALL), **row, "range": "", "error": text}]
    return [
        {**dict.fromkeys(_ALL), **row, "error": "", "length": resolved, **values, "range": str(span)}
        for span, values in found.to_dict("index").items()
    ]


_ALL = ("in_sample", "structure", "separation", "neff", "length")


def _neff(entry: Entry) -> float:
    """Effective number of sequences, once a protein."""
    found = _NEFF.get(entry.digest)
    if found is None:
        assert entry.aligned is not None
        found = _NEFF[entry.digest] = entry.aligned.effective_number()
    return found


_NEFF: dict[str, float] = {}


def _in_sample(entry: Entry, identity: Any) -> str:
    """Whether the embedded model was trained on the protein's family; of other models that is not known."""
    from catjac_widgets.language_models.esm.mini.familiarity import familiarity
    from catjac_widgets.language_models.registry import identify

    if identity.name != "mini" or identity.fingerprint != identify("mini").fingerprint:
        return ""
    return "yes" if all(familiarity(chain.residues).known for chain in entry.query.chains) else "no"


def _digest(entry: Entry, method: Method, identity: Any, settings: dict[str, Any]) -> str:
    """Put what a row depends on into 16 digits; "" where the input cannot even be read."""
    try:
        content = entry.digest
    except CatjacError:
        return ""
    model = identity.fingerprint if method.reads == "model" else ""
    if model and identity.unseen:
        model = uuid.uuid4().hex  # a row of such a model stands for no other
    title = _FORMER_TITLES.get(method.title, method.title)
    parts = [_FORMAT, content, title, method.settings, model, json.dumps(settings, sort_keys=True)]
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def _model_first(model: Any, methods: Any) -> tuple[Any, Any]:
    """Take the order of version 0.1, (data, methods, model), and say so."""
    listed = model if isinstance(model, list | tuple) else [model]
    if not all(isinstance(word, str) and present_word(word) in METHODS for word in listed) or not listed:
        return model, methods
    warnings.warn("evaluate takes (data, model, methods) now.", DeprecationWarning, stacklevel=3)
    return ("mini" if methods is USUAL else methods), model


def _checked(methods: Iterable[str]) -> list[str]:
    asked = []
    for name in [methods] if isinstance(methods, str) else methods:
        asked.append(as_source(name, stacklevel=2))
    unknown = [name for name in asked if name not in METHODS]
    if unknown or not asked:
        what = f"There is no method {unknown[0]!r}" if unknown else "There is no method to evaluate"
        raise UsageError(f"{what}; there are {', '.join(METHODS)}.")
    return [name for name in METHODS if name in asked]


def _chosen(entries: list[Entry], only: Iterable[str] | None) -> list[Entry]:
    if only is None:
        return entries
    names = [only] if isinstance(only, str) else list(only)
    by_name = {entry.name: entry for entry in entries}
    missing = [name for name in names if name not in by_name]
    if missing or not names:
        raise UsageError(
            f"There is no protein {missing[0] if missing else ''!r}; there are "
            f"{', '.join(list(by_name)[:5])}{', …' if len(by_name) > 5 else ''}."
        )
    return [by_name[name] for name in names]


def _identity(model: Any) -> Any:
    from catjac_widgets.language_models.registry import identify

    return identify(model)


def _kept_rows(path: Path | None, settings: dict[str, Any]) -> tuple[list[Row], list[str]]:
    if path is None or not os.path.exists(path):
        return [], []
    rows, before, commands = read_rows(path)
    if before != settings:
        differ = ", ".join(key for key in settings if before.get(key) != settings[key])
        raise UsageError(
            f"{path.name} was made with other settings ({differ}); name another file, or remove this one."
        )
    return rows, commands


def _cost(entry: Entry, name: str) -> float:
    """Guess how long a map takes, relative to others: operations in units of 10⁹."""
    try:
        length = len(entry.query)
        rows = len(entry.aligned) if entry.aligned is not None else 1
    except CatjacError:
        return 1.0
    guess = {
        "jacobian": 20 * length**2 * 2e-3,
        "contact_head": length * 2e-3,
        "potts": rows * length**2 * 441 * 2e-7,
        "inverse_covariance": (21 * length) ** 3 * 4e-9,
        "mean_field": (20 * length) ** 3 * 4e-9,
    }
    return 1.0 + guess[name]


def _name(identity: Any) -> str:
    return "" if identity is None else identity.name


def _shown(what: Any) -> str:
    return Path(what).name if isinstance(what, str | Path) else "…"
