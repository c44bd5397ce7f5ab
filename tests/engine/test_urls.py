"""A cache at a URL: in memory, on a disk through fsspec, and on an S3 server over HTTP on loopback."""

from __future__ import annotations

import contextlib
import pickle
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forked
import fsspec
import numpy as np
import pytest
import s3fs
import xarray as xr
import zarr
from cache_counts import Counts
from click.testing import CliRunner
from moto.server import ThreadedMotoServer
from sharing import share
from stored_stubs import entry_of
from url_damages import (
    DAMAGES,
    RESIDUES,
    L,
    compute,
    digests_gone,
    empty,
    entry_folder,
    flip,
    missing,
    model,
    swap,
)

from catjac_widgets.cli.group import main
from catjac_widgets.engine.api import jacobian, submit
from catjac_widgets.engine.cache.info import CacheWarning
from catjac_widgets.engine.cache.remote import store as remote_store
from catjac_widgets.engine.cache.remote.store import RemoteStore
from catjac_widgets.engine.cache.store import cache
from catjac_widgets.engine.plans.request import make_request
from catjac_widgets.errors import CacheError, DependencyError, UsageError
from catjac_widgets.installation import cache_folder as cache_findings

BUCKET = "jacobians"


@contextlib.contextmanager
def serving() -> Iterator[ThreadedMotoServer]:
    """Run an S3 server with one bucket; what it holds outlives its being stopped and started."""
    started = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "NO_PROXY": "127.0.0.1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        files = fsspec.filesystem("s3")
        if not files.exists(BUCKET):
            files.mkdir(BUCKET)
        yield started
    started.stop()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedMotoServer]:
    """A server for all tests that leave it running."""
    with serving() as started:
        yield started


@pytest.fixture
def failing_server(server: ThreadedMotoServer) -> Iterator[ThreadedMotoServer]:
    """A server of the test's own, which it may stop."""
    with serving() as started:
        yield started


@pytest.fixture
def s3(server: ThreadedMotoServer, monkeypatch: pytest.MonkeyPatch) -> str:
    return a_folder_there(monkeypatch)


