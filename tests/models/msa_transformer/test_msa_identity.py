"""What decides an MSA Transformer's outputs is in its fingerprint: weights, code, rows of the alignment.

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
)
from checkpoints import random_msa_transformer

import catjac_widgets as catjac
from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.errors import (
    SequenceError,
)
from catjac_widgets.language_models.msa_transformer.rows import choose_rows
from catjac_widgets.language_models.registry import identify, load_model
from catjac_widgets.proteins.alignments import Alignment, read_alignment
from catjac_widgets.proteins.alphabets import ESM_LETTERS

# -- what decides the outputs


def test_the_fingerprint_follows_weights_rows_and_settings() -> None:
    model = wrapped()
    before = model.fingerprint
    assert wrapped().fingerprint == before
    assert wrapped(rows=homologues(seed=1)).fingerprint != before
    assert wrapped(rows=homologues(7)).fingerprint != before
    assert wrapped(random_msa_transformer(seed=1)).fingerprint != before
    attention = model.network.layers[0].row_self_attention.layer
    attention.scaling *= 2
    assert model.changed
    assert model.fingerprint != before
    attention.scaling /= 2
    assert model.fingerprint == before
    with torch.no_grad():
        model.network.layers[1].column_self_attention.layer.k_proj.weight.data[0, 0] += 1
    assert model.fingerprint != before


def test_an_altered_model_is_never_answered_from_the_cache() -> None:
    network = random_msa_transformer()
    model = wrapped(network)

    def J() -> np.ndarray:
        return catjac.jacobian(QUERY, model, positions=[4], progress=False).values

    def loop() -> np.ndarray:
        rows = homologues()
        before = plain_logits(network, rows)
        mutants = [QUERY[:3] + letter + QUERY[4:] for letter in ESM_LETTERS]
        return np.stack([plain_logits(network, [mutant, *rows[1:]]) - before for mutant in mutants])

    first = J()[0]
    np.testing.assert_allclose(first, loop(), rtol=0, atol=TOLERANCE)
    with torch.no_grad():
        network.layers[0].feed_forward_layer.layer.fc1.weight.data *= 1.5
    second = J()[0]
    assert abs(second - first).max() > 1e-2
    np.testing.assert_allclose(second, loop(), rtol=0, atol=TOLERANCE)
    hook = network.lm_head.register_forward_hook(lambda module, given, found: 2 * found)
    assert "lm_head" in model.unseen
    with pytest.warns(CacheWarning, match="a hook of lm_head"):
        hooked = J()[0]
    np.testing.assert_allclose(hooked, 2 * second, rtol=0, atol=2 * TOLERANCE)
    hook.remove()
    assert not model.unseen
    np.testing.assert_array_equal(J()[0], second)


def test_code_that_was_replaced_for_all_models_is_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from esm.axial_attention import RowSelfAttention

    model, name = wrapped(), named(tmp_path, random_msa_transformer())
    assert not model.unseen
    assert not identify(name).unseen
    whole = model.contact_probabilities(QUERY, [None])
    scale = RowSelfAttention.align_scaling
    monkeypatch.setattr(RowSelfAttention, "align_scaling", lambda self, q: 3 * scale(self, q))
    assert "align_scaling" in model.unseen
    assert "align_scaling" in identify(name).unseen
    assert "align_scaling" in load_model(name, device="cpu").unseen
    assert abs(model.contact_probabilities(QUERY, [None]) - whole).max() > 1e-4


class Sharper(esm.MSATransformer):
    """Somebody's own, with sharper logits and contacts of its own."""

    def forward(self, tokens: torch.Tensor, *others: Any, **named: Any) -> Any:
        found = super().forward(tokens, *others, **named)
        return {**found, "logits": 2 * found["logits"]}

    def predict_contacts(self, tokens: torch.Tensor) -> torch.Tensor:
        return super().predict_contacts(tokens) / 2


