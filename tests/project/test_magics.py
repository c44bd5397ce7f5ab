"""``%catjac`` in a real IPython shell: commands, variables, completion, errors of one sentence."""

from __future__ import annotations

import time

import pytest
import xarray as xr
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

import catjac
from catjac_widgets.notebook.magics import COMMANDS

FASTA = ">trp-cage\nNLYIQWLKDG\nGPSSGRPPPS\n"


def magic(shell: InteractiveShell, line: str) -> object:
    return shell.run_line_magic("catjac", line)


def test_loading_twice_and_unloading(shell: InteractiveShell) -> None:
    shell.run_line_magic("reload_ext", "catjac")
    shell.run_line_magic("load_ext", "catjac")
    matchers = shell.Completer.custom_matchers
    assert sum(matcher.__module__.startswith("catjac") for matcher in matchers) == 1
    assert "catjac" in shell.magics_manager.magics["line"]
    shell.run_line_magic("unload_ext", "catjac")
    assert "catjac" not in shell.magics_manager.magics["line"]
    assert "catjac" not in shell.magics_manager.magics["cell"]
    assert not any(matcher.__module__.startswith("catjac") for matcher in shell.Completer.custom_matchers)
    shell.run_line_magic("load_ext", "catjac")


def test_jacobian_is_the_function_s(shell: InteractiveShell) -> None:
    shell.run_cell("J = %catjac jacobian --model mini sequence:NLYIQWLKDG", silent=True)
    J = shell.user_ns["J"]
    assert isinstance(J, xr.DataArray)
    xr.testing.assert_identical(J, catjac.jacobian("NLYIQWLKDG", progress=False))
    magic(shell, "jacobian NLYIQWLKDG --visible 2-5 --variant fast --to masked")
    masked = shell.user_ns["masked"]
    assert masked.attrs["visible"] == "2-5"
    assert masked.attrs["variant"] == "fast"


def test_variables_are_objects_and_not_their_text(shell: InteractiveShell) -> None:
    shell.user_ns["protein"] = catjac.as_sequence("NLYIQW:LKDG", name="two chains")
    shell.user_ns["model"] = catjac.load_model("mini")
    J = magic(shell, "jacobian $protein --model $model")
    assert isinstance(J, xr.DataArray)
    assert J.attrs["sequence"] == "NLYIQW:LKDG"
    assert J.attrs["sequence_name"] == "two chains"


def test_pasted_fasta(shell: InteractiveShell) -> None:
    J = shell.run_cell_magic("catjac", "jacobian --variant fast", FASTA)
    assert J.attrs["sequence"] == "NLYIQWLKDGGPSSGRPPPS"
    assert J.attrs["sequence_name"] == "trp-cage"
    several = FASTA + ">other\nMKTAYI\n"
    assert shell.run_cell_magic("catjac", "jacobian --record other", several).attrs["sequence"] == "MKTAYI"
    with pytest.raises(UsageError, match="2 records"):
        shell.run_cell_magic("catjac", "jacobian", several)
    with pytest.raises(UsageError, match="leave WHAT out"):
        shell.run_cell_magic("catjac", "jacobian bpti", FASTA)


def test_explore_gives_an_explorer_and_a_variable(shell: InteractiveShell) -> None:
    ex = shell.run_cell_magic("catjac", "--to ex", FASTA)
    try:
        assert isinstance(ex, catjac.Explorer)
        assert shell.user_ns["ex"] is ex
        ex.wait(120)
        assert ex.status == "done"
        assert ex.contacts.shape == (20, 20)
    finally:
        ex.close()


def test_explore_brings_the_example_s_structure(shell: InteractiveShell) -> None:
    ex = magic(shell, "explore bpti --variant fast")
    try:
        assert ex.contact_map.native is not None
    finally:
        ex.close()


def test_tables(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    # By default it is a share of the free disk, which others change meanwhile.
    monkeypatch.setenv("CATJAC_CACHE_LIMIT", "3GB")
    assert "mini" in str(magic(shell, "models"))
    assert "bpti" in str(magic(shell, "examples"))
    assert "cpu" in str(magic(shell, "device"))
    assert magic(shell, "cache").limit == catjac.cache.info().limit == 3_000_000_000
    assert magic(shell, "cache").path == catjac.cache.info().path
    assert "<table" in magic(shell, "device")._repr_html_()


def test_clearing_the_cache(shell: InteractiveShell, own_cache: object) -> None:
    catjac.jacobian("NLYIQW", progress=False)
    assert catjac.cache.info().entries == 1
    assert magic(shell, "cache clear").entries == 0


def test_help_names_every_command(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    magic(shell, "")
    said = capsys.readouterr().out
    for command in COMMANDS:
        assert f"%catjac {command}" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("explor bpti", "no command 'explor'; did you mean explore"),
        ("jacobian", "Say which protein"),
        ("jacobian btpi", "did you mean bpti"),
        ("jacobian MKTAYIBKQR", "residue 7 is 'B'"),
        ("jacobian bpti --model min", "mini"),
        ("jacobian bpti --model $nothing", "no variable 'nothing'"),
        ("jacobian bpti --variant quick", "quick"),
        ("jacobian bpti --visible 50-90", "Fragment 50–90"),
        ("jacobian bpti --to 3x", "cannot be a variable's name"),
        ("jacobian bpti --colour", "--colour"),
        ("cache empty", "'info' and 'clear'"),
        ("jacobian bpti --model missing.pt", "missing.pt"),
    ],
)
def test_errors_are_one_sentence(
    shell: InteractiveShell, line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=said.replace("$", r"\$")) as caught:
        magic(shell, line)
    assert "\n" not in str(caught.value)
    result = shell.run_cell(f"J = %catjac {line}")
    assert not result.success
    assert "J" not in shell.user_ns
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err


def completions(shell: InteractiveShell, line: str) -> set[str]:
    """Complete as the kernel does: the whole line with each suggestion in place."""
    with provisionalcompleter():
        found = list(shell.Completer.completions(line, len(line)))
    return {line[: one.start] + one.text + line[one.end :] for one in found}


def test_completion(shell: InteractiveShell) -> None:
    assert "%catjac explore" in completions(shell, "%catjac ex")
    assert "J = %catjac jacobian" in completions(shell, "J = %catjac jac")
    assert completions(shell, "%catjac explore bp") == {"%catjac explore bpti"}
    assert "%catjac explore bpti --model mini" in completions(shell, "%catjac explore bpti --model mi")
    assert "%catjac explore -m esm2_t6_8M_UR50D" in completions(shell, "%catjac explore -m esm2_t6")
    assert completions(shell, "%catjac explore bpti --var") == {"%catjac explore bpti --variant"}
    shell.user_ns["my_protein"] = "ACDEFGHIKL"
    assert "%catjac explore $my_protein" in completions(shell, "%catjac explore $my_")
    assert completions(shell, "%catjac cache cl") == {"%catjac cache clear"}
    assert not any("explore" in text for text in completions(shell, "catjac_like = ex"))


def test_loading_takes_little_time(shell: InteractiveShell, record_property: object) -> None:
    started = time.perf_counter()
    shell.run_line_magic("reload_ext", "catjac")
    record_property("seconds", round(time.perf_counter() - started, 3))  # type: ignore[operator]
