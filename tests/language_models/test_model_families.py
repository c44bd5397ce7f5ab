"""Families of models: found through entry points, their names told apart, names of one's own, no waiting."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from checkpoints import random_esm2, write_esm2
from stubs import PottsModel

from catjac_widgets.errors import DependencyError, DeviceError, ModelError, ModelNotFoundError, UsageError
from catjac_widgets.language_models.base import LanguageModel
from catjac_widgets.language_models.devices import choose_device
from catjac_widgets.language_models.registry import (
    identify,
    load_model,
    models,
    register_model,
    release_models,
    resolve_model,
    wrap,
)

MODULE = '''
from catjac_widgets.language_models.base import LanguageModel
from catjac_widgets.language_models.families import ModelFamily
from catjac_widgets.language_models.identity import identity_of
from catjac_widgets.language_models.potts.adapter import Potts, random_potts
from catjac_widgets.proteins.alphabets import RNA_LETTERS


class Held:
    """A model in memory that no other family knows."""


class Source:
    def identity(self):
        return identity_of(self.load(None, None))

    def load(self, device, dtype):
        return random_potts(8, letters=RNA_LETTERS, seed=4)


class Family(ModelFamily):
    name = "of somebody else"
    forms = "'theirs:' and a number"
    wraps_what = "theirs (a Held)"

    def claims(self, name):
        return isinstance(name, str) and name.startswith("theirs:")

    def source(self, name, loader):
        return Source()

    def rows(self):
        return [{"name": "theirs:1", "family": self.name, "status": "in cache", "letters": RNA_LETTERS}]

    def wraps(self, model, alphabet=None):
        return isinstance(model, Held)

    def wrap(self, model, alphabet=None, *, name=""):
        return random_potts(8, letters=RNA_LETTERS)


class Greedy(Family):
    name = "greedy"

    def claims(self, name):
        return name in ("mini", "theirs:2")


class Demanding(Family):
    name = "demanding"
    packages = {"a_package_nobody_has": "their-package[gpu]"}

    def claims(self, name):
        return name == "demanding"

    def rows(self):
        return [{"name": "demanding", "family": self.name, "status": "in cache"}]


class OnAGpu(Demanding):
    packages = {}
    needs_gpu = True


class NoFamily:
    pass
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install a package with these entry points, as pip would leave it."""
    folder = tmp_path / "site"

    def install(**points: str) -> None:
        about = folder / "their_models-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: their-models\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (about / "entry_points.txt").write_text("\n".join(["[catjac.models]", *lines]) + "\n")
        (folder / "their_models.py").write_text(MODULE)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, "their_models", raising=False)

    return install


def test_a_family_that_another_package_brings(installed) -> None:
    installed(theirs="their_models:Family")
    model = load_model("theirs:1", device="cpu")
    assert model.letters == "ACGU"
    assert identify("theirs:1").fingerprint == model.fingerprint
    assert models()["theirs:1"]["letters"] == "ACGU"
    assert "ACGU" in str(models())
    from their_models import Held

    assert wrap(Held()).letters == "ACGU"
    with pytest.raises(ModelError, match=r"is not a model of fair-esm .* or theirs"):
        wrap(object())
    # The families of this package are still there, and the nearest names are of all of them.
    assert load_model("mini", device="cpu").name == "mini"
    with pytest.raises(ModelNotFoundError, match="did you mean theirs:1"):
        load_model("their:1")


def test_a_name_that_two_families_claim_is_loaded_from_neither(installed) -> None:
    installed(theirs="their_models:Family", greedy="their_models:Greedy")
    for name in ("mini", "theirs:2"):
        for ask in (load_model, identify, resolve_model):
            with pytest.raises(ModelError, match=r"could be a model of .*greedy") as failure:
                ask(name)
            assert "\n" not in str(failure.value)


def test_a_family_that_cannot_be_imported_is_named_and_breaks_no_other(installed) -> None:
    installed(
        broken="a_module_that_is_nowhere:Family", wrong="their_models:NoFamily", good="their_models:Family"
    )
    assert load_model("theirs:1", device="cpu").letters == "ACGU"
    with pytest.raises(ModelNotFoundError) as failure:
        load_model("qwertyuiop")
    message = str(failure.value)
    assert "the model family 'broken' of the package their-models cannot be used (No module named" in message
    assert "their_models:NoFamily is no ModelFamily" in message
    assert "\n" not in message
    assert models()["broken"]["status"].startswith("cannot be used: No module named")


def test_a_missing_package_is_named_with_the_command_that_installs_it(installed) -> None:
    installed(demanding="their_models:Demanding")
    with pytest.raises(DependencyError, match=r"needs .* run: pip install 'their-package\[gpu\]'"):
        load_model("demanding", device="cpu")
    assert "pip install 'their-package[gpu]'" in models()["demanding"]["status"]


def test_a_family_that_needs_a_gpu_says_so(installed) -> None:
    installed(gpu="their_models:OnAGpu")
    with pytest.raises(DeviceError, match="runs on a GPU only"):
        load_model("demanding", device="cpu")


def test_a_package_that_is_installed_meanwhile_is_found(tmp_path: Path, installed) -> None:
    with pytest.raises(ModelNotFoundError):
        load_model("theirs:1")
    installed(theirs="their_models:Family")
    assert load_model("theirs:1", device="cpu").letters == "ACGU"


