"""How much memory there is, where control groups allow less than the machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

from catjac_widgets.engine.compute.memory import available_memory, total_memory
from catjac_widgets.language_models.devices import cgroup_memory_limit, physical_memory


def put(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


@pytest.mark.parametrize(
    ("membership", "files", "limit"),
    [
        # A container of its own: the mounted root is its group.
        ("0::/\n", {"memory.max": "1000\n"}, 1000),
        ("0::/\n", {"memory.max": "max\n"}, None),
        # A batch job: its group lies within others, any of which may have the least limit.
        ("0::/slurm/job_7/step_0\n", {"slurm/job_7/memory.max": "500\n"}, 500),
        (
            "0::/slurm/job_7\n",
            {"slurm/job_7/memory.max": "900", "slurm/memory.max": "800", "memory.max": "max"},
            800,
        ),
        # Version 1, alone and beside version 2.
        ("9:memory:/docker/abc\n", {"memory/docker/abc/memory.limit_in_bytes": "300\n"}, 300),
        (
            "5:cpu,memory:/a\n3:pids:/b\n0::/a\n",
            {"memory/a/memory.limit_in_bytes": "9223372036854771712", "a/memory.max": "70"},
            70,
        ),
        ("5:cpu:/a\n", {"memory/memory.limit_in_bytes": "60"}, 60),
        # None, or not Linux.
        ("0::/user.slice\n", {}, None),
        (None, {}, None),
    ],
)
def test_the_least_limit_counts(
    tmp_path: Path, membership: str | None, files: dict[str, str], limit: int | None
) -> None:
    for name, text in files.items():
        put(tmp_path, f"root/{name}", text)
    if membership is not None:
        put(tmp_path, "cgroup", membership)
    assert cgroup_memory_limit(tmp_path / "root", tmp_path / "cgroup") == limit


def test_the_engine_and_the_loading_of_models_go_by_the_same_number() -> None:
    assert physical_memory() == total_memory()
    limit = cgroup_memory_limit()
    assert limit is None or total_memory() <= limit
    assert 0 < available_memory() <= total_memory()
