from __future__ import annotations

import biotite.structure as struc
import numpy as np
import pytest
from made_up_structures import chain

from catjac_widgets.structures.example_proteins import examples
from catjac_widgets.structures.geometry import distance_matrix, impute_beta, representatives
from catjac_widgets.structures.residues import resolved_chains


def backbone(name):
    (found,) = examples()[name].structure.chains
    return found, [found.coordinates(atom) for atom in ("N", "CA", "C")]


@pytest.mark.parametrize("name", ["bpti", "ww", "thioredoxin"])
def test_imputed_beta_has_the_bond_the_angle_and_the_dihedral(name):
    _, (N, CA, C) = backbone(name)
    CB = impute_beta(N, CA, C)
    np.testing.assert_allclose(struc.distance(CA, CB), 1.522, atol=1e-5)
    np.testing.assert_allclose(struc.angle(N, CA, CB), 1.927, atol=1e-5)
    np.testing.assert_allclose(struc.dihedral(C, N, CA, CB), -2.143, atol=1e-5)


@pytest.mark.parametrize("name", ["bpti", "sh3", "response_regulator"])
def test_imputed_beta_lies_where_it_is_observed(name):
    found, (N, CA, C) = backbone(name)
    observed = found.coordinates("CB")
    there = ~np.isnan(observed[:, 0])
    # The other hand would be 2.4 Å away.
    assert np.linalg.norm(impute_beta(N, CA, C)[there] - observed[there], axis=1).max() < 0.4


def test_representatives():
    (found,) = resolved_chains(chain("AGC"))
    chosen = representatives(found)
    np.testing.assert_array_equal(chosen[0], found.coordinates("CB")[0])
    np.testing.assert_array_equal(chosen[1], found.coordinates("CA")[1])
    (bare,) = resolved_chains(chain("AGC", beta=False))
    np.testing.assert_array_equal(representatives(bare), bare.coordinates("CA"))
    assert not np.isnan(representatives(bare, "imputed")).any()
    alpha_only = chain("AGC")
    (alpha_only,) = resolved_chains(alpha_only[alpha_only.atom_name == "CA"])
    assert np.isnan(representatives(alpha_only, "imputed")).all()


def test_distances():
    coordinates = np.array([[0.0, 0, 0], [3, 4, 0], [np.nan, 0, 0]])
    found = distance_matrix(coordinates)
    assert found[0, 1] == found[1, 0] == 5
    assert found[0, 0] == 0
    assert np.isnan(found[2]).all()
