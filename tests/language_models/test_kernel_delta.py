"""The compiled kernel of eight-bit differences against the exact pass and against torch's way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import random_esm1b, random_esm2
from hypothesis import given, settings
from hypothesis import strategies as st
from mutants import residues_of, same_bits_however_divided, some_mutants

from catjac_widgets.language_models.base import Substitution
from catjac_widgets.language_models.esm.cpu_kernels import build as compiling
from catjac_widgets.language_models.esm.numerics import delta_int8 as delta_int8_runner
from catjac_widgets.language_models.esm.numerics import delta_int8_kernel as compiled_delta
from catjac_widgets.language_models.esm.numerics import delta_int8_layers as delta_layers
from catjac_widgets.language_models.esm.numerics.delta_int8 import DeltaInt8Runner
from catjac_widgets.language_models.esm.numerics.delta_int8_layers import Int8Weight, packed, unpacked
from catjac_widgets.language_models.registry import wrap
from catjac_widgets.proteins.masks import Mask

REASON = compiled_delta.why_not(random_esm2(1, 32, 2))
compiled = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def a_home_of_its_own(folder: Path) -> dict[str, str]:
    """Variables by which a process takes `folder` for the user's cache folder."""
    return {"XDG_CACHE_HOME": str(folder), "HOME": str(folder)}


def runner_of(model: Any, residues: str, mask: Mask | None = None) -> DeltaInt8Runner:
    made = wrap(model).prepare(residues, mask, "delta-int8")
    assert isinstance(made, DeltaInt8Runner)
    return made


def by_torch(runner: DeltaInt8Runner, substitutions: list[Substitution], monkeypatch: Any) -> np.ndarray:
    with monkeypatch.context() as patch:
        patch.setattr(runner, "_compiled", None)
        return runner.rows(substitutions)


