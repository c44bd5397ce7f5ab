"""Models that read DNA from left to right: both strands, dependencies, codons, and one that is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import catjac_widgets as catjac
from catjac_widgets.errors import (
    DependencyError,
    DeviceError,
    JacobianError,
    MaskError,
    ModelError,
    UsageError,
)
from catjac_widgets.language_models.base import Substitution
from catjac_widgets.language_models.causal_dna.both_strands import BothStrands
from catjac_widgets.language_models.causal_dna.evo import Evo1Source
from catjac_widgets.language_models.causal_dna.family import Evo2Family
from catjac_widgets.language_models.causal_dna.hosted import EVO_1
from catjac_widgets.language_models.identity import identity_of
from catjac_widgets.language_models.registry import identify, release_models
from catjac_widgets.language_models.remote_code import REMOTE_CODE

RESIDUES = "GATTACAGGCTA"
L = len(RESIDUES)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a cache of its own, and no model loaded by another test."""
    monkeypatch.setenv("CATJAC_CACHE", str(tmp_path / "cache"))
    release_models()


class Reader(torch.nn.Module):
    """Reads tokens from left to right: a small GRU with random weights."""

    def __init__(self, seed: int = 0, tokens: int = 8) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(tokens, 12)
        self.reader = torch.nn.GRU(12, 12, batch_first=True)
        self.head = torch.nn.Linear(12, tokens)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.reader(self.embedding(tokens))[0])


def reader(seed: int = 0, **options: Any) -> Any:
    given = {"tokens": [3, 5, 4, 6], "start": 1, "name": "reader", "fingerprint": "a reader", **options}
    return catjac.dna.wrap(Reader(seed), **given)


def reverse_complement(residues: str) -> str:
    return residues.translate(str.maketrans("ACGTU", "TGCAA"))[::-1]


def raw(residues: str, model: Any) -> np.ndarray:
    return catjac.jacobian(residues, model, progress=False).values


def test_one_strand_is_a_plain_loop_over_the_network() -> None:
    model = reader()
    network, column = model.network, [3, 5, 4, 6]

    def logits(residues: str) -> np.ndarray:
        tokens = [1, *(column["ACGT".index(letter)] for letter in residues)]
        with torch.no_grad():
            found = network(torch.tensor([tokens]))[0].double().numpy()
        return found[:-1, column]

    wanted = np.array(
        [
            [logits(f"{RESIDUES[:i]}{a}{RESIDUES[i + 1 :]}") - logits(RESIDUES) for a in "ACGT"]
            for i in range(L)
        ]
    )
    J = catjac.jacobian(RESIDUES, model, progress=False)
    np.testing.assert_allclose(J.values, wanted, atol=1e-4 * abs(wanted).max())
    # Nothing before the substituted nucleotide, nor itself: exactly.
    past = np.tril(np.ones((L, L), dtype=bool))
    assert not J.values.transpose(0, 2, 1, 3)[past].any()
    assert J.values.transpose(0, 2, 1, 3)[~past].any()
    assert (J.attrs["one_sided"], "strands" in J.attrs) == ("left to right", False)


def test_both_strands_are_the_sum_with_the_other_one_turned_round() -> None:
    one = reader()
    both = catjac.dna.both_strands(one)
    J = catjac.jacobian(RESIDUES, both, progress=False)
    here, other = raw(RESIDUES, one), raw(reverse_complement(RESIDUES), one)[::-1, ::-1, ::-1, ::-1]
    past = np.tril(np.ones((L, L), dtype=bool))
    assert not other.transpose(0, 2, 1, 3)[past.T].any()
    np.testing.assert_allclose(J.values, here + other, atol=1e-5 * abs(J).max())
    blocks = J.values.transpose(0, 2, 1, 3)
    assert not blocks[np.eye(L, dtype=bool)].any()
    assert blocks[past & ~np.eye(L, dtype=bool)].any()
    assert (J.attrs["strands"], "one_sided" in J.attrs) == ("both", False)
    assert catjac.contacts(J).attrs["strands"] == "both"