def a_folder_there(monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    monkeypatch.setenv("CATJAC_CACHE", url)
    return url


@pytest.fixture(params=["memory", "disk", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each kind of place in turn, as the one that the cache uses."""
    if request.param == "s3":
        yield str(request.getfixturevalue("s3"))
        return
    if request.param == "memory":
        made = f"memory://{uuid.uuid4().hex}"
        monkeypatch.setenv("CATJAC_CACHE", made)
        yield made
        return
    # As a setting it would be a folder.
    made = f"file://{tmp_path}/of/objects"
    cache.use(RemoteStore(made))
    yield made
    cache.use(None)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["cache", *arguments])
    return result.exit_code, result.output


def test_rows_are_written_read_and_resumed(url: str, counts: Counts) -> None:
    expected = compute(model(), cache=False)
    some = compute(model(), positions=[2, 5, 6])
    before = counts()[0]
    whole = compute(model())
    assert counts()[0] - before == L - 3
    np.testing.assert_array_equal(whole.values, expected.values)
    np.testing.assert_array_equal(some.values, expected.sel(pos_in=[2, 5, 6]).values)
    before = counts()[0]
    lazy = compute(model(), lazy=True)
    assert not lazy.variable._in_memory
    np.testing.assert_array_equal(lazy.sel(pos_in=[3, 1]).values, expected.sel(pos_in=[3, 1]).values)
    np.testing.assert_array_equal(compute(model()).values, expected.values)
    assert counts()[0] == before
    info = cache.info()
    assert (info.path, info.where, info.limit, info.entries, info.in_memory) == (None, url, None, 1, False)
    assert info.size > expected.nbytes


def test_what_lies_there_is_what_lies_in_a_folder(tmp_path: Path) -> None:
    whole = compute(model())
    in_folder = {
        path.relative_to(tmp_path / "cache").as_posix()
        for path in (tmp_path / "cache").rglob("*")
        if path.is_file() and path.name not in ("lock", "making-room.lock")
    }
    cache.use(RemoteStore(f"file://{tmp_path}/objects"))
    try:
        compute(model())
    finally:
        cache.use(None)
    root = tmp_path / "objects"
    assert {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} == in_folder
    group = zarr.open_group(str(next(root.glob("*/*/arrays.zarr"))), mode="r")
    np.testing.assert_array_equal(group["jacobian"][:], whole.values)


@pytest.mark.filterwarnings("ignore::catjac_widgets.engine.cache.info.CacheWarning")
@pytest.mark.parametrize(
    ("url", "damage"),
    [(place, each) for place in ("memory", "disk") for each in DAMAGES]
    + [("s3", each) for each in (flip, empty, swap, missing)],
    indirect=["url"],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_no_damage_becomes_a_wrong_number(damage: Callable[[str], int], url: str, counts: Counts) -> None:
    whole = compute(model())
    lazy = compute(model(), lazy=True)
    rows = damage(url)
    if damage is digests_gone:  # an array that is open knows them
        np.testing.assert_array_equal(lazy.sel(pos_in=4).values, whole.sel(pos_in=4).values)
    elif rows:
        with pytest.raises(CacheError, match="Residue 4 of this Jacobian cannot be read from the cache"):
            lazy.sel(pos_in=4).load()
    before = counts()[0]
    np.testing.assert_array_equal(compute(model()).values, whole.values)
    assert counts()[0] - before == rows
    np.testing.assert_array_equal(lazy.values, whole.values)  # healed


def test_what_does_not_answer_now_is_not_taken_for_damaged(
    failing_server: ThreadedMotoServer, monkeypatch: pytest.MonkeyPatch, counts: Counts
) -> None:
    a_folder_there(monkeypatch)
    whole = compute(model())
    lazy = compute(model(), lazy=True)
    port = failing_server.get_host_and_port()[1]
    failing_server.stop()
    with pytest.raises(CacheError, match="Residue 2 of this Jacobian cannot be read from the cache"):
        lazy.sel(pos_in=2).load()
    with pytest.raises(CacheError, match="cannot be listed"):
        cache.info()
    again = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    again.start()
    try:
        before = counts()[0]
        np.testing.assert_array_equal(lazy.values, whole.values)
        compute(model())
        assert counts()[0] == before
    finally:
        again.stop()


def test_a_server_that_goes_away_in_the_middle_costs_no_result(
    failing_server: ThreadedMotoServer, monkeypatch: pytest.MonkeyPatch, counts: Counts
) -> None:
    s3 = a_folder_there(monkeypatch)
    residues = 2 * RESIDUES  # so that rows are left when it has gone

    def compute_all(seed: int = 0, **options: Any) -> xr.DataArray:
        return jacobian(residues, model(seed), progress=False, **options)

    expected = compute_all(cache=False)
    port = failing_server.get_host_and_port()[1]
    job = submit(residues, model(), batch_size=19)

    def stop(position: int, row: np.ndarray) -> None:
        if position == 5:
            failing_server.stop()

    job.add_listener(row=stop)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        np.testing.assert_array_equal(job.result(120).values, expected.values)
        assert any("cannot be written any more" in str(each.message) for each in told)
    # As long as it is away, everything stays in memory, and that is said.
    with pytest.warns(CacheWarning, match="cannot be written"):
        np.testing.assert_array_equal(compute_all(3).values, compute_all(3, cache=False).values)
    again = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    again.start()
    try:
        before = counts()[0]
        np.testing.assert_array_equal(compute_all().values, expected.values)
        assert 0 < counts()[0] - before < 2 * L  # the rows of before are there
        assert cache.info().where == s3
    finally:
        again.stop()


def test_a_bucket_that_does_not_exist_is_said_and_not_made(
    server: ThreadedMotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATJAC_CACHE", "s3://not-there/folder")
    with pytest.warns(CacheWarning, match="cannot be written"):
        whole = compute(model())
    np.testing.assert_array_equal(whole.values, compute(model(), cache=False).values)
    assert cache.info().in_memory
    assert not fsspec.filesystem("s3").exists("not-there")
    finding = next(cache_findings())
    assert (finding.name, finding.state) == ("cache", "problem")
    assert "cannot be written to" in finding.value


def test_two_processes_at_once(s3: str, counts: Counts) -> None:
    processes = [forked.start(share, "unsymmetric", RESIDUES, 19) for _ in range(2)]
    for _, pipe in processes:
        pipe.send("go")
    expected = compute(model(), cache=False)
    for process in processes:
        assert forked.answer(*process) == "ready"
        np.testing.assert_array_equal(forked.answer(*process)[2], expected.values)
    before = counts()[0]
    np.testing.assert_array_equal(compute(model()).values, expected.values)
    assert counts()[0] == before


def test_nothing_is_evicted_and_what_was_not_used_is_cleared(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.clear()  # what other tests left in memory, when their servers were away
    monkeypatch.setenv("CATJAC_CACHE_LIMIT", "1000")
    compute(model(0))
    compute(model(1))
    assert cache.info().entries == 2
    assert cache.clear(older_than="1h") == 0
    files, folder = entry_folder(url)
    files.rm_file(f"{folder}/key.json")  # as of a process that died while it cleared
    assert cache.info().entries == 1
    assert cache.clear() == 2
    assert cache.info().size == 0
    assert not files.exists(folder) or not files.find(folder)


def test_the_commands_look_after_it(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compute(model())
    code, text = run("list")
    assert code == 0
    assert "Jacobian          7 of    7 rows" in text
    assert run("info")[1].splitlines()[0].split() == ["where", s3]
    assert run("verify")[0] == 0
    swap(s3)
    code, text = run("verify")
    assert code == 1
    assert "row 4 is not what was written there" in text
    assert run("verify", "--repair")[0] == 0
    compute(model())
    archive = tmp_path / "there.tar.gz"
    assert run("export", str(archive)) == (0, f"1 entries in {archive}.\n")
    assert run("clear", "--yes")[1].startswith("1 removed")
    for place in (s3, str(tmp_path / "folder"), f"memory://{uuid.uuid4().hex}"):
        monkeypatch.setenv("CATJAC_CACHE", place)
        assert run("import", str(archive)) == (0, "1 entries imported.\n")
        assert run("verify")[0] == 0
        computed = cache.info().rows_computed
        np.testing.assert_array_equal(compute(model()).values, whole.values)
        assert cache.info().rows_computed == computed


def test_what_is_no_place_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting, said in (("nowhere://bucket/x", "nothing knows nowhere://"), ("s3://", "names no place")):
        monkeypatch.setenv("CATJAC_CACHE", setting)
        with pytest.raises(UsageError, match=said):
            compute(model())
        assert next(cache_findings()).state == "problem"
    monkeypatch.setenv("CATJAC_CACHE", "s3://bucket/x")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    monkeypatch.setattr(cache, "_stores", {})
    with pytest.raises(DependencyError, match=r"needs the package s3fs.*pip install s3fs"):
        compute(model())


def test_a_file_url_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATJAC_CACHE", f"file://{tmp_path}/a%20folder")
    compute(model())
    assert cache.info().path == tmp_path / "a folder"
    assert entry_of(RESIDUES, model()).folder.is_relative_to(tmp_path / "a folder")


def test_a_password_is_not_shown() -> None:
    assert RemoteStore("ftp://me:secret@host/folder").name == "ftp://host/folder"


def test_the_last_use_is_written_now_and_then(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compute(model())
    store = cache.store
    assert store is not None
    key = make_request(RESIDUES, model()).plan.key

    def used() -> float:
        return {each.key: each.used for each in store.entries()}[key]

    first = used()
    assert abs(first - time.time()) < 60
    store.touch(key)
    assert used() == first  # not a minute ago
    monkeypatch.setattr(remote_store, "_TOUCH_SECONDS", 0.0)
    time.sleep(1.1)  # S3 tells seconds
    store.touch(key)
    assert used() > first


def test_a_lazy_array_can_be_sent_to_another_process(s3: str) -> None:
    lazy = compute(model(), lazy=True)
    sent = pickle.loads(pickle.dumps(lazy))
    assert not sent.variable._in_memory
    np.testing.assert_array_equal(sent.values, lazy.values)