@compiled
@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize(
    ("make", "layers", "channels", "heads"),
    [
        (random_esm2, 1, 16, 1),
        (random_esm2, 2, 48, 4),
        (random_esm2, 2, 80, 4),
        (random_esm2, 1, 128, 2),
        (random_esm2, 3, 96, 16),
        (random_esm1b, 2, 48, 4),
        (random_esm1b, 1, 96, 3),
    ],
)
def test_with_every_layer_in_float32_it_is_the_exact_pass(
    make: Any, layers: int, channels: int, heads: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Norms, attention, turning, GELU, sums and read-out: all but the eight-bit products."""
    monkeypatch.setattr(delta_layers, "LARGEST_LAYER_ERROR", -1.0)
    for length in (5, 16, 17, 33, 61):
        residues = residues_of(length, length)
        mask = Mask(tuple(bool(hidden) for hidden in np.random.default_rng(1).random(length) < share))
        runner = runner_of(make(layers, channels, heads), residues, mask)
        assert len(runner.in_float32) == 4 * layers + 1
        assert runner.not_compiled is None
        substitutions = some_mutants(residues, 7)
        exact = runner.exact.rows(substitutions)
        np.testing.assert_allclose(runner.rows(substitutions), exact, atol=1e-5 * np.abs(exact).max())


@compiled
@settings(max_examples=25, deadline=None)
@given(
    layers=st.integers(1, 2),
    heads=st.integers(1, 5),
    width=st.sampled_from([16, 32]),
    length=st.integers(2, 90),
    mutants=st.integers(1, 23),
    strongest=st.integers(1, 14),
    seed=st.integers(0, 99),
)
def test_it_is_as_near_as_torch_is(
    layers: int, heads: int, width: int, length: int, mutants: int, strongest: int, seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delta_layers, "STRONGEST_TOKENS", strongest)
        patch.setattr(delta_int8_runner, "STRONGEST_TOKENS", strongest)
        residues = residues_of(length, seed)
        runner = runner_of(random_esm2(layers, heads * width, heads), residues)
        substitutions = some_mutants(residues, mutants, seed)
        exact = runner.exact.rows(substitutions)
        ours, torchs = runner.rows(substitutions), by_torch(runner, substitutions, patch)
        error, torch_error = (float(np.square(found - exact).sum()) for found in (ours, torchs))
        effect = float(np.square(exact - runner.wild_type()).sum())
        # A letter in place of itself has no effect but the last bits of float32.
        assert np.sqrt(error / max(effect, 1e-20)) < 0.03 or effect < 1e-7
        # What is rounded is the same but for the last bits of float32, which turn a step here and there.
        assert error < 1.5 * torch_error + 1e-4 * effect + 1e-7


@compiled
@pytest.mark.parametrize("layer", ["self_attn", "self_attn.out_proj", "fc1", "fc2"])
def test_each_product_equals_torchs(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one layer in eight bits at a time, so that both ways round the same numbers."""
    # A sequence so short that all its tokens have two terms, and one in which most have one.
    for length, number in ((9, 4), (40, 9)):
        residues = residues_of(length)
        model = random_esm2(1, 64, 4)
        name = f"layers.0.{layer}"
        monkeypatch.setattr(
            delta_layers.DeltaLayers,
            "_too_far",
            lambda self, key, share, name=name: self._names[key] != name,
        )
        runner = runner_of(model, residues)
        assert name not in runner.in_float32
        assert len(runner.in_float32) == 4
        substitutions = some_mutants(residues, number)
        exact = runner.exact.rows(substitutions)
        ours, torchs = runner.rows(substitutions), by_torch(runner, substitutions, monkeypatch)
        between = np.square(ours - torchs).sum()
        assert between < 0.02**2 * np.square(torchs - exact).sum() + 1e-9


@compiled
def test_neither_threads_nor_groups_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    residues = residues_of(37)
    runner = runner_of(random_esm2(2, 64, 4), residues)
    same_bits_however_divided(runner, residues, monkeypatch)


@compiled
def test_the_model_may_be_in_training_mode_and_its_weights_change() -> None:
    residues, model = residues_of(12), random_esm2(1, 32, 2)
    substitutions = some_mutants(residues, 3)
    first = runner_of(model, residues).rows(substitutions)
    model.train()
    np.testing.assert_array_equal(runner_of(model, residues).rows(substitutions), first)
    with torch.no_grad():
        model.layers[0].fc1.weight *= 2
    second = runner_of(model, residues)
    exact = second.exact.rows(substitutions)
    assert np.abs(exact - first).max() > 1e-2
    assert np.abs(second.rows(substitutions) - exact).max() < 0.03 * np.abs(exact).max()


@settings(max_examples=30, deadline=None)
@given(outputs=st.integers(1, 12), inputs=st.integers(1, 9), seed=st.integers(0, 99))
def test_packing_is_what_the_kernel_reads_and_can_be_undone(outputs: int, inputs: int, seed: int) -> None:
    outputs, inputs = 16 * outputs, 16 * inputs
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randint(-127, 128, (outputs, inputs), dtype=torch.int8, generator=generator)
    panels = packed(steps)
    for output, channel in [(0, 0), (outputs - 1, inputs - 1), (outputs // 2, inputs // 3)]:
        panel, within = divmod(output, 64)
        wide = min(64, outputs - 64 * panel)
        place = 64 * panel * inputs + channel // 4 * wide * 4 + within * 4 + channel % 4
        assert panels[place] == steps[output, channel]
    assert torch.equal(unpacked(panels, outputs, inputs), steps)


def test_two_terms_leave_only_the_weights_error() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(32, 48, generator=generator)
    rounded = Int8Weight(weight)
    difference = torch.randn(3, 6, 48, generator=generator)
    everything = torch.arange(6).expand(3, 6)
    found = rounded.add_product(torch.zeros(6, 32), difference.clone(), everything)
    wanted = difference.double() @ (rounded.steps() * rounded.scale[:, None]).double().T
    # Half a step of the second term: 1 / (2 * 127 * 254) of the largest channel, of 48 channels.
    largest = difference.abs().amax(-1).max() * weight.abs().max()
    assert (found - wanted).abs().max() < 48 * largest / (2 * 127 * 254)
    one = rounded.add_product(torch.zeros(6, 32), difference.clone(), everything[:, :0])
    assert (one - wanted).norm() > 50 * (found - wanted).norm()


@compiled
def test_a_model_of_another_shape_goes_by_torch() -> None:
    for shape, words in (((1, 24, 2), "multiple of 16"), ((1, 144, 1), "or more than 64")):
        residues = residues_of(9)
        runner = runner_of(random_esm2(*shape), residues)
        assert runner.not_compiled is not None
        assert words in runner.not_compiled
        exact = runner.exact.rows(some_mutants(residues, 4))
        found = runner.rows(some_mutants(residues, 4))
        assert 0 < np.abs(found - exact).max() < 0.03 * np.abs(exact).max()


@pytest.mark.parametrize(
    ("compiler", "words"),
    [("", "there is no C compiler"), ("no-such-compiler", "no-such-compiler"), ("false", "false")],
)
def test_without_a_compiler_it_says_why(compiler: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compiling._library.cache_clear()
    monkeypatch.setenv("CATJAC_COMPILER", compiler)
    try:
        with pytest.raises(compiling.NotCompiled, match=words):
            compiling.library("delta_pass", compiled_delta.FEATURES)
    finally:
        compiling._library.cache_clear()


@compiled
def test_it_is_compiled_once_for_all_processes(tmp_path: Path) -> None:
    program = (
        "from catjac_widgets.language_models.esm.cpu_kernels import build\n"
        "from catjac_widgets.language_models.esm.numerics.delta_int8_kernel import FEATURES\n"
        "build.library('delta_pass', FEATURES)\n"
    )
    environment = os.environ | a_home_of_its_own(tmp_path)

    def run() -> list[int]:
        subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=120)
        return [path.stat().st_mtime_ns for path in tmp_path.rglob("delta_pass-*.so")]

    stamps = run()
    assert len(stamps) == 1
    assert run() == stamps


@compiled
def test_previews_take_it_once_it_is_compiled(tmp_path: Path) -> None:
    """A preview shall not wait for a compiler: the first goes another way, and later ones this."""
    program = (
        "import numpy as np, time, catjac\n"
        "from catjac_widgets.language_models.esm.numerics import delta_int8_kernel as compiled_delta\n"
        "from catjac_widgets.language_models.esm.cpu_kernels import build\n"
        "made = []\n"
        "known = compiled_delta.CompiledDelta.__call__\n"
        "def counted(self, tokens):\n"
        "    made.append(len(tokens))\n"
        "    return known(self, tokens)\n"
        "compiled_delta.CompiledDelta.__call__ = counted\n"
        "model, residues = catjac.load_model('mini', device='cpu'), 'NLYIQWLKDGGPSSGRPPPS'\n"
        "found = []\n"
        "for _ in range(2):\n"
        "    steps = model.first_order(residues, None, (2,))\n"
        "    found.append([step for step in steps if step is not None][-1][1])\n"
        "    print(sum(made))\n"
        "    while not build.at_hand('delta_pass', compiled_delta.FEATURES):\n"
        "        time.sleep(0.05)\n"
        "others = ~np.eye(len(residues), dtype=bool)\n"
        "one, two = (each.transpose(0, 2, 1, 3)[others] for each in found)\n"
        "print(np.sqrt(np.square(one - two).sum() / np.square(two).sum()))\n"
    )
    environment = os.environ | a_home_of_its_own(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        env=environment,
        timeout=240,
        capture_output=True,
        text=True,
    )
    first, second, difference = done.stdout.split()
    assert int(first) == 0
    # The wild type and two letters of every residue.
    assert int(second) == 1 + 2 * 20
    assert float(difference) < 0.3
