"""Names of MSA Transformers with their alignments, and what is wrong with some.

The published weights (esm_msa1b_t12_100M_UR50S and esm_msa1_t12_100M_UR50S) were not run here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import esm
import numpy as np
import pytest
import torch
from aligned_rows import (
    ALPHABET,
    QUERY,
    TOLERANCE,
    greedily,
    homologues,
    named,
    plain_logits,
    wrapped,
    written,
)
from checkpoints import random_esm2, random_msa_transformer, write_esm2, write_msa_transformer

import catjac_widgets as catjac
from catjac_widgets.errors import (
    CheckpointError,
    ModelError,
    ModelNotFoundError,
    SequenceError,
    UsageError,
)
from catjac_widgets.language_models.msa_transformer.adapter import MSATransformer
from catjac_widgets.language_models.msa_transformer.published import ENCODING, PUBLISHED, parse_name
from catjac_widgets.language_models.registry import identify, load_model, models, wrap
from catjac_widgets.proteins.alphabets import ESM_LETTERS


def test_names() -> None:
    parsed = parse_name("msa_transformer:~/a@b/family.a3m.gz")
    assert (parsed.alignment, parsed.weights, parsed.depth) == (
        "~/a@b/family.a3m.gz",
        "esm_msa1b_t12_100M_UR50S",
        128,
    )
    parsed = parse_name("msa_transformer:family.a3m@esm_msa1_t12_100M_UR50S@depth=32")
    assert (parsed.alignment, parsed.weights, parsed.depth) == ("family.a3m", "esm_msa1_t12_100M_UR50S", 32)
    assert parse_name("msa_transformer:family.a3m@depth=7@../my.pt").weights == "../my.pt"
    for wrong, said in (
        ("msa_transformer:", "names no alignment"),
        ("msa_transformer:@depth=4", "names no alignment"),
        ("msa_transformer:a.a3m@esm_msa1c_t12_100M_UR50S", "did you mean @esm_msa1"),
        ("msa_transformer:a.a3m@depth=0", "depth=0"),
        ("msa_transformer:a.a3m@depth=4@depth=5", "one of them"),
        ("msa_transformer:a.a3m@x.pt@y.pt", "one of them"),
    ):
        with pytest.raises(ModelNotFoundError, match=said) as failure:
            parse_name(wrong)
        assert "\n" not in str(failure.value)


def test_a_name_is_the_model_of_its_files(tmp_path: Path) -> None:
    network, rows = random_msa_transformer(), homologues(12)
    name = named(tmp_path, network, rows)
    model = load_model(name, device="cpu")
    assert isinstance(model, MSATransformer)
    assert (model.name, model.length, len(model.rows), model.query) == (name, 22, 12, QUERY)
    known = identify(name)
    assert known == identify(model)
    assert known.has_contact_head
    np.testing.assert_allclose(
        model.prepare(QUERY).wild_type(), plain_logits(network, rows), rtol=0, atol=TOLERANCE
    )
    fewer = load_model(f"{name}@depth=5", device="cpu")
    chosen = [rows[k] for k in greedily(rows, 5)]
    np.testing.assert_allclose(
        fewer.prepare(QUERY).wild_type(), plain_logits(network, chosen), rtol=0, atol=TOLERANCE
    )
    assert identify(f"{name}@depth=5").fingerprint == fewer.fingerprint != model.fingerprint
    # A Jacobian by the name is found again by the same name.
    J = catjac.jacobian(QUERY, name, positions=[2], progress=False)
    assert catjac.jacobian(QUERY, name, positions=[2], progress=False).equals(J)
    # Changed after it was loaded, it is known by its weights.
    with torch.no_grad():
        model.network.lm_head.bias[5] += 1
    assert model.fingerprint not in (known.fingerprint, wrapped(network, rows).fingerprint)


def test_files_that_change_are_read_again(tmp_path: Path) -> None:
    name = named(tmp_path, random_msa_transformer())
    before = identify(name).fingerprint
    first = load_model(name, device="cpu").prepare(QUERY).wild_type()
    written(tmp_path / "family.a3m", homologues(seed=1))
    other = load_model(name, device="cpu")
    assert identify(name).fingerprint == other.fingerprint != before
    assert abs(other.prepare(QUERY).wild_type() - first).max() > 1e-2
    named(tmp_path, random_msa_transformer(seed=1), homologues(seed=1))
    assert len({before, other.fingerprint, identify(name).fingerprint}) == 3


def test_without_a_regression_there_is_no_contact_head(tmp_path: Path) -> None:
    name = named(tmp_path, random_msa_transformer(), regression=False)
    assert not identify(name).has_contact_head
    assert not load_model(name, device="cpu").has_contact_head  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="no fitted contact head"):
        catjac.contact_head(QUERY, name)


def test_published_names_and_their_rows_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "torch" / "hub"))
    rows = {row["name"]: row for row in models(100) if row["family"] == "MSA Transformer"}
    assert set(rows) == {f"msa_transformer:<alignment>@{name}" for name in PUBLISHED}
    for row in rows.values():
        assert row["status"].startswith("not run here; needs download")
        assert (row["licence"], row["context"], row["letters"]) == ("MIT", 1023, ESM_LETTERS)
        # 128 rows of 102 tokens, 1901 sequences, 2 operations a parameter: hours on any CPU.
        assert row["seconds"] > (60 if torch.cuda.is_available() else 3600)
    for published, name in ((each, each.name) for each in PUBLISHED.values()):
        with torch.device("meta"):
            one = random_sized(published.rows_width)
        count = sum(parameter.numel() for parameter in one.parameters())
        assert published.parameters == count - sum(p.numel() for p in one.contact_head.parameters())
        with pytest.raises(ModelError, match=rf"msa_transformer:family.a3m@{name}"):
            load_model(name)
    # A checkpoint where torch hub keeps it is found under the published name.
    network = random_msa_transformer()
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    write_msa_transformer(network, folder, "esm_msa1b_t12_100M_UR50S")
    name = f"msa_transformer:{written(tmp_path / 'a.a3m', homologues())}"
    monkeypatch.setattr("catjac_widgets.language_models.devices.check_memory", lambda *_: None)
    found = load_model(name, device="cpu").prepare(QUERY).wild_type()
    np.testing.assert_allclose(found, plain_logits(network, homologues()), rtol=0, atol=TOLERANCE)


def random_sized(rows_width: int) -> Any:
    """The published sizes, without values."""
    import argparse

    settings = argparse.Namespace(
        layers=12, embed_dim=768, ffn_embed_dim=3072, attention_heads=12, max_positions=1024,
        max_tokens=2**14, dropout=0.1, attention_dropout=0.1, activation_dropout=0.1,
        embed_positions_msa=True, embed_positions_msa_dim=rows_width,
    )  # fmt: skip
    return esm.MSATransformer(settings, ALPHABET)


def test_the_vocabulary_is_that_of_fair_esm() -> None:
    assert wrapped().encoding == ENCODING
    assert wrap(random_msa_transformer(), alignment=f">q\n{QUERY}\n").encoding == ENCODING  # type: ignore[attr-defined]


@pytest.fixture
def bad_files(tmp_path: Path) -> Path:
    write_esm2(random_esm2(), tmp_path, "esm2")
    write_msa_transformer(random_msa_transformer(), tmp_path, "msa")
    written(tmp_path / "family.a3m", homologues())
    written(tmp_path / "long.a3m", homologues(3, QUERY * 3))
    written(tmp_path / "deep.a3m", homologues(1030))
    (tmp_path / "ragged.a3m").write_text(">a\nMKT\n>b\nMK\n")
    return tmp_path


def test_bad_input_is_one_sentence(bad_files: Path) -> None:
    at = f"msa_transformer:{bad_files}"
    network = random_msa_transformer()
    good = wrapped(network)
    unlike = "".join(reversed(QUERY))
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: identify(f"{at}/none.a3m@{bad_files}/msa.pt"), SequenceError, "none.a3m"),
        (lambda: identify(f"{at}/ragged.a3m@{bad_files}/msa.pt"), SequenceError, "Row 2"),
        (lambda: identify(f"{at}/long.a3m@{bad_files}/msa.pt"), SequenceError, "at most 63"),
        (lambda: load_model(f"{at}/long.a3m@{bad_files}/msa.pt"), SequenceError, "at most 63"),
        (
            lambda: load_model(f"{at}/deep.a3m@{bad_files}/msa.pt@depth=2000"),
            SequenceError,
            "1,030 rows .* at most 1,024",
        ),
        (lambda: identify(f"{at}/family.a3m@{bad_files}/none.pt"), CheckpointError, "none.pt"),
        (lambda: identify(f"{at}/family.a3m@{bad_files}/esm2.pt"), CheckpointError, "no MSA Transformer"),
        (lambda: load_model(bad_files / "msa.pt"), CheckpointError, "msa_transformer:family.a3m@"),
        (lambda: wrap((network, ALPHABET)), ModelError, "alignment='family.a3m'"),
        (lambda: catjac.jacobian(QUERY, (network, ALPHABET)), ModelError, "alignment='family.a3m'"),
        (lambda: wrap((network, ALPHABET), alignment=bad_files / "no.a3m"), SequenceError, "no.a3m"),
        (lambda: wrap((network, ALPHABET), alignment=f">q\n{QUERY}\n", depth=0), UsageError, "depth=0"),
        (lambda: wrap((network, ALPHABET), alignment=f">q\n{QUERY}\n", dept=3), UsageError, "dept="),
        (lambda: wrap((network, "ACD"), alignment=f">q\n{QUERY}\n"), ModelError, "not an alphabet"),
        (lambda: wrap(random_esm2(), alignment=f">q\n{QUERY}\n"), ModelError, "an MSATransformer"),
        (lambda: catjac.jacobian(QUERY[:-1], good), SequenceError, "takes exactly 22"),
        (lambda: catjac.jacobian(unlike, good), SequenceError, "of the alignment's query"),
        (lambda: good.contact_probabilities(unlike, [None]), SequenceError, "of the alignment's query"),
    ]
    for call, kind, said in cases:
        with pytest.raises(kind, match=said) as failure:
            call()
        assert "\n" not in str(failure.value)


def test_what_it_needs_is_said_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    name = named(tmp_path, random_msa_transformer())
    monkeypatch.setitem(sys.modules, "esm", None)
    with pytest.raises(catjac.CatjacError, match="fair-esm") as failure:
        load_model(name, device="cpu")
    assert "\n" not in str(failure.value)
