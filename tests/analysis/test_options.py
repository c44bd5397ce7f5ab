"""Every function that passes options on refuses those that make no sense, before any work."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import xarray as xr
from labelled_arrays import random_sequence
from stubs import PottsModel

import catjac_widgets
from catjac_widgets import analysis, plots
from catjac_widgets.analysis.likelihood.marginals import marginals, substitution_scores
from catjac_widgets.analysis.likelihood.pseudo_perplexity import pseudo_perplexity
from catjac_widgets.analysis.recovery.jumps import minimum_segment, minimum_segments, recovery_jumps
from catjac_widgets.analysis.recovery.one_protein import recovery_scan
from catjac_widgets.analysis.recovery.over_proteins import recovery_curves
from catjac_widgets.analysis.recovery.protocols import protocol
from catjac_widgets.errors import JacobianError, SequenceError, UsageError
from catjac_widgets.plots.style import figure

RESIDUES = random_sequence(9, 3)

#: Functions that pass options on: how to call each, and an option that it takes.
CALLS: dict[str, tuple[Callable[..., Any], str]] = {
    "analysis.accessor.JacobianAccessor.contacts": (lambda model, **o: known().catjac.contacts(**o), "diag"),
    "analysis.accessor.JacobianAccessor.sel": (lambda model, **o: known().catjac.sel(**o), "aa_in"),
    "analysis.accessor.JacobianAccessor.sensitivity": (
        lambda model, **o: known().catjac.sensitivity(**o),
        "allow_partial",
    ),
    "analysis.likelihood.marginals.marginals": (
        lambda model, **o: marginals(RESIDUES, model, **o),
        "numerics",
    ),
    "analysis.likelihood.marginals.substitution_scores": (
        lambda model, **o: substitution_scores(RESIDUES, model, **o),
        "positions",
    ),
    "analysis.likelihood.pseudo_perplexity.pseudo_perplexity": (
        lambda model, **o: pseudo_perplexity(RESIDUES, model, **o),
        "letters",
    ),
    "analysis.recovery.jumps.minimum_segment": (
        lambda model, **o: minimum_segment([], [], [], **o),
        "drop",
    ),
    "analysis.recovery.jumps.minimum_segments": (lambda model, **o: minimum_segments(curves(), **o), "rise"),
    "analysis.recovery.jumps.recovery_jumps": (lambda model, **o: recovery_jumps(curves(), **o), "window"),
    "analysis.recovery.one_protein.recovery_scan": (
        lambda model, **o: recovery_scan(RESIDUES, model, source="jacobian", **o),
        "picks",
    ),
    "analysis.recovery.over_proteins.recovery_curves": (
        lambda model, **o: recovery_curves({"one": RESIDUES}, model, source="jacobian", **o),
        "band",
    ),
    "analysis.recovery.protocols.protocol": (lambda model, **o: protocol("pair", **o), "strand"),
    "plots.style.figure": (lambda model, **o: figure(**o), "x_range"),
}

#: Options of that name that are right.
TAKEN = {
    ("marginals", "method"),
    ("substitution_scores", "method"),
    ("pseudo_perplexity", "method"),
    ("recovery_scan", "variant"),
    ("recovery_curves", "variant"),
    ("figure", "name"),
}


def known() -> xr.DataArray:
    return catjac_widgets.jacobian(RESIDUES, PottsModel(seed=3), progress=False)


def curves() -> xr.Dataset:
    """The part of a recovery's result that jumps are read from."""
    R = np.array([[[0.1, 0.9, 0.9]]] * 3)
    return xr.Dataset(
        {"R": (("pattern", "fragment", "step"), R), "visible": (("pattern", "fragment", "step"), 22 + R)},
        coords={
            "pattern": ["flanking", "flanking_first", "flanking_last"],
            "fragment": ["1-22"],
            "step": [0, 1, 2],
        },
    )


