"""Fuzzing of checkpoints and of all files that Potts models are kept in."""

from __future__ import annotations

import argparse
import gzip
import io
import json
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import random_esm1b, random_esm2, write_esm1b, write_esm2, write_safetensors
from fuzzing import EXAMPLES, ODD_VALUES, altered, damaged, files, fuzz, read_or_refuse, written
from hypothesis import given
from hypothesis import strategies as st
from potts_files import gremlin_text, plmc_bytes

import catjac
from catjac_widgets.errors import CatjacError, CheckpointError
from catjac_widgets.language_models.esm.checkpoints import facts_of, load_checkpoint
from catjac_widgets.language_models.potts.files import read_potts
from catjac_widgets.language_models.potts.parameters import PottsParameters

pytestmark = pytest.mark.timeout(240 + 2 * EXAMPLES)

with tempfile.TemporaryDirectory() as made:
    _folder = Path(made)
    _small = random_esm2(layers=1, width=8, heads=2)
    SAFETENSORS = write_safetensors(_small, _folder / "x.safetensors").read_bytes()
    ZIPPED = write_esm2(_small, _folder).read_bytes()
    LEGACY = write_esm1b(
        random_esm1b(layers=1, width=8, heads=2, positions=16), _folder, zipped=False
    ).read_bytes()


def load(path: Path) -> Any:
    """Load a checkpoint as a name does: told of first, then built."""
    facts = facts_of(path)
    model, alphabet = load_checkpoint(path)
    assert facts.letters in "".join(alphabet.all_toks)
    return model


def check(model: Any) -> None:
    """What was accepted is a whole model."""
    for parameter in model.parameters():
        assert parameter.numel() < 10**6
    with torch.no_grad():
        assert model(torch.tensor([[0, 5, 6, 7, 2]]))["logits"].shape[:2] == (1, 5)


def test_random_bytes_are_no_checkpoint(folder: Path) -> None:
    for seed in range(4 * EXAMPLES):
        content = np.random.default_rng(seed).bytes(256)
        for name in ("x.pt", "x.safetensors", "x.bin"):
            with pytest.raises(CheckpointError, match="truncated or not a"):
                facts_of(written(folder, name, content))


@pytest.mark.parametrize("kind", ["zipped", "legacy", "safetensors"])
def test_truncated_checkpoints(folder: Path, kind: str) -> None:
    name, content = {
        "zipped": ("x.pt", ZIPPED), "legacy": ("x.pt", LEGACY), "safetensors": ("x.safetensors", SAFETENSORS),
    }[kind]  # fmt: skip
    for share in np.linspace(0, 1, 60, endpoint=False):
        with pytest.raises(CheckpointError):
            load(written(folder, name, content[: int(share * len(content))]))


@fuzz
@given(content=files([ZIPPED, LEGACY]))
def test_checkpoints(folder: Path, content: bytes) -> None:
    model = read_or_refuse(lambda: load(written(folder, "x.pt", content)))
    if model is not None:
        check(model)


@fuzz
@given(content=files([SAFETENSORS]))
def test_safetensors(folder: Path, content: bytes) -> None:
    model = read_or_refuse(lambda: load(written(folder, "x.safetensors", content)))
    if model is not None:
        check(model)


def with_header(content: bytes, header: Any) -> bytes:
    text = json.dumps(header).encode()
    (size,) = struct.unpack("<Q", content[:8])
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


HEADER = json.loads(SAFETENSORS[8 : 8 + struct.unpack("<Q", SAFETENSORS[:8])[0]])


@fuzz
@given(header=altered(HEADER))
def test_headers_of_safetensors_that_lie(folder: Path, header: Any) -> None:
    model = read_or_refuse(lambda: load(written(folder, "x.safetensors", with_header(SAFETENSORS, header))))
    if model is not None:
        check(model)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("attention_heads", value) for value in ("0", "7", "-2", "8", "3.5", "many", "1000000000000")),
        *(("num_layers", value) for value in ("0", "2", "1000000000", "x")),
        ("embed_dim", "1000000"),
    ],
)
def test_settings_that_do_not_fit_are_said(folder: Path, setting: str, value: str) -> None:
    header = {**HEADER, "__metadata__": {**HEADER["__metadata__"], setting: value}}
    path = written(folder, "x.safetensors", with_header(SAFETENSORS, header))
    with pytest.raises(CheckpointError, match="does not hold the weights that its settings describe"):
        load(path)
    with pytest.raises(CheckpointError):
        catjac.jacobian("ACDEF", str(path), progress=False)


