"""How far approximate rows are from exact ones is told, however a Jacobian came together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from cache_counts import Counts
from stubs import PottsModel, PottsRunner

from catjac_widgets.engine.api import jacobian
from catjac_widgets.language_models.base import EXACT, Numerics, Runner
from catjac_widgets.proteins.masks import Mask

ROUNDED = Numerics("rounded", "to two digits, for tests", approximate=True)
RESIDUES = "MKTAYIAKQRQISFVKSHFS" * 3 + "RQLEERLGLI"
L = len(RESIDUES)


class RoundedRunner:
    """Rounds what the exact runner gives."""

    def __init__(self, exact: PottsRunner) -> None:
        self.exact = exact

    def wild_type(self) -> np.ndarray:
        return self.exact.wild_type()

    def rows(self, substitutions: list[Any]) -> np.ndarray:
        return self.exact.rows(substitutions).round(2)


class RoundingModel(PottsModel):
    """Offers approximate numerics too."""

    numerics = (EXACT, ROUNDED)

    def prepare(self, residues: str, mask: Mask | None = None, numerics: str = "exact") -> Runner:
        made = super().prepare(residues, mask, numerics)
        return RoundedRunner(made) if numerics == "rounded" else made  # type: ignore[arg-type, return-value]


def compute(**options: Any) -> xr.DataArray:
    return jacobian(RESIDUES, RoundingModel(), numerics="rounded", progress=False, **options)


@pytest.fixture
def measured() -> float:
    """What is said of one that was computed in one go."""
    said = compute(cache=False).attrs["numerics_error"]
    assert 0 < said < 0.01
    return float(said)


def test_a_jacobian_that_was_resumed_with_few_rows_missing(measured: float) -> None:
    assert compute(positions=range(1, 61)).attrs["numerics_error"] == "not estimated"
    assert compute().attrs["numerics_error"] == pytest.approx(measured, rel=1e-6)


def test_a_jacobian_whose_parts_are_all_there(measured: float, counts: Counts) -> None:
    for part in (range(1, 41), range(41, L + 1)):
        assert compute(positions=part).attrs["numerics_error"] == "not estimated"
    assert compute().attrs["numerics_error"] == pytest.approx(measured, rel=1e-6)
    assert counts()[0] == L
    # From then on it is read.
    model = RoundingModel()
    again = jacobian(RESIDUES, model, numerics="rounded", progress=False)
    assert again.attrs["numerics_error"] == pytest.approx(measured, rel=1e-6)
    assert model.prepared == 0


def test_few_rows_are_not_measured_and_need_no_model_again() -> None:
    compute(positions=[1, 2])
    model = RoundingModel()
    again = jacobian(RESIDUES, model, numerics="rounded", positions=[1, 2], progress=False)
    assert again.attrs["numerics_error"] == "not estimated"
    assert model.prepared == 0
