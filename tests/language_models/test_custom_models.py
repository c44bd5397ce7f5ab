"""Models of one's own: any function from tokens to logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from stubs import PottsModel

import catjac_widgets as catjac
from catjac_widgets.errors import MaskError, ModelError, SequenceError, UsageError
from catjac_widgets.language_models.base import Substitution
from catjac_widgets.language_models.registry import identify
from catjac_widgets.proteins.masks import Mask

pytestmark = pytest.mark.filterwarnings("ignore:Results of")

LETTERS = "ACDE"
RESIDUES = "ACDEADCE"
L = len(RESIDUES)


class Tokenizer:
    """As of transformers: ids of words, with the ends."""

    mask_token_id, unk_token_id = 9, 8

    def __init__(self, spaced: bool = False, merges: bool = False) -> None:
        self.spaced, self.merges = spaced, merges
        self.ids = {letter: 3 + k for k, letter in enumerate(LETTERS)}

    def __call__(self, text: str) -> dict[str, list[int]]:
        if self.merges:
            text = text.replace("AC", "M")
        words = text.split() if self.spaced else list(text)
        return {"input_ids": [1, *(self.ids.get(word, 8) for word in words), 2]}

    def convert_tokens_to_ids(self, token: str) -> int:
        return {"<mask>": 9}.get(token, 8)


def potts_function(seed: int = 0, first: int = 3, ends: int = 1) -> Any:
    """Logits of a Potts model over a vocabulary of ten, from tokens with ends."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(L, 10, L, 10)).astype(np.float32)
    W[np.arange(L), :, np.arange(L)] = 0

    def logits(tokens: torch.Tensor) -> torch.Tensor:
        shown = tokens[:, ends : tokens.shape[1] - ends]
        one_hot = torch.eye(10)[shown]
        inner = torch.einsum("nia,iajb->njb", one_hot, torch.from_numpy(W))
        return torch.nn.functional.pad(inner, (0, 0, ends, ends))

    logits.W = W[:, first : first + 4, :, first : first + 4]  # type: ignore[attr-defined]
    return logits


def expected(W: np.ndarray) -> np.ndarray:
    wild = [LETTERS.index(letter) for letter in RESIDUES]
    return W - W[np.arange(L), wild][:, None]


@pytest.mark.parametrize("way", ["tokens", "tokenizer", "spaced tokenizer", "encode"])
def test_the_jacobian_of_a_function_is_its_couplings(way: str) -> None:
    function = potts_function()
    ways: dict[str, dict[str, Any]] = {
        "tokens": {"tokens": [3, 4, 5, 6], "prefix": [1], "suffix": [2], "mask_token": 9},
        "tokenizer": {"tokenizer": Tokenizer()},
        "spaced tokenizer": {"tokenizer": Tokenizer(spaced=True), "mask_token": "<mask>"},
        "encode": {"encode": lambda residues: Tokenizer()(residues)["input_ids"], "mask_token": 9},
    }
    model = catjac.wrap(function, letters=LETTERS, name="mine", **ways[way])
    J = catjac.jacobian(RESIDUES, model, progress=False)
    np.testing.assert_allclose(J.values, expected(function.W), atol=1e-5)
    assert list(J["aa_out"].values) == list(LETTERS)
    assert J.attrs["model"] == "mine"
    fast = catjac.jacobian(RESIDUES, model, variant="fast", progress=False)
    hidden = model.encode(RESIDUES, Mask.hiding(RESIDUES, [(3, 3)]))
    assert hidden.tolist() == [1, 3, 4, 9, 6, 3, 5, 4, 6, 2]
    assert fast.shape == (L, 1, L, 4)


def test_columns_are_those_that_were_said() -> None:
    function = potts_function()
    model = catjac.wrap(
        function, letters=LETTERS, tokens=[3, 4, 5, 6], columns=[6, 5, 4, 3], prefix=[1], suffix=[2]
    )
    J = catjac.jacobian(RESIDUES, model, progress=False)
    np.testing.assert_allclose(J.values, expected(function.W)[..., ::-1], atol=1e-5)


