"""How gLM2's elements and strands are read, encoded and refused, and what decides its outputs.

Its own class is in no package: none of these networks is gLM2, see `genomic_models`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from genomes import (
    BETWEEN,
    DNA,
    FIRST,
    GENOME,
    PROTEIN,
    PROTEINS,
    SECOND,
    jacobian,
    plain_jacobian,
)
from genomic_models import genomic_network, genomic_tokenizer
from transformers_models import bert_tokenizer, written

import catjac_widgets as catjac
from catjac_widgets.errors import CheckpointError, ModelError, SequenceError, UsageError
from catjac_widgets.language_models.base import LanguageModel, Substitution
from catjac_widgets.language_models.glm2.adapter import IMPOSSIBLE
from catjac_widgets.language_models.glm2.encoding import encoding_by, published_encoding
from catjac_widgets.language_models.identity import identity_of
from catjac_widgets.language_models.registry import identify, load_model
from catjac_widgets.language_models.weights.remote_code import REMOTE_CODE
from catjac_widgets.proteins.masks import Mask

# -- reading


def test_elements_are_chains_on_strands_and_case_is_kept() -> None:
    read = catjac.as_sequence(GENOME, letters=PROTEIN + DNA)
    assert [chain.residues for chain in read.chains] == [FIRST, BETWEEN, SECOND]
    assert read.strands == "++-"
    assert str(read) == f"{FIRST}:{BETWEEN}:{SECOND}"
    for text in (
        f"<+>{FIRST}:<+>{BETWEEN}:<->{SECOND}",
        f">two elements\n<+>{FIRST}\n<+>{BETWEEN}<->\n{SECOND}",
    ):
        assert catjac.as_sequence(text, letters=PROTEIN + DNA) == read
    assert catjac.as_sequence(f"{FIRST}:{BETWEEN}", letters=PROTEIN + DNA).residues == FIRST + BETWEEN
    # Of others, case goes on to be forgiven, and no strand is known.
    plain = catjac.as_sequence(f"{FIRST.lower()}:{SECOND.lower()}:{FIRST}")
    assert (plain.residues, plain.strands) == (FIRST + SECOND + FIRST, "")


def test_a_strand_that_is_none_is_refused() -> None:
    read = catjac.as_sequence("MKV:MKV")
    with pytest.raises(SequenceError, match="2 chains have no 3 strands"):
        read.on_strands("+++")
    with pytest.raises(SequenceError, match="give '\\+' or '-'"):
        read.on_strands("+x")
    assert read.on_strands("").strands == ""
    assert read.on_strands("+-") != read


def test_strands_matter_to_models_that_read_them_only() -> None:
    model = catjac.wrap(lambda tokens: torch.zeros(*tokens.shape, 20), letters=PROTEIN, fingerprint="0")
    J = jacobian("<+>MKVA<->MKVA", model)
    assert J.attrs["sequence"] == "MKVA:MKVA"
    assert "element_strands" not in J.attrs
    assert J.attrs["key"] == jacobian("MKVA:MKVA", model).attrs["key"]


# -- encoding


def test_the_published_vocabulary() -> None:
    encoding = published_encoding()
    assert encoding.letters == PROTEIN + DNA
    assert encoding.encode("+LCatcg-M", None, "it").tolist() == [33, 4, 23, 29, 30, 31, 32, 34, 20]
    assert encoding.mask == 35
    assert encoding_by(genomic_tokenizer(), "it") == encoding
    with pytest.raises(SequenceError, match="residue 1 is '\\+'"):
        published_encoding(strands=False).encode("+L", None, "it")


def test_another_tokenizer_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no (a|<\+>)") as failure:
        encoding_by(bert_tokenizer(), "it")
    assert "\n" not in str(failure.value)
    merging = genomic_tokenizer()
    merging.add_tokens(["LA"])
    with pytest.raises(ModelError, match="one token for each letter"):
        encoding_by(merging, "it")


def test_tokens_around_all_elements_are_found() -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = genomic_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<cls> $A <eos>", special_tokens=[("<cls>", 0), ("<eos>", 2)]
    )
    found = encoding_by(tokenizer, "it")
    assert (found.prefix, found.suffix) == ((0,), (2,))


# -- bad input


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<+>ACGTTGCA", r"nucleotides are written in lower case, behind their strand: <\+>acgttgca"),
        ("<+>MKVA<+>GATTACA", "Chain B"),
        ("<+>MKVAacgt", "Chain A has upper-case and lower-case letters"),
        ("<+>MKXA", "residue 3 is 'X'"),
        ("<+>mkva", "residue 1 is 'm'"),
        ("<+>aauu", "residue 3 is 'u'"),
    ],
)
def test_what_is_written_wrongly_is_refused(model: LanguageModel, text: str, said: str) -> None:
    with pytest.raises(SequenceError, match=said) as failure:
        jacobian(text, model)
    assert "\n" not in str(failure.value)


def test_short_peptides_of_such_letters_are_taken(model: LanguageModel) -> None:
    assert jacobian("<+>GAG", model).shape == (3, 20, 3, 20)


def test_letters_of_rna_are_put_in(model: LanguageModel) -> None:
    assert jacobian("<+>aauu", model, unknown={"u": "t"}).attrs["sequence"] == "aatt"


def test_what_the_model_does_not_take(model: LanguageModel) -> None:
    with pytest.raises(UsageError, match="leave linker= out"):
        jacobian(PROTEINS, model, linker="GGG")
    assert model.max_residues == 60
    with pytest.raises(SequenceError, match="61 residues with its strands"):
        jacobian("<+>" + "MKVLE" * 6 + "<+>" + "M" * 29, model)
    runner = model.prepare("+MK+ac")
    for change in (Substitution(1, "a"), Substitution(4, "M"), Substitution(0, "M"), Substitution(9, "M")):
        with pytest.raises(ModelError):
            runner.rows([change])
    with pytest.raises(ModelError, match="no torch network"):
        catjac.glm2.wrap(lambda tokens: tokens)


def test_what_cannot_be_has_no_probability(model: LanguageModel) -> None:
    found = model.prepare("+MK+ac").wild_type()
    assert found.shape == (6, 24)
    assert (found[4:, :20] == IMPOSSIBLE).all()
    assert (found[1:3, 20:] == IMPOSSIBLE).all()
    assert abs(found[4:, 20:]).max() < 100
    assert model.prepare("+MK+ac", None, "float64").wild_type().dtype == np.float64
    assert model.letters_of("+MK") == PROTEIN
    assert model.letters_at("c") == DNA
    assert model.letters_at("+") == ""


# -- what it is, and where it comes from


def test_its_fingerprint_follows_weights_and_strands() -> None:
    network = genomic_network()
    model = catjac.glm2.wrap(network)
    before = model.fingerprint
    assert identity_of(model).strands
    assert catjac.glm2.wrap(network, strands=False).fingerprint != before
    assert catjac.glm2.wrap(network, genomic_tokenizer()).fingerprint == before
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] += 1
    assert model.changed
    assert model.fingerprint != before


def test_a_folder(tmp_path: Path, network: Any) -> None:
    folder = written(tmp_path / "genomes", network, genomic_tokenizer())
    name = f"glm2:{folder}"
    known = identify(name)
    loaded = load_model(name, device="cpu")
    assert known == identity_of(loaded)
    assert (known.letters, known.strands, known.max_residues) == (PROTEIN + DNA, True, 60)
    np.testing.assert_allclose(
        jacobian(GENOME, name).values, plain_jacobian(network, GENOME, PROTEIN + DNA), rtol=0, atol=1e-4
    )
    bare = f"no_strands:{name}"
    assert identify(bare) == identity_of(load_model(bare, device="cpu"))
    assert identify(bare).fingerprint != known.fingerprint
    assert identify(bare).fingerprint == catjac.glm2.without_strands(loaded).fingerprint
    # The same folder is looked at by both.
    assert identify(name) == known
    assert identify(bare).strands is False


def test_code_that_comes_with_weights_runs_only_where_that_was_allowed(tmp_path: Path, network: Any) -> None:
    folder = written(tmp_path / "genomes", network, genomic_tokenizer())
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "gLM2", "auto_map": {"AutoModelForMaskedLM": "modeling_glm2.gLM2ForMaskedLM"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=REMOTE_CODE) as failure:
        load_model(f"glm2:{folder}", device="cpu")
    assert "\n" not in str(failure.value)


def test_the_table_says_that_it_was_not_run_here() -> None:
    row = catjac.models()["glm2_650M"]
    assert row["status"].startswith("not run here")
    assert "CATJAC_REMOTE_CODE=tattabio/gLM2_650M" in row["status"]
    assert (row["context"], row["licence"], row["letters"]) == (4096, "Apache-2.0", PROTEIN + DNA)


def test_a_hidden_residue_is_read_in_its_own_alphabet(model: LanguageModel) -> None:
    runner = model.prepare("+MK+ac", Mask.from_array(np.array([False, True, False, False, True, False])))
    found = runner.wild_type()
    assert (found[1, 20:] == IMPOSSIBLE).all()
    assert (found[4, :20] == IMPOSSIBLE).all()
