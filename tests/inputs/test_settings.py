"""Environment variables whose value makes no sense are named in one sentence; `catjac doctor` lists them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import catjac
from catjac_widgets.cli import main
from catjac_widgets.errors import UsageError

S = "ACDEFGHIKL"

pytestmark = pytest.mark.usefixtures("own_cache")

NONSENSE = [
    *(("CATJAC_CACHE_LIMIT", value) for value in ("much", "-5GB", "nan", "9" * 400)),
    *(("CATJAC_MAX_HOURS", value) for value in ("long", "nan", "-1", "0", "1,5", "1e")),
    *(("CATJAC_CACHE_SYNC", value) for value in ("often", "nan", "-1")),
    *(("CATJAC_CACHE_BITS", value) for value in ("few", "nan", "-1", "1.5", "99")),
]


@pytest.mark.parametrize(("variable", "value"), NONSENSE, ids=lambda text: text[:20])
def test_a_setting_that_is_none_is_named(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=f"{variable}=") as found:
        catjac.jacobian(S, variant="fast", progress=False)
    text = str(found.value)
    assert value[:30] in text
    assert "\n" not in text
    assert len(text) < 500


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CATJAC_CACHE_LIMIT", "much"),
        ("CATJAC_MAX_HOURS", "soon"),
        ("CATJAC_CACHE_SYNC", "often"),
        ("CATJAC_CACHE_BITS", "few"),
        ("CATJAC_CACHE", "/dev/null/folder"),
    ],
)
def test_the_doctor_names_a_variable_that_makes_no_sense(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 1
    assert any(line.startswith("!") and value in line for line in done.output.splitlines()), done.output


@pytest.mark.parametrize("variable", ["CATJAC_CACHE", "TORCH_HOME"])
def test_the_home_of_nobody_is_a_folder_of_that_name(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, "~nobody-of-that-name/x")
    assert catjac.jacobian(S, variant="fast", progress=False).size
    assert len(str(catjac.models())) > 100
    assert (tmp_path / "~nobody-of-that-name").exists() == (variable == "CATJAC_CACHE")
