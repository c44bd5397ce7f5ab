"""The figures show the numbers that they are given; how they look is looked at."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from bokeh.models import ColorBar, FactorRange, Legend, Scatter
from stubs import PottsModel

import catjac_widgets
from catjac_widgets.analysis.benchmark.evaluation_table import COLUMNS, NUMBERS, as_dataset, evaluation_means
from catjac_widgets.analysis.benchmark.scaling import AGAINST
from catjac_widgets.analysis.likelihood.double_mutants import double_mutants
from catjac_widgets.analysis.likelihood.marginals import substitution_scores
from catjac_widgets.errors import JacobianError, UsageError
from catjac_widgets.plots.evaluation import plot_evaluation
from catjac_widgets.plots.scaling import _ticks, plot_scaling
from catjac_widgets.plots.style import save_html
from catjac_widgets.plots.substitutions import plot_double_mutants, plot_substitutions


def evaluation(known=("yes", "no", "no"), methods=("jacobian", "potts")):
    random = np.random.default_rng(0)
    rows = [
        {
            **dict.fromkeys(COLUMNS, ""),
            **{name: float(random.random()) for name in NUMBERS},
            "length": 50,
            "protein": f"p{p}",
            "method": method,
            "model": "mini" if method == "jacobian" else "",
            "range": span,
            "in_sample": value if method == "jacobian" else "",
        }
        for p, value in enumerate(known)
        for method in methods
        for span in ("all", "long")
    ]
    return as_dataset(rows, {})


def marks(figure):
    """Scatter data by legend entry."""
    found = {}
    for item in (item for legend in figure.select(Legend) for item in legend.items):
        for renderer in item.renderers:
            if isinstance(renderer.glyph, Scatter):
                found[item.label.value] = renderer.data_source.data
    return found


def test_each_mark_is_its_number(tmp_path):
    table = evaluation()
    for span in ("all", "long"):
        made = plot_evaluation(table, span=span)
        means = [evaluation_means(table, in_sample=each)["mean"].sel(range=span) for each in (True, False)]
        for method, title in (("jacobian", "Jacobian"), ("potts", "Potts")):
            said = " / ".join(f"{float(mean.sel(source=method)):.2f}" for mean in means)
            data = marks(made)[f"{title} {said}"]
            for protein, factor, value in zip(data["protein"], data["y"], data["value"], strict=True):
                cell = table["precision_at_l"].sel(protein=protein, source=method, range=span)
                assert value == float(cell)
                assert factor[1] == protein
    assert save_html(made, tmp_path / "out.html").stat().st_size > 100_000


def test_proteins_that_the_model_knows_stand_apart_best_on_top():
    made = plot_evaluation(evaluation())
    assert isinstance(made.y_range, FactorRange)
    factors = list(made.y_range.factors)
    assert [group for group, _ in factors] == ["not trained on", "not trained on", "trained on"]
    table = evaluation(known=("", "", ""))
    factors = list(plot_evaluation(table).y_range.factors)
    best = table["precision_at_l"].sel(range="all").max("source")
    assert factors == [str(p) for p in table["protein"].values[np.argsort(best.values)]]


def test_what_failed_has_no_mark():
    table = evaluation()
    table["precision_at_l"].loc[{"protein": "p1", "source": "potts"}] = np.nan
    table["precision_at_l"].loc[{"protein": "p2"}] = np.nan
    shown = marks(plot_evaluation(table))
    found = {label.split()[0]: list(data["protein"]) for label, data in shown.items() if label != "guessing"}
    assert {name: sorted(listed) for name, listed in found.items()} == {
        "Jacobian": ["p0", "p1"],
        "Potts": ["p0"],
    }


def test_evaluations_that_cannot_be_drawn():
    with pytest.raises(UsageError, match="measure='luck'"):
        plot_evaluation(evaluation(), measure="luck")
    with pytest.raises(UsageError, match="span='far'"):
        plot_evaluation(evaluation(), span="far")
    row = {**dict.fromkeys(COLUMNS, ""), "protein": "p", "method": "potts", "error": "no alignment"}
    empty = as_dataset([row], {})
    with pytest.raises(UsageError, match="nothing could be evaluated"):
        plot_evaluation(empty)


def scaled(models=("small", "large"), neff=True):
    random = np.random.default_rng(1)
    shape = (len(models), 5)
    rho = (("model", "against"), random.uniform(-1, 1, size=(len(models), 2)))
    return xr.Dataset(
        {
            "pseudo_perplexity": (("model", "protein"), random.uniform(2, 15, size=shape)),
            "precision_at_l": (("model", "protein"), random.random(shape)),
            "neff": ("protein", random.uniform(10, 1000, size=5) if neff else np.full(5, np.nan)),
            **dict.fromkeys(("spearman", "low", "high"), rho),
            **{f"pooled_{name}": random.random() for name in ("spearman", "low", "high")},
        },
        coords={"model": list(models), "protein": [f"p{k}" for k in range(5)], "against": list(AGAINST)},
        attrs={"source": "Jacobian", "separation": 6, "confidence": 0.95},
    )


@pytest.mark.parametrize("against", AGAINST)
def test_each_point_is_a_protein_and_a_model(against):
    table = scaled()
    table["precision_at_l"][1, 3] = np.nan
    shown = marks(plot_scaling(table, against=against))
    assert len(shown) == 2
    for label, data in shown.items():
        model = label.split(":")[0]
        assert len(data["x"]) == (5 if model == "small" else 4)
        for protein, x, y in zip(data["protein"], data["x"], data["y"], strict=True):
            cell = table.sel(protein=protein, model=model)
            assert (x, y) == (float(cell[against]), float(cell["precision_at_l"]))
    rho = float(table["spearman"].sel(model="small", against=against))
    assert any(f"ρ = {rho:+.2f}".replace("-", "−") in label for label in shown)


def test_scalings_that_cannot_be_drawn():
    with pytest.raises(UsageError, match="against='luck'"):
        plot_scaling(scaled(), against="luck")
    with pytest.raises(UsageError, match="Neff needs an alignment"):
        plot_scaling(scaled(neff=False), against="neff")
    assert marks(plot_scaling(scaled(models=("only",))))


@pytest.mark.parametrize("span", [(1.2, 1.4), (2, 15), (5, 5000), (3, 3)])
def test_ticks_are_round_numbers_in_the_span(span):
    ticks = _ticks(np.array(span))
    assert ticks == sorted(ticks)
    assert all(span[0] / 1.2 <= tick <= span[1] * 1.2 for tick in ticks)


def test_the_heat_map_has_a_cell_a_substitution_and_marks_the_wild_type(tmp_path):
    residues = "ACDWYGHIKL"
    scores = substitution_scores(residues, PottsModel(seed=3), progress=False)
    made = plot_substitutions(scores)
    cells = made.renderers[0].data_source.data
    assert len(cells["score"]) == 200
    for pos, letter, name, value in zip(*(cells[key] for key in ("pos", "aa", "name", "score")), strict=True):
        assert value == pytest.approx(float(scores.sel(pos=pos, aa=letter)))
        assert name == f"{residues[pos - 1]}{pos}{letter}"
    dots = made.renderers[1].data_source.data
    assert list(zip(dots["x"], dots["y"], strict=True)) == list(enumerate(residues, start=1))
    bar = made.select_one(ColorBar)
    assert bar.color_mapper.high == -bar.color_mapper.low > 0
    assert list(made.y_range.factors)[::-1] == list("AFILVMWYDEKRHNQSTGPC")
    assert list(plot_substitutions(scores, order="alphabetical").y_range.factors) == sorted(
        "ACDEFGHIKLMNPQRSTVWY", reverse=True
    )
    assert plot_substitutions(scores, limit=3.0).select_one(ColorBar).color_mapper.high == 3.0
    save_html(made, tmp_path / "out.html")


def test_scores_that_know_nothing_and_scores_that_are_none():
    scores = substitution_scores("ACDWYGHIKL", PottsModel(seed=3), progress=False)
    flat = plot_substitutions(scores * 0)
    assert flat.select_one(ColorBar).color_mapper.high == 1.0
    with pytest.raises(JacobianError, match="axes pos and aa"):
        plot_substitutions(scores.isel(pos=0))
    with pytest.raises(JacobianError, match="finite"):
        plot_substitutions(scores * np.nan)
    with pytest.raises(UsageError, match="lacks"):
        plot_substitutions(scores, order="ACD")


def test_double_mutants_lie_on_the_diagonal_for_a_potts_model():
    residues, model = "ACDWYGHIKL", PottsModel(seed=3)
    J = catjac_widgets.jacobian(residues, model, progress=False)
    doubles = double_mutants(residues, model, pairs=[(1, 7), (2, 9)], J=J, progress=False)
    shown = marks(plot_double_mutants(doubles))
    assert sorted(shown) == ["A1–H7, ρ = +1.00", "C2–K9, ρ = +1.00"]
    for data in shown.values():
        assert len(data["x"]) == 19 * 19
        np.testing.assert_allclose(data["x"], data["y"], atol=1e-4)
    with pytest.raises(UsageError, match="with J="):
        plot_double_mutants(double_mutants(residues, model, pairs=[(1, 7)], progress=False))
