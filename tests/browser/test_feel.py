"""What a hand feels in JupyterLab: drags and answers while the kernel is busy, with subshells on and off."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lab import PATIENCE, Notebook, Server, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

Open = Callable[..., Notebook]

#: Work that outlasts the test: 240 residues that are in no cache.
SWEEP = (
    "sweep = catjac.submit('MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVK' * 4, cache=False)"
)


@pytest.mark.parametrize("subshells", ["perCommTarget", "disabled"])
def test_drags_and_one_plus_one_are_answered_while_a_sweep_runs(
    open_notebook: Open, server: Server, subshells: str
) -> None:
    name = f"feel-{subshells}.ipynb"
    write_notebook(
        server.notebooks / name,
        "import catjac\n"
        "ex = catjac.explore(catjac.examples()['bpti'], panels=('sequence', 'map', 'slice'))\n"
        "ex",
    )
    notebook = open_notebook(name, subshells=subshells)
    notebook.run_all()
    notebook.python(SWEEP)
    notebook.until("sweep.progress.rows_done > 0")
    assert notebook.python("print(1 + 1)") == "2"
    assert notebook.python("print(sweep.progress.state)") == "running"

    notebook.python("ex.mask = catjac.Mask.showing(ex.sequence, [(8, 14)])")
    page, explorer = notebook.page, notebook.explorer
    caption = explorer.locator(".cj-mask .cj-caption", has_text="7 of 53")
    caption.wait_for(timeout=PATIENCE)
    grip = explorer.locator(".cj-grip-end").first
    grip.scroll_into_view_if_needed()
    box = grip.bounding_box()
    assert box is not None
    x, y = box["x"] + 7, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 100, y, steps=10)
    # The answer comes while the button is down, and the mask itself waits for its release.
    explorer.locator(".cj-map .cj-title", has_text="under the dragged mask").wait_for(timeout=PATIENCE)
    assert notebook.python("print(ex.mask)") == "8-14"
    assert notebook.python("print(sweep.progress.state)") == "running"
    page.mouse.move(x + 200, y, steps=10)
    page.mouse.up()
    notebook.until("str(ex.mask) not in ('8-14', '')")
    assert notebook.python("print(ex.mask.fragments[0][0], ex.mask.fragments[0][1] > 20)") == "8 True"
    # The Jacobian under the new mask is what the explorer goes on with.
    assert notebook.python("print(ex.job.plan.mask == ex.mask)") == "True"
    notebook.python("sweep.cancel()")
    explorer.locator(".cj-map .cj-title", has_text="Jacobian under a mask").wait_for(timeout=PATIENCE)
    notebook.wait_for_status("complete")
    ours = [text for text in notebook.complaints if "catjac" in text]
    assert not ours, ours
