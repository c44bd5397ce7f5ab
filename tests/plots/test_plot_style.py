from __future__ import annotations

from pathlib import Path

import pytest
from bokeh.models import Legend
from bokeh.plotting import figure as bokeh_figure

from catjac_widgets.plots.style import GREY, PALETTE, add_note, figure, save_html, showing_itself, tidy_legend


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_computed_as_defined() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("ground", ["#ffffff", "#111111"])
def test_everything_can_be_read_on_light_and_dark_ground(ground: str) -> None:
    for colour in PALETTE:
        assert contrast(colour, ground) >= 3, colour
    assert contrast(GREY, ground) >= 4
    assert len(set(PALETTE)) == len(PALETTE)


def test_a_figure_is_bokehs_with_a_transparent_ground(tmp_path: Path) -> None:
    made = figure("Recovered", x="flank (residues)", y="segments (%)", x_range=(0, 10))
    made.line([0, 1], [2, 3], legend_label="flanks")
    tidy_legend(made)
    add_note(made, "3 proteins")
    assert isinstance(made, bokeh_figure)
    assert made.background_fill_color is None
    assert made.xaxis[0].axis_label == "flank (residues)"
    assert [type(part) for part in made.right].count(Legend) == 1
    assert made.below[-1].text == "3 proteins"
    page = save_html(made, tmp_path / "figure.html").read_text(encoding="utf-8")
    assert "flank (residues)" in page
    assert "<script src" not in page


def test_it_shows_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    import bokeh.io

    shown: list[object] = []
    monkeypatch.setattr(bokeh.io, "show", shown.append)
    made = figure()
    made._ipython_display_()
    assert shown == [made]
    other = bokeh_figure()
    assert showing_itself(other) is other
