"""`catjac cache`: entries are listed, verified, exported and imported without the model that made them."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from cache_counts import Counts
from click.testing import CliRunner
from stored_stubs import RESIDUES, L, chunks, compute, entry_of
from stubs import PottsModel

from catjac_widgets.cli.group import main
from catjac_widgets.engine.cache.archives import export_entries, import_entries
from catjac_widgets.engine.cache.chunked.upkeep import list_entries, verify_entry
from catjac_widgets.engine.cache.folder.files import FolderFiles
from catjac_widgets.engine.cache.folder.store import FolderStore
from catjac_widgets.engine.cache.store import cache
from catjac_widgets.errors import CacheError


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["cache", *arguments])
    return result.exit_code, result.output


def test_files_that_another_process_takes_away_are_passed_over(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that share a cache rename and delete files between one's look at a folder and at a file."""
    compute(PottsModel(seed=0), positions=[1, 2])
    (entry,) = list_entries(FolderStore(cache_folder))
    folder = next(cache_folder.glob(f"*/{entry.key}"))
    there = FolderFiles(folder).walk()
    (folder / "half.partial").write_bytes(b"1")
    look = os.lstat

    def taken_away(path: Path) -> bool:
        if path.name == "half.partial":
            path.unlink(missing_ok=True)
        return path.suffix == ".partial" or os.path.isfile(path)

    monkeypatch.setattr(Path, "is_file", taken_away)
    monkeypatch.setattr(Path, "lstat", lambda path: taken_away(path) and look(path))
    assert FolderFiles(folder).walk() == there
    assert not (folder / "half.partial").exists()


def test_entries_are_listed(cache_folder: Path) -> None:
    assert list_entries(FolderStore(cache_folder)) == []
    compute(PottsModel(seed=0), positions=[1, 2])
    compute(PottsModel(seed=1), variant="fast")
    latest, former = list_entries(FolderStore(cache_folder))
    assert (former.kind, former.sequence, former.rows, former.rows_total) == ("Jacobian", RESIDUES, 2, L)
    assert (latest.kind, latest.rows, latest.rows_total) == ("fast Jacobian", L, L)
    assert latest.used >= former.used
    code, text = run("list")
    assert code == 0
    assert f"{former.key[:12]}  Jacobian          2 of   14 rows" in text
    assert RESIDUES in text


@pytest.mark.parametrize("damage", ["nothing", "flip", "cut", "swap", "beside", "key", "later"])
def test_verify_names_what_is_wrong(damage: str, cache_folder: Path, counts: Counts) -> None:
    model = PottsModel()
    whole = compute(model)
    entry = entry_of(RESIDUES, model)
    rows = chunks(entry)
    expected = {
        "nothing": [],
        "flip": ["row 3 is damaged: its checksum is not that of its bytes"],
        "cut": ["row 3 was cut short"],
        "swap": ["row 3 is not what was written there", "row 5 is not what was written there"],
        "beside": ["contacts is not what was written there"],
        "key": ["key.json is not what the entry is named after"],
        "later": ["its layout (format 3) is not one that this version knows"],
    }[damage]
    if damage == "flip":
        content = bytearray(rows[2].read_bytes())
        content[5] ^= 1
        rows[2].write_bytes(content)
    elif damage == "cut":
        rows[2].write_bytes(rows[2].read_bytes()[:-7])
    elif damage == "swap":
        one, other = rows[2].read_bytes(), rows[4].read_bytes()
        rows[2].write_bytes(other)
        rows[4].write_bytes(one)
    elif damage == "beside":
        shutil.copy(entry.group / "block_norms" / "c.0.0", entry.group / "contacts" / "c.0.0")
    elif damage == "key":
        (entry.folder / "key.json").write_text("{}")
    elif damage == "later":
        path = entry.group / "zarr.json"
        path.write_text(path.read_text().replace('"catjac_format": 2', '"catjac_format": 3'))
    verdict = verify_entry(entry.files)
    assert verdict.problems == expected
    code, text = run("verify")
    assert code == (1 if expected else 0)
    assert f"1 entries, {verdict.checked} chunks read, {len(expected)} problems." in text
    if damage in ("flip", "cut", "swap", "beside"):
        assert run("verify", "--repair")[0] == 0
        assert run("verify")[0] == 0
        before = counts()[0]
        np.testing.assert_array_equal(compute(model).values, whole.values)
        assert counts()[0] - before == {"swap": 2, "beside": 0}.get(damage, 1)