def test_both_strands_of_the_other_strand_are_the_same_turned_round() -> None:
    both = catjac.dna.both_strands(reader())
    turned = raw(reverse_complement(RESIDUES), both)[::-1, ::-1, ::-1, ::-1]
    np.testing.assert_allclose(raw(RESIDUES, both), turned, atol=1e-5 * abs(turned).max())


@pytest.mark.parametrize("letters", ["TGCA", "GATC", "ACGU"])
def test_letters_in_any_order(letters: str) -> None:
    tokens = dict(zip("ACGT", [3, 5, 4, 6], strict=True))
    other = reader(letters=letters, tokens=[tokens[each.replace("U", "T")] for each in letters])
    J = catjac.jacobian(
        RESIDUES.replace("T", "U") if "U" in letters else RESIDUES,
        catjac.dna.both_strands(other),
        progress=False,
    )
    order = ["ACGT".index(each.replace("U", "T")) for each in letters]
    usual = raw(RESIDUES, catjac.dna.both_strands(reader()))
    np.testing.assert_allclose(J.values, usual[:, order][..., order], atol=1e-5 * abs(usual).max())


def test_rna_is_given_to_a_model_of_dna_by_saying_so() -> None:
    both = catjac.dna.both_strands(reader())
    rna = RESIDUES.replace("T", "U")
    J = catjac.jacobian(rna, both, unknown={"U": "T"}, progress=False)
    np.testing.assert_array_equal(J.values, raw(RESIDUES, both))
    with pytest.raises(ValueError, match="unknown="):
        catjac.jacobian(rna, both)


def test_what_a_sum_over_strands_is() -> None:
    one = reader()
    both = BothStrands(one)
    assert both.fingerprint not in (one.fingerprint, BothStrands(reader(seed=1)).fingerprint)
    assert (both.causal, both.has_mask_token, both.letters) == (False, False, "ACGT")
    before = both.fingerprint
    with torch.no_grad():
        one.network.head.bias[0] += 1
    assert both.changed
    assert both.fingerprint != before
    rows = both.prepare(RESIDUES).rows([Substitution(4, "G"), Substitution(L - 1, "C")])
    alone = both.prepare(RESIDUES).rows([Substitution(L - 1, "C")])
    np.testing.assert_allclose(rows[1], alone[0], atol=1e-5)
    logits = both.logits(torch.stack([both.encode(RESIDUES)] * 2))
    np.testing.assert_allclose(logits[1], both.prepare(RESIDUES).wild_type(), atol=1e-5)
    doubles = both.prepare(RESIDUES, None, "float64").rows([Substitution(4, "G")])
    assert doubles.dtype == np.float64
    np.testing.assert_allclose(doubles[0], rows[0], atol=1e-4)


def test_what_has_no_second_strand_is_one_sentence() -> None:
    with pytest.raises(ModelError, match="reads from both sides already"):
        catjac.dna.both_strands("mini")
    with pytest.raises(ModelError, match="reads from both sides already"):
        catjac.dna.both_strands(catjac.dna.both_strands(reader()))
    protein = catjac.wrap(lambda tokens: tokens, letters="ACDE", prefix=[7], causal=True)
    with pytest.raises(ModelError, match="only nucleotides"):
        catjac.dna.both_strands(protein)
    with pytest.raises(MaskError, match="no mask token"):
        catjac.jacobian(RESIDUES, catjac.dna.both_strands(reader()), mask=[True] + [False] * (L - 1))


def test_by_name() -> None:
    catjac.register_model("my-reader", lambda: reader())
    name = "both_strands:my-reader"
    J = catjac.jacobian(RESIDUES, name, progress=False)
    np.testing.assert_array_equal(J.values, raw(RESIDUES, catjac.dna.both_strands(reader())))
    assert J.attrs["model"] == name
    assert identify(name) == identity_of(catjac.load_model(name))
    with pytest.raises(ModelError, match="reads from both sides already"):
        identify("both_strands:mini")


