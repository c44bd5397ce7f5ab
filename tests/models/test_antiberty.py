"""AntiBERTy: the published weights as a BERT of transformers, on antibodies of known structure."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pretrained import weights
from transformers_models import bert_network

import catjac_widgets as catjac
from catjac_widgets.errors import CheckpointError, DependencyError, SequenceError
from catjac_widgets.language_models.antiberty import family
from catjac_widgets.language_models.antiberty.published import CONFIG, VOCABULARY, WEIGHTS, WHEEL
from catjac_widgets.language_models.antiberty.source import build, encoding_of_vocabulary
from catjac_widgets.language_models.registry import identify
from catjac_widgets.language_models.weights.wheels import Wheel
from catjac_widgets.proteins.masks import Mask

TOKENS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "A",
    "C",
    "D",
    "E",
    "F",
    "G",
    "H",
    "I",
    "K",
    "L",
    "M",
    "N",
    "P",
    "Q",
    "R",
    "S",
    "T",
    "V",
    "W",
    "Y",
]
LETTERS = "ACDEFGHIKLMNPQRSTVWY"

#: Variable domains. 1IGT: a mouse IgG2a; 2FB4: the light chain of KOL, human λ; trastuzumab: humanised.
ANTIBODIES = {
    "1IGT heavy": (
        "EVKLQESGGGLVQPGGSLKLSCATSGFTFSDYYMYWVRQTPEKRLEWVAYISNGGGSTYY"
        "PDTVKGRFTISRDNAKNTLYLQMSRLKSEDTAMYYCARHGGYYAMDYWGQGTTVTVSS"
    ),
    "1IGT light": (
        "DIVLTQSPSSLSASLGDTITITCHASQNINVWLSWYQQKPGNIPKLLIYKASNLHTGVPS"
        "RFSGSGSGTGFTLTISSLQPEDIATYYCQQGQSYPLTFGGGTKLEIK"
    ),
    "2FB4 light": (
        "QSVLTQPPSASGTPGQRVTISCSGTSSNIGSSTVNWYQQLPGMAPKLLIYRDAMRPSGVP"
        "DRFSGSKSGASASLAIGGLQSEDETDYYCAAWDVSLNAYVFGTGTKVTVLGQ"
    ),
    "trastuzumab heavy": (
        "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRY"
        "ADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYCSRWGGDGFYAMDYWGQGTLVTVSS"
    ),
    "trastuzumab light": (
        "DIQMTQSPSSLSASVGDRVTITCRASQDVNTAVAWYQQKPGKAPKLLIYSASFLYSGVPS"
        "RFSGSRSGTDFTLTISSLQPEDFATYYCQQHYTTPPTFGQGTKVEIK"
    ),
}
SHORT = "EVQLVESGGGLV"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small random weights in the files and names of the published ones, instead of these."""
    network = bert_network(TOKENS, max_position_embeddings=22)
    named = {name: each.clone() for name, each in network.state_dict().items()}
    named |= {
        "bert.embeddings.position_ids": torch.arange(22)[None],
        "bert.pooler.dense.weight": torch.zeros(32, 32),
        "bert.pooler.dense.bias": torch.zeros(32),
    }
    for head, size in (("species", 6), ("chain", 2), ("graft", 2)):
        named |= {f"cls.{head}.weight": torch.zeros(size, 32), f"cls.{head}.bias": torch.zeros(size)}
    wheel = Wheel("antiberty", "0", "", 1, "MIT", WHEEL.files)
    monkeypatch.setenv("CATJAC_PRETRAINED", str(tmp_path))
    for name in WHEEL.files:
        (wheel.folder / name).parent.mkdir(parents=True, exist_ok=True)
    config = {
        **network.config.to_dict(),
        "architectures": ["AntiBERTy"],
        "position_embedding_type": "absolute",
    }
    (wheel.folder / CONFIG).write_text(json.dumps(config, default=str))
    (wheel.folder / VOCABULARY).write_text("\n".join(TOKENS))
    torch.save(named, wheel.folder / WEIGHTS)
    monkeypatch.setattr(family, "WHEEL", wheel)
    monkeypatch.setattr("catjac_widgets.language_models.antiberty.source.WHEEL", wheel)
    return wheel.folder


