"""Reading and splitting alignments."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from training import families
from training.families import LETTERS, MISSING


def test_a3m_rows(tmp_path) -> None:
    path = tmp_path / "family.a3m.gz"
    with gzip.open(path, "wt") as stream:
        stream.write(">query\nLAGV\nS\n>other\nLa-AGxX\nV-\n")
    rows = families.read_a3m(path)
    assert rows == ["LAGVS", "L-AGXV-"]
    with pytest.raises(ValueError, match="query's length"):
        families.encode(rows)


def test_states_are_the_letters_of_esm() -> None:
    assert families.encode([LETTERS + "-X"]).tolist() == [[*range(20), MISSING, MISSING]]


def test_weights_count_neighbours() -> None:
    rng = np.random.default_rng(0)
    same = np.repeat(rng.integers(0, 20, (1, 10)).astype(np.int8), 4, axis=0)
    assert families.row_weights(same).sum() == pytest.approx(1)
    apart = np.arange(20, dtype=np.int8)[:, None].repeat(10, axis=1)
    assert families.row_weights(apart).sum() == pytest.approx(20)


def test_profile_sums_to_one_and_follows_the_weights() -> None:
    rows = np.array([[0, MISSING], [1, 3]], dtype=np.int8)
    profile = families.profile_of(rows, np.array([9.0, 1.0]), pseudocount=1e-9)
    assert profile.sum(axis=1) == pytest.approx(1)
    assert profile[0, :2] == pytest.approx([0.9, 0.1])
    assert profile[1, 3] == pytest.approx(1)


def test_split_keeps_neighbours_apart() -> None:
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 20, (200, 20)).astype(np.int8)
    rows[100:] = rows[:100]
    rows[100:, 3] = (rows[100:, 3] + 1) % 20
    training, held_out = families.split(rows)
    assert len(held_out) > 5
    assert 0 in training
    assert 100 in training
    counts = families.identity_counts(rows[training], rows[held_out])
    assert counts.max() < 0.8 * 20
    assert not set(training) & set(held_out)


def test_missing_data_is_one_sentence(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("CATJAC_DATA", raising=False)
    with pytest.raises(families.DataError, match="CATJAC_DATA is not set"):
        families.data_folder()
    monkeypatch.setenv("CATJAC_DATA", str(tmp_path))
    with pytest.raises(families.DataError, match=r"no families/families\.json"):
        families.data_folder()