def test_a_kind_of_model_that_is_none_is_named(folder: Path) -> None:
    header = {**HEADER, "__metadata__": {**HEADER["__metadata__"], "alphabet": "nothing"}}
    path = written(folder, "x.safetensors", with_header(SAFETENSORS, header))
    with pytest.raises(CheckpointError, match="of the kind 'nothing', which is none of"):
        load(path)


ARGUMENTS = {
    "encoder_layers": 1, "encoder_embed_dim": 8, "encoder_ffn_embed_dim": 32, "encoder_attention_heads": 2,
    "max_positions": 14, "token_dropout": True,
}  # fmt: skip


@fuzz
@given(data=st.data(), old=st.booleans(), name=st.sampled_from(sorted(ARGUMENTS)), value=ODD_VALUES)
def test_settings_of_pickled_checkpoints(folder: Path, data: Any, old: bool, name: str, value: Any) -> None:
    path = written(folder, "x.pt", LEGACY if old else ZIPPED)
    with torch.serialization.safe_globals([argparse.Namespace]):
        content = torch.load(path, weights_only=True)
    settings = vars(content["args"] if old else content["cfg"]["model"])
    # Older files have "encoder_" before every name.
    settings[f"encoder_{name.removeprefix('encoder_')}" if old else name] = value
    torch.save(content, path)
    model = read_or_refuse(lambda: load(path))
    if model is not None:
        check(model)


@pytest.mark.parametrize("value", [3, "x", None, [], torch.zeros(()), torch.zeros(1).expand(10**12)])
@pytest.mark.parametrize(
    "name", ["embed_tokens.weight", "layers.0.fc1.weight", "layers.999999999.fc1.weight"]
)
def test_weights_that_are_none_or_pretend(folder: Path, name: str, value: Any) -> None:
    path = written(folder, "x.pt", ZIPPED)
    with torch.serialization.safe_globals([argparse.Namespace]):
        content = torch.load(path, weights_only=True)
    content["model"][next((key for key in content["model"] if key.endswith(name)), name)] = value
    torch.save(content, path)
    with pytest.raises(CheckpointError):
        load(path)


def test_packed_records_of_a_checkpoint_are_not_unpacked(folder: Path) -> None:
    path = folder / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"0" * 2**30)
        archive.writestr("archive/version", b"3\n")
    assert path.stat().st_size < 2 * 2**20
    with pytest.raises(CheckpointError, match="truncated or not a checkpoint"):
        facts_of(path)


# ---- Potts models


def potts(K: int = 3, q: int = 21) -> PottsParameters:
    generator = np.random.default_rng(1)
    V, W = generator.normal(size=(K, q)), generator.normal(size=(K, q, K, q))
    W = W + W.transpose(2, 3, 0, 1)
    W[np.arange(K), :, np.arange(K)] = 0
    return PottsParameters(V, W)


def ccmpred_text(model: PottsParameters) -> str:
    lines = [" ".join(f"{value:g}" for value in row[:20]) for row in model.fields]
    for i in range(len(model.columns)):
        for j in range(i + 1, len(model.columns)):
            lines.append(f"# {i} {j}")
            lines += [" ".join(f"{value:g}" for value in row) for row in model.couplings[i, :, j]]
    return "\n".join(lines) + "\n"


def saved(model: PottsParameters, ending: str) -> bytes:
    with tempfile.TemporaryDirectory() as made:
        model.save(Path(made) / f"x{ending}")
        return (Path(made) / f"x{ending}").read_bytes()


POTTS = {
    ".npz": [saved(potts(), ".npz")],
    ".safetensors": [saved(potts(), ".safetensors")],
    ".params": [plmc_bytes(potts()), plmc_bytes(potts(), target="ACD", numbers=(5, 6, 9), double=True)],
    ".mrf": [gremlin_text(potts(2), (0, 4)).encode(), gzip.compress(gremlin_text(potts(2), (0, 1)).encode())],
    ".raw": [ccmpred_text(potts(2)).encode(), gzip.compress(ccmpred_text(potts(2)).encode())],
}


def check_potts(folder: Path, made: PottsParameters) -> None:
    """What was accepted is finite, of one shape, and comes back from a file of our own."""
    K, q = made.fields.shape
    assert made.couplings.shape == (K, q, K, q)
    assert np.isfinite(made.fields).all()
    assert np.isfinite(made.couplings).all()
    assert len(made.columns) == K
    assert made.length < 10**6
    if np.abs(made.couplings).max(initial=0) < 1e30 and np.abs(made.fields).max(initial=0) < 1e30:
        made.save(folder / "again.npz")
        np.testing.assert_array_equal(
            read_potts(folder / "again.npz").couplings, made.couplings.astype(np.float32)
        )


