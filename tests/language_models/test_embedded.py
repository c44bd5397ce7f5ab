"""The embedded model's file, and what it says of proteins that it knows and does not know."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import write_embedded

from catjac_widgets.errors import CheckpointError, SequenceError
from catjac_widgets.language_models.devices import choose_device, cpu_threads
from catjac_widgets.language_models.esm.mini import familiarity as embedded
from catjac_widgets.language_models.esm.mini import weights
from catjac_widgets.language_models.registry import identify, load_model, models
from catjac_widgets.proteins.alphabets import ESM_LETTERS

BPTI = "RPDFCLEPPYTGPCKARIIRYFYNAKAGLCQTFVYGGCRAKRNNFKSAEDCMRTCGGA"
WW = "KLPPGWEKRMSRSSGRVYYFNHITNASQWERPSG"
FAMILIES = [
    {"id": "PF00014_1BPI", "name": "Kunitz domain", "query": BPTI},
    {"id": "PF00397_1PIN", "query": WW},
    {"id": "untrained", "query": "MAHHHHHHSSGLEVLFQGPGSWWWWKKKK", "trained": False},
]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A random network in the embedded model's format, with a card that names two families."""
    folder = tmp_path / "embedded"
    folder.mkdir()
    write_embedded(folder, FAMILIES)
    monkeypatch.setattr(weights, "FOLDER", folder)
    embedded.familiarity.cache_clear()
    yield folder
    embedded.familiarity.cache_clear()


@pytest.mark.usefixtures("small")
def test_mini_loads_by_name() -> None:
    model = load_model("mini", device="cpu")
    assert model.name == "mini"
    assert model.fingerprint == identify("mini").fingerprint
    assert model.prepare(BPTI).wild_type().shape == (58, 20)
    assert model.contact_probabilities(BPTI, [None]).shape == (1, 58, 58)
    row = models()["mini"]
    assert row["status"] == "embedded"
    assert row["layers"] == 2
    assert row["parameters"] == model.parameters


def test_an_installation_without_mini_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    embedded.familiarity.cache_clear()
    for call in (lambda: load_model("mini"), lambda: identify("mini"), lambda: embedded.familiarity("MKT")):
        with pytest.raises(CheckpointError, match="install catjac-widgets again"):
            call()
    assert "mini" not in [row["name"] for row in models()]


@pytest.mark.usefixtures("small")
def test_a_training_query_is_known() -> None:
    found = embedded.familiarity(BPTI)
    assert (found.family, found.identity, found.known) == ("PF00014_1BPI", 1.0, True)
    assert "Kunitz domain (PF00014_1BPI)" in found.sentence
    assert "100 % identical" in found.sentence
    assert embedded.familiarity(BPTI.lower()) == found
    assert embedded.familiarity(BPTI[10:40]).known
    assert embedded.familiarity("GS" * 30 + BPTI + "GS" * 30).known
    assert embedded.familiarity(WW).sentence.startswith("mini has learnt the family PF00397_1PIN;")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("changed", [3, 10, 20])
def test_identity_counts_the_substitutions(changed: int) -> None:
    residues = list(BPTI)
    for position in np.linspace(0, len(BPTI) - 1, changed).astype(int):
        residues[position] = "A" if residues[position] != "A" else "S"
    found = embedded.familiarity("".join(residues))
    assert found.identity == pytest.approx(1 - changed / len(BPTI))
    assert found.known


@pytest.mark.usefixtures("small")
def test_other_proteins_are_not_known() -> None:
    rng = np.random.default_rng(0)
    for length in (2, 10, 40, 150, 400):
        for _ in range(5):
            found = embedded.familiarity("".join(rng.choice(list(ESM_LETTERS), length)))
            assert not found.known
            assert "use a larger model such as esm2_t33_650M_UR50D" in found.sentence
            assert 0 <= found.identity <= 1
    assert not embedded.familiarity("".join(rng.permutation(list(BPTI)))).known
    assert not embedded.familiarity("XXXXXXXXXXXXXXXXXXXX").known
    assert not embedded.familiarity("MAHHHHHHSSGLEVLFQGPGSWWWWKKKK").known
    with pytest.raises(SequenceError, match="empty"):
        embedded.familiarity("")


@pytest.mark.parametrize("card", ["", "{}", '{"families": []}', '{"families": [{"id": "x"}]}', "[1]"])
def test_a_broken_card_is_one_sentence(card: str, small: Path) -> None:
    (small / "mini.json").write_text(card)
    embedded._families.cache_clear()
    with pytest.raises(CheckpointError, match="install catjac-widgets again"):
        embedded.familiarity(BPTI)


def test_members_are_told_from_strangers() -> None:
    """On the real families: the card's own queries are known, and not by way of another family."""
    data = os.environ.get("CATJAC_DATA")
    if not data:
        pytest.skip("CATJAC_DATA (the folder of protein families) is not set")
    families = json.loads((Path(data) / "families" / "families.json").read_text())
    card = [{"id": family["id"], "name": family["name"], "query": family["query"]} for family in families]
    for left_out in range(0, len(card), 6):
        others = tuple(card[:left_out] + card[left_out + 1 :])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(embedded, "_families", lambda path, found=others: found)
            embedded.familiarity.cache_clear()
            assert not embedded.familiarity(card[left_out]["query"]).known, card[left_out]["id"]
            assert embedded.familiarity(others[0]["query"]).family == others[0]["id"]
    embedded.familiarity.cache_clear()


def test_the_embedded_model_of_this_checkout() -> None:
    file = weights.FOLDER / weights.WEIGHTS
    if not file.is_file():
        pytest.skip("the embedded model is not in this checkout")
    assert file.stat().st_size <= 8 * 10**6
    model = load_model("mini", device="cpu")
    assert model.has_contact_head
    assert model.letters == ESM_LETTERS
    found = embedded.familiarity(BPTI)
    assert (found.family, found.known) == ("PF00014_1BPI", True)


def test_telling_what_it_is_waits_for_no_torch(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from catjac_widgets.language_models.devices import likely_device\n"
        "from catjac_widgets.language_models.registry import identify\n"
        "print(identify('mini').fingerprint, 'torch' in sys.modules)\n"
        "import torch\n"
        "print(likely_device())\n"
    )
    environment = os.environ | {"CATJAC_CACHE": str(tmp_path)}
    told = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    assert told == [load_model("mini").fingerprint, "False", str(choose_device(None))]


def test_telling_the_device_waits_for_no_thread_that_imports_torch() -> None:
    script = (
        "import importlib.machinery, os, sys, types\n"
        "from catjac_widgets.language_models import devices\n"
        "half = types.ModuleType('torch')\n"
        "half.__spec__ = importlib.machinery.ModuleSpec('torch', None)\n"
        "half.__spec__._initializing = True\n"
        "sys.modules['torch'] = half\n"
        "os.path.exists = lambda path: False\n"
        "sys.platform = 'linux'\n"
        "print(devices.likely_device())\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["cpu"]


def test_threads_are_given_back() -> None:
    with cpu_threads(3):
        with cpu_threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError), cpu_threads(1):
            _ = 1 // 0
        assert torch.get_num_threads() == 3