def passing_on() -> Iterator[str]:
    """Name all public functions and methods of analyses and plots that take any keyword."""
    for package in (analysis, plots):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(found.name)
            for name, value in vars(module).items():
                if name.startswith("_") or getattr(value, "__module__", "") != module.__name__:
                    continue
                members = {name: value}
                if inspect.isclass(value):
                    members |= {f"{name}.{key}": each for key, each in vars(value).items() if key[0] != "_"}
                for path, member in members.items():
                    if inspect.isfunction(member) and any(
                        parameter.kind is parameter.VAR_KEYWORD
                        for parameter in inspect.signature(member).parameters.values()
                    ):
                        yield f"{module.__name__}.{path}".removeprefix("catjac_widgets.")


def test_no_function_that_passes_options_on_is_left_out() -> None:
    assert sorted(passing_on()) == sorted(CALLS)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        (name, option)
        for name in CALLS
        for option in ("nonsense", "pos", "name", "variant", "rows", "method")
        if (name.rpartition(".")[2], option) not in TAKEN
    ],
)
def test_an_option_that_makes_no_sense_is_refused_before_any_work(
    name: str, option: str, own_cache: Any
) -> None:
    call, possible = CALLS[name]
    model = PottsModel(seed=3)
    with pytest.raises(UsageError, match=rf"\b{option}\b") as raised:
        call(model, **{option: "nothing"})
    said = str(raised.value)
    assert re.search(rf"(possible|similar) .*{possible}", said) or name.startswith("plots"), said
    assert "\n" not in said
    assert (model.sequences_run, model.prepared) == (0, 0)


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        (
            pseudo_perplexity,
            {"letters": 33, "numerics": "float64"},
            "no option numerics= over another number",
        ),
        (recovery_scan, {"source": "jacobian", "gap": 3}, "no option gap= with protocol='segment'"),
        (
            recovery_scan,
            {"source": "jacobian", "fragments": [(1, 9)], "picks": 2},
            "no option picks= with fragments=; .*masked_ends=",
        ),
    ],
)
def test_an_option_that_another_one_makes_useless_is_refused(
    function: Any, options: dict[str, Any], words: str
) -> None:
    model = PottsModel(seed=3)
    with pytest.raises(UsageError, match=words):
        function(RESIDUES, model, **options)
    assert model.sequences_run == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 0}, "window=0 is no number of flank lengths; give 1 or more"),
        ({"window": 2.5}, r"window=2\.5"),
        ({"exceptions": -1}, "exceptions=-1"),
        ({"rise": "high"}, "rise='high' is no number"),
        ({"drop": float("nan")}, "drop=nan"),
        ({"threshold": "0.5"}, "threshold='0.5'"),
        ({"threshold": True}, "threshold=True"),
    ],
)
def test_constants_of_jumps_that_make_no_sense(options: dict[str, Any], words: str) -> None:
    none = curves().isel(fragment=[])
    for found in (curves(), none):
        for function in (recovery_jumps, minimum_segments):
            with pytest.raises(UsageError, match=words):
                function(found, **options)


def test_selections_that_find_nothing() -> None:
    J = known()
    for options, words in (
        ({"aa_in": "Z"}, "There is no aa_in='Z'; there is L A G"),
        ({"pos_out": 10}, "There is no pos_out=10; there is 1 to 9"),
        ({"pos_in": [1, 0]}, r"no pos_in=\[1, 0\]"),
        ({"pos_in": {}}, "no pos_in="),
    ):
        with pytest.raises(SequenceError, match=words):
            J.catjac.sel(**options)
    with pytest.raises(JacobianError, match="no axis pos_in left"):
        J.catjac.sel(number=1, pos_in=1)
    assert float(J.catjac.sel(number=1, pos_out=5, aa_in="K", aa_out="E")) == float(
        J.sel(pos_in=1, pos_out=5, aa_in="K", aa_out="E")
    )


def test_a_figure_says_which_option_is_of_the_wrong_kind() -> None:
    with pytest.raises(UsageError, match="x_range"):
        figure(x_range=1)
    with pytest.raises(UsageError, match="similar attributes are x_range"):
        figure(x_rang=(0, 1))
    assert figure(toolbar_location="above").toolbar_location == "above"
