"""Caches of every format that there has been are read by the present version; others are told apart."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from cache_counts import Counts

import catjac
from catjac_widgets.engine.api import jacobian
from catjac_widgets.engine.cache import stored
from catjac_widgets.language_models.registry import load_model

DATA = Path(__file__).parents[1] / "data"

#: By the format of its entries; version 0.1 wrote the first.
FIXTURES = {1: DATA / "cache-0.1", 2: DATA / "cache-format-2"}


def _requests() -> ModuleType:
    spec = importlib.util.spec_from_file_location("asked", FIXTURES[1] / "requests_of_the_fixture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ASKED = _requests()


@pytest.fixture(params=FIXTURES, ids="format {}".format)
def format_(request: pytest.FixtureRequest) -> int:
    """The format of the entries that a test reads."""
    return int(request.param)


@pytest.fixture
def expected(format_: int, cache_folder: Path, tmp_path: Path) -> dict[str, np.ndarray]:
    """Unpack an old cache as this test's, and give the numbers that the version that wrote it returned."""
    with tarfile.open(FIXTURES[format_] / "cache.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    assert cache_folder.is_dir()
    with np.load(tmp_path / "expected.npz") as numbers:
        return dict(numbers)


@pytest.mark.parametrize("name", ASKED.REQUESTS)
@pytest.mark.parametrize("lazy", [False, True])
def test_a_jacobian_is_read(name: str, lazy: bool, expected: dict[str, np.ndarray], counts: Counts) -> None:
    sequence, options = ASKED.REQUESTS[name]
    made = jacobian(sequence, "mini", progress=False, lazy=lazy, **options)
    # An array that is opened lazily reads its rows when it is used, past the cache's counts.
    rows = 0 if lazy else int(np.isfinite(expected[name]).all(axis=(1, 2, 3)).sum())
    assert counts() == (0, rows, 0)
    np.testing.assert_array_equal(made.values, expected[name])
    np.testing.assert_array_equal(made["wild_type_logits"].values, expected[f"{name} wild type"])
    if name != "delta":
        kept = stored.contacts(made)
        assert kept is not None
        visible = np.isfinite(made.values).all(axis=(1, 2, 3))
        assert np.isfinite(kept.values[np.ix_(visible, visible)]).all()


def test_a_scan_is_read(expected: dict[str, np.ndarray], counts: Counts) -> None:
    curve = catjac.recovery(*ASKED.RECOVERY["args"], progress=False, **ASKED.RECOVERY["options"])
    computed, read, loaded = counts()
    assert (computed, loaded) == (0, 0)
    assert read > 4
    np.testing.assert_array_equal(curve["R"].values, expected["recovery"])


def test_rows_of_a_fit_are_read(
    format_: int, expected: dict[str, np.ndarray], counts: Counts, cache_folder: Path, tmp_path: Path
) -> None:
    alignment = tmp_path / "family.a3m"
    alignment.write_text(ASKED.ALIGNMENT)
    query = ASKED.ALIGNMENT.splitlines()[1]
    made = jacobian(query, f"potts:{alignment}", progress=False)
    assert counts() == (0, len(query), 0)
    np.testing.assert_array_equal(made.values, expected["potts"])
    # A fit of 0.1 is made again: nothing in its file says that it is what was written.
    again = jacobian(query, load_model(f"potts:{alignment}"), cache=False, progress=False)
    np.testing.assert_allclose(again.values, expected["potts"], atol=1e-4)
    assert len(list((cache_folder / "potts").glob("*.safetensors"))) == (2 if format_ == 1 else 1)


def test_an_entry_of_another_format_is_left_alone_and_not_read(
    expected: dict[str, np.ndarray], counts: Counts, cache_folder: Path
) -> None:
    sequence, options = ASKED.REQUESTS["full"]
    ours = [
        path.parent
        for path in cache_folder.rglob("key.json")
        if json.loads(path.read_text()).get("variant") == "full"
        and json.loads(path.read_text())["visible"] == "1-5"
        and json.loads(path.read_text())["numerics"] == "exact"
    ]
    assert len(ours) == 1
    content = json.loads((ours[0] / "key.json").read_text()) | {"format": 999}
    text = json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    (ours[0] / "key.json").write_text(text)
    key = hashlib.sha256(text.encode()).hexdigest()
    later = cache_folder / key[:2] / key
    later.parent.mkdir(exist_ok=True)
    ours[0].rename(later)
    for row in (later / "arrays.zarr" / "jacobian").glob("c.*"):
        row.write_bytes(b"in a way that this version does not know")
    before = {path: path.read_bytes() for path in later.rglob("*") if path.is_file()}
    made = jacobian(sequence, "mini", progress=False, **options)
    assert counts()[0] == len(sequence)
    np.testing.assert_allclose(made.values, expected["full"], atol=1e-4)
    assert {path: path.read_bytes() for path in later.rglob("*") if path.is_file()} == before
