"""What is remembered of model files is believed only if it says what was written, of these very files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoints import random_esm2, write_esm2, write_safetensors
from labelled_potts import random_parameters

from catjac_widgets.language_models.fingerprints import FileMemory, file_memory
from catjac_widgets.language_models.registry import identify, load_model

Known = dict[str, Any]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CATJAC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "model-files.json"


def swap_facts(known: Known) -> None:
    first, second = known.values()
    first["facts"], second["facts"] = second["facts"], first["facts"]


def swap_entries(known: Known) -> None:
    """Each with the size and times of the file that it is put down for."""
    (one, first), (two, second) = known.items()
    known[one] = {**second, "seen": first["seen"]}
    known[two] = {**first, "seen": second["seen"]}


def change(field: str, value: Any) -> Callable[[Known], None]:
    def make(known: Known) -> None:
        for entry in known.values():
            entry["facts"][field] = value

    make.__name__ = f"{field} is {value!r}"
    return make


def without_digest(known: Known) -> None:
    for entry in known.values():
        entry["facts"]["fingerprint"] = "file:0"
        entry.pop("sha256", None)


def not_entries(known: Known) -> None:
    for key, value in zip(list(known), (None, [1, "seen"]), strict=True):
        known[key] = value


def not_facts(known: Known) -> None:
    for entry in known.values():
        entry["facts"] = ["fingerprint"]


DAMAGES = [
    swap_facts, swap_entries, without_digest, not_entries, not_facts, change("fingerprint", "file:0"),
    change("fingerprint", None), change("max_residues", "ten"), change("contact_head", 3),
    change("letters", 5),
]  # fmt: skip


def in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_memory, "_entries", {})


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_entry_is_found_out_anew(
    damage: Callable[[Known], None], file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [
        write_esm2(random_esm2(seed=1), tmp_path),
        write_safetensors(random_esm2(seed=2), tmp_path / "other.safetensors", contact_head=False),
    ]
    right = [identify(path) for path in paths]
    known = json.loads(file.read_text())
    damage(known)
    file.write_text(json.dumps(known))
    in_a_new_process(monkeypatch)
    assert [identify(path) for path in paths] == right
    # And it is remembered again.
    in_a_new_process(monkeypatch)
    assert [file_memory.get(files_of(path)) is not None for path in paths] == [True, True]


def files_of(path: Path) -> list[Path]:
    beside = path.with_name(f"{path.stem}-contact-regression.pt")
    return [path, beside] if beside.is_file() else [path]


@pytest.mark.parametrize("field", ["fingerprint", "letters", "length"])
def test_a_damaged_entry_of_a_potts_model_is_found_out_anew(
    field: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random_parameters(5).save(tmp_path / "model.npz")
    name = f"potts:{tmp_path / 'model.npz'}"
    right = identify(name)
    for damage in (
        change(field, ["x"]),
        lambda known: [entry["facts"].pop(field) for entry in known.values()],
    ):
        known = json.loads(file.read_text())
        damage(known)
        file.write_text(json.dumps(known))
        in_a_new_process(monkeypatch)
        assert identify(name) == right


@pytest.mark.parametrize("content", ["[" * 100_000, "null", '"text"', "[1]", "{}", "\x00", '{"a": 1e999}'])
def test_a_file_of_anything_else_counts_as_none(
    content: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_esm2(random_esm2(), tmp_path)
    right = identify(path)
    file.write_text(content)
    in_a_new_process(monkeypatch)
    assert identify(path) == right


def test_a_file_that_was_put_in_place_with_the_same_size_and_time_is_another(
    file: Path, tmp_path: Path
) -> None:
    path = write_safetensors(random_esm2(seed=1), tmp_path / "model.safetensors")
    first, times = identify(path).fingerprint, path.stat()
    other = write_safetensors(random_esm2(seed=2), tmp_path / "other.safetensors")
    assert other.stat().st_size == times.st_size
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert identify(path).fingerprint == load_model(path, device="cpu").fingerprint != first


def test_nothing_is_remembered_of_a_file_that_changed_while_it_was_read(file: Path, tmp_path: Path) -> None:
    memory, path = FileMemory(), tmp_path / "model"
    path.write_text("one")
    seen = memory.seen([path])
    path.write_text("another")
    memory.put([path], {"fingerprint": "of one"}, seen)
    assert memory.get([path]) is None
    path.unlink()
    memory.put([path], {"fingerprint": "of one"}, seen)
    assert memory.last([path]) is None


def test_a_write_that_fails_leaves_no_file_behind(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.mkdir(parents=True)  # a folder cannot be replaced by a file
    memory, path = FileMemory(), tmp_path / "model"
    path.write_text("one")
    memory.put([path], {"fingerprint": "of one"}, memory.seen([path]))
    assert memory.get([path]) == {"fingerprint": "of one"}
    assert list(file.parent.iterdir()) == [file]
