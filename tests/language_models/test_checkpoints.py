"""Files in the real formats, loaded through the code that users run; and files that must not be trusted."""

from __future__ import annotations

import argparse
import hashlib
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import (
    random_esm1,
    random_esm1b,
    random_esm2,
    write_esm1,
    write_esm1b,
    write_esm2,
    write_safetensors,
)

from catjac_widgets.errors import CheckpointError, DependencyError, ModelError
from catjac_widgets.language_models.esm.adapter import FairEsm
from catjac_widgets.language_models.registry import identify, load_model

RESIDUES = "MKTAYIAKQRQISFVK"

WRITERS: dict[str, tuple[Callable[[], Any], Callable[[Any, Path], Path]]] = {
    "ESM-2": (random_esm2, write_esm2),
    "ESM-2 renamed": (random_esm2, lambda model, folder: write_esm2(model, folder, "my best model")),
    "ESM-2 without dropout": (lambda: random_esm2(token_dropout=False), write_esm2),
    "ESM-1b": (random_esm1b, write_esm1b),
    "ESM-1b renamed": (random_esm1b, lambda model, folder: write_esm1b(model, folder, "esm2_not")),
    "ESM-1b in the older container": (
        random_esm1b,
        lambda model, folder: write_esm1b(model, folder, zipped=False),
    ),
    "ESM-1": (random_esm1, write_esm1),
    "ESM-2 safetensors": (
        random_esm2,
        lambda model, folder: write_safetensors(model, folder / "x.safetensors"),
    ),
    "ESM-1b safetensors": (
        random_esm1b,
        lambda model, folder: write_safetensors(model, folder / "x.safetensors"),
    ),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_checkpoint_gives_the_model_that_was_written(kind: str, tmp_path: Path) -> None:
    make, write = WRITERS[kind]
    original = make()
    path = write(original, tmp_path)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    identity = identify(path)
    model = load_model(path, device="cpu")
    wanted = FairEsm(original)
    np.testing.assert_array_equal(model.prepare(RESIDUES).wild_type(), wanted.prepare(RESIDUES).wild_type())
    np.testing.assert_array_equal(
        model.contact_probabilities(RESIDUES, [None]), wanted.contact_probabilities(RESIDUES, [None])
    )
    assert not any(module.training for module in model.model.modules())
    assert identity.fingerprint == model.fingerprint == identify(str(path)).fingerprint
    assert (identity.letters, identity.max_residues) == (model.letters, model.max_residues)
    assert (identity.letters, identity.max_residues) == (wanted.letters, wanted.max_residues)
    assert identity.has_contact_head is True
    # fair-esm zeroes a row of ESM-1b's embedding in place: that must never reach a file mapped into memory.
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


@pytest.mark.parametrize("kind", ["ESM-2", "ESM-1b"])
def test_without_its_regression_there_is_no_contact_head(kind: str, tmp_path: Path) -> None:
    make, write = WRITERS[kind]
    path = write(make(), tmp_path)
    path.with_name(f"{path.stem}-contact-regression.pt").unlink()
    assert identify(path).has_contact_head is False
    model = load_model(path, device="cpu")
    assert model.prepare(RESIDUES).wild_type().shape == (len(RESIDUES), 20)
    with pytest.raises(ModelError, match="no fitted contact head"):
        model.contact_probabilities(RESIDUES, [None])


def test_a_safetensors_file_may_leave_the_contact_head_out(tmp_path: Path) -> None:
    path = write_safetensors(random_esm2(), tmp_path / "x.safetensors", contact_head=False)
    assert identify(path).has_contact_head is False
    assert load_model(path, device="cpu").has_contact_head is False


class Hostile:
    """Unpickled naively, it would make a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return open, (str(self.target), "w")


@pytest.mark.parametrize("container", ["zip", "older", "plain pickle", "in the regression"])
def test_a_hostile_pickle_is_refused_and_never_run(container: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = tmp_path / "esm2_hostile.pt"
    if container == "in the regression":
        write_esm2(random_esm2(), tmp_path, "esm2_hostile")
        torch.save({"model": Hostile(marker)}, tmp_path / "esm2_hostile-contact-regression.pt")
    elif container == "plain pickle":
        path.write_bytes(pickle.dumps({"model": Hostile(marker)}, protocol=2))
    else:
        torch.save({"model": Hostile(marker)}, path, _use_new_zipfile_serialization=container == "zip")
    for look in (identify, lambda where: load_model(where, device="cpu")):
        with pytest.raises(CheckpointError) as refusal:
            look(path)
        assert "\n" not in str(refusal.value)
        assert "holds code" in str(refusal.value)
    assert not marker.exists()
    # The test can fail: unprotected unpickling does run it.
    pickle.loads(pickle.dumps(Hostile(marker))).close()
    assert marker.exists()


def test_a_namespace_is_allowed_for_the_load_only(tmp_path: Path) -> None:
    path = write_esm2(random_esm2(), tmp_path)
    load_model(path, device="cpu")
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "truncated": (lambda path: _truncated(path), "truncated"),
    "text": (lambda path: path.write_text("hello, this is no checkpoint"), "not a checkpoint"),
    "bare weights": (lambda path: torch.save({"a": torch.zeros(2)}, path), "not a checkpoint of fair-esm"),
    "a list": (lambda path: torch.save([1, 2], path), "not a checkpoint of fair-esm"),
    "another kind": (
        lambda path: torch.save({"args": argparse.Namespace(arch="msa_transformer"), "model": {}}, path),
        "msa_transformer",
    ),
    "settings without weights": (
        lambda path: torch.save({"args": argparse.Namespace(arch="roberta_large"), "model": {}}, path),
        "does not hold the weights",
    ),
}


@pytest.mark.parametrize("damage", BROKEN)
def test_a_broken_file_is_one_sentence(damage: str, tmp_path: Path) -> None:
    spoil, message = BROKEN[damage]
    path = write_esm2(random_esm2(), tmp_path)
    spoil(path)
    with pytest.raises(CheckpointError, match=message) as failure:
        load_model(path, device="cpu")
    assert "\n" not in str(failure.value)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    for name in ("missing.pt", "missing.safetensors"):
        with pytest.raises(CheckpointError, match=r"no checkpoint .*missing"):
            load_model(str(tmp_path / name))


def test_a_damaged_regression_is_named(tmp_path: Path) -> None:
    write_esm2(random_esm2(), tmp_path, "esm2_x")
    (tmp_path / "esm2_x-contact-regression.pt").write_bytes(b"nothing of use")
    with pytest.raises(CheckpointError, match="esm2_x-contact-regression"):
        load_model(tmp_path / "esm2_x.pt")


@pytest.mark.parametrize("damage", ["truncated", "foreign", "layers disagree", "a weight missing"])
def test_a_broken_safetensors_file_is_one_sentence(damage: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = write_safetensors(random_esm2(), tmp_path / "x.safetensors")
    header = {"num_layers": "2", "embed_dim": "32", "attention_heads": "4"}
    if damage == "truncated":
        _truncated(path)
    elif damage == "foreign":
        save_file({"a": torch.zeros(2)}, str(path))
    elif damage == "layers disagree":
        save_file(load_file(str(path)), str(path), metadata={**header, "num_layers": "3"})
    else:
        weights = load_file(str(path))
        del weights["layers.1.fc1.bias"]
        save_file(weights, str(path), metadata=header)
    with pytest.raises(CheckpointError) as failure:
        load_model(path, device="cpu")
    assert "\n" not in str(failure.value)


def test_the_other_esm_package_is_named_with_the_commands_that_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_esm2(random_esm2(), tmp_path)
    monkeypatch.setitem(sys.modules, "esm", types.ModuleType("esm"))
    with pytest.raises(DependencyError, match="pip uninstall -y esm && pip install"):
        load_model(path, device="cpu")


def test_a_missing_fair_esm_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_esm2(random_esm2(), tmp_path)
    monkeypatch.setitem(sys.modules, "esm", None)
    with pytest.raises(DependencyError, match="pip install fair-esm"):
        load_model(path, device="cpu")
