from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from jobs import RESIDUES, jacobian_of

import catjac
from catjac_widgets.errors import JacobianError, UsageError
from catjac_widgets.proteins.alphabets import MASK_LETTER
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.widgets.jacobian_slice.values import (
    FORMS,
    LETTER_ORDERS,
    QUANTITIES,
    mean_of,
    ordered,
    row_of,
    slice_of,
)
from catjac_widgets.widgets.jacobian_slice.view import JacobianSlice

SEQUENCE = as_sequence(RESIDUES, name="made up")


# ---- what is shown, as a labelled array


def plain(J: np.ndarray, quantity: str, i: int, wild: list[int]) -> np.ndarray:
    """A quantity of one row (A, L, A), by plain loops over METHODS' formulas."""
    row = J[i].astype(np.float64)
    made = np.empty_like(row)
    letters_in, length, letters_out = row.shape
    for j in range(length):
        block = row[:, j, :]
        for a in range(letters_in):
            for b in range(letters_out):
                if quantity == "raw":
                    made[a, j, b] = block[a, b]
                elif quantity == "epistasis":
                    made[a, j, b] = block[a, b] - block[a, wild[j]]
                else:
                    over_in = block[:, b].mean() if letters_in > 1 else 0.0
                    over_out = block[a].mean()
                    over_both = block.mean() if letters_in > 1 else 0.0
                    made[a, j, b] = block[a, b] - over_in - over_out + over_both
    return made


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("letter_order", LETTER_ORDERS)
def test_slices_are_the_formulas(quantity: str, letter_order: str) -> None:
    J = jacobian_of()
    letters = [str(letter) for letter in J.aa_out.values]
    wild = [letters.index(letter) for letter in RESIDUES]
    expected = plain(J.values, quantity, 23, wild)
    places = [letters.index(letter) for letter in ordered(letters, letter_order)]
    put, read = letters.index("K"), letters.index("E")
    options = {"quantity": quantity, "letter_order": letter_order, "letter_in": "K"}
    block = slice_of(J, (24, 41), form="block", **options)
    assert block.dims == ("aa_in", "aa_out")
    assert block.aa_in.values.tolist() == block.aa_out.values.tolist() == ordered(letters, letter_order)
    np.testing.assert_allclose(block, expected[:, 40, :][np.ix_(places, places)], atol=2e-6)
    matrix = slice_of(J, (24, 41), form="matrix", **options)
    assert matrix.dims == ("pos_out", "aa_out")
    assert matrix.residue_out.values[40] == SEQUENCE.labels[40]
    np.testing.assert_allclose(matrix, expected[put][:, places], atol=2e-6)
    profile = slice_of(J, (24, 41), form="profile", letter_out="E", **options)
    np.testing.assert_allclose(profile, expected[put, :, read], atol=2e-6)
    norm = slice_of(J, (24, 41), form="profile", **options)
    spread = expected[put] - expected[put].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(norm, np.sqrt((spread**2).sum(axis=1)), atol=5e-6)
    assert norm.dims == profile.dims == ("pos_out",)


def test_orders_hold_the_twenty_letters() -> None:
    letters = list("LAGVSERTIDPKQNFYMHWC")
    assert ordered(letters, "model") == letters
    assert ordered(letters, "alphabetical") == sorted(letters)
    assert "".join(ordered(letters, "chemistry")) == "AFILVMWYDEKRHNQSTGPC"
    assert ordered(["-", "A", "I"], "hydrophobicity") == ["I", "A", "-"]
    assert ordered([MASK_LETTER], "chemistry") == [MASK_LETTER]
    # Kyte & Doolittle (1982), table 2.
    scale = {"I": 4.5, "V": 4.2, "L": 3.8, "F": 2.8, "C": 2.5, "M": 1.9, "A": 1.8, "G": -0.4, "T": -0.7}
    scale |= {"S": -0.8, "W": -0.9, "Y": -1.3, "P": -1.6, "H": -3.2, "K": -3.9, "R": -4.5}
    scale |= dict.fromkeys("EQDN", -3.5)
    values = [scale[letter] for letter in ordered(letters, "hydrophobicity")]
    assert values == sorted(values, reverse=True)


def test_the_fast_variant_has_one_row_and_no_epistasis() -> None:
    J = jacobian_of(variant="fast")
    block = slice_of(J, (24, 41), form="block", quantity="centred", letter_order="alphabetical")
    assert block.shape == (1, 20)
    raw = J.values[23, 0, 40].astype(np.float64)
    expected = dict(zip(J.aa_out.values, raw - raw.mean(), strict=True))
    np.testing.assert_allclose(block[0], [expected[letter] for letter in block.aa_out.values], atol=1e-6)
    assert slice_of(J, (24, 41), form="matrix", letter_in="K").aa_in.item() == MASK_LETTER
    with pytest.raises(JacobianError, match="fast variant"):
        slice_of(J, (24, 41), quantity="epistasis")


@pytest.mark.parametrize(
    ("pair", "options"),
    [((24, 99), {}), ((0, 3), {}), ((3, 4), {"letter_in": "Z"}), ((3, 4), {"letter_out": "Z"})],
)
def test_what_is_not_there_is_refused(pair: tuple[int, int], options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"no position|not among"):
        slice_of(jacobian_of(), pair, form="profile", **options)


def test_under_a_mask_columns_stay_and_rows_go() -> None:
    J = jacobian_of(mask=Mask.showing(SEQUENCE, [(1, 20), (40, 58)]))
    assert np.isfinite(slice_of(J, (3, 30))).all()
    assert np.isnan(slice_of(J, (30, 3), form="matrix")).all()
    assert row_of(J, 30).status == "masked"
    assert row_of(J, 3).status == "ready"


