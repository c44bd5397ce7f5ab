"""The progress bar: when it appears, what it says, and that nothing in a name breaks it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import catjac_widgets
from catjac_widgets.progress import progress_bar, with_progress


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_short_work_and_work_nobody_watches_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Quick", 2, unit="row") as bar:
        bar.show(1)
        bar.advance()
    with progress_bar("Hidden", 2, unit="row", shown=False, after=0.0) as bar:
        bar.show(1)
    assert list(with_progress([1, 2], "Hidden", shown=False)) == [1, 2]
    assert list(with_progress([1], "One alone")) == [1]
    assert shown(capsys) == ""


def test_longer_work_does(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Long", 4, unit="row", after=0.02) as bar:
        bar.show(1)
        assert shown(capsys) == ""
        time.sleep(0.03)
        bar.show(2, note="loading")
        seen = shown(capsys)
        assert "Long:  50%" in seen
        assert "2/4" in seen
        assert "loading" in seen
        bar.show(4, note="", description="Other")
    assert re.search(r"Other: 100%.*4/4 [^,]*, +[\d.]+row/s\]\s*$", shown(capsys))


def test_the_estimate_counts_from_the_beginning_and_not_what_was_there_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress_bar("Rows", 1000, unit="row", after=0.2) as bar:
        bar.show(500)  # read from the cache
        time.sleep(0.25)
        bar.show(501)
        # 1 row took a quarter of a second: 499 more take about two minutes.
        (left,) = re.findall(r"<(\d\d):\d\d", shown(capsys))
    assert 1 <= int(left) <= 3


def test_it_closes_where_the_work_fails(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with progress_bar("Rows", 10, unit="row", after=0.0) as bar:
            bar.show(3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert shown(capsys).endswith("\n")


def test_items_are_counted_by_their_cost(capsys: pytest.CaptureFixture[str]) -> None:
    for item in with_progress([1, 3], lambda item: f"item {item}", cost=float):
        assert f"item {item}: {0 if item == 1 else 25:3d}%" in shown(capsys)
    assert "100%" in shown(capsys)


def test_a_name_may_be_anything(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Jacobian of a\nb\x1b[31m{bar}" + "x" * 300, 2, unit="row", after=0.0) as bar:
        bar.show(1)
        seen = shown(capsys)
        assert "Jacobian of a b [31m{bar}xxx" in seen
        assert "\n" not in seen
        assert "…:  50%" in seen


def test_in_a_notebook_a_name_is_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    import tqdm.auto
    import tqdm.notebook

    made = []

    class Remembered(tqdm.notebook.tqdm):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, display=False, **options)
            made.append(self)

    monkeypatch.setattr(tqdm.auto, "tqdm", Remembered)
    with progress_bar("<b>AAA</b>", 2, unit="row", after=0.0) as bar:
        bar.show(1)
        assert "<b>" not in made[0].container.children[0].value
        assert "&lt;b&gt;AAA" in made[0].container.children[0].value


def test_there_is_no_other_bar() -> None:
    package = Path(catjac_widgets.__file__).parent
    using = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"\btqdm\b.*import|import.*\btqdm\b", path.read_text(encoding="utf-8"))
    ]
    assert using == ["progress.py"]


def test_a_bar_that_does_not_appear_costs_no_import() -> None:
    code = (
        "import sys; from catjac_widgets.progress import progress_bar\n"
        "with progress_bar('x', 2) as bar: bar.show(1)\n"
        "sys.exit('tqdm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
