"""Start and end tokens replaced by masks, against plain calls of fair-esm."""

from __future__ import annotations

from typing import Any

import esm
import numpy as np
import pytest
import torch
from checkpoints import random_esm1b, random_esm2
from stubs import PottsModel

from catjac_widgets.errors import MaskError, ModelError, ModelNotFoundError
from catjac_widgets.language_models.base import Substitution
from catjac_widgets.language_models.esm.masked_ends import masked_ends
from catjac_widgets.language_models.registry import identify, load_model, resolve_model, wrap
from catjac_widgets.proteins.masks import Mask

RESIDUES = "MKTAYIAKQRQISFVKSHFS"
MASKS = [None, Mask.hiding(RESIDUES, [(3, 9)]), Mask.showing(RESIDUES, [(20, 20)])]


def tokens_with_masked_ends(model: Any, residues: str, mask: Mask | None) -> torch.Tensor:
    """fair-esm's own tokens with 32, the mask's, in the first and the last place."""
    alphabet = getattr(model, "alphabet", None) or esm.Alphabet.from_architecture("ESM-1b")
    tokens = alphabet.get_batch_converter()([("", residues)])[2]
    tokens[0, 0] = tokens[0, -1] = 32
    if mask is not None:
        tokens[0, 1:-1][torch.from_numpy(mask.array)] = 32
    return tokens


@pytest.mark.parametrize("make", [random_esm2, random_esm1b])
@pytest.mark.parametrize("mask", MASKS, ids=["open", "some", "all but one"])
def test_outputs_equal_fair_esm(make: Any, mask: Mask | None) -> None:
    model = make()
    adapter = masked_ends(wrap(model))
    tokens = tokens_with_masked_ends(model, RESIDUES, mask)
    with torch.no_grad():
        contacts = model.predict_contacts(tokens)[0].numpy()
        logits = model(tokens)["logits"][0, 1:-1, 4:24].numpy()
        tokens[0, 5] = 7
        changed = model(tokens)["logits"][0, 1:-1, 4:24].numpy()
    np.testing.assert_array_equal(adapter.encode(RESIDUES, mask)[[0, -1]], [32, 32])
    np.testing.assert_allclose(
        adapter.contact_probabilities(RESIDUES, [mask])[0], contacts, rtol=0, atol=2e-6
    )
    runner = adapter.prepare(RESIDUES, mask)
    np.testing.assert_allclose(runner.wild_type(), logits, rtol=0, atol=1e-5 * abs(logits).max())
    row = runner.rows([Substitution(4, adapter.letters[3])])[0]
    np.testing.assert_allclose(row, changed, rtol=0, atol=1e-5 * abs(changed).max())
    # It is another model, and the plain one stays what it was.
    plain = wrap(model).contact_probabilities(RESIDUES, [mask])[0]
    assert abs(plain - contacts).max() > 1e-4


def test_everything_hidden_is_refused() -> None:
    """fair-esm divides by 0 there."""
    model = random_esm2()
    with torch.no_grad():
        nothing = model(tokens_with_masked_ends(model, "ACD", Mask.everything("ACD")))["logits"]
    assert nothing.isnan().all()
    with pytest.raises(MaskError, match="show one or more"):
        masked_ends(wrap(model)).encode("ACD", Mask.everything("ACD"))


def test_two_more_tokens_are_masks() -> None:
    model = random_esm2()
    adapter = masked_ends(wrap(model))
    tokens = adapter.encode("ACDEFGHK", Mask.hiding("ACDEFGHK", [(1, 3)]))
    assert int((tokens == 32).sum()) == 3 + 2
    assert len(tokens) == 8 + 2


def test_it_is_a_model_of_its_own() -> None:
    plain = wrap(random_esm2())
    adapter = masked_ends(plain)
    assert adapter.fingerprint != plain.fingerprint
    assert adapter.fingerprint == masked_ends(wrap(random_esm2())).fingerprint
    assert masked_ends(adapter) is adapter
    assert adapter.model is plain.model
    assert resolve_model(adapter) is adapter


def test_it_has_a_name() -> None:
    known, loaded = identify("masked_ends:mini"), load_model("masked_ends:mini")
    assert known.name == loaded.name == "masked_ends:mini"
    assert known.fingerprint == loaded.fingerprint != identify("mini").fingerprint
    assert known.has_contact_head
    assert loaded.model is load_model("mini").model
    assert load_model("masked_ends:mini") is loaded
    with pytest.raises(ModelNotFoundError, match="min"):
        identify("masked_ends:minni")


def test_other_models_say_so() -> None:
    with pytest.raises(ModelError, match="masked_ends=False"):
        masked_ends(PottsModel())