def test_numpy_tuples_dicts_and_results_with_logits() -> None:
    function = potts_function()
    plain = catjac.jacobian(
        RESIDUES, catjac.wrap(function, letters=LETTERS, tokenizer=Tokenizer()), progress=False
    )

    class Result:
        def __init__(self, logits: Any) -> None:
            self.logits = logits

    def in_numpy(tokens: Any) -> np.ndarray:
        assert isinstance(tokens, np.ndarray)
        return function(torch.from_numpy(tokens)).numpy()

    for other, options in (
        (lambda tokens: (function(tokens), "states"), {}),
        (lambda tokens: {"logits": function(tokens)}, {}),
        (lambda tokens: Result(function(tokens)), {}),
        (lambda tokens: function(tokens)[:, 1:-1], {}),
        (in_numpy, {"takes": "numpy"}),
    ):
        model = catjac.wrap(other, letters=LETTERS, tokenizer=Tokenizer(), **options)
        np.testing.assert_array_equal(catjac.jacobian(RESIDUES, model, progress=False).values, plain.values)


def test_without_a_fingerprint_nothing_is_kept_and_it_is_said(own_cache: Any) -> None:
    function = potts_function()
    options: dict[str, Any] = {"letters": LETTERS, "tokenizer": Tokenizer()}
    with pytest.warns(Warning, match="not kept in the cache"):
        catjac.jacobian(RESIDUES, catjac.wrap(function, name="unkept", **options), progress=False)
    assert catjac.cache.info().entries == 0
    kept = catjac.wrap(function, fingerprint="version 1", **options)
    catjac.jacobian(RESIDUES, kept, progress=False)
    assert catjac.cache.info().entries == 1


def test_settings_code_weights_and_what_else_was_said_are_part_of_the_fingerprint() -> None:
    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Parameter(torch.randn(10, 10))

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.table[tokens]

    network, structure = Network(), ["one"]
    options: dict[str, Any] = {"letters": LETTERS, "tokens": [3, 4, 5, 6], "prefix": [1], "suffix": [2]}
    first = catjac.wrap(network, fingerprint="mine", extra_fingerprint=lambda: structure[0], **options)
    before = first.fingerprint
    assert first.fingerprint == before
    others = [
        catjac.wrap(network, fingerprint="other", extra_fingerprint=lambda: "one", **options),
        catjac.wrap(
            network, fingerprint="mine", extra_fingerprint=lambda: "one", columns=[0, 1, 2, 3], **options
        ),
        catjac.wrap(lambda t: network(t), fingerprint="mine", extra_fingerprint=lambda: "one", **options),
        catjac.wrap(lambda t: network(t) * 2, fingerprint="mine", extra_fingerprint=lambda: "one", **options),
    ]
    assert len({before, *(each.fingerprint for each in others)}) == 5
    structure[0] = "two"
    assert first.fingerprint != before
    structure[0] = "one"
    with torch.no_grad():
        network.table[0, 0] += 1
    assert first.changed
    assert first.fingerprint != before


