"""Masked language models of transformers: its own classes, small random weights, folders and the Hub."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import random_esm1b, random_esm2
from transformers_models import (
    BERT_VOCABULARY,
    DNA_VOCABULARY,
    bert_network,
    bert_tokenizer,
    esm_folder,
    esm_network,
    esm_tokenizer,
    esmc_network,
    esmc_tokenizer,
    of_fair_esm,
    roberta_network,
    written,
)

import catjac_widgets as catjac
from catjac_widgets.errors import CheckpointError, DependencyError, ModelError, SequenceError
from catjac_widgets.language_models.base import ContactHead
from catjac_widgets.language_models.huggingface.adapter import EsmNetwork, MaskedNetwork
from catjac_widgets.language_models.huggingface.esm_adapter import TransformersEsm
from catjac_widgets.language_models.huggingface.letters import encoding_by
from catjac_widgets.language_models.registry import identify
from catjac_widgets.proteins.alphabets import ESM_LETTERS
from catjac_widgets.proteins.masks import Mask

RESIDUES = "MKTAYIAKQRQI"
L = len(RESIDUES)
TOLERANCE = 1e-4


def plain_jacobian(network: Any, encode: Any, residues: str, columns: list[int], letters: str) -> np.ndarray:
    """The loop of the definition over the network's own forward pass."""

    def logits(text: str) -> np.ndarray:
        ids = torch.tensor([encode(text)])
        with torch.no_grad():
            found = network(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        return found[0, 1 : 1 + len(text), columns].double().numpy()

    wild = logits(residues)
    return np.array(
        [
            [logits(residues[:k] + letter + residues[k + 1 :]) - wild for letter in letters]
            for k in range(len(residues))
        ]
    )


# -- the same numbers


@pytest.mark.parametrize("dropout", [True, False])
@pytest.mark.parametrize("make", [random_esm2, random_esm1b])
def test_esm_is_the_same_as_fair_esm_on_its_weights(make: Any, dropout: bool) -> None:
    fair = make(token_dropout=dropout)
    network, tokenizer = of_fair_esm(fair), esm_tokenizer()
    expected = catjac.wrap(fair)
    fast = catjac.wrap((network, tokenizer))
    own = EsmNetwork(network, encoding_by(tokenizer, "own"), name="own")
    assert isinstance(fast, TransformersEsm)
    assert fast.max_residues == own.max_residues == expected.max_residues
    mask = Mask.hiding(RESIDUES, [(3, 4), (9, 9)])
    options: dict[str, Any] = {"cache": False, "progress": False}

    wanted = {
        "full": catjac.jacobian(RESIDUES, expected, **options).values,
        "masked": catjac.jacobian(RESIDUES, expected, mask=mask, **options).values,
        "fast": catjac.jacobian(RESIDUES, expected, variant="fast", **options).values,
    }
    heads = expected.contact_probabilities(RESIDUES, [None, mask])
    for model in (fast, own):
        found = {
            "full": catjac.jacobian(RESIDUES, model, **options).values,
            "masked": catjac.jacobian(RESIDUES, model, mask=mask, **options).values,
            "fast": catjac.jacobian(RESIDUES, model, variant="fast", **options).values,
        }
        for what, values in wanted.items():
            np.testing.assert_allclose(found[what], values, rtol=0, atol=TOLERANCE, err_msg=what)
        np.testing.assert_allclose(
            model.contact_probabilities(RESIDUES, [None, mask]), heads, rtol=0, atol=TOLERANCE
        )
    looped = plain_jacobian(
        network, lambda text: tokenizer(text)["input_ids"], RESIDUES, list(range(4, 24)), ESM_LETTERS
    )
    np.testing.assert_allclose(wanted["full"], looped, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kind", ["BERT", "RoBERTa", "ESM-C", "ESM-2 of another width"])
def test_the_jacobian_is_the_plain_loop(kind: str, tmp_path: Path) -> None:
    network, tokenizer = {
        "BERT": lambda: (bert_network(), bert_tokenizer()),
        "RoBERTa": lambda: (roberta_network(), bert_tokenizer(DNA_VOCABULARY)),
        "ESM-C": lambda: (esmc_network(), esmc_tokenizer()),
        "ESM-2 of another width": lambda: (esm_network(intermediate_size=48), esm_tokenizer()),
    }[kind]()
    spaced = kind in ("BERT", "RoBERTa")
    vocabulary = {"BERT": BERT_VOCABULARY, "RoBERTa": DNA_VOCABULARY}.get(kind)
    letters = {"BERT": "LAGVESIKRDTPNQFYMHCW", "RoBERTa": "TGAC"}.get(kind, ESM_LETTERS)
    residues = "ACGTTGCATA" if kind == "RoBERTa" else RESIDUES

    def encode(text: str) -> list[int]:
        return tokenizer(" ".join(text) if spaced else text)["input_ids"]

    columns = [vocabulary.index(each) for each in letters] if vocabulary else list(range(4, 24))
    name = f"hf:{written(tmp_path / 'folder', network, tokenizer)}"
    wanted = plain_jacobian(network, encode, residues, columns, letters)
    for model in (catjac.wrap((network, tokenizer)), catjac.load_model(name, device="cpu")):
        assert type(model) is (EsmNetwork if kind.startswith("ESM-2") else MaskedNetwork)
        assert model.letters == letters
        J = catjac.jacobian(residues, model, cache=False, progress=False)
        np.testing.assert_allclose(J.values, wanted, rtol=0, atol=TOLERANCE)
        assert list(J["aa_out"].values) == list(letters)
        assert isinstance(model, ContactHead) == kind.startswith("ESM-2")
    assert identify(name).fingerprint == model.fingerprint
    assert identify(name).letters == letters


def test_chains_and_the_mask_token_of_a_tokenizer() -> None:
    network, tokenizer = bert_network(), bert_tokenizer()
    model = catjac.wrap((network, tokenizer), name="mine")
    J = catjac.jacobian("MKTA:YIAK", model, cache=False, progress=False)
    assert J.shape == (8, 20, 8, 20)
    assert J.attrs["model"] == "mine"
    hidden = model.encode("MKTA", Mask.hiding("MKTA", [(2, 2)]))
    ids = tokenizer("M [MASK] T A")["input_ids"]
    assert hidden.tolist() == ids
    assert model.max_residues == 38
    with pytest.raises(SequenceError, match="at most 38"):
        catjac.jacobian("A" * 39, model)


def test_a_pair_goes_wherever_a_model_goes() -> None:
    pair = esm_network(), esm_tokenizer()
    J = catjac.jacobian(RESIDUES, pair, cache=False, progress=False)
    wrapped = catjac.jacobian(RESIDUES, catjac.wrap(*pair), cache=False, progress=False)
    np.testing.assert_array_equal(J.values, wrapped.values)
    assert catjac.contact_head(RESIDUES, pair).shape == (L, L)


# -- folders


def test_a_folder_is_known_without_building_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    name = f"hf:{esm_folder(tmp_path)}"

    def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("weights were read")

    monkeypatch.setattr(transformers.AutoModelForMaskedLM, "from_pretrained", refused)
    known = identify(name)
    assert (known.letters, known.max_residues, known.has_contact_head) == (ESM_LETTERS, None, True)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", refused)
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", refused)
    assert identify(name) == known
    monkeypatch.undo()
    model = catjac.load_model(name, device="cpu")
    assert isinstance(model, TransformersEsm)
    assert (model.fingerprint, model.has_contact_head) == (known.fingerprint, True)
    assert catjac.load_model(name, device="cpu") is model
    assert catjac.load_model(tmp_path / "esm", device="cpu").fingerprint == model.fingerprint


@pytest.mark.parametrize("what", ["weights", "configuration", "tokenizer"])
def test_the_fingerprint_follows_every_file(what: str, tmp_path: Path) -> None:
    folder = esm_folder(tmp_path)
    before = identify(f"hf:{folder}").fingerprint
    if what == "weights":
        esm_network(seed=1).save_pretrained(folder)
    elif what == "configuration":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "token_dropout": False}))
    else:
        (folder / "special_tokens_map.json").write_text("{}")
    after = identify(f"hf:{folder}").fingerprint
    assert after != before
    assert catjac.load_model(f"hf:{folder}", device="cpu").fingerprint == after