@pytest.mark.parametrize("quantity", ["raw", "centred"])
def test_the_mean_of_a_brush_is_that_of_its_pairs(quantity: str) -> None:
    J = jacobian_of()
    J[5] = np.nan  # row 6 is not there
    blocks = [
        slice_of(J, (i, j), quantity=quantity).values.astype(np.float64)
        for i in range(4, 9)
        for j in range(7, 12)
        if i not in (j, 6)
    ]
    made = mean_of(J, ((4, 8), (7, 11)), quantity)
    np.testing.assert_allclose(made, np.mean(blocks, axis=0), atol=2e-6)
    assert np.isnan(mean_of(J, ((6, 6), (7, 11)))).all()
    with pytest.raises(UsageError, match="no one wild-type"):
        mean_of(J, ((4, 8), (7, 11)), "epistasis")


# ---- one line of Python, and the same numbers in JavaScript


@pytest.fixture(scope="module")
def slices_in_node(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Call the front end's own code: {what} to [numbers and line]."""
    js = repository / "js"
    if shutil.which("node") is None or not (js / "node_modules" / ".bin" / "esbuild").exists():
        pytest.skip("node, or js/node_modules (npm ci), is not here")
    bundle = tmp_path_factory.mktemp("node") / "slices.mjs"
    esbuild = [
        str(js / "node_modules" / ".bin" / "esbuild"),
        "tests/jacobian_slice/slices_for_python.ts",
        "--bundle",
    ]
    subprocess.run(
        [*esbuild, "--platform=node", "--format=esm", f"--outfile={bundle}", "--log-level=error"],
        cwd=js,
        check=True,
        timeout=120,
    )

    def call(question: dict[str, Any]) -> list[dict[str, Any]]:
        done = subprocess.run(
            ["node", str(bundle)], input=json.dumps(question), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    return call


def two_chains() -> xr.DataArray:
    return jacobian_of(sequence=as_sequence("MKWVTFISLLFLFSS:AYSRGVFRRDAHKSEV"))


def all_rows() -> xr.DataArray:
    """A masked residue with a row: there the wild type's own row is not zero."""
    J = jacobian_of()
    J.values[23] += np.random.default_rng(3).standard_normal(J.shape[2:]).astype(np.float32)
    return J


@pytest.mark.parametrize("made", [jacobian_of, two_chains, all_rows, lambda: jacobian_of(variant="fast")])
def test_the_line_shown_makes_what_is_drawn(slices_in_node: Any, made: Any) -> None:
    """Every form, quantity and order: the browser's numbers, the line run in Python, and `slice` agree."""
    J = made()
    i, j, letter = 24, 21, "K"
    view = JacobianSlice(J, selection=(i, j))
    row = view.find(i)
    block, substitution = row.block(j), row.substitution(letter)
    assert block.values is not None
    assert substitution.values is not None
    fast = block.letters_in == (MASK_LETTER,)
    choices = [
        {"form": form, "quantity": quantity, "order": order, "letterOut": letter_out}
        for form in FORMS
        for quantity in QUANTITIES
        for order in LETTER_ORDERS
        for letter_out in (("", "E") if form == "profile" else ("",))
        if not (fast and quantity == "epistasis")
    ]
    answers = slices_in_node(
        {
            "pair": [i, j],
            "letter": substitution.letter,
            "lettersIn": block.letters_in,
            "lettersOut": block.letters_out,
            "residues": "".join(J.wild_type_out.values),
            "block": block.values.ravel().tolist(),
            "planes": substitution.values.ravel().tolist(),
            "shape": substitution.values.shape,
            "orders": dict(LETTER_ORDERS),
            "choices": choices,
        }
    )
    assert len(answers) == len(choices) >= (24 if fast else 36)
    for choice, answer in zip(choices, answers, strict=True):
        view.set_trait("form", choice["form"])
        view.quantity, view.letter_order = choice["quantity"], choice["order"]
        view.letter_in, view.letter_out = letter, choice["letterOut"]
        assert "\n" not in answer["line"]
        made_by_line = eval(answer["line"], {"J": J, "catjac": catjac, "list": list})
        xr.testing.assert_identical(view.slice, made_by_line.load())
        drawn = np.array(answer["values"]).reshape(view.slice.shape)
        np.testing.assert_allclose(drawn, view.slice, atol=1e-5, err_msg=str(choice))
        if choice["form"] == "block":
            assert answer["rows"] == view.slice.aa_in.values.tolist()
        if choice["form"] != "profile":
            assert answer["columns"] == view.slice.aa_out.values.tolist()
    view.close()


def test_lines_for_the_model_s_own_order_are_short(slices_in_node: Any) -> None:
    letters = {"lettersIn": ["A", "K"], "lettersOut": ["A", "K"], "residues": "A" * 58}
    asked = {"pair": [24, 41], "letter": "K", **letters}
    data = {"block": [0] * 4, "planes": [0] * 4, "shape": [1, 1, 2], "orders": {"model": ""}}
    choices = [
        {"form": form, "quantity": "raw", "order": "model", "letterOut": letter}
        for form, letter in (("block", ""), ("profile", "E"), ("matrix", ""))
    ]
    lines = [answer["line"] for answer in slices_in_node({**asked, **data, "choices": choices})]
    assert lines == [
        "J.sel(pos_in=24, pos_out=41)",
        'J.sel(pos_in=24, aa_in="K", aa_out="E")',
        'J.sel(pos_in=24, aa_in="K")',
    ]
