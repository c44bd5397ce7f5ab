"""The numerics that models offer: what a name asks for, what it costs to ask, and the keys it gives."""

from __future__ import annotations

import subprocess
import sys

import pytest

from catjac_widgets.engine.plans.making import make_plan
from catjac_widgets.engine.plans.request import make_request
from catjac_widgets.errors import UsageError
from catjac_widgets.language_models.base import EXACT, LanguageModel, choose_numerics
from catjac_widgets.language_models.esm.numerics.table import NUMERICS
from catjac_widgets.language_models.registry import identify, load_model


def chosen(asked: str, device: str) -> str:
    return choose_numerics(NUMERICS, asked, lambda: device, model="m").name


@pytest.mark.parametrize(
    ("asked", "device", "found"),
    [
        ("exact", "cuda:0", "exact"),
        ("float64", "mps", "float64"),
        ("delta", "cpu", "delta-int8"),
        ("delta", "mps", "delta-bfloat16"),
        ("delta", "cuda:1", "delta-bfloat16-attention-float16"),
        ("delta-int8", "cuda", "delta-int8"),
        ("delta-bfloat16", "cpu", "delta-bfloat16"),
        ("delta-bfloat16", "cuda", "delta-bfloat16-attention-float16"),
        ("delta-float16", "cuda", "delta-float16-attention-float16"),
        ("delta-bfloat16-attention-float16", "cpu", "delta-bfloat16-attention-float16"),
    ],
)
def test_a_name_asks_for_what_suits_the_device(asked: str, device: str, found: str) -> None:
    assert chosen(asked, device) == found


def test_the_device_is_asked_only_where_it_matters() -> None:
    def device() -> str:
        raise AssertionError

    assert choose_numerics(NUMERICS, "exact", device, model="m").name == "exact"
    with pytest.raises(UsageError, match="'float16' is unknown to m; use 'exact' or 'delta' or 'delta-int8'"):
        choose_numerics(NUMERICS, "float16", device, model="m")


def test_a_plan_knows_what_a_named_model_offers_without_loading_it() -> None:
    """In a process of its own, which has loaded nothing before."""
    code = """
import sys
from catjac_widgets.engine.plans.request import make_request
from catjac_widgets.errors import UsageError
request = make_request("MKTAYI", "mini", numerics="delta-int8")
assert request.plan.is_approximate and request.model == "mini"
try:
    make_request("MKTAYI", "mini", numerics="float16")
except UsageError as error:
    assert "'float16' is unknown to mini" in str(error)
else:
    raise AssertionError
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_identity_offers_what_the_model_does() -> None:
    for name in ("mini", "masked_ends:mini"):
        assert identify(name).numerics == load_model(name).numerics == NUMERICS
    # The default runner runs a model in its own precision only.
    assert LanguageModel.numerics == (EXACT,)


# Made before algorithms with attention in 16 bits had names of their own: old caches stay readable.
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("exact", "0f8a78fe651842d680d7a103d76991d5215062512fd608ba599ffa61f13eb1d6"),
        ("delta-int8", "095afd71911c3e2feac21df0548615f97e7d560bc3e982b62bdc653d04e496e4"),
        ("delta-bfloat16", "6ca9ed9572989b6be63d00f7778abc0a11a931cf6f1e1a8ce66b52f0404bcf65"),
        ("delta-float16", "9d827124aa70e3de54ccf7ebec5533f2512cbd5254431e10560af1bf8134a16d"),
        ("float64", "301869f91dcc219ee13375a74463e439707b2fa438c81711fd4c45792984517f"),
    ],
)
def test_keys_of_a_cpu_are_those_of_the_first_version(name: str, key: str) -> None:
    numerics = choose_numerics(NUMERICS, name, lambda: "cpu", model="m")
    plan = make_plan("MKTAYI", model="m", fingerprint="f", letters="LAGVSERTIDPKQNFYMHWC", numerics=numerics)
    assert plan.key == key


@pytest.mark.parametrize("asked", ["delta-bfloat16", "delta-float16"])
def test_other_algorithms_of_a_gpu_have_other_keys(asked: str) -> None:
    keys = {
        make_plan(
            "MKTAYI",
            model="m",
            fingerprint="f",
            letters="LAGVSERTIDPKQNFYMHWC",
            numerics=choose_numerics(NUMERICS, asked, lambda kind=device: kind, model="m"),
        ).key
        for device in ("cpu", "cuda:0")
    }
    assert len(keys) == 2


def test_what_the_runner_computes_follows_the_name_not_the_device() -> None:
    """Rows of one key are of one algorithm, on whichever device they are computed."""
    model = load_model("mini", device="cpu")
    plan = make_request("MKTAYIAK", model, numerics="delta-bfloat16-attention-float16").plan
    wild_type = model.prepare(plan.model_residues, None, plan.numerics.name).wild_type()
    assert wild_type.shape == (8, 20)
    with pytest.raises(UsageError, match="unknown to mini"):
        model.prepare("MKTAYIAK", None, "delta")