def test_pickled_weights_shards_and_the_preference_for_safetensors(tmp_path: Path) -> None:
    network = esm_network()
    wanted = catjac.wrap((network, esm_tokenizer())).prepare(RESIDUES).wild_type()
    whole = written(tmp_path / "whole", network, esm_tokenizer())
    shards = written(tmp_path / "shards", network, esm_tokenizer(), max_shard_size="20KB")
    assert len(list(shards.glob("*.safetensors"))) > 1
    pickled = written(tmp_path / "pickled", network, esm_tokenizer())
    (pickled / "model.safetensors").unlink()
    torch.save(network.state_dict(), pickled / "pytorch_model.bin")
    both = written(tmp_path / "both", network, esm_tokenizer())
    (both / "pytorch_model.bin").write_bytes(b"nothing of use")
    for folder in (whole, shards, pickled, both):
        model = catjac.load_model(f"hf:{folder}", device="cpu")
        np.testing.assert_allclose(model.prepare(RESIDUES).wild_type(), wanted, rtol=0, atol=1e-5)
        assert model.has_contact_head
        assert identify(f"hf:{folder}").has_contact_head


class _Hostile:
    def __reduce__(self) -> Any:
        return (print, ("code ran",))


def test_a_pickle_with_code_is_not_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = esm_folder(tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save({"weights": _Hostile()}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="holds code"):
        catjac.load_model(f"hf:{folder}", device="cpu")
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "holds no weights"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "is empty"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 200), "truncated|cannot be loaded"),
        (lambda f: (f / "config.json").write_text("{"), "no JSON"),
        (lambda f: (f / "config.json").write_text("[]"), "holds no settings"),
        (lambda f: (f / "config.json").unlink(), r"holds no config\.json"),
        (
            lambda f: (f / "config.json").write_text('{"model_type": "gpt2"}'),
            "makes no masked language model",
        ),
        (lambda f: (f / "config.json").write_text('{"model_type": "unheard"}'), "cannot be loaded|makes no"),
        (lambda f: (f / "vocab.txt").unlink(), "tokenizer|vocabulary"),
        (lambda f: (f / "vocab.txt").write_text("<cls>\n<pad>\n<eos>\n<unk>\nfoo"), "single letters"),
    ],
)
def test_a_folder_that_holds_no_such_model_is_one_sentence(spoil: Any, words: str, tmp_path: Path) -> None:
    folder = esm_folder(tmp_path)
    spoil(folder)
    with pytest.raises(ModelError, match=words) as failure:
        catjac.load_model(f"hf:{folder}", device="cpu")
    assert "\n" not in str(failure.value)


