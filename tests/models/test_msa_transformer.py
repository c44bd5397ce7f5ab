"""The MSA Transformer: fair-esm's own class with random weights, against a plain loop over its forward pass.

The published weights (esm_msa1b_t12_100M_UR50S and esm_msa1_t12_100M_UR50S) were not run here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import esm
import numpy as np
import pytest
import torch
from checkpoints import random_esm2, random_msa_transformer, write_esm2, write_msa_transformer

import catjac_widgets as catjac
from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.errors import (
    CheckpointError,
    ModelError,
    ModelNotFoundError,
    SequenceError,
    UsageError,
)
from catjac_widgets.language_models import fingerprints
from catjac_widgets.language_models.base import ContactHead, Substitution
from catjac_widgets.language_models.msa_transformer.adapter import MSATransformer
from catjac_widgets.language_models.msa_transformer.published import ENCODING, PUBLISHED, parse_name
from catjac_widgets.language_models.msa_transformer.rows import choose_rows
from catjac_widgets.language_models.registry import identify, load_model, models, wrap
from catjac_widgets.proteins.alignments import Alignment, read_alignment
from catjac_widgets.proteins.alphabets import ESM_LETTERS, MASK_LETTER
from catjac_widgets.proteins.masks import Mask

QUERY = "MKTAYIAKQRQISFVKSHFSRQ"
ALPHABET = esm.Alphabet.from_architecture("msa_transformer")
COLUMNS = [ALPHABET.get_idx(letter) for letter in ESM_LETTERS]

#: Of J and logits against fair-esm's own forward pass, whose numbers are of the order of 1.
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATJAC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fingerprints.file_memory, "_entries", {})


def homologues(count: int = 8, query: str = QUERY, seed: int = 0) -> list[str]:
    """The query, and sequences that share some half of its residues, with gaps."""
    generator = np.random.default_rng(seed)
    letters = f"{ESM_LETTERS}-"
    return [query] + [
        "".join(a if generator.random() < 0.5 else letters[generator.integers(21)] for a in query)
        for _ in range(count - 1)
    ]


def written(path: Path, rows: list[str]) -> Path:
    path.write_text("".join(f">{k}\n{row}\n" for k, row in enumerate(rows)))
    return path


def wrapped(network: Any = None, rows: list[str] | None = None, **options: Any) -> MSATransformer:
    text = "".join(f">{k}\n{row}\n" for k, row in enumerate(rows or homologues()))
    network = random_msa_transformer() if network is None else network
    model = wrap((network, ALPHABET), alignment=text, **options)
    assert isinstance(model, MSATransformer)
    return model


def plain_logits(network: Any, rows: list[str], hidden: tuple[int, ...] = ()) -> np.ndarray:
    """The first row's logits by fair-esm's own batch converter and forward pass."""
    tokens = ALPHABET.get_batch_converter()([(str(k), row) for k, row in enumerate(rows)])[2]
    tokens[0, 0, [1 + k for k in hidden]] = ALPHABET.mask_idx
    with torch.no_grad():
        return network(tokens)["logits"][0, 0, 1:][:, COLUMNS].numpy()


CASES: dict[str, tuple[dict[str, Any], int]] = {
    "as published": ({}, 8),
    "as first released": ({"row_positions": "first release"}, 8),
    "nothing learned for rows": ({"row_positions": ""}, 8),
    "attention in parts": ({"tokens": 60}, 8),
    "the query alone": ({}, 1),
}


@pytest.mark.parametrize("case", CASES)
def test_the_jacobian_is_a_plain_loop(case: str) -> None:
    options, count = CASES[case]
    network, rows = random_msa_transformer(**options), homologues(count)
    model = wrapped(network, rows)
    J = catjac.jacobian(QUERY, model, positions=[1, 10, 22], cache=False, progress=False)
    assert J.attrs["alignment_rows"] == str(count)
    before = plain_logits(network, rows)
    np.testing.assert_allclose(model.prepare(QUERY).wild_type(), before, rtol=0, atol=TOLERANCE)
    for k, i in enumerate((0, 9, 21)):
        for slot, letter in enumerate(ESM_LETTERS):
            mutant = QUERY[:i] + letter + QUERY[i + 1 :]
            effect = plain_logits(network, [mutant, *rows[1:]]) - before
            np.testing.assert_allclose(J.values[k, slot], effect, rtol=0, atol=TOLERANCE)
    assert abs(J.values).max() > 0.1


def test_masks_are_mask_tokens_of_the_first_row() -> None:
    network, rows = random_msa_transformer(), homologues()
    model = wrapped(network, rows)
    mask = Mask.hiding(QUERY, [(4, 6), (20, 20)])
    hidden = tuple(np.flatnonzero(mask.array))
    found = model.prepare(QUERY, mask).wild_type()
    np.testing.assert_allclose(found, plain_logits(network, rows, hidden), rtol=0, atol=TOLERANCE)
    one = model.prepare(QUERY, mask).rows([Substitution(9, MASK_LETTER)])[0]
    np.testing.assert_allclose(one, plain_logits(network, rows, (*hidden, 9)), rtol=0, atol=TOLERANCE)
    assert abs(one - found).max() > 1e-2


@pytest.mark.parametrize("case", CASES)
def test_the_contact_head_is_that_of_fair_esm(case: str) -> None:
    options, count = CASES[case]
    network, rows = random_msa_transformer(**options), homologues(count)
    model = wrapped(network, rows)
    assert isinstance(model, ContactHead)
    tokens = ALPHABET.get_batch_converter()([(str(k), row) for k, row in enumerate(rows)])[2]
    masked = tokens.clone()
    masked[0, 0, 4:10] = ALPHABET.mask_idx
    with torch.no_grad():
        wanted = [network.predict_contacts(each)[0].numpy() for each in (tokens, masked)]
    found = model.contact_probabilities(QUERY, [None, Mask.hiding(QUERY, [(4, 9)])])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(catjac.contact_head(QUERY, model).values, found[0])
    assert abs(found[0] - found[1]).max() > 1e-4
    assert found[0].std() > 1e-2
    assert model.contact_probabilities(QUERY, []).shape == (0, 22, 22)


def test_a_contact_head_that_was_never_fitted_is_refused() -> None:
    network = random_msa_transformer()
    network.contact_head.regression.reset_parameters()
    model = wrapped(network)
    assert not identify(model).has_contact_head
    with pytest.raises(ModelError, match="no fitted contact head"):
        model.contact_probabilities(QUERY, [None])


def test_the_rows_matter_and_the_first_is_the_sequence() -> None:
    model = wrapped()
    others = wrapped(rows=homologues(seed=1))
    alone = wrapped(rows=[QUERY])
    logits = [each.prepare(QUERY).wild_type() for each in (model, others, alone)]
    assert abs(logits[0] - logits[1]).max() > 1e-2
    assert abs(logits[0] - logits[2]).max() > 1e-2
    # The query's own letters are replaced by those that are asked about.
    variant = QUERY[:5] + "W" + QUERY[6:]
    rows = homologues()
    np.testing.assert_allclose(
        model.prepare(variant).wild_type(),
        plain_logits(model.network, [variant, *rows[1:]]),
        rtol=0,
        atol=TOLERANCE,
    )


def test_chains_are_columns_of_one_alignment() -> None:
    model = wrapped()
    whole = catjac.jacobian(QUERY, model, positions=[3], cache=False, progress=False)
    chains = catjac.jacobian(f"{QUERY[:9]}:{QUERY[9:]}", model, positions=[3], cache=False, progress=False)
    np.testing.assert_array_equal(chains.values, whole.values)
    with pytest.raises(SequenceError, match="takes exactly"):
        catjac.jacobian(f"{QUERY[:9]}:{QUERY[9:]}", model, linker="GGG", cache=False, progress=False)


def test_all_that_needs_logits_works() -> None:
    model = wrapped()
    assert catjac.jacobian(QUERY, model, variant="fast", progress=False).shape == (22, 1, 22, 20)
    assert catjac.contacts(catjac.jacobian(QUERY, model, progress=False)).shape == (22, 22)
    logits = model.prepare(QUERY, Mask.hiding(QUERY, [(3, 3)])).wild_type()[2]
    marginals = catjac.marginals(QUERY, model)
    wanted = logits - np.log(np.exp(logits).sum())
    np.testing.assert_allclose(marginals.log_probability.isel(pos=2).values, wanted, atol=1e-4)
    assert float(catjac.pseudo_perplexity(QUERY, model)) > 1


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_sixteen_bits(kind: torch.dtype, tmp_path: Path) -> None:
    network = random_msa_transformer()
    name = named(tmp_path, network)
    model = load_model(name, device="cpu", dtype=str(kind).removeprefix("torch."))
    found = model.prepare(QUERY).wild_type()
    assert found.dtype == np.float32
    assert model.fingerprint != identify(name).fingerprint
    np.testing.assert_allclose(found, plain_logits(network, homologues()), rtol=0, atol=0.15)


def test_float64_is_the_same_network() -> None:
    network, rows = random_msa_transformer(), homologues()
    model = wrapped(network, rows)
    found = model.prepare(QUERY, None, "float64").wild_type()
    wanted = plain_logits(random_msa_transformer().double(), rows)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    assert model.dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU (CUDA)")
def test_on_a_gpu() -> None:
    network, rows = random_msa_transformer(), homologues()
    wanted = plain_logits(network, rows)
    model = wrapped(network.cuda(), rows)
    np.testing.assert_allclose(model.prepare(QUERY).wild_type(), wanted, rtol=0, atol=TOLERANCE)


def test_a_batch_is_bounded_by_the_memory_of_its_rows() -> None:
    small, large = wrapped(rows=homologues(2)), wrapped(rows=homologues(32))
    assert large.row_bytes(22) > 12 * small.row_bytes(22)
    assert large.seconds_per_sequence(22) > 12 * small.seconds_per_sequence(22)
    assert large.tokens_per_residue == 32


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


def greedily(rows: list[str], count: int) -> list[int]:
    """Which rows differ most from those chosen before, letter by letter."""
    chosen = [0]
    while len(chosen) < min(count, len(rows)):
        farthest, best = -1.0, -1
        for k, row in enumerate(rows):
            if k not in chosen:
                distances = [sum(a != b for a, b in zip(row, rows[c], strict=True)) for c in chosen]
                mean = sum(distances) / len(distances)
                if mean > farthest:
                    farthest, best = mean, k
        chosen.append(best)
    return sorted(chosen)


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


# -- names


def named(folder: Path, network: Any, rows: list[str] | None = None, **options: Any) -> str:
    checkpoint = write_msa_transformer(network, folder, **options)
    return f"msa_transformer:{written(folder / 'family.a3m', rows or homologues())}@{checkpoint}"


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
    assert set(rows) == {f"msa_transformer:ALIGNMENT@{name}" for name in PUBLISHED}
    for row in rows.values():
        assert row["status"].startswith("not run here; needs download")
        assert (row["licence"], row["context"], row["letters"]) == ("MIT", 1023, ESM_LETTERS)
        # 128 rows of 102 tokens, 1901 sequences, 2 operations a parameter: hours on any CPU.
        assert row["seconds"] > 3600
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
