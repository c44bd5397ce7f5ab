"""Arguments and magics that make no sense: one typed sentence each, before anything runs."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import random_esm2
from click.testing import CliRunner
from IPython.core.error import UsageError as MagicError

import catjac
from catjac_widgets.cli import main
from catjac_widgets.errors import CatjacError, MaskError, ResourceError, SequenceError, UsageError
from catjac_widgets.proteins.reading import as_sequence

S = "ACDEFGHIKL"

pytestmark = pytest.mark.usefixtures("own_cache")


def said(error: BaseException, most: int = 500) -> str:
    """What an error says, if that is one sentence that fits on a screen."""
    text = str(error)
    assert text.strip()
    assert "\n" not in text
    assert len(text) < most
    return text


def named(value: Any) -> str:
    """A test's name: the beginning of a value, without its address, which is another in each process."""
    return re.sub(r" at 0x\w+", "", ascii(value))[:30]


def calling(**options: Any) -> dict[str, Callable[[], Any]]:
    return {
        "jacobian": lambda: catjac.jacobian(S, progress=False, **options),
        "submit": lambda: catjac.submit(S, **options).result(),
        "jacobians": lambda: list(catjac.jacobians([S], progress=False, **options)),
    }


@pytest.mark.parametrize("way", ["jacobian", "submit", "jacobians"])
@pytest.mark.parametrize(
    "size",
    [math.nan, math.inf, -math.inf, [8], "8", b"8", 0, -1, True, 8.0, 1.5, {}, 1j, "9" * 10**6, np.zeros(3)],
    ids=named,
)
def test_a_batch_size_is_a_whole_number(way: str, size: Any, own_cache: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a number of sequences.* 1 or more") as found:
        calling(batch_size=size)[way]()
    assert "batch_size=" in said(found.value)
    assert not list(own_cache.rglob("key.json"))


@pytest.mark.parametrize("size", [8, np.int64(8)], ids=named)
def test_a_batch_size_may_be_any_whole_number(size: Any) -> None:
    J = catjac.jacobian(S, positions=[1], variant="fast", batch_size=size, progress=False)
    assert J.sizes["pos_in"] == 1


@pytest.mark.parametrize("way", ["jacobian", "submit"])
@pytest.mark.parametrize(
    ("positions", "words"),
    [
        (slice(1, 5), "is no list of positions"),
        (1.5, "is no list of positions"),
        (math.nan, "is no list of positions"),
        (object(), "is no list of positions"),
        (np.array(3.0), "is no list of positions"),
        ("1", "holds '1'"),
        (["a"], "holds 'a'"),
        ({"a": 1}, "holds 'a'"),
        ([None], "holds None"),
        ([math.nan], "holds nan"),
        ([1, 1.5], "holds 1.5"),
        ([[1, 2]], r"holds \[1, 2\]"),
        ([True], "holds True"),
        (np.zeros((2, 2), int), "holds"),
        ([0], "outside"),
        ([-1], "outside"),
        (11, "outside"),
        ([10**30], "outside"),
        (itertools.count(1), "outside"),  # an iterator without an end
        ([], "empty"),
        ([*range(1, 11), 3], "3 was asked for twice"),
    ],
    ids=named,
)
@pytest.mark.timeout(60)
def test_positions_are_whole_numbers_of_the_sequence(
    way: str, positions: Any, words: str, own_cache: Path
) -> None:
    with pytest.raises(UsageError, match=words) as found:
        calling(positions=positions)[way]()
    said(found.value)
    assert not list(own_cache.rglob("key.json"))


@pytest.mark.parametrize("positions", [b"\x01", 1, np.int8(1), iter([1]), {1}], ids=named)
def test_positions_may_be_any_whole_numbers(positions: Any) -> None:
    J = catjac.jacobian(S, positions=positions, variant="fast", progress=False)
    assert J.pos_in.values.tolist() == [1]


@pytest.mark.parametrize(
    "mask",
    [3, 3.5, math.nan, "hidden", [3] * 10, [2.0] * 10, [[True]] * 10, [math.nan] * 10, {"a": True}, {1: True},
     object(), [True, [False]], np.zeros(10), np.zeros((2, 10)), np.array(True), [None] * 10],
    ids=named,
)  # fmt: skip
def test_a_mask_is_one_bool_a_residue(mask: Any, own_cache: Path) -> None:
    with pytest.raises(MaskError, match="flat list of True") as found:
        catjac.jacobian(S, mask=mask, progress=False)
    said(found.value)
    assert not list(own_cache.rglob("key.json"))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("mask", [[True] * 3, itertools.repeat(True)], ids=["short", "without an end"])
def test_a_mask_is_as_long_as_the_sequence(mask: Any) -> None:
    with pytest.raises(MaskError, match=r"covers \d+ residues but the sequence has 10"):
        catjac.jacobian(S, mask=mask, progress=False)


@pytest.mark.parametrize("masked", [3, [True], (1, 0), None, ("a",)])
def test_a_mask_is_made_of_a_tuple_of_bools(masked: Any) -> None:
    with pytest.raises(MaskError, match="flat list of True"):
        catjac.Mask(masked)


@pytest.mark.parametrize(
    "text",
    ["1-" + "9" * 5000, "9" * 5000, "1-x", "-", "²", "١-٢", "1--2", "a" * 10**6],
    ids=lambda text: text[:6],
)
def test_ranges_that_are_none(text: str) -> None:
    with pytest.raises(MaskError, match=r"not a fragment|does not lie") as found:
        catjac.Mask.parse(S, text)
    assert len(str(found.value)) < 300


@pytest.mark.parametrize(
    "letter", ["ß", "ﬁ", "ﬂ", "ﬀ", "ﬆ", "ı", "İ", "ſ", "ŉ", "ǰ", "ΐ", "\uff21", "\u0301"], ids=ascii
)
def test_letters_that_are_no_residues_do_not_become_some(letter: str) -> None:
    """`str.upper` makes SS, FI, FL, FF, ST, I and S of the first ones."""
    text = f"acdefghikl{letter}mnpq"
    for read in (
        lambda: as_sequence(f">a\n{text}"),
        lambda: as_sequence(f"sequence:{text}"),
        lambda: as_sequence(text),
        lambda: catjac.jacobian(text, progress=False),
    ):
        with pytest.raises(SequenceError) as found:
            read()
        said(found.value)
    with pytest.raises(UsageError, match="linker"):
        catjac.jacobian("ACDE:FGHI", linker=letter * 3, progress=False)
    with pytest.raises(SequenceError):
        as_sequence("ACDEX", unknown={"X": letter})


# ---- 100,000 residues


@pytest.fixture
def never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from catjac_widgets.language_models.esm.adapter import FairEsm

    monkeypatch.setattr(FairEsm, "prepare", lambda *_: pytest.fail("it was run"))
    monkeypatch.setattr(FairEsm, "seconds_per_sequence", lambda *_: 344.0)  # as on two cores
    monkeypatch.delenv("CATJAC_MAX_HOURS", raising=False)


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (None, "One pass over 100000 residues takes about 6 minutes"),
        ("0.01", r"needs about \d+ hours with mini .*19 sequences"),
    ],
)
def test_one_row_of_100000_residues_is_refused_with_the_estimate(
    never_run: None, monkeypatch: pytest.MonkeyPatch, hours: str | None, words: str
) -> None:
    if hours is not None:
        monkeypatch.setenv("CATJAC_MAX_HOURS", hours)
    with pytest.raises(ResourceError, match=words) as found:
        catjac.jacobian(S * 10_000, positions=[1], progress=False)
    said(found.value)


