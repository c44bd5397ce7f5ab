"""Models of Hugging Face that are fetched, and code that comes with them."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers_models import (
    bert_network,
    bert_tokenizer,
    esm_folder,
    written,
)

import catjac_widgets as catjac
from catjac_widgets.errors import CheckpointError
from catjac_widgets.language_models.huggingface.esm_adapter import TransformersEsm
from catjac_widgets.language_models.registry import identify
from catjac_widgets.proteins.alphabets import ESM_LETTERS

RESIDUES = "MKTAYIAKQRQI"


# -- code that comes with a model

CODE = """
from transformers import BertForMaskedLM
from .configuration_doubled import DoubledConfig


class Doubled(BertForMaskedLM):
    config_class = DoubledConfig

    def forward(self, *given, **named):
        found = super().forward(*given, **named)
        found.logits = 2 * found.logits
        return found
"""
SETTINGS = """
from transformers import BertConfig


class DoubledConfig(BertConfig):
    model_type = "doubled_bert"
"""


@pytest.fixture
def with_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose class is written in it."""
    import transformers.dynamic_module_utils as modules

    monkeypatch.setattr(modules, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = written(tmp_path / "doubled", bert_network(), bert_tokenizer())
    (folder / "modeling_doubled.py").write_text(CODE)
    (folder / "configuration_doubled.py").write_text(SETTINGS)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "doubled_bert",
        "auto_map": {
            "AutoConfig": "configuration_doubled.DoubledConfig",
            "AutoModelForMaskedLM": "modeling_doubled.Doubled",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    yield folder
    for name in [each for each in sys.modules if each.startswith("transformers_modules")]:
        del sys.modules[name]
    if str(tmp_path / "modules") in sys.path:
        sys.path.remove(str(tmp_path / "modules"))


def test_code_of_a_model_runs_only_where_it_may(with_code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"hf:{with_code}"
    monkeypatch.delenv("CATJAC_REMOTE_CODE", raising=False)
    for ask in (catjac.load_model, identify):
        with pytest.raises(CheckpointError, match=f"CATJAC_REMOTE_CODE={with_code}"):
            ask(name)
    monkeypatch.setenv("CATJAC_REMOTE_CODE", f"owner/other, {with_code}")
    model = catjac.load_model(name, device="cpu")
    assert identify(name).fingerprint == model.fingerprint
    assert model.unseen == identify(name).unseen == ""
    wanted = 2 * catjac.wrap((bert_network(), bert_tokenizer())).prepare(RESIDUES).wild_type()
    np.testing.assert_allclose(model.prepare(RESIDUES).wild_type(), wanted, rtol=0, atol=1e-4)
    (with_code / "modeling_doubled.py").write_text(CODE.replace("2 *", "3 *"))
    assert identify(name).fingerprint != model.fingerprint
    monkeypatch.delenv("CATJAC_REMOTE_CODE")
    with pytest.raises(CheckpointError, match=f"CATJAC_REMOTE_CODE={with_code}"):
        catjac.load_model(name, device="cpu")


# -- the Hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub."""
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return folder


def test_what_the_hubs_cache_holds_needs_no_network(hub: Path, tmp_path: Path) -> None:
    repository = hub / "models--somebody--tiny"
    (repository / "snapshots").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    shutil.copytree(esm_folder(tmp_path), repository / "snapshots" / "c0ffee")
    model = catjac.load_model("hf:somebody/tiny", device="cpu")
    assert model.name == "hf:somebody/tiny"
    assert isinstance(model, TransformersEsm)
    assert identify("hf:somebody/tiny@main").fingerprint == model.fingerprint
    (repository / "snapshots" / "c0ffee" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="not in the cache of the Hugging Face Hub"):
        catjac.load_model("hf:somebody/tiny", device="cpu")


@pytest.mark.parametrize(
    "name", ["hf:no/such folder", "hf:", "hf:../nowhere", "hf:/nowhere/at/all", "hf:a/b/c", "hf:.a/b"]
)
def test_what_is_neither_folder_nor_repository(hub: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="There is no folder"):
        catjac.load_model(name)


def test_a_network_that_is_not_there_is_one_sentence(hub: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be fetched") as failure:
        catjac.load_model("hf:somebody/absent")
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("RepositoryNotFoundError", "knows no model somebody/absent"),
        ("GatedRepoError", "accepted its terms"),
        ("RevisionNotFoundError", "has no revision"),
        ("HfHubHTTPError", "cannot be fetched"),
    ],
)
def test_what_the_hub_says_is_said_in_one_sentence(
    hub: Path, monkeypatch: pytest.MonkeyPatch, error: str, words: str
) -> None:
    import huggingface_hub
    from huggingface_hub import errors

    kind = getattr(errors, error)

    def refuses(*_: Any, **__: Any) -> Any:
        raise kind.__new__(kind)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuses)
    with pytest.raises(CheckpointError, match=words) as failure:
        catjac.load_model("hf:somebody/absent")
    assert "\n" not in str(failure.value)


def test_only_what_is_needed_is_fetched(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    published = esm_folder(tmp_path)
    names = [*(path.name for path in published.iterdir()), "pytorch_model.bin", "tf_model.h5", "evil.py"]
    files = [type("File", (), {"rfilename": name, "size": 10})() for name in names]
    asked: list[Any] = []

    def fetched(repository: str, **options: Any) -> str:
        asked.append((repository, sorted(options["allow_patterns"])))
        return str(published)

    monkeypatch.setattr(
        huggingface_hub.HfApi, "model_info", lambda *_, **__: type("Info", (), {"siblings": files})()
    )
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    model = catjac.load_model("hf:somebody/tiny", device="cpu")
    assert model.letters == ESM_LETTERS
    wanted = sorted(path.name for path in published.iterdir())
    assert set(map(str, asked[0][1])) == set(wanted)
    assert asked[0][0] == "somebody/tiny"


def test_the_table_lists_them() -> None:
    row = catjac.models()["hf:biohub/ESMC-300M"]
    assert row["family"] == "Hugging Face"
    assert row["status"] in ("needs download", "in cache")
    assert "licence" in str(catjac.models()).splitlines()[0]