def test_weights_without_a_language_model_head_are_refused(tmp_path: Path) -> None:
    from transformers import EsmForSequenceClassification
    from transformers_models import esm_config

    folder = written(tmp_path / "other", EsmForSequenceClassification(esm_config()), esm_tokenizer())
    with pytest.raises(CheckpointError, match=r"not those of a masked language model \(lm_head"):
        catjac.load_model(f"hf:{folder}", device="cpu")


def test_weights_without_a_contact_head_work_and_say_so(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = esm_folder(tmp_path)
    weights = load_file(folder / "model.safetensors")
    kept = {name: each for name, each in weights.items() if "contact_head" not in name}
    assert len(kept) == len(weights) - 2
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    assert not identify(f"hf:{folder}").has_contact_head
    model = catjac.load_model(f"hf:{folder}", device="cpu")
    with pytest.raises(ModelError, match="no fitted contact head"):
        model.contact_probabilities(RESIDUES, [None])
    assert catjac.jacobian(RESIDUES, model, cache=False, progress=False).shape == (L, 20, L, 20)


def test_sixteen_bits_keep_rotary_frequencies(tmp_path: Path) -> None:
    folder = esm_folder(tmp_path)
    exact = catjac.load_model(f"hf:{folder}", device="cpu")
    rounded = catjac.load_model(f"hf:{folder}", device="cpu", dtype="bfloat16")
    assert rounded.model.layers[0].fc1.weight.dtype == torch.bfloat16
    assert rounded.model.layers[0].self_attn.rot_emb.inv_freq.dtype == torch.float32
    assert rounded.fingerprint != exact.fingerprint
    wanted = exact.prepare(RESIDUES).wild_type()
    np.testing.assert_allclose(rounded.prepare(RESIDUES).wild_type(), wanted, atol=0.1 * abs(wanted).max())


def test_ends_can_be_masked() -> None:
    from catjac_widgets.language_models.esm.masked_ends import masked_ends

    fair = random_esm2()
    found = masked_ends(catjac.wrap((of_fair_esm(fair), esm_tokenizer()))).prepare(RESIDUES).wild_type()
    wanted = masked_ends(catjac.wrap(fair)).prepare(RESIDUES).wild_type()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


# -- in memory, altered


def test_an_altered_network_runs_through_its_own_code() -> None:
    network, tokenizer = esm_network(), esm_tokenizer()
    model = catjac.wrap((network, tokenizer))
    wanted = model.prepare(RESIDUES).wild_type()
    before = model.fingerprint
    hook = network.lm_head.register_forward_hook(lambda module, given, found: 2 * found)
    try:
        for each in (model, catjac.wrap((network, tokenizer))):
            assert "hook" in each.unseen
            np.testing.assert_allclose(each.prepare(RESIDUES).wild_type(), 2 * wanted, rtol=0, atol=1e-4)
        assert model.changed
        vouched = catjac.wrap(network, tokenizer, fingerprint="doubled")
        assert vouched.unseen == ""
        assert vouched.fingerprint != before
    finally:
        hook.remove()
    assert not model.changed
    assert (model.unseen, model.fingerprint) == ("", before)
    np.testing.assert_array_equal(model.prepare(RESIDUES).wild_type(), wanted)


@pytest.mark.parametrize("what", ["weight", "new parameter", "epsilon", "setting", "layer", "subclass"])
def test_whatever_is_altered_shows(what: str) -> None:
    network, tokenizer = esm_network(), esm_tokenizer()
    model = catjac.wrap((network, tokenizer))
    wild, before = model.prepare(RESIDUES).wild_type(), model.fingerprint
    layer = network.esm.encoder.layer[0]
    if what == "weight":
        layer.output.dense.weight.data[0] += 1
    elif what == "new parameter":
        layer.output.dense.weight = torch.nn.Parameter(1.5 * layer.output.dense.weight)
    elif what == "epsilon":
        layer.LayerNorm.eps = 0.5
    elif what == "setting":
        network.esm.embeddings.token_dropout = False
    elif what == "layer":
        network.esm.encoder.layer = network.esm.encoder.layer[:1]
    else:

        class Sharper(type(network)):
            def forward(self, *given: Any, **named: Any) -> Any:
                found = super().forward(*given, **named)
                found.logits = 3 * found.logits
                return found

        network.__class__ = Sharper
        assert "Sharper" in model.unseen
    ids = torch.tensor([tokenizer(RESIDUES)["input_ids"]])
    with torch.no_grad():
        wanted = network(ids, attention_mask=torch.ones_like(ids)).logits[0, 1:-1, 4:24].numpy()
    assert abs(wanted - wild).max() > 1e-3
    for each in (model, catjac.wrap((network, tokenizer))):
        np.testing.assert_allclose(each.prepare(RESIDUES).wild_type(), wanted, rtol=0, atol=1e-5)
        assert each.fingerprint != before


def test_settings_of_other_networks_are_part_of_the_fingerprint() -> None:
    network, tokenizer = bert_network(), bert_tokenizer()
    model = catjac.wrap((network, tokenizer))
    before = model.fingerprint
    assert not model.changed
    network.bert.encoder.layer[0].output.LayerNorm.eps = 0.1
    assert model.changed
    assert model.fingerprint != before
    assert catjac.wrap((bert_network(), tokenizer)).fingerprint == before


def test_the_contact_head_leaves_the_network_as_it_was() -> None:
    network = esm_network(layer_norm_eps=1e-6)
    model = catjac.wrap((network, esm_tokenizer()))
    assert type(model) is EsmNetwork
    before = network.config._attn_implementation, model.fingerprint
    assert before[0] != "eager"
    model.contact_probabilities(RESIDUES, [None])
    assert (network.config._attn_implementation, model.fingerprint) == before
    assert model.unseen == ""


# -- what cannot be taken


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (lambda: (esm_network(), None), "needs its tokenizer"),
        (lambda: (bert_network(), bert_tokenizer(lower=True)), "tokens"),
        (lambda: (bert_network(), bert_tokenizer([f"word{k}" for k in range(40)])), "single letters"),
        (lambda: (esm_network(), esm_tokenizer(), 1), "3 things"),
    ],
)
def test_what_is_no_such_pair_is_one_sentence(pair: Any, words: str) -> None:
    with pytest.raises(Exception, match=words) as failure:
        catjac.wrap(pair())
    assert isinstance(failure.value, ModelError | catjac.errors.UsageError)
    assert "\n" not in str(failure.value)


def test_a_model_that_reads_from_left_to_right_is_sent_on() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    network = GPT2LMHeadModel(GPT2Config(vocab_size=30, n_embd=16, n_layer=1, n_head=2))
    with pytest.raises(ModelError, match="causal=True"):
        catjac.wrap((network, bert_tokenizer()))


def test_words_are_no_residues() -> None:
    """A vocabulary of English knows all the letters, too."""
    vocabulary = [*BERT_VOCABULARY, *(f"word{k}" for k in range(2000))]
    with pytest.raises(ModelError, match="single letters"):
        catjac.wrap((bert_network(vocabulary), bert_tokenizer(vocabulary)))


def test_without_transformers_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = esm_folder(tmp_path)
    monkeypatch.setitem(sys.modules, "transformers", None)
    for ask in (catjac.load_model, identify):
        with pytest.raises(DependencyError, match="pip install transformers"):
            ask(f"hf:{folder}")
    assert "pip install transformers" in catjac.models()["hf:Rostlab/prot_bert"]["status"]