class Tokenizer:
    """As of transformers; with or without a token that begins a sequence."""

    unk_token_id = 7

    def __init__(self, begins: bool) -> None:
        self.begins, self.bos_token_id = begins, 1

    def __call__(self, text: str) -> dict[str, list[int]]:
        ids = [{"A": 3, "C": 5, "G": 4, "T": 6}.get(letter, 7) for letter in text]
        return {"input_ids": [1, *ids] if self.begins else ids}


@pytest.mark.parametrize("begins", [True, False])
def test_a_tokenizer_says_the_tokens_and_the_beginning(begins: bool) -> None:
    model = catjac.dna.wrap(Reader(), Tokenizer(begins), fingerprint="a reader")
    np.testing.assert_array_equal(raw(RESIDUES, model), raw(RESIDUES, reader()))


class Settings:
    """Of a network of transformers."""

    def to_json_string(self) -> str:
        return '{"layers": 1}'


class OfTransformers(Reader):
    """Answers as a causal language model of transformers does."""

    config = Settings()

    def forward(self, tokens: torch.Tensor, use_cache: bool = True) -> Any:
        assert not use_cache
        return type("Output", (), {"logits": super().forward(tokens)})


def test_a_network_of_transformers_keeps_nothing_for_the_next_token() -> None:
    model = catjac.dna.wrap(OfTransformers(), Tokenizer(True), fingerprint="a reader")
    np.testing.assert_array_equal(raw(RESIDUES, model), raw(RESIDUES, reader()))
    assert model.fingerprint != reader().fingerprint


