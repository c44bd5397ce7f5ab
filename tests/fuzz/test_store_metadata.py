"""Fuzzing of what a cache folder holds beside its numbers."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import random_esm2, write_safetensors
from fuzzing import EXAMPLES, altered, files, fuzz
from hypothesis import given
from hypothesis import strategies as st
from stubs import PottsModel

import catjac
from catjac_widgets.engine.cache.chunked.upkeep import list_entries, verify_entry
from catjac_widgets.engine.cache.folder.store import FolderStore
from catjac_widgets.language_models.esm.checkpoints import facts_of
from catjac_widgets.language_models.fingerprints import FileMemory

pytestmark = pytest.mark.timeout(240 + 2 * EXAMPLES)

RESIDUES = "MKTA"
MODEL = PottsModel()


@dataclass
class Stored:
    """A cache folder with one whole entry: its files as they were written, and what they hold."""

    folder: Path
    files: dict[str, bytes]
    values: np.ndarray
    values: np.ndarray

    def restore(self) -> None:
        """Put everything back as it was."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for name, content in self.files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def compute() -> np.ndarray:
    return catjac.jacobian(RESIDUES, MODEL, progress=False).values


@pytest.fixture(scope="module")
def stored(folder: Path) -> Iterator[Stored]:
    patch = pytest.MonkeyPatch()
    patch.setenv("CATJAC_CACHE", str(folder / "cache"))
    values = compute()
    found = {
        str(path.relative_to(folder / "cache")): path.read_bytes()
        for path in (folder / "cache").rglob("*")
        if path.is_file()
    }
    yield Stored(folder / "cache", found, values)
    patch.undo()


def check_answers(stored: Stored) -> None:
    """Whatever lies there: what is computed or read is right, and the entries can be looked after."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(compute(), stored.values)
    store = FolderStore(stored.folder)
    for entry in list_entries(store):
        verify_entry(store.files(entry.key))
    assert catjac.cache.info().entries <= 2


@fuzz
@given(data=st.data())
def test_key_json_and_other_metadata(stored: Stored, data: Any) -> None:
    stored.restore()
    name = data.draw(st.sampled_from(sorted(name for name in stored.files if name.endswith(".json"))))
    sound = stored.files[name]
    content = data.draw(
        st.one_of(
            altered(json.loads(sound)).map(lambda tree: json.dumps(tree).encode()),
            files([sound]),
            st.integers(1, 3000).map(lambda depth: b"[" * depth + b"]" * depth),
        )
    )
    (stored.folder / name).write_bytes(content)
    check_answers(stored)


@fuzz
@given(data=st.data())
def test_files_under_other_names(stored: Stored, data: Any) -> None:
    """A file is moved to where another belongs, or to a name that means nothing; a folder takes its place."""
    stored.restore()
    names = sorted(stored.files)
    name = stored.folder / data.draw(st.sampled_from(names))
    other = data.draw(
        st.one_of(
            st.sampled_from(names).map(lambda there: stored.folder / there),
            st.from_regex(r"\A[a-z0-9.-]{1,12}\Z").filter(lambda text: text.strip(".")).map(name.with_name),
        )
    )
    if name.exists() and other != name:
        if other.is_dir():
            shutil.rmtree(other)
        name.replace(other)
        if data.draw(st.booleans()):
            name.mkdir()
    check_answers(stored)


@fuzz
@given(data=st.data())
def test_what_is_remembered_of_model_files(stored: Stored, data: Any) -> None:
    path = stored.folder.with_name("m.safetensors")
    if not path.exists():
        write_safetensors(random_esm2(layers=1, width=8, heads=2), path)
    kept = stored.folder / "model-files.json"
    kept.unlink(missing_ok=True)
    facts = facts_of(path)
    seen = FileMemory.seen([path])
    memory = FileMemory()
    memory.put([path], vars(facts), seen)
    sound = kept.read_bytes()
    kept.write_bytes(
        data.draw(
            st.one_of(altered(json.loads(sound)).map(lambda tree: json.dumps(tree).encode()), files([sound]))
        )
    )
    assert FileMemory().get([path]) in (None, vars(facts))
    assert FileMemory().last([path]) in (None, vars(facts))
