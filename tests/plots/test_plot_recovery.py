from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from bokeh.models import HoverTool, Legend
from bokeh.models.glyphs import Line, Scatter, Text, VArea

from catjac_widgets.analysis.recovery.patterns import PATTERNS
from catjac_widgets.errors import UsageError
from catjac_widgets.plots.recovery import NAMES, plot_recovery
from catjac_widgets.plots.style import save_html

STEPS = np.arange(4)


@pytest.fixture
def curves() -> xr.Dataset:
    """Three segments of two proteins; the distant pattern ends after two steps, its band after one."""
    percent = np.array([[0, 50, 100, 100.0], [0, 0, 50, 100], [0, 100, np.nan, np.nan]])
    segments = np.array([[3, 3, 2, 1], [3, 3, 2, 1], [3, 1, 0, 0]])
    low = np.where([[1, 1, 1, 0], [1, 1, 1, 0], [1, 0, 0, 0]], percent * 0.8, np.nan)
    axes = ("pattern", "step")
    return xr.Dataset(
        {
            "percent": (axes, percent),
            "low": (axes, low),
            "high": (axes, low / 0.8),
            "mean": (axes, percent / 80),
            "mean_low": (axes, low / 80),
            "mean_high": (axes, low / 64),
            "segments": (axes, segments),
            "proteins": (axes, np.minimum(segments, 2)),
            "R": (("pattern", "segment", "step"), np.ones((3, 3, 4))),
            "R_control": (("pattern", "segment", "step"), np.ones((3, 3, 4))),
            "visible": (("pattern", "segment", "step"), np.ones((3, 3, 4), int)),
        },
        coords={"pattern": ["flanking", "random", "random_distant"], "step": STEPS},
        attrs={
            "threshold": 0.5,
            "confidence": 0.95,
            "band": "bootstrap",
            "source": "contact_head",
            "model": "mini",
        },
    )


def glyphs(made: Any, kind: type) -> list[Any]:
    return [renderer for renderer in made.renderers if isinstance(renderer.glyph, kind)]


def test_every_pattern_has_a_name_and_a_colour() -> None:
    assert set(NAMES) == set(PATTERNS)
    assert len({name for name, _ in NAMES.values()}) == len(NAMES)
    shown_together = [NAMES[pattern][1] for pattern in list(NAMES)[:5]]
    assert len(set(shown_together)) == 5


def test_curves_bands_and_the_numbers_behind_them(curves: xr.Dataset, tmp_path: Path) -> None:
    made = plot_recovery(curves)
    above, below = made.children
    lines = glyphs(above, Line)
    assert len(lines) == 3
    np.testing.assert_array_equal(lines[1].data_source.data["value"], curves["percent"][1])
    # No point where there is no segment, no band where there are not two proteins.
    assert list(lines[2].data_source.data["flank"]) == [0, 1]
    assert list(glyphs(above, VArea)[2].data_source.data["flank"]) == [0]
    assert list(glyphs(above, Scatter)[0].data_source.data["segments"]) == [3, 3, 2, 1]
    texts = [list(text.data_source.data["text"]) for text in glyphs(below, Text)]
    assert texts == [["3/2", "3/2", "2/2", "1/1"], ["3/2", "3/2", "2/2", "1/1"], ["3/2", "1/1", "0/0", "0/0"]]
    assert below.x_range is above.x_range
    assert above.yaxis[0].axis_label == "segments with R > 0.5 (%)"
    assert above.title.text == "Masked recovery, mini, contact head"
    hover = above.select_one(HoverTool)
    assert "@segments segments of @proteins proteins" in str(hover.tooltips)
    assert len(list(above.select(Legend))) == 1
    assert callable(made._ipython_display_)
    assert save_html(made, tmp_path / "curves.html").stat().st_size > 10_000


def test_the_mean_has_the_control_beside_it(curves: xr.Dataset) -> None:
    above, _ = plot_recovery(curves, "mean").children
    control = glyphs(above, Line)[-1]
    np.testing.assert_array_equal(control.data_source.data["y"], np.ones(4))
    assert control.glyph.line_dash == "dotted" or list(control.glyph.line_dash)
    assert above.y_range.end > float(curves["mean_high"].max())
    counted = curves.drop_vars(["percent", "low", "high"])
    assert plot_recovery(counted).children[0].yaxis[0].axis_label == "mean R"
    with pytest.raises(UsageError, match="holds no such curve"):
        plot_recovery(counted, "percent")


def test_many_steps_leave_room_for_the_numbers(curves: xr.Dataset) -> None:
    long = xr.concat([curves.assign_coords(step=STEPS + 4 * k) for k in range(20)], "step")
    _, below = plot_recovery(long).children
    assert max(len(text.data_source.data["text"]) for text in glyphs(below, Text)) <= 9


def test_one_protein_shows_every_target() -> None:
    R = np.array([[[0.1, 0.9, np.nan], [0.2, 0.3, 1.2]]])
    found = xr.Dataset(
        {
            "R": (("pattern", "fragment", "step"), R),
            "visible": (("pattern", "fragment", "step"), np.where(np.isfinite(R), 7, 0)),
        },
        coords={"pattern": ["flanking"], "fragment": ["3-9", "12-18"], "step": [0, 1, 2]},
        attrs={"threshold": 0.5, "source": "contact_head", "model": "mini", "sequence_name": "bpti"},
    )
    made = plot_recovery(found)
    assert [list(line.data_source.data["flank"]) for line in glyphs(made, Line)] == [[0, 1], [0, 1, 2]]
    assert made.title.text == "Masked recovery, bpti, mini, contact head"
    assert made.y_range.end > 1.2
    single = plot_recovery(found.isel(fragment=[0]), title="Mine")
    assert (single.title.text, single.below[-1].text) == ("Mine", "Contacts of residues 3-9.")
    empty = found.isel(fragment=[])
    assert not glyphs(plot_recovery(empty), Line)


def test_anything_else_is_refused() -> None:
    for wrong in (xr.Dataset(), 3, None):
        with pytest.raises(UsageError, match="no result of a recovery"):
            plot_recovery(wrong)
