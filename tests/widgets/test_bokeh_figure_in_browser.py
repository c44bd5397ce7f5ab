"""Bokeh's figures in views that come and go: none is drawn off the page, each when its view is on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bokeh
import pytest
from jobs import RESIDUES
from notebook_page import NotebookPage

from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.widgets.recovery.view import RecoveryCurve
from catjac_widgets.widgets.sensitivity.view import Sensitivity

pytestmark = pytest.mark.browser

SCRIPT = Path(bokeh.__file__).parent / "server" / "static" / "js" / "bokeh.min.js"

#: Bokeh draws only after `draw()`, and counts what it was asked to draw and what it is done with.
HELD = """() => {
    const { embed } = Bokeh;
    const gate = new Promise((open) => (window.draw = open));
    window.asked = window.settled = 0;
    const embed_item = async (...given) => {
        window.asked += 1;
        if (window.asked === 1) await gate;
        return embed.embed_item(...given).finally(() => (window.settled += 1));
    };
    window.Bokeh = { ...Bokeh, embed: { ...embed, embed_item } };
}"""


@pytest.fixture(params=["sensitivity", "recovery"])
def view(request: pytest.FixtureRequest) -> Any:
    sequence = as_sequence(RESIDUES, name="made up")
    return RecoveryCurve(sequence) if request.param == "recovery" else Sensitivity(sequence=sequence)


def ready(notebook: NotebookPage) -> bool:
    return bool(notebook.page.locator("[data-ready] .cj-bokeh canvas").count())


def counted(notebook: NotebookPage, name: str) -> int:
    return int(notebook.page.evaluate(f"window.{name}"))


def show_held(notebook: NotebookPage, view: Any) -> None:
    """Show a view whose figure is drawn only when the page says so."""
    notebook.page.add_script_tag(path=SCRIPT)
    notebook.page.evaluate(HELD)
    notebook.show(view)
    notebook.until(lambda: counted(notebook, "asked") == 1)


def test_a_view_that_is_taken_off_before_bokeh_draws_is_not_drawn(notebook: NotebookPage, view: Any) -> None:
    show_held(notebook, view)
    notebook.page.evaluate("models.forEach((model) => model.dispose?.())")
    notebook.page.evaluate("draw()")
    notebook.until(lambda: counted(notebook, "settled") == 1)
    notebook.settle()
    assert counted(notebook, "asked") == 1
    assert not ready(notebook)
    assert notebook.complaints == []


def test_a_view_that_is_away_while_bokeh_draws_is_drawn_on_its_return(
    notebook: NotebookPage, view: Any
) -> None:
    show_held(notebook, view)
    # As a notebook does with cells out of sight.
    notebook.page.evaluate("(window.away = document.getElementById('page')).remove()")
    notebook.page.evaluate("draw()")
    notebook.until(lambda: counted(notebook, "settled") == 1)
    notebook.settle()
    assert notebook.complaints == []
    notebook.page.evaluate("document.body.append(away)")
    notebook.until(lambda: ready(notebook))
    assert notebook.complaints == []


def test_a_view_that_is_made_off_the_page_is_drawn_once_on_it(notebook: NotebookPage, view: Any) -> None:
    notebook.page.add_script_tag(path=SCRIPT)
    notebook.pump()
    notebook.page.evaluate(
        "id => window.show(id, window.away = document.createElement('div'))", view.model_id
    )
    notebook.settle()
    assert notebook.complaints == []
    notebook.page.evaluate("document.body.append(away)")
    notebook.until(lambda: ready(notebook))
    assert notebook.complaints == []


def test_a_view_that_is_taken_off_before_the_script_comes_asks_for_none(
    notebook: NotebookPage, view: Any
) -> None:
    notebook.pump()
    notebook.page.evaluate("id => window.show(id)", view.model_id)
    notebook.page.evaluate("models.forEach((model) => model.dispose?.())")
    # Until it would have been asked for: the looking is by short timers, and rest is when there are none.
    notebook.settle()
    assert notebook.page.evaluate("window.Bokeh") is None
    assert notebook.complaints == []
