"""Names of models: found, suggested, downloaded, remembered, listed."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import http.server
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import random_esm1b, random_esm2, write_esm1b, write_esm2, write_safetensors

from catjac_widgets.errors import CheckpointError, DeviceError, ModelNotFoundError, ResourceError, UsageError
from catjac_widgets.language_models import devices
from catjac_widgets.language_models.esm import checkpoints, published
from catjac_widgets.language_models.esm.adapter import FairEsm
from catjac_widgets.language_models.esm.published import PUBLISHED
from catjac_widgets.language_models.registry import identify, load_model, models, resolve_model
from catjac_widgets.language_models.weights import downloads
from catjac_widgets.proteins.alphabets import ESM_LETTERS

SMALL = "esm2_t6_8M_UR50D"
RESIDUES = "MKTAYIAKQR"


def fill_hub(name: str = SMALL, **how: Any) -> Path:
    """Put a small file of the real format where torch hub would keep the published one."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    write = write_esm1b if name.startswith("esm1") else write_esm2
    return write(random_esm1b() if name.startswith("esm1") else random_esm2(), folder, name, **how)


@dataclasses.dataclass
class Published:
    """A folder served over HTTP."""

    folder: Path
    server: Any

    def publish(self) -> None:
        path = write_esm2(random_esm2(), self.folder / "models", SMALL)
        beside = path.with_name(f"{SMALL}-contact-regression.pt")
        shutil.move(beside, self.folder / "regression" / beside.name)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Published]:
    """A folder served over HTTP in place of the publisher's; its files are what can be downloaded."""
    folder = tmp_path / "published"
    for name in ("models", "regression"):
        (folder / name).mkdir(parents=True)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def copyfile(self, source: Any, target: Any) -> None:
            limit = getattr(self.server, "limit", None)
            target.write(source.read() if limit is None else source.read(limit))

    http_server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=http_server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(published, "HUB_URL", f"http://127.0.0.1:{http_server.server_port}")
    yield Published(folder, http_server)
    http_server.shutdown()
    http_server.server_close()


@pytest.mark.parametrize("name", [SMALL, "esm2_t48_15B_UR50D", "esm1b_t33_650M_UR50S"])
def test_a_name_is_found_in_the_hub_cache(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "physical_memory", lambda: None)
    path = fill_hub(name)
    model = load_model(name, device="cpu")
    assert model.name == name
    assert model.fingerprint == identify(name).fingerprint == identify(path).fingerprint
    assert identify(name).has_contact_head
    assert isinstance(resolve_model(name), FairEsm)


def test_esm1v_has_no_contact_regression_to_ask_for() -> None:
    fill_hub("esm1v_t33_650M_UR90S_3", regression=False)
    assert identify("esm1v_t33_650M_UR90S_3").has_contact_head is False
    assert load_model("esm1v_t33_650M_UR90S_3", device="cpu").max_residues == 62


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("esm2_t33_650M", "esm2_t33_650M_UR50D"), ("minni", "mini"), ("ESM2_T6_8M_UR50D", SMALL)],
)
def test_an_unknown_name_suggests_the_nearest(wrong: str, nearest: str) -> None:
    for ask in (load_model, identify, resolve_model):
        with pytest.raises(ModelNotFoundError, match=f"did you mean {nearest}") as failure:
            ask(wrong)
        assert "\n" not in str(failure.value)


def test_names_that_are_not_understood_yet_say_which_are() -> None:
    for name in ("nobody:some/model", "qwertyuiop", ""):
        with pytest.raises(
            ModelNotFoundError, match=r"by fair-esm's name, or by the path .*'mini'; .*'potts:' with"
        ):
            load_model(name)