@pytest.mark.filterwarnings("ignore:Results of ESM2 in memory are computed anew")
def test_a_pass_that_does_not_fit_into_memory_is_refused_with_the_estimate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Attention of a hooked model takes memory by the square of the length."""
    monkeypatch.setenv("CATJAC_CACHE", "off")
    monkeypatch.setenv("CATJAC_MAX_HOURS", "inf")
    model = random_esm2()
    model.layers[0].register_forward_hook(lambda *_: None)
    with pytest.raises(ResourceError, match=r"One pass of 100,000 residues .* takes \d+\.\d GB of memory"):
        catjac.jacobian(S * 10_000, model, positions=[1], progress=False)


# ---- models


@pytest.mark.parametrize(
    "model",
    ["/etc/passwd", "/dev/zero", "/", "\u0000", "x" * 5000, "", " ", "potts:", "potts:/etc/passwd"],
    ids=named,
)
def test_a_model_that_is_none_is_one_sentence(model: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["contacts", S, "--model", model, "-o", str(tmp_path / "a.csv")])
    assert result.exit_code in (1, 2)
    assert "Traceback" not in result.output
    assert len(result.output) < 1000
    with pytest.raises(CatjacError) as found:
        catjac.jacobian(S, model, progress=False)
    said(found.value, 1000)  # it lists how models are named, family by family


# ---- magics


@pytest.mark.parametrize(
    ("line", "words"),
    [
        *((line, "has no partner") for line in
          ('jacobian "ACDE', "jacobian 'ACDE", "explore ACDE\\", 'explore "', 'models "')),
        *((line, r"\w") for line in ("contacts ACDEF --model", "jacobian -", "\u0000")),
        ("jacobian /dev/zero", "is a device"),
        ("jacobian acdefghiklßmnpq", "no example, file or sequence"),
        ("jacobian ACDEFGHIKL --visible 1-" + "9" * 5000, "not a fragment"),
        ("jacobian ACDEFGHIKL --model /dev/zero.pt", "no checkpoint"),
        ("explore bpti --structure /dev/zero.pdb", "no structure file"),
    ],
    ids=lambda text: ascii(text)[:30],
)  # fmt: skip
def test_a_line_that_makes_no_sense_is_one_sentence(shell: Any, line: str, words: str) -> None:
    with pytest.raises(MagicError, match=words) as found:
        shell.run_line_magic("catjac", line)
    said(found.value)


def test_an_unclosed_quotation_mark_in_a_cell_shows_no_traceback(
    shell: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell('%catjac jacobian "ACDE')
    out = "".join(capsys.readouterr())
    assert "has no partner" in out
    assert "Traceback" not in out
