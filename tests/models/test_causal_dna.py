"""Models that read DNA from left to right: one strand, both of them, and what Evo needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from dna_readers import RESIDUES, Reader, raw, reader, reverse_complement

import catjac_widgets as catjac
from catjac_widgets.errors import DependencyError, DeviceError, MaskError, ModelError, UsageError
from catjac_widgets.language_models.base import Substitution
from catjac_widgets.language_models.causal_dna.both_strands import BothStrands
from catjac_widgets.language_models.causal_dna.evo import Evo1Source
from catjac_widgets.language_models.causal_dna.family import Evo2Family
from catjac_widgets.language_models.causal_dna.hosted import EVO_1
from catjac_widgets.language_models.identity import identity_of
from catjac_widgets.language_models.registry import identify
from catjac_widgets.language_models.weights.remote_code import REMOTE_CODE

L = len(RESIDUES)

pytestmark = pytest.mark.usefixtures("no_loaded_models")


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