def test_an_archive_goes_to_another_cache(
    cache_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts: Counts
) -> None:
    whole = compute(PottsModel(seed=0))
    some = compute(PottsModel(seed=1), positions=[2, 5])
    archive = tmp_path / "mine.tar.xz"
    assert run("export", str(archive)) == (0, f"2 entries in {archive}.\n")
    one = tmp_path / "one.tar"
    assert (
        export_entries(
            FolderStore(cache_folder), one, [entry_of(RESIDUES, PottsModel(seed=1)).folder.name[:8]]
        )
        == 1
    )
    monkeypatch.setenv("CATJAC_CACHE", str(tmp_path / "another"))
    # Rows that are there already stay.
    compute(PottsModel(seed=1), positions=[2, 7])
    before = counts()[0]
    assert run("import", str(archive)) == (0, "2 entries imported.\n")
    assert run("import", str(one)) == (0, "1 entries imported.\n")
    np.testing.assert_array_equal(compute(PottsModel(seed=0)).values, whole.values)
    np.testing.assert_array_equal(compute(PottsModel(seed=1), positions=[2, 5]).values, some.values)
    compute(PottsModel(seed=1), positions=[2, 5, 7])
    assert counts()[0] == before
    assert cache.info().entries == 2
    assert not list((tmp_path / "another").glob("import-*"))


def test_nothing_of_an_archive_goes_outside_its_folder(cache_folder: Path, tmp_path: Path) -> None:
    compute(PottsModel())
    archive = tmp_path / "hostile.tar"
    export_entries(FolderStore(cache_folder), archive)
    key = entry_of(RESIDUES, PottsModel()).folder.name
    inside = f"{key[:2]}/{key}"
    names = [
        "../outside",
        "/tmp/outside",
        f"{inside}/../../../outside",
        f"{inside}/arrays.zarr/../../../../outside",
        f"{inside}/devices/../../outside",
        "ab/model.py",
        f"{inside}/arrays.zarr/evil/__init__.py",
    ]
    with tarfile.open(archive, "a") as made:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 4
            made.addfile(member, io.BytesIO(b"evil"))
        link = tarfile.TarInfo(f"{inside}/digests/jacobian.99.{'0' * 32}")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(link)
    before = set(tmp_path.rglob("*"))
    target = tmp_path / "another"
    taken, left_out = import_entries(FolderStore(target), archive, limit=10**9)
    assert taken == 1
    assert len(left_out) == len(names) + 1
    made_files = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(target) for path in made_files)
    assert not any("evil" in path.name or path.is_symlink() for path in made_files)


def test_what_is_damaged_in_an_archive_is_left_out(cache_folder: Path, tmp_path: Path) -> None:
    model = PottsModel()
    compute(model)
    rows = chunks(entry_of(RESIDUES, model))
    shutil.copy(rows[3], rows[4])
    archive = tmp_path / "damaged.tar"
    export_entries(FolderStore(cache_folder), archive)
    taken, left_out = import_entries(FolderStore(tmp_path / "another"), archive, limit=10**9)
    assert (taken, left_out) == (
        1,
        [f"{entry_of(RESIDUES, model).folder.name[:12]}: row 5 is not what was written there"],
    )


def test_what_is_no_archive_or_too_large_is_refused(cache_folder: Path, tmp_path: Path) -> None:
    compute(PottsModel())
    archive = tmp_path / "mine.tar"
    export_entries(FolderStore(cache_folder), archive)
    with pytest.raises(CacheError, match="more than the cache may take"):
        import_entries(FolderStore(tmp_path / "another"), archive, limit=10_000)
    for content in (b"", b"nothing of the kind", archive.read_bytes()[:100_100]):
        (tmp_path / "broken.tar").write_bytes(content)
        with pytest.raises(CacheError, match="no archive"):
            import_entries(FolderStore(tmp_path / "another"), tmp_path / "broken.tar", limit=10**9)
    with pytest.raises(CacheError, match="no such entry"):
        export_entries(FolderStore(cache_folder), archive, ["ffffffff"])
    assert not list((tmp_path / "another").glob("*"))