def plain_rows(network: Any, residues: str, positions: list[int]) -> np.ndarray:
    """Rows of J by the loop of the definition, over transformers' BERT."""
    ids = {token: number for number, token in enumerate(TOKENS)}

    def logits(texts: list[str]) -> np.ndarray:
        tokens = torch.tensor([[2, *(ids[letter] for letter in text), 3] for text in texts])
        with torch.no_grad():
            found = network(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
        return found[:, 1:-1, 5:].numpy().astype(np.float64)

    wild = logits([residues])
    rows = [
        logits([residues[:k] + letter + residues[k + 1 :] for letter in LETTERS]) - wild for k in positions
    ]
    return np.array(rows)


# -- tiny


def test_the_jacobian_is_the_plain_loop(tiny: Path) -> None:
    model = catjac.load_model("antiberty", device="cpu")
    assert (model.letters, model.max_residues, model.unseen) == (LETTERS, 20, "")
    network = bert_network(TOKENS, max_position_embeddings=22)
    J = catjac.jacobian(SHORT, model, cache=False, progress=False)
    wanted = plain_rows(network, SHORT, list(range(len(SHORT))))
    np.testing.assert_allclose(J.values, wanted, rtol=0, atol=1e-4)
    assert list(J["aa_out"].values) == list(LETTERS)
    known = identify("antiberty")
    assert (known.fingerprint, known.letters, known.max_residues) == (model.fingerprint, LETTERS, 20)
    hidden = model.encode("EVQL", Mask.hiding("EVQL", [(2, 2)]))
    assert hidden.tolist() == [2, TOKENS.index("E"), 4, TOKENS.index("Q"), TOKENS.index("L"), 3]
    with pytest.raises(SequenceError, match="at most 20"):
        catjac.jacobian("A" * 21, model)


def test_its_identity_reads_no_weight_twice(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = identify("antiberty")
    monkeypatch.setattr("catjac_widgets.language_models.antiberty.source.digest_of", None)
    assert identify("antiberty") == before
    monkeypatch.undo()


def test_the_fingerprint_follows_the_files(tiny: Path) -> None:
    before = identify("antiberty").fingerprint
    named = torch.load(tiny / WEIGHTS, weights_only=True)
    named["cls.predictions.transform.dense.bias"] += 1
    torch.save(named, tiny / WEIGHTS)
    assert identify("antiberty").fingerprint != before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop("bert.encoder.layer.1.output.dense.bias"), "layer.1.output.dense.bias"),
        (lambda w: w.update({"bert.more": torch.zeros(1)}), "bert.more"),
        (lambda w: w.update({"cls.predictions.decoder.weight": torch.zeros(3, 3)}), "does not fit"),
        (lambda w: w.update({"other": "text"}), "something else than weights"),
    ],
)
def test_other_weights_are_refused(tiny: Path, change: Any, words: str) -> None:
    named = torch.load(tiny / WEIGHTS, weights_only=True)
    change(named)
    torch.save(named, tiny / WEIGHTS)
    with pytest.raises(CheckpointError, match=words) as failure:
        catjac.load_model("antiberty", device="cpu")
    assert "\n" not in str(failure.value)


def test_another_vocabulary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(TOKENS[:-1]))
    with pytest.raises(CheckpointError, match="not AntiBERTy's vocabulary"):
        encoding_of_vocabulary(path)