def causal_function(seed: int = 1, noise: float = 0.0) -> Any:
    """Logits of the next residue: a sum over those before it; tokens begin with 7."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(L + 1, 10, L + 1, 10)).astype(np.float32)
    W *= (np.arange(L + 1)[:, None] <= np.arange(L + 1))[:, None, :, None]

    def logits(tokens: torch.Tensor) -> torch.Tensor:
        found = torch.einsum("nia,iajb->njb", torch.eye(10)[tokens], torch.from_numpy(W))
        return found + noise * torch.randn(found.shape)

    logits.W = W[1:, 3:7, :-1, 3:7]  # type: ignore[attr-defined]
    return logits


def test_a_causal_model_has_a_one_sided_jacobian() -> None:
    function = causal_function()
    model = catjac.wrap(function, letters=LETTERS, tokens=[3, 4, 5, 6], prefix=[7], causal=True)
    J = catjac.jacobian(RESIDUES, model, progress=False)
    np.testing.assert_allclose(J.values, expected(function.W), atol=1e-5)
    past = np.tril(np.ones((L, L), dtype=bool))
    assert not J.values.transpose(0, 2, 1, 3)[past].any()
    assert J.attrs["one_sided"]
    # The map: norms over letters, each pair once, then APC.
    C = catjac.contacts(J)
    V = J.values.astype(np.float64)
    V = V - V.mean(axis=1, keepdims=True)
    V = V - V.mean(axis=3, keepdims=True)
    norms = np.sqrt((V**2).sum(axis=(1, 3)))
    both = norms + norms.T
    np.fill_diagonal(both, 0)
    both -= both.sum(0) * both.sum(1)[:, None] / both.sum()
    np.fill_diagonal(both, 0)
    np.testing.assert_allclose(C.values, both, atol=1e-5)
    assert C.attrs["kind"] == "Jacobian, one-sided"
    np.testing.assert_allclose(catjac.contacts(J.copy()).values, both, atol=1e-5)


def test_a_stored_map_of_a_causal_model_is_the_same(own_cache: Any) -> None:
    model = catjac.wrap(
        causal_function(), letters=LETTERS, tokens=[3, 4, 5, 6], prefix=[7], causal=True, fingerprint="c"
    )
    J = catjac.jacobian(RESIDUES, model, progress=False)
    lazy = catjac.jacobian(RESIDUES, model, lazy=True, progress=False)
    np.testing.assert_allclose(catjac.contacts(lazy).values, catjac.contacts(J).values, atol=1e-5)


def test_the_perplexity_of_a_causal_model_is_one_pass() -> None:
    function, passes = causal_function(), []

    def counted(tokens: torch.Tensor) -> torch.Tensor:
        passes.append(len(tokens))
        return function(tokens)

    model = catjac.wrap(counted, letters=LETTERS, tokens=[3, 4, 5, 6], prefix=[7], causal=True)
    tokens = model.encode(RESIDUES)
    logits = function(tokens[None])[0, :-1, 3:7].double()
    log_p = logits.log_softmax(-1)
    wild = [LETTERS.index(letter) for letter in RESIDUES]
    found = catjac.pseudo_perplexity(RESIDUES, model, progress=False)
    assert found == pytest.approx(float((-log_p[np.arange(L), wild].mean()).exp()), rel=1e-5)
    assert found.method == "left_to_right"
    assert sum(passes) <= 3
    assert catjac.marginals(RESIDUES, model, progress=False).attrs["method"] == "left_to_right"
    with pytest.raises(UsageError, match="left to right"):
        catjac.marginals(RESIDUES, model, "approximate")


def test_what_cannot_be_hidden_is_said_before_anything_runs() -> None:
    def never(tokens: torch.Tensor) -> torch.Tensor:
        raise AssertionError("it ran")

    model = catjac.wrap(never, letters=LETTERS, tokens=[3, 4, 5, 6])
    with pytest.raises(UsageError, match="no mask token"):
        catjac.jacobian(RESIDUES, model, variant="fast")
    with pytest.raises(MaskError, match="no mask token"):
        catjac.jacobian(RESIDUES, model, mask=Mask.hiding(RESIDUES, [(1, 2)]))
    with pytest.raises(UsageError, match="wild_type"):
        catjac.pseudo_perplexity(RESIDUES, model)
    exact = catjac.wrap(never, letters=LETTERS, length=5)
    with pytest.raises(SequenceError, match="takes exactly 5"):
        catjac.jacobian(RESIDUES, exact)
    with pytest.raises(SequenceError, match="at most 5"):
        catjac.jacobian(RESIDUES, catjac.wrap(never, letters=LETTERS, max_residues=5))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"letters": "AA"}, "no alphabet"),
        ({"letters": LETTERS, "tokens": [1, 2]}, "tokens=.* one a letter"),
        ({"letters": LETTERS, "columns": [1, 1, 2, 3]}, "columns=.* one a letter"),
        ({"letters": LETTERS, "tokenizer": Tokenizer(), "encode": list}, "give one of them"),
        ({"letters": LETTERS, "tokenizer": Tokenizer(), "prefix": [1]}, "found out"),
        ({"letters": LETTERS, "tokens": [3, 4, 5, 6], "causal": True}, "prefix="),
        ({"letters": LETTERS, "takes": "jax"}, "takes="),
        ({"letters": LETTERS, "colums": [1]}, "colums= does not exist"),
        ({"letters": LETTERS, "tokenizer": Tokenizer(merges=True)}, "one token a residue|other tokens"),
        ({"letters": "ACDZ", "tokenizer": Tokenizer(), "mask_token": "<gone>"}, "knows no token"),
    ],
)
def test_nonsense_is_one_sentence(options: dict[str, Any], words: str) -> None:
    with pytest.raises((UsageError, ModelError), match=words) as failure:
        catjac.wrap(potts_function(), **options)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda tokens: torch.zeros(len(tokens), 3, 10), "shape"),
        (lambda tokens: torch.zeros(1, tokens.shape[1], 10), "one set of logits a sequence"),
        (lambda tokens: torch.zeros(*tokens.shape, 5), "no.* columns|columns="),
        (lambda tokens: "text", "not logits|for logits"),
        (lambda tokens: torch.zeros(*tokens.shape, 10, dtype=torch.int64), "floating-point"),
        (lambda tokens: torch.full((*tokens.shape, 10), torch.nan), "not finite"),
    ],
)
def test_a_function_that_gives_no_logits(function: Any, words: str) -> None:
    model = catjac.wrap(function, letters=LETTERS, tokens=[3, 4, 5, 6], prefix=[1], suffix=[2])
    with pytest.raises(ModelError, match=words):
        catjac.jacobian(RESIDUES, model, progress=False)


def test_masks_put_in_by_a_function() -> None:
    def hide(tokens: torch.Tensor, hidden: np.ndarray) -> torch.Tensor:
        assert hidden.tolist() == [False, True, True] + [False] * 5
        tokens[1:-1][torch.from_numpy(hidden)] = 0
        return tokens

    model = catjac.wrap(
        potts_function(), letters=LETTERS, tokens=[3, 4, 5, 6], prefix=[1], suffix=[2], mask_token=hide
    )
    assert model.encode(RESIDUES, Mask.hiding(RESIDUES, [(2, 3)])).tolist() == [1, 3, 0, 0, 6, 3, 5, 4, 6, 2]


def test_a_model_without_a_runner_of_its_own_has_one() -> None:
    """`encode` and `logits` are enough."""

    class Own(PottsModel):
        prepare = catjac.LanguageModel.prepare

        def logits(self, tokens: torch.Tensor) -> torch.Tensor:
            return super().logits(tokens).float()

    residues = "ACDEFGHIKL"
    own, usual = Own(seed=4), PottsModel(seed=4)
    own.numerics = own.numerics[:1]
    J = catjac.jacobian(residues, own, cache=False, progress=False)
    np.testing.assert_allclose(
        J.values, catjac.jacobian(residues, usual, cache=False, progress=False).values, atol=1e-4
    )
    mask = Mask.hiding(residues, [(3, 4)])
    for variant in ("full", "fast"):
        options: dict[str, Any] = {"mask": mask, "variant": variant, "cache": False, "progress": False}
        np.testing.assert_allclose(
            catjac.jacobian(residues, own, **options).values,
            catjac.jacobian(residues, usual, **options).values,
            atol=1e-4,
        )
    # A substitution at a hidden residue shows it.
    rows = own.prepare(residues, mask).rows([Substitution(2, "A")])
    np.testing.assert_allclose(
        rows[0], usual.prepare(residues, mask).rows([Substitution(2, "A")])[0], atol=1e-4
    )


def test_the_identity_says_what_a_request_needs() -> None:
    known = identify(catjac.wrap(potts_function(), letters=LETTERS, prefix=[7], causal=True, length=5))
    assert (known.length, known.causal, known.has_mask_token) == (5, True, False)


class TestCheckModel:
    """`check_model` finds what makes a Jacobian wrong without a word."""

    @staticmethod
    def mini(**options: Any) -> Any:
        """The embedded model as somebody's function, with mistakes to order."""
        model = catjac.load_model("mini", device="cpu")
        alphabet = model.alphabet
        letters = model.letters
        own: dict[str, Any] = {
            "letters": letters,
            "tokens": [alphabet.get_idx(letter) for letter in letters],
            "prefix": [alphabet.cls_idx],
            "suffix": [alphabet.eos_idx],
            "mask_token": alphabet.mask_idx,
            "name": "mine",
        }
        function = options.pop("function", lambda tokens: model.model(tokens)["logits"])
        return catjac.wrap(function, **{**own, **options})

    @staticmethod
    def failures(model: Any) -> set[str]:
        report = catjac.check_model(model, ["ww", "sh3"], progress=False)
        assert bool(report) == report.ok == (not [check for check in report.checks if not check.passed])
        assert str(report).startswith(f"{model.name}: ")
        assert "<table>" in report._repr_html_()
        return {check.what for check in report.checks if not check.passed}

    def test_a_good_model_passes(self) -> None:
        assert self.failures(self.mini()) == set()

    def test_a_name_is_tried_on_examples(self) -> None:
        assert catjac.check_model("mini", progress=False)

    def test_shifted_columns(self) -> None:
        columns = [token - 1 for token in self.mini().encoding.tokens]
        assert "proteins are likelier than uniform letters" in self.failures(self.mini(columns=columns))

    def test_a_model_that_says_that_it_is_causal_and_is_not(self) -> None:
        found = self.failures(self.mini(causal=True, shift=0))
        assert "it reads from left to right, as it says" in found

    def test_a_causal_model_that_does_not_say_so(self) -> None:
        function = causal_function()
        model = catjac.wrap(function, letters=LETTERS, tokens=[3, 4, 5, 6], prefix=[7], shift=1)
        report = catjac.check_model(model, [RESIDUES], progress=False)
        assert "it reads from both sides, as it says" in {c.what for c in report.checks if not c.passed}
        assert "causal=True" in str(report)

    def test_chance(self) -> None:
        plain = self.mini()

        def noisy(tokens: torch.Tensor) -> torch.Tensor:
            found = plain.function(tokens)
            return found + 0.1 * torch.randn(found.shape)

        assert "the same input gives the same logits" in self.failures(self.mini(function=noisy))

    def test_a_sequence_that_depends_on_its_batch(self) -> None:
        plain = self.mini()

        def mixed(tokens: torch.Tensor) -> torch.Tensor:
            found = plain.function(tokens)
            return found + found.mean(dim=0, keepdim=True)

        assert "a sequence does not depend on its batch" in self.failures(self.mini(function=mixed))

    def test_a_model_without_context(self) -> None:
        table = torch.randn(33, 33)
        found = self.failures(self.mini(function=lambda tokens: table[tokens]))
        assert "a substitution changes logits elsewhere" in found

    def test_a_model_of_other_letters_needs_sequences(self) -> None:
        model = catjac.wrap(potts_function(), letters=LETTERS, tokens=[3, 4, 5, 6])
        with pytest.raises(UsageError, match="sequences="):
            catjac.check_model(model)
