"""The quickstart, with the mouse, in a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from lab import PATIENCE, READY, Notebook, Server, choose_kernel, differing, pixels, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

# What JupyterLab itself complains about, with why it is none of ours.
NOT_OURS = ("favicon", "/api/kernels", "ResizeObserver loop")

Open = Callable[..., Notebook]


def no_complaints(notebook: Notebook) -> None:
    ours = [text for text in notebook.complaints if not any(part in text for part in NOT_OURS)]
    assert not ours, ours


@pytest.mark.parametrize("subshells", ["perCommTarget", "disabled"])
def test_quickstart_from_the_kernel_to_the_pixel_and_back(
    open_notebook: Open, server: Server, repository: Path, results: Path, subshells: str
) -> None:
    name = f"quickstart-{subshells}.ipynb"
    shutil.copy(repository / "examples" / "quickstart.ipynb", server.notebooks / name)
    # As for a person, once: a page that was just loaded, and a kernel that Python starts.
    as_usual = subshells == "perCommTarget"
    if not as_usual:
        choose_kernel(server.notebooks / name, READY)
    notebook = open_notebook(name, fresh=as_usual, subshells=subshells)
    notebook.run_all()

    notebook.wait_for_status("complete")
    block = notebook.explorer.locator(".cj-slice canvas.cj-block")
    first = notebook.click_map(0.30, 0.60)
    assert (
        notebook.python(
            "i, j = ex.selection; print(f'{ex.sequence.labels[i-1]} – {ex.sequence.labels[j-1]}')"
        )
        == first
    )
    notebook.explorer.locator(".cj-slice:not(.cj-empty)").wait_for(timeout=PATIENCE)
    before = pixels(block)

    second = notebook.click_map(0.70, 0.25)
    assert second != first
    notebook.until(
        "(ex.sequence.labels[ex.selection[0]-1] + ' – ' + ex.sequence.labels[ex.selection[1]-1]) == "
        + repr(second)
    )
    title = notebook.explorer.locator(".cj-slice .cj-title", has_text=second.replace("–", "→"))
    title.wait_for(timeout=PATIENCE)
    notebook.explorer.locator(".cj-slice:not(.cj-empty)").wait_for(timeout=PATIENCE)
    notebook.when(lambda: differing(before, pixels(block)) > 0.02)

    # The other way round: Python moves, the picture follows.
    before = pixels(notebook.map)
    notebook.python("ex.selection = (5, 30)")
    label = notebook.python("print(ex.sequence.labels[4], '→', ex.sequence.labels[29])")
    notebook.explorer.locator(".cj-slice .cj-title", has_text=label).wait_for(timeout=PATIENCE)
    notebook.when(lambda: pixels(notebook.map) != before)
    notebook.page.screenshot(path=results / f"quickstart-{subshells}.png")
    no_complaints(notebook)


def test_map_shows_what_python_holds(open_notebook: Open, server: Server) -> None:
    """The colours on the canvas follow the numbers: the best pair is among the most intense cells."""
    write_notebook(
        server.notebooks / "map.ipynb",
        "import catjac",
        "protein = catjac.examples()['bpti']\nex = catjac.explore(protein.sequence, 'mini')\nex",
    )
    notebook = open_notebook("map.ipynb")
    notebook.run_all()
    notebook.wait_for_status("complete")
    found = notebook.python(
        "import numpy as np\n"
        "C = ex.contacts.values.copy(); L = len(C)\n"
        "C[np.abs(np.subtract.outer(np.arange(L), np.arange(L))) < 6] = -np.inf\n"
        "i, j = np.unravel_index(np.argmax(C), C.shape); print(L, i, j)"
    )
    length, i, j = map(int, found.split())
    # Distance from the background colour, cell by cell, read from the base canvas.
    brightest = notebook.explorer.locator(".cj-map canvas.cj-layer").first.evaluate(
        """(canvas, [length, separation, left, top, right, bottom]) => {
          const scale = canvas.width / canvas.getBoundingClientRect().width;
          const size = canvas.getBoundingClientRect().width - left - right;
          const context = canvas.getContext("2d");
          const at = (row, column) => context.getImageData(
            Math.floor((left + ((column + 0.5) / length) * size) * scale),
            Math.floor((top + ((row + 0.5) / length) * size) * scale), 1, 1).data;
          const sums = [];
          for (let row = 0; row < length; row++) {
            for (let column = row + separation; column < length; column++) {
              const [red, green, blue] = at(row, column);
              sums.push([red + green + blue, row, column]);
            }
          }
          sums.sort((one, other) => one[0] - other[0]);
          return sums.slice(0, 8).map(([, row, column]) => [row, column]);
        }""",
        [length, 6, 46, 6, 6, 34],
    )
    assert [min(i, j), max(i, j)] in brightest
    no_complaints(notebook)


def test_cancel_stops_a_slow_job_and_keeps_its_rows(open_notebook: Open, server: Server) -> None:
    write_notebook(
        server.notebooks / "cancel.ipynb",
        "import catjac\nfrom stubs import SlowModel\nmodel = SlowModel(seconds=0.2)",
        "ex = catjac.explore('ACDEFGHIKLMNPQRSTVWY' * 10, model, batch_size=20)\nex",
    )
    notebook = open_notebook("cancel.ipynb")
    notebook.run_all()
    # The kernel answers while the job runs, and the map fills meanwhile.
    notebook.until("ex.job.progress.rows_done >= 2")
    base = notebook.explorer.locator(".cj-map canvas.cj-layer").first
    early = pixels(base)
    notebook.until("ex.job.progress.rows_done >= 12")
    notebook.when(lambda: pixels(base) != early)
    notebook.explorer.get_by_role("button", name="Cancel").click()
    notebook.wait_for_status("stopped at")
    assert notebook.python("print(ex.job.progress.state)") == "cancelled"
    done = int(
        notebook.python("print(int((~ex.jacobian.isnull()).any(['aa_in', 'pos_out', 'aa_out']).sum()))")
    )
    assert 12 <= done < 200
    no_complaints(notebook)


def test_a_hostile_header_is_only_text(open_notebook: Open, server: Server) -> None:
    hostile = "<img/src=x/onerror=window.hacked=1><b>bold</b>"
    write_notebook(
        server.notebooks / "hostile.ipynb",
        "%load_ext catjac",
        f"%%catjac explore --to ex --variant fast\n>{hostile}\nNLYIQWLKDGGPSSGRPPPS",
    )
    notebook = open_notebook("hostile.ipynb")
    notebook.run_all()
    notebook.wait_for_status("complete")
    assert notebook.explorer.locator(".cj-protein").inner_text() == hostile
    assert notebook.explorer.locator("img").count() == 0
    assert notebook.page.evaluate("window.hacked === undefined")
    no_complaints(notebook)


def test_errors_are_shown_in_the_widget(open_notebook: Open, server: Server) -> None:
    write_notebook(
        server.notebooks / "error.ipynb",
        "import catjac\nfrom stubs import FailingModel",
        "ex = catjac.explore('NLYIQWLKDGGPSSGRPPPS', FailingModel(position=12, letter='W'))\nex",
    )
    notebook = open_notebook("error.ipynb")
    notebook.run_all()
    notebook.wait_for_status("failed")
    said = notebook.explorer.locator(".cj-error:visible").inner_text()
    assert said.strip()
    assert "Traceback" not in said
    assert said == notebook.python("print(ex.error)")
    no_complaints(notebook)


def test_pictures_of_the_explorer(
    open_notebook: Open, server: Server, repository: Path, results: Path
) -> None:
    """The README's pictures, light and dark; CATJAC_PICTURES=docs takes them anew."""
    write_notebook(
        server.notebooks / "picture.ipynb",
        "%load_ext catjac\nimport catjac",
        "ex = %catjac explore bpti\nex.wait()\nex.selection = (11, 35)\nex",
    )
    notebook = open_notebook("picture.ipynb", scale=2)
    # All of it is on the page at once, or the picture is put together of parts that scrolled.
    notebook.page.set_viewport_size({"width": 1220, "height": 2300})
    notebook.run_all()
    notebook.wait_for_status("complete")
    notebook.explorer.locator(".cj-slice:not(.cj-empty)").wait_for(timeout=PATIENCE)
    notebook.explorer.get_by_label("top L").check()
    notebook.explorer.get_by_role("button", name="Compute for").click()
    notebook.python("ex.recovery_curve.wait()")
    notebook.page.mouse.move(5, 5)
    for theme in ("light", "dark"):
        notebook.choose_theme(theme.title())
        taken = notebook.steady(notebook.explorer.screenshot, looks=3)
        picture = results / f"explorer-{theme}.png"
        picture.write_bytes(taken)
        # Paper and ink: the theme is the page's.
        red, green, blue = notebook.explorer.evaluate(
            """(element) => {
              const { color } = getComputedStyle(element.querySelector(".cj-map .cj-title"));
              return color.match(/[0-9.]+/g).slice(0, 3).map(Number);
            }"""
        )
        assert (red + green + blue < 384) == (theme == "light")
        folder = os.environ.get("CATJAC_PICTURES")
        if folder:
            (repository / folder).mkdir(exist_ok=True)
            shutil.copy(picture, repository / folder / picture.name)
    no_complaints(notebook)