def test_only_weights_are_taken_out_of_the_wheel(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first use fetches the wheel; nothing of its code is kept or run."""
    import hashlib
    import shutil
    import subprocess

    path = tiny.parent / "antiberty-0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in WHEEL.files:
            archive.write(tiny / name, name)
        archive.writestr("antiberty/__init__.py", "raise SystemExit('its code ran')")
    shutil.rmtree(tiny)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    wheel = Wheel("antiberty", "0", digest, 1, "MIT", WHEEL.files)
    monkeypatch.setattr("catjac_widgets.language_models.antiberty.source.WHEEL", wheel)

    def run(command: list[str], **_: Any) -> Any:
        shutil.copy(path, command[command.index("--dest") + 1])
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    assert catjac.load_model("antiberty", device="cpu").letters == LETTERS
    assert not list(tiny.rglob("*.py"))
    assert "antiberty" not in sys.modules


def test_without_transformers_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DependencyError, match="pip install transformers"):
        catjac.load_model("antiberty")


def test_the_table_says_what_it_is_not_for() -> None:
    row = catjac.models()["antiberty"]
    assert (row["licence"], row["context"], row["letters"]) == ("MIT", 510, LETTERS)
    assert "near chance for contacts" in row["note"]
    assert "near chance for contacts" in str(catjac.models())


# -- the published weights


@pytest.fixture(scope="module")
def published() -> Any:
    for name in WHEEL.files:
        weights(WHEEL, name)
    return catjac.load_model("antiberty", device="cpu")


@pytest.mark.pretrained
def test_the_published_files_are_those_that_are_described(published: Any) -> None:
    vocabulary = WHEEL.get(VOCABULARY).read_text(encoding="utf-8").split()
    assert vocabulary == TOKENS
    assert published.parameters == 25_759_769 == catjac.models()["antiberty"]["parameters"]
    assert published.max_residues == 510
    tied = torch.load(WHEEL.get(WEIGHTS), map_location="cpu", weights_only=True)
    np.testing.assert_array_equal(
        tied["cls.predictions.decoder.weight"], tied["bert.embeddings.word_embeddings.weight"]
    )
    assert identify("antiberty").fingerprint == published.fingerprint


@pytest.mark.pretrained
@pytest.mark.parametrize(("name", "position"), [("1IGT heavy", 99), ("1IGT light", 24)])
def test_rows_on_the_published_weights_are_the_plain_loop(published: Any, name: str, position: int) -> None:
    residues = ANTIBODIES[name]
    J = catjac.jacobian(residues, published, positions=[position], cache=False, progress=False)
    network = build(WHEEL.get(CONFIG), WHEEL.get(WEIGHTS))
    wanted = plain_rows(network, residues, [position - 1])
    assert abs(wanted).max() > 1
    np.testing.assert_allclose(J.values, wanted, rtol=0, atol=1e-4)


@pytest.mark.pretrained
def test_chains(published: Any) -> None:
    heavy, light = ANTIBODIES["1IGT heavy"][:20], ANTIBODIES["1IGT light"][:16]
    J = catjac.jacobian(f"{heavy}:{light}", published, positions=[20, 21], cache=False, progress=False)
    assert J.sizes["pos_out"] == 36
    assert list(J["residue_out"].values[[0, 20]]) == ["A:E1", "B:D1"]
    network = build(WHEEL.get(CONFIG), WHEEL.get(WEIGHTS))
    np.testing.assert_allclose(J.values, plain_rows(network, heavy + light, [19, 20]), rtol=0, atol=1e-4)


@pytest.mark.pretrained
def test_antibodies_are_likely_and_other_proteins_are_not(published: Any) -> None:
    for name in ("1IGT heavy", "1IGT light", "2FB4 light"):
        some = range(1, 105, 4)
        found = catjac.pseudo_perplexity(ANTIBODIES[name], published, positions=some, progress=False)
        assert 1.1 < found < 2.7, name
    part = list(ANTIBODIES["1IGT heavy"][:30])
    shuffled = "".join(np.random.default_rng(0).permutation(part))
    assert catjac.pseudo_perplexity(shuffled, published, progress=False) > 10