def test_a_class_of_ones_own_runs_through_its_own_code() -> None:
    plain = random_msa_transformer()
    network = Sharper(plain.args, ALPHABET).eval()
    network.load_state_dict(plain.state_dict())
    model, stock = wrapped(network), wrapped(plain)
    assert "Sharper" in model.unseen
    np.testing.assert_allclose(
        model.prepare(QUERY).wild_type(), 2 * stock.prepare(QUERY).wild_type(), rtol=0, atol=TOLERANCE
    )
    np.testing.assert_allclose(
        model.contact_probabilities(QUERY, [None]), stock.contact_probabilities(QUERY, [None]) / 2, atol=1e-6
    )
    vouched = wrapped(network, fingerprint="sharper 1")
    assert not vouched.unseen
    assert vouched.fingerprint != wrapped(network, fingerprint="sharper 2").fingerprint


def test_modes_are_left_as_they_were() -> None:
    network = random_msa_transformer()
    network.layers[0].train()
    model = wrapped(network)
    wild_type = model.prepare(QUERY).wild_type()
    model.contact_probabilities(QUERY, [None])
    assert network.layers[0].training
    assert not network.layers[1].training
    network.eval()
    np.testing.assert_array_equal(model.prepare(QUERY).wild_type(), wild_type)


# -- rows of an alignment


@pytest.mark.parametrize("length", [22, 64, 65, 130])
def test_rows_are_chosen_greedily_by_their_differences(length: int) -> None:
    query = (QUERY * 6)[:length]
    rows = homologues(40, query, seed=length)
    rows += [query, rows[3], "-" * (length - 1) + "A"]
    alignment = read_alignment("".join(f">{k}\n{row}\n" for k, row in enumerate(rows)))
    for count in (1, 2, 7, 42, 43, 100):
        assert alignment.most_diverse(count).tolist() == greedily(rows, count)


def test_insertions_and_gaps_of_the_query_are_left_out() -> None:
    text = ">q\nMK-TAc.Y\n>a\nMKATg-Y\n>b\n-KaaT.XB\n>c\n--C---\n"
    with pytest.raises(SequenceError, match="Row 3"):
        choose_rows(text.replace("XB", "X"))
    rows = choose_rows(">q\nMK-TAc.Y\n>a\nMKATg-Y\n>b\n-KaaVTX.B\n>c\n--C---\n>d\n------\n")
    assert rows.query == "MKTAY"
    assert [row.tobytes().decode() for row in rows.letters] == ["MKTAY", "MKT-Y", "-KTXB"]


def test_an_alignment_in_memory_is_read_like_its_file() -> None:
    text = "".join(f">{k}\n{row}\n" for k, row in enumerate(homologues()))
    rows = choose_rows(read_alignment(text))
    assert rows.digest == choose_rows(text).digest
    unknown = choose_rows(read_alignment(text.replace(QUERY, f"X{QUERY[1:]}", 1)))
    assert unknown.query == f"X{QUERY[1:]}"
    bare = Alignment(read_alignment(text).states)
    assert choose_rows(bare).query == QUERY
    with pytest.raises(SequenceError, match="reads proteins"):
        choose_rows(Alignment(np.zeros((2, 3), dtype=np.int8), "01-"))
    with pytest.raises(SequenceError, match="no residue"):
        choose_rows(">q\n---\n>a\nAAA\n")


def test_real_alignments_are_read(data_folder: Path) -> None:
    path = data_folder / "families" / "PF00014_1BPI.a3m.gz"
    whole = read_alignment(path)
    rows = choose_rows(path, 64)
    assert len(rows) == 64 < len(whole)
    assert rows.query == whole.query
    kept = [row.tobytes() for row in rows.letters]
    assert len(set(kept)) == 64
    apart = (rows.letters[:, None] != rows.letters[None]).mean()
    generator = np.random.default_rng(0)
    drawn = whole.states[generator.choice(len(whole), 64, replace=False)]
    assert apart > (drawn[:, None] != drawn[None]).mean()