def test_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_esm2(random_esm2(), tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert load_model(path).device == torch.device("cpu")
    for device in ("cuda", "cuda:1", "mps", "nonsense", "meta", 3.5):
        with pytest.raises(DeviceError) as failure:
            load_model(path, device=device)
        assert "\n" not in str(failure.value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DeviceError, match="cuda:0 to cuda:1"):
        load_model(path, device="cuda:2")


def test_precision(tmp_path: Path) -> None:
    path = write_esm2(random_esm2(), tmp_path)
    exact = load_model(path, device="cpu")
    for dtype in ("float16", "bfloat16", torch.bfloat16):
        half = load_model(path, device="cpu", dtype=dtype)
        assert half.fingerprint != exact.fingerprint
        logits = half.prepare(RESIDUES).wild_type()
        assert logits.dtype == np.float32
        wanted = exact.prepare(RESIDUES).wild_type()
        np.testing.assert_allclose(logits, wanted, rtol=0, atol=0.1 * abs(wanted).max())
    with pytest.raises(UsageError, match="float32"):
        load_model(path, device="cpu", dtype="int8")


def test_rotary_frequencies_are_never_rounded(tmp_path: Path) -> None:
    """In bfloat16 they would be off by radians at the end of a long sequence."""
    path = write_esm2(random_esm2(), tmp_path)
    exact = load_model(path, device="cpu")
    half = load_model(path, device="cpu", dtype="bfloat16")
    for ours, theirs in zip(exact.model.layers, half.model.layers, strict=True):
        assert torch.equal(ours.self_attn.rot_emb.inv_freq, theirs.self_attn.rot_emb.inv_freq)
        assert theirs.self_attn.q_proj.weight.dtype == torch.bfloat16
    np.testing.assert_allclose(
        half.contact_probabilities(RESIDUES * 20, [None]),
        exact.contact_probabilities(RESIDUES * 20, [None]),
        atol=0.1,
    )


def test_a_model_larger_than_the_machine_is_refused_before_it_is_fetched(
    server: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.publish()
    monkeypatch.setattr(devices, "physical_memory", lambda: 10**7)
    for ask in (load_model, identify):
        with pytest.raises(ResourceError, match=r"needs 30 MB of memory .* has 10 MB"):
            ask(SMALL)
    assert not Path(torch.hub.get_dir()).exists()
    fill_hub()
    identify(SMALL)  # what is computed already can still be read
    with pytest.raises(ResourceError):
        load_model(SMALL)


def test_a_device_that_is_too_small_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_esm2(random_esm2(), tmp_path)

    def refuse(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(torch.nn.Module, "to", refuse)
    with pytest.raises(DeviceError, match="does not fit into the memory of cpu"):
        load_model(path, device="cpu")


def test_a_model_is_loaded_once(tmp_path: Path) -> None:
    path = write_esm2(random_esm2(seed=1), tmp_path)
    model = load_model(path, device="cpu")
    assert load_model(str(path), device="cpu") is model
    assert load_model(path, device="cpu", dtype="float16") is not model
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(load_model(path, device="cpu"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one is model for one in found)


def test_a_model_that_was_altered_is_loaded_again(tmp_path: Path) -> None:
    path = write_esm2(random_esm2(), tmp_path)
    model = load_model(path, device="cpu")
    with torch.no_grad():
        model.model.layers[0].fc1.weight[0, 0] += 1
    assert model.fingerprint != identify(path).fingerprint
    again = load_model(path, device="cpu")
    assert again is not model
    assert again.fingerprint == identify(path).fingerprint


def test_a_file_that_changed_is_another_model(tmp_path: Path) -> None:
    path = write_esm2(random_esm2(seed=1), tmp_path)
    first = load_model(path, device="cpu")
    write_esm2(random_esm2(seed=2), tmp_path)
    second = load_model(path, device="cpu")
    assert first.fingerprint != second.fingerprint == identify(path).fingerprint
    assert abs(first.prepare(RESIDUES).wild_type() - second.prepare(RESIDUES).wild_type()).max() > 0.1
    # The contact regression is a part of what the name stands for.
    path.with_name(f"{path.stem}-contact-regression.pt").unlink()
    assert identify(path).fingerprint != second.fingerprint


def test_a_path_beats_nothing_but_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file here with the name of a published model is meant only where it is given as a path."""
    monkeypatch.chdir(tmp_path)
    fill_hub()
    write_esm2(random_esm2(seed=9), tmp_path, SMALL)
    assert identify(SMALL).fingerprint != identify(f"{SMALL}.pt").fingerprint


# -- what is known without loading


def test_a_file_is_hashed_and_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_esm2(random_esm2(), tmp_path)
    first = identify(path)
    monkeypatch.setattr(checkpoints, "sha256_of_file", lambda file: pytest.fail("hashed again"))
    monkeypatch.setattr(checkpoints, "_read", lambda file: pytest.fail("opened again"))
    assert identify(path) == first
    monkeypatch.setattr(checkpoints.file_memory, "_entries", {})  # as in a new process
    assert identify(path) == first


def test_a_new_process_knows_a_file_without_torch(tmp_path: Path) -> None:
    path = fill_hub()
    fingerprint = identify(SMALL).fingerprint
    script = (
        "import sys, json; from catjac_widgets.language_models.registry import identify; "
        f"i = identify({str(path)!r}); "
        "print(json.dumps([i.fingerprint, 'torch' in sys.modules, 'esm' in sys.modules]))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert json.loads(told) == [fingerprint, False, False]


def test_a_published_model_that_was_seen_is_not_fetched_again_to_be_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = fill_hub()
    first = identify(SMALL)
    shutil.rmtree(path.parent)
    monkeypatch.setattr(published, "HUB_URL", "http://127.0.0.1:9")
    assert identify(SMALL) == first
    with pytest.raises(CheckpointError, match="cannot be downloaded"):
        load_model(SMALL)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        identify(path)


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    path = write_esm2(random_esm2(), tmp_path)
    other = path.rename(tmp_path / "epoch-12.ckpt")
    assert load_model(str(other), device="cpu").prepare(RESIDUES).wild_type().shape == (10, 20)


@pytest.mark.parametrize("memory", ["unwritable", "garbage", "of another version", "off"])
def test_the_memory_of_files_may_fail(memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_esm2(random_esm2(), tmp_path)
    folder = tmp_path / "cache"
    if memory == "unwritable":
        folder.write_text("a file where the folder should be")
    elif memory == "off":
        monkeypatch.setenv("CATJAC_CACHE", "off")
    else:
        first = identify(path)
        file = folder / "model-files.json"
        if memory == "garbage":
            file.write_text("{not json")
        else:
            known = json.loads(file.read_text())
            for entry in known.values():
                entry["facts"] = {"something": "else"}
            file.write_text(json.dumps(known))
        checkpoints.file_memory._entries.clear()
        assert identify(path) == first
    assert identify(path).fingerprint == load_model(path, device="cpu").fingerprint
    if memory == "off":
        assert not folder.exists()


# -- downloads


def test_a_model_that_is_not_there_is_downloaded(server: Published) -> None:
    server.publish()
    assert models()[SMALL]["status"].startswith("needs download")
    model = load_model(SMALL, device="cpu")
    assert model.has_contact_head
    assert model.fingerprint == identify(SMALL).fingerprint
    assert models()[SMALL]["status"] == "in cache"
    shutil.rmtree(server.folder / "models")
    assert identify(SMALL).fingerprint == model.fingerprint


@pytest.mark.parametrize("trouble", ["not published", "breaks off", "no network", "no room", "unwritable"])
def test_a_download_that_fails_is_one_sentence_and_leaves_nothing(
    trouble: str, server: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trouble != "not published":
        server.publish()
    hub = Path(torch.hub.get_dir())
    if trouble == "breaks off":
        server.server.limit = 1000
    elif trouble == "no network":
        monkeypatch.setattr(published, "HUB_URL", "http://127.0.0.1:9")
    elif trouble == "no room":
        monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    elif trouble == "unwritable":
        hub.parent.mkdir(parents=True, exist_ok=True)
        hub.write_text("a file where the folder should be")
    with pytest.raises(CheckpointError) as failure:
        load_model(SMALL, device="cpu")
    message = str(failure.value)
    assert "\n" not in message
    expected = {
        "not published": "404", "breaks off": "broke off", "no network": "network", "no room": "free",
        "unwritable": "cannot be written",
    }  # fmt: skip
    assert expected[trouble] in message
    with contextlib.suppress(NotADirectoryError):
        assert [path for path in hub.rglob("*") if path.is_file()] == []


# -- the table


def test_the_table_lists_every_published_model() -> None:
    table = models()
    names = [row["name"] for row in table]
    assert set(PUBLISHED) <= set(names)
    assert {"ESM-2", "ESM-1b", "ESM-1v", "ESM-1"} <= {row["family"] for row in table}
    text, html = str(table), table._repr_html_()
    for row in table:
        assert row["name"] in text
        assert escape(row["name"]) in html
    for name in ("mini", *PUBLISHED):
        assert table[name]["parameters"] > 1e5
        assert set(table[name]["letters"]) == set(ESM_LETTERS)
        assert table[name]["runs_here"] in (True, False)
    assert "650M" in text
    with pytest.raises(KeyError):
        table["nothing"]


@pytest.mark.parametrize("name", [SMALL, "esm2_t12_35M_UR50D"])
def test_numbers_of_parameters_follow_from_the_size(name: str) -> None:
    import esm

    entry = PUBLISHED[name]
    model = esm.ESM2(entry.layers, entry.width, 20)
    head = entry.layers * 20 + 1
    assert entry.parameters == sum(parameter.numel() for parameter in model.parameters()) - head


def test_the_number_of_parameters_of_esm1b_follows_from_its_size() -> None:
    model = random_esm1b(3, 40, 4, positions=1024)
    entry = published.PublishedModel("x", "ESM-1b", 3, 40, 0, positions=1026)
    assert entry.parameters == sum(parameter.numel() for parameter in model.parameters()) - 13


def test_every_published_name_is_one_of_fair_esm() -> None:
    import esm.pretrained

    for name in PUBLISHED:
        # fair-esm has one function for all five of ESM-1v beside one a model.
        assert callable(getattr(esm.pretrained, name)), name


def test_sizes_come_from_the_header_alone(tmp_path: Path) -> None:
    model = random_esm2(3, 32, 4)
    found = checkpoints.sizes_of(write_safetensors(model, tmp_path / "x.safetensors"))
    assert found["layers"] == 3
    assert found["family"] == "ESM-2"
    assert found["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert (
        checkpoints.sizes_of(write_safetensors(random_esm1b(), tmp_path / "y.safetensors"))["family"]
        == "ESM-1b"
    )