@pytest.mark.parametrize("ending", POTTS)
def test_the_files_that_are_damaged_can_be_read(folder: Path, ending: str) -> None:
    for content in POTTS[ending]:
        check_potts(folder, read_potts(written(folder, f"x{ending}", content)))


@pytest.mark.parametrize("ending", POTTS)
def test_potts_files(folder: Path, ending: str) -> None:
    @fuzz
    @given(content=files(POTTS[ending]))
    def run(content: bytes) -> None:
        found = read_or_refuse(lambda: read_potts(written(folder, f"x{ending}", content)))
        if found is not None:
            check_potts(folder, found)

    run()


def archive_of(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


ARRAYS: dict[str, Any] = {
    "fields": potts().fields, "couplings": potts().couplings, "columns": np.arange(3),
    "letters": "ARNDCQEGHILKMFPSTWYV-",
    "neff": np.array([1.0, 2.0]), "numbering": np.array([1, 0]), "sequence": "ARN",
}  # fmt: skip


@fuzz
@given(
    name=st.sampled_from(sorted(ARRAYS)),
    value=st.one_of(
        ODD_VALUES.filter(lambda value: value not in (None, [], {}) and not isinstance(value, list)),
        st.sampled_from(
            [np.zeros((3, 21), complex), np.zeros((3, 21), int), np.full((3, 21), np.nan), np.zeros((0, 21)),
             np.zeros((0, 21, 0, 21)), np.array(["x"] * 3), np.array([-1, 0, 1]), np.array([0, 1, 10**12]),
             np.array([2.5, 3, 4]), np.full((3, 21, 3, 21), np.inf), np.zeros((3, 21, 3, 21), bool)]
        ),
    ),
)  # fmt: skip
def test_arrays_of_another_kind(folder: Path, name: str, value: Any) -> None:
    content = archive_of(**{**ARRAYS, name: value})
    found = read_or_refuse(lambda: read_potts(written(folder, "x.npz", content)))
    if found is not None:
        check_potts(folder, found)


def test_objects_in_an_archive_are_not_unpickled(folder: Path) -> None:
    trap = np.empty((1,), dtype=object)
    trap[0] = _Trap()
    content = archive_of(**{**ARRAYS, "fields": trap})
    with pytest.raises(CheckpointError, match="cannot be read as a Potts model"):
        read_potts(written(folder, "x.npz", content))
    assert not _Trap.sprung


class _Trap:
    sprung = False

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _spring, ()


def _spring() -> None:
    _Trap.sprung = True


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("many.npz", archive_of(**{**ARRAYS, "couplings": np.zeros((150, 65, 150, 65), np.int8)})),
        ("long.npz", archive_of(**{**ARRAYS, "sequence": "A" * 5 * 10**7})),
        ("wide.params", struct.pack("<5i5f", 1, 10**5, 0, 0, 0, *[1.0] * 5)
         + bytes(10**5 + 1 + 4) + bytes(4 * 2 * 10**5)),
        ("far.params", plmc_bytes(potts(), target="ACD", numbers=(1, 2, 2**31 - 1))),
        ("far.mrf", gremlin_text(potts(2), (0, 10**15)).encode()),
        ("many.mrf", b"".join(b"V[%d] %s\n" % (k, b"0 " * 21) for k in range(100_000))),
        ("bomb.raw", gzip.compress(b"0 " * 2**30, 1)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_small_files_do_not_unfold_into_gigabytes(folder: Path, name: str, content: bytes) -> None:
    with pytest.raises(CatjacError) as found:
        read_potts(written(folder, name, content))
    assert len(str(found.value)) < 400


@fuzz
@given(content=damaged([plmc_bytes(potts(), target="ACD", numbers=(5, 6, 9))]))
def test_models_of_parameters_answer(folder: Path, own_cache_off: None, content: bytes) -> None:
    path = written(folder, "y.params", content)
    model = read_or_refuse(lambda: catjac.load_model(f"potts:{path}"))
    if model is None or model.max_residues not in (None, 5):
        return
    J = read_or_refuse(lambda: catjac.jacobian("ACACD", model, progress=False, cache=False))
    assert J is None or J.shape[0] == 5


@pytest.fixture(scope="module")
def own_cache_off() -> Any:
    patch = pytest.MonkeyPatch()
    patch.setenv("CATJAC_CACHE", "off")
    yield
    patch.undo()
