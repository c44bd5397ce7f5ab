from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from catjac_widgets.errors import UsageError
from catjac_widgets.plots.couplings import plot_couplings, plot_couplings_scatter
from catjac_widgets.plots.style import save_html


def table(families: int = 3, model: str = "mini", in_sample: bool = True) -> pd.DataFrame:
    random = np.random.default_rng(families)
    return pd.DataFrame(
        [
            {
                "family": f"family {k}", "model": model, "couplings": "inverse_covariance",
                "in_sample": in_sample, "cutoff": float(n), "entries": 1000 // (n + 1),
                "spearman": 0.1 + 0.1 * n + 0.05 * random.normal(),
            }
            for k in range(families)
            for n in range(4)
        ]
    )  # fmt: skip


def lines_of(made) -> list:
    return [renderer for renderer in made.renderers if type(renderer.glyph).__name__ == "Line"]


def test_the_thick_line_is_the_mean():
    given = table()
    made = plot_couplings(given)
    drawn = lines_of(made)
    assert len(drawn) == 4  # three families and their mean
    mean = drawn[-1].data_source.data
    expected = given.groupby("cutoff")["spearman"].mean()
    np.testing.assert_allclose(mean["y"], expected)
    band = next(r for r in made.renderers if type(r.glyph).__name__ == "VArea").data_source.data
    assert (np.array(band["y1"]) <= expected.to_numpy()).all()
    assert (np.array(band["y2"]) >= expected.to_numpy()).all()
    notes = [part.text for part in made.below if hasattr(part, "text")]
    assert any("3 families" in note for note in notes)
    assert any("3 of them mini was trained on" in note for note in notes)


def test_two_models_have_two_colours(tmp_path):
    both = pd.concat([table(), table(2, "esm2_t6_8M_UR50D", in_sample=False)])
    made = plot_couplings(both)
    assert len({line.glyph.line_color for line in lines_of(made)}) == 2
    assert "family 0" in save_html(made, tmp_path / "plot.html").read_text()


def test_families_without_a_correlation_are_left_out():
    given = table()
    given.loc[given["family"] == "family 1", "spearman"] = np.nan
    assert len(lines_of(plot_couplings(given))) == 3
    for nothing in (given.assign(spearman=np.nan), pd.DataFrame({"family": ["a"], "error": ["x"]})):
        with pytest.raises(UsageError, match="no correlation"):
            plot_couplings(nothing)


def entries(pairs: int) -> xr.Dataset:
    random = np.random.default_rng(0)
    W = random.normal(size=(pairs, 20, 20))
    letters = list("ARNDCQEGHILKMFPSTWYV")
    return xr.Dataset(
        {"jacobian": (("pair", "aa_i", "aa_j"), 2 * W), "couplings": (("pair", "aa_i", "aa_j"), W)},
        coords={
            "pos_i": ("pair", np.arange(pairs) + 1),
            "pos_j": ("pair", np.arange(pairs) + 7),
            "aa_i": letters,
            "aa_j": letters,
        },
        attrs={"sigma": 1.0},
    )


def test_points_are_entries_split_at_the_cut_off():
    made = plot_couplings_scatter(entries(2), cutoff=1.5)
    small, large = (renderer.data_source.data for renderer in made.renderers)
    assert len(small["x"]) + len(large["x"]) == 800
    assert np.abs(small["x"]).max() <= 1.5 < np.abs(large["x"]).min()
    np.testing.assert_allclose(large["y"], 2 * large["x"])
    given = entries(2)
    place = int(np.abs(given["couplings"].values).argmax())
    pair, a, b = np.unravel_index(place, (2, 20, 20))
    name = f"{given['aa_i'].values[a]}{pair + 1} – {given['aa_j'].values[b]}{pair + 7}"
    assert large["name"][int(np.abs(large["x"]).argmax())] == name


def test_of_many_entries_a_sample_is_drawn():
    made = plot_couplings_scatter(entries(50))
    assert sum(len(renderer.data_source.data["x"]) for renderer in made.renderers) == 6000
    notes = [part.text for part in made.below if hasattr(part, "text")]
    assert any("6,000 of 20,000 drawn" in note for note in notes)
    with pytest.raises(UsageError, match="no pair"):
        plot_couplings_scatter(entries(0))