def test_an_installation_of_an_older_version_says_what_to_do() -> None:
    """Its metadata lists no families, though the code is there."""
    script = (
        "import importlib.metadata as metadata\n"
        "metadata.entry_points = lambda **given: []\n"
        "from catjac_widgets.language_models.registry import load_model\n"
        "load_model('mini')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert "DependencyError: The installed catjac-widgets lists no model families" in last
    assert "install it again" in last


def test_the_families_need_no_torch() -> None:
    script = (
        "import sys, catjac; catjac.models()\n"
        "from catjac_widgets.language_models.registry import identify; identify('mini')\n"
        "print('torch' in sys.modules, 'esm' in sys.modules)\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["False", "False"]


def test_a_path_is_a_checkpoint_and_no_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_esm2(random_esm2(), tmp_path).rename("masked_ends:mini.pt")
    # As text it could be two things; as a path it is one.
    with pytest.raises(ModelError, match="could be a model of"):
        identify("masked_ends:mini.pt")
    assert identify(path).fingerprint.startswith("file:")
    assert not identify(path).fingerprint.endswith("ends masked")
    with pytest.raises(ModelNotFoundError):
        identify(tmp_path)


# -- names of one's own


def test_a_name_of_ones_own() -> None:
    calls: list[str] = []

    def make() -> LanguageModel:
        calls.append("made")
        return PottsModel(seed=7)

    register_model("of my own", make)
    known, model = identify("of my own"), load_model("of my own")
    assert known.fingerprint == model.fingerprint == PottsModel(seed=7).fingerprint
    assert load_model("of my own") is model
    assert calls == ["made"]
    assert models()["of my own"]["letters"] == model.letters
    with pytest.raises(ModelNotFoundError, match="did you mean of my own"):
        load_model("of my onw")
    register_model("of my own", lambda: PottsModel(seed=8))
    assert identify("of my own").fingerprint != known.fingerprint
    assert load_model("of my own").fingerprint == PottsModel(seed=8).fingerprint


def test_a_factory_is_told_the_device_if_it_wants_to_know() -> None:
    told: list[object] = []

    def make(device: torch.device) -> object:
        told.append(device)
        return random_esm2()

    register_model("with a device", make)
    assert load_model("with a device", device="cpu").name == "ESM2 in memory"
    # What it is was asked first, and told by one on the device that models run on by default.
    assert set(map(str, told)) == {"cpu", str(choose_device(None))}


def test_a_registered_model_that_was_altered_is_made_anew() -> None:
    register_model("fine-tuned", lambda: random_esm2())
    model = load_model("fine-tuned", device="cpu")
    fingerprint = identify("fine-tuned").fingerprint
    with torch.no_grad():
        model.model.layers[0].fc1.weight[0, 0] += 1
    again = load_model("fine-tuned", device="cpu")
    assert again is not model
    assert identify("fine-tuned").fingerprint == again.fingerprint == fingerprint != model.fingerprint


def test_names_that_cannot_be_registered() -> None:
    for name, factory in (("mini", PottsModel), ("potts:x.npz", PottsModel), ("", PottsModel), ("x", 3)):
        with pytest.raises(UsageError) as failure:
            register_model(name, factory)  # type: ignore[arg-type]
        assert "\n" not in str(failure.value)
    register_model("makes nothing", lambda: None)
    with pytest.raises(ModelError, match="returned no model"):
        load_model("makes nothing")


# -- who waits for whom


def test_loading_one_model_waits_for_no_other(tmp_path: Path) -> None:
    """A download of gigabytes, or a fit, keeps nobody from the embedded model."""
    started, go_on = threading.Event(), threading.Event()
    made: list[LanguageModel] = []

    def slow() -> LanguageModel:
        started.set()
        assert go_on.wait(60)
        made.append(PottsModel(seed=11))
        return made[-1]

    register_model("slow", slow)
    found: list[LanguageModel] = []
    waiting = [threading.Thread(target=lambda: found.append(load_model("slow"))) for _ in range(3)]
    for thread in waiting:
        thread.start()
    try:
        assert started.wait(30)
        quick: list[LanguageModel] = []
        path = write_esm2(random_esm2(), tmp_path)
        other = threading.Thread(target=lambda: quick.append(load_model(path, device="cpu")), daemon=True)
        other.start()
        other.join(30)
        assert quick, "another model waited for the slow one"
        assert not found
    finally:
        go_on.set()
    for thread in waiting:
        thread.join(30)
    assert len(made) == 1
    assert len(found) == 3
    assert all(model is made[0] for model in found)


def test_models_can_be_released() -> None:
    calls: list[int] = []
    register_model("released", lambda: (calls.append(1), PottsModel(seed=12))[1])
    load_model("released")
    load_model("released")
    assert len(calls) == 1
    release_models()
    load_model("released")
    assert len(calls) == 2


# -- what is read of a model that is loaded


class Reads(torch.overrides.TorchFunctionMode):
    """Lists the functions of torch that are called with a tensor, but for those that look at no value."""

    LOOKING = ("data_ptr", "_version", "dtype", "shape", "size", "is_inference", "device", "__get__")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", str(function))
        if name not in self.LOOKING and any(isinstance(value, torch.Tensor) for value in args):
            self.found.append(name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["mini", "a path", "masked_ends:mini", "potts"])
def test_a_model_that_is_loaded_is_asked_for_without_reading_a_weight(name: str, tmp_path: Path) -> None:
    """A frame is drawn in 40 ms while a hand drags, and the weights of ESM-2 650M are 2.6 GB."""
    if name == "a path":
        name = str(write_esm2(random_esm2(), tmp_path))
    elif name == "potts":
        from labelled_potts import random_parameters

        random_parameters(5).save(tmp_path / "model.npz")
        name = f"potts:{tmp_path / 'model.npz'}"
    release_models()  # one that a person has had is read: it may have been altered through `parameter.data`
    model = resolve_model(name)
    with Reads() as reads:
        assert resolve_model(name) is model
        assert identify(name).name == model.name
    # Of a fair-esm model, the rotary frequencies are compared, a few numbers a layer.
    assert set(reads.found) <= {"equal"}
