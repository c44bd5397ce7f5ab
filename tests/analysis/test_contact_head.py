from __future__ import annotations

import numpy as np
import pytest
import torch
from checkpoints import random_esm2
from labelled_arrays import random_sequence
from stubs import PottsModel, SlowModel

import catjac_widgets
from catjac_widgets.analysis.contacts.head import contact_head
from catjac_widgets.engine.api import submit
from catjac_widgets.errors import MaskError, ModelError, SequenceError
from catjac_widgets.proteins.masks import Mask
from catjac_widgets.proteins.sequences import Chain, Sequence


@pytest.mark.parametrize("hidden", [[], [(2, 4), (9, 9)]])
def test_it_is_what_fair_esm_predicts(esm2, hidden):
    module, alphabet = esm2
    residues = random_sequence(12, 1)
    mask = Mask.hiding(residues, hidden) if hidden else None
    tokens = alphabet.get_batch_converter()([("", residues)])[2]
    if mask is not None:
        tokens[0, 1:-1][torch.from_numpy(mask.array)] = alphabet.mask_idx
    with torch.no_grad():
        expected = module.predict_contacts(tokens)[0].numpy()
    found = contact_head(residues, esm2, mask)
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    np.testing.assert_allclose(found.values, found.values.T, atol=1e-6)
    assert ((found > 0) & (found < 1)).all()


def test_uniform_attention_gives_the_offset():
    """a = 1/T everywhere: the correction for each residue's average leaves nothing."""
    module = random_esm2()
    with torch.no_grad():
        for layer in module.layers:
            layer.self_attn.q_proj.weight.zero_()
            layer.self_attn.q_proj.bias.zero_()
    offset = module.contact_head.regression.bias.item()
    found = contact_head(random_sequence(12, 2), (module, module.alphabet))
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-offset)), rtol=1e-5)


def test_labels(esm2):
    sequence = Sequence((Chain("A", "ACDEF", ("3", "4", "5", "5A", "6")), Chain("B", "GHI")), "pair")
    mask = Mask.hiding(sequence, [(2, 2)])
    found = contact_head(sequence, esm2, mask)
    assert found.dims == ("pos_i", "pos_j")
    assert found.attrs["kind"] == "contact head"
    assert found.attrs["visible"] == "1,3-8"
    assert list(found["residue_j"].values)[3:6] == ["A:E5A", "A:F6", "B:G1"]
    J_map = catjac_widgets.contacts(catjac_widgets.jacobian(sequence, esm2, variant="fast", progress=False))
    assert set(found.coords) == set(J_map.coords)
    for name in found.coords:
        assert list(found[name].values) == list(J_map[name].values)


def test_a_model_without_a_head_is_named():
    with pytest.raises(ModelError, match="potts stub 0 has no fitted contact head"):
        contact_head("ACDEF", PottsModel())


def test_bad_input_is_refused_before_the_model_runs(esm2):
    with pytest.raises(SequenceError, match="residue 2 is 'B'"):
        contact_head("ABC", esm2)
    with pytest.raises(MaskError, match="covers 3 residues but the sequence has 4"):
        contact_head("ACDE", esm2, [True, False, True])
    assert contact_head("ABC", esm2, unknown={"B": "D"}).shape == (3, 3)


def test_it_runs_on_the_thread_of_its_device_and_goes_before_a_sweep(esm2):
    slow = SlowModel(seconds=0.3, seed=31)
    job = submit(random_sequence(40), slow, cache=False, batch_size=1)
    try:
        assert contact_head(random_sequence(12), esm2).shape == (12, 12)
        assert job.progress.state in ("running", "queued")
    finally:
        job.cancel()