def test_a_causal_language_model_of_transformers() -> None:
    """GPT-2's class with random weights and a tokenizer of letters, against its own logits."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"<s>": 0, "N": 1, "T": 2, "G": 3, "C": 4, "A": 5}, unk_token="N"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", unk_token="N")
    torch.manual_seed(0)
    configuration = transformers.GPT2Config(
        vocab_size=6, n_positions=32, n_embd=16, n_layer=2, n_head=2, initializer_range=0.5
    )
    network = transformers.GPT2LMHeadModel(configuration).eval()
    model = catjac.dna.wrap(network, tokenizer, name="gpt")
    assert model.unseen == ""

    def logits(residues: str) -> np.ndarray:
        tokens = torch.tensor([[0, *({"T": 2, "G": 3, "C": 4, "A": 5}[each] for each in residues)]])
        with torch.no_grad():
            return network(tokens).logits[0, :-1, [5, 4, 3, 2]].numpy()

    mutants = [logits(f"{RESIDUES[:i]}{a}{RESIDUES[i + 1 :]}") for i in range(L) for a in "ACGT"]
    wanted = np.reshape(mutants - logits(RESIDUES), (L, 4, L, 4))
    J = catjac.jacobian(RESIDUES, model, progress=False)
    np.testing.assert_allclose(J.values, wanted, atol=1e-4 * abs(wanted).max())
    assert abs(raw(RESIDUES, catjac.dna.both_strands(model))[-1]).max() > 0


def test_a_wrap_that_does_not_fit_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="give start="):
        catjac.dna.wrap(Reader(), tokens=[3, 5, 4, 6])
    with pytest.raises(UsageError, match="give one of them"):
        catjac.dna.wrap(Reader(), Tokenizer(True), tokens=[3, 5, 4, 6])
    with pytest.raises(ModelError, match="no torch network"):
        catjac.dna.wrap(lambda tokens: tokens)


def test_without_a_fingerprint_a_class_of_ones_own_is_not_kept() -> None:
    assert "the class" in reader(fingerprint=None).unseen
    assert catjac.dna.both_strands(reader(fingerprint=None)).unseen
    assert not reader().unseen


# -- nucleotide dependencies


def test_dependencies_are_those_of_odds_from_sequences() -> None:
    model = reader()
    D = catjac.dna.dependency(RESIDUES, model, progress=False)
    runner = model.prepare(RESIDUES)

    def log_odds(logits: np.ndarray) -> np.ndarray:
        e = np.exp(logits.astype(np.float64))
        p = e / e.sum(axis=-1, keepdims=True) + 1e-10
        p = p / p.sum(axis=-1, keepdims=True)
        return np.log(p / (1 - p)) / np.log(2)

    wanted = np.zeros((L, L))
    for i in range(L):
        rows = runner.rows([Substitution(i, a) for a in "ACGT" if a != RESIDUES[i]])
        for row in rows:
            change = abs(log_odds(row) - log_odds(runner.wild_type())).max(axis=1)
            wanted[i] = np.maximum(wanted[i], change)
    wanted[np.tril_indices(L)] = 0
    np.testing.assert_allclose(D.values, wanted, atol=1e-3)
    assert D.dims == ("pos_i", "pos_j")
    assert D.attrs["kind"] == "nucleotide dependency"
    J = catjac.jacobian(RESIDUES, model, progress=False)
    np.testing.assert_array_equal(catjac.dna.dependency(J).values, D.values)
    some = catjac.dna.dependency(catjac.jacobian(RESIDUES, model, positions=[2, 5], progress=False))
    np.testing.assert_array_equal(some.values[[1, 4]], D.values[[1, 4]])
    assert np.isnan(some.values[[0, 2, 3]]).all()


def test_dependencies_of_what_is_none() -> None:
    J = catjac.jacobian(RESIDUES, reader(), progress=False)
    with pytest.raises(UsageError, match="knows its model"):
        catjac.dna.dependency(J, "mini")
    with pytest.raises(UsageError, match="give model="):
        catjac.dna.dependency(RESIDUES)
    with pytest.raises(JacobianError, match="wild_type_logits"):
        catjac.dna.dependency(J.drop_vars("wild_type_logits"))
    with pytest.raises(JacobianError, match="not raw"):
        catjac.dna.dependency(catjac.centre(J))


# -- codons

#: M K F and M I N with a stop codon; from the fifth nucleotide on, N S and a stop codon.
CODING = "ATGAAATTCATGATTAATTAA"


def plain_codons(J: np.ndarray, places: list[int], axes: Any) -> np.ndarray:
    """By loops over codons, places and letters."""
    N = len(places) // 3
    T = np.zeros((N, 3, 4, N, 3, 4))
    for i in range(N):
        for j in range(N):
            for p in range(3):
                for q in range(3):
                    T[i, p, :, j, q] = J[places[3 * i + p], :, places[3 * j + q]]
    for axis in axes:
        T = T - T.mean(axis=axis, keepdims=True)
    C = np.sqrt((T**2).sum(axis=(1, 2, 4, 5)))
    C = C + C.T
    np.fill_diagonal(C, 0)
    C = C - C.sum(0)[None] * C.sum(1)[:, None] / C.sum()
    np.fill_diagonal(C, 0)
    return C


@pytest.mark.parametrize("strands", [1, 2])
def test_codons_of_two_coding_sequences(strands: int) -> None:
    model = reader() if strands == 1 else catjac.dna.both_strands(reader())
    J = catjac.jacobian(CODING, model, progress=False)
    # The second one ends with a stop codon.
    C = catjac.dna.codon_contacts(J, [(1, 9), (10, 21)])
    axes = (1, 2, 4, 5) if strands == 1 else (0, 1, 2, 3, 4, 5)
    np.testing.assert_allclose(C.values, plain_codons(J.values, list(range(18)), axes), atol=1e-4)
    assert "".join(C["wild_type_i"].values) == "MKFMIN"
    assert list(C["residue_i"].values) == ["A:M1", "A:K2", "A:F3", "B:M1", "B:I2", "B:N3"]
    between = catjac.chain_block(C, "A", "B")
    np.testing.assert_array_equal(between.values, C.values[:3, 3:])
    overlapping = catjac.dna.codon_contacts(J, [(1, 9), (5, 13)])
    assert "".join(overlapping["wild_type_j"].values) == "MKFNS"
    places = [*range(9), *range(4, 10)]
    np.testing.assert_allclose(overlapping.values, plain_codons(J.values, places, axes), atol=1e-4)


@pytest.mark.parametrize(
    ("coding", "words"),
    [
        ([], "no coding sequence"),
        ([(1, 8)], "no whole codons"),
        ([(16, 24)], "does not lie within"),
        ([(9, 1)], "does not lie within"),
        ([(2, 19)], "stops at codon"),
        ([(1, 3)], "too short"),
    ],
)
def test_coding_sequences_that_are_none(coding: Any, words: str) -> None:
    J = catjac.jacobian(CODING, reader(), progress=False)
    with pytest.raises(UsageError, match=words):
        catjac.dna.codon_contacts(J, coding)


def test_codons_of_a_jacobian_that_does_not_do() -> None:
    J = catjac.jacobian(CODING, reader(), progress=False)
    with pytest.raises(JacobianError, match="no row"):
        catjac.dna.codon_contacts(J.isel(pos_in=slice(0, 8)), [(1, 9)])
    with pytest.raises(JacobianError, match="not raw"):
        catjac.dna.codon_contacts(catjac.centre(J), [(1, 9)])
    protein = catjac.jacobian("NLYIQWLK", "mini", progress=False)
    with pytest.raises(JacobianError, match="made of nucleotides"):
        catjac.dna.codon_contacts(protein, [(1, 6)])


# -- a model that is trained


def tRNA(data_folder: Path) -> tuple[str, list[tuple[int, int]]]:
    told = json.loads((data_folder / "rna" / "trna_tyr_ecoli.json").read_text())
    return told["sequence"].replace("U", "T"), [(i - 1, j - 1) for i, j in told["pairs_one_based"]]


def family_of(sequence: str, pairs: list[tuple[int, int]], count: int, seed: int) -> np.ndarray:
    """Draw sequences that keep the pairs: int (count, L), letters ACGT. Other places keep 70 % of theirs."""
    rng = np.random.default_rng(seed)
    wild_type = np.array(["ACGT".index(letter) for letter in sequence])
    drawn = rng.integers(0, 4, (count, len(sequence)))
    kept = rng.random(drawn.shape) < 0.7
    drawn = np.where(kept, wild_type, drawn)
    partners = np.array([(2, 1), (1, 2), (0, 3), (3, 0), (2, 3), (3, 2)])  # GC, CG, AT, TA, GT, TG
    for i, j in pairs:
        chosen = partners[rng.choice(6, size=count, p=[0.25, 0.25, 0.2, 0.2, 0.05, 0.05])]
        drawn[:, i], drawn[:, j] = chosen.T
    return drawn


class Mixture(torch.nn.Module):
    """A mixture of two autoregressive models, each log-linear in the letters before; tokens 0 to 3 and 4.

    What it has read tells which of the two it reads: a sequence of the family or the other strand of one.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.fields = torch.nn.Parameter(torch.zeros(2, length, 4))
        self.couplings = torch.nn.Parameter(torch.zeros(2, length, 4, length, 4))
        before = torch.triu(torch.ones(length, length), diagonal=1)
        self.register_buffer("before", before[:, None, :, None])

    def log_p(self, one_hot: torch.Tensor, component: int) -> torch.Tensor:
        """Logarithms (B, L, 4) of what one component gives each letter after those before it."""
        W = self.couplings[component] * self.before
        read = one_hot.flatten(1) @ W.reshape(self.length * 4, -1)
        return (read.reshape(one_hot.shape) + self.fields[component]).log_softmax(-1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        one_hot = torch.nn.functional.one_hot(tokens[:, 1:].clamp_max(3), 4).float()
        each = torch.stack([self.log_p(one_hot, 0), self.log_p(one_hot, 1)])
        seen = (each * one_hot).sum(-1).cumsum(-1)
        before = torch.nn.functional.pad(seen[..., :-1], (1, 0))
        logits = (each + before.log_softmax(0)[..., None]).logsumexp(0)
        # After the last letter nothing is known.
        return torch.nn.functional.pad(logits, (0, 1, 0, 1))


def trained(sequence: str, pairs: list[tuple[int, int]], count: int = 1500, steps: int = 40) -> Any:
    """Train on sequences of the family and on their other strands."""
    network = Mixture(len(sequence))
    drawn = family_of(sequence, pairs, count, seed=1)
    for component, letters in enumerate((drawn, (3 - drawn)[:, ::-1])):
        one_hot = torch.eye(4)[torch.from_numpy(letters.copy())]
        optimizer = torch.optim.Adam([network.fields, network.couplings], lr=0.1)
        for _ in range(steps):
            optimizer.zero_grad()
            fit = -(network.log_p(one_hot, component) * one_hot).sum() / count
            (fit + 0.01 * network.couplings[component].square().sum()).backward()
            optimizer.step()
    return catjac.dna.wrap(
        network, tokens=[0, 1, 2, 3], start=4, name="trained", fingerprint="trained in a test"
    )


def precision(values: np.ndarray, pairs: list[tuple[int, int]]) -> float:
    """Share of known pairs among as many best-scoring ones, of those four or more apart."""
    i, j = np.triu_indices(len(values), 4)
    best = np.argsort(-values[i, j])[: len(pairs)]
    return float(np.mean([(i[k], j[k]) in pairs for k in best]))


def test_a_small_model_trained_on_a_family_finds_its_stems(data_folder: Path) -> None:
    sequence, pairs = tRNA(data_folder)
    one = trained(sequence, pairs)
    both = catjac.dna.both_strands(one)
    J = catjac.jacobian(sequence, both, progress=False)
    possible = len(np.triu_indices(len(sequence), 4)[0])
    chance = len(pairs) / possible
    assert chance < 0.01
    single = catjac.jacobian(sequence, one, progress=False)
    found = {
        "both strands": precision(catjac.contacts(J).values, pairs),
        "one strand": precision(catjac.contacts(single).values, pairs),
    }
    D = catjac.dna.dependency(J).values
    found["dependency"] = precision(np.maximum(D, D.T), pairs)
    print(found, f"by chance {chance:.4f}")
    assert found["both strands"] > 0.9
    assert found["one strand"] > 0.9
    assert found["dependency"] > 0.8
    # Both directions of a pair are there only where both strands were read.
    norms = np.sqrt((J.values**2).sum(axis=(1, 3)))
    assert min(min(norms[i, j], norms[j, i]) for i, j in pairs) > 3 * np.median(norms)

    native = np.zeros((len(sequence),) * 2)
    native[tuple(np.transpose(pairs))] = 1
    ex = catjac.explore(sequence.replace("T", "U"), both, structure=native + native.T, unknown={"U": "T"})
    try:
        ex.job.result()
        np.testing.assert_allclose(ex.jacobian.values, J.values)
    finally:
        ex.close()


def test_the_parts_of_the_trained_model_are_causal() -> None:
    pairs = [(0, 11), (1, 10), (2, 9)]
    model = trained(RESIDUES, pairs, count=200, steps=5)
    assert catjac.check_model(model, [RESIDUES], progress=False).checks[5].passed


# -- Evo


def test_what_was_not_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("evo-1-8k-base", "evo2_7b"):
        row = catjac.models()[name]
        assert row["status"].startswith("not run here; needs")
        assert (row["letters"], row["licence"]) == ("ACGT", "Apache-2.0")
        known = identify(name)
        assert (known.causal, known.has_mask_token, known.letters) == (True, False, "ACGT")
        assert known.unseen
        assert identify(f"both_strands:{name}").attributes == (("strands", "both"),)
        with pytest.raises((DependencyError, DeviceError)) as failure:
            catjac.load_model(name, device="cpu")
        assert "\n" not in str(failure.value)
    assert Evo2Family().missing_package() is not None
    monkeypatch.delenv(REMOTE_CODE, raising=False)
    with pytest.raises(ModelError, match=f"{REMOTE_CODE}=togethercomputer/evo-1-8k-base"):
        Evo1Source(EVO_1["evo-1-8k-base"]).load(torch.device("cpu"), torch.float32)
