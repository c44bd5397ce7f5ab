"""How much memory Jacobians and their maps take, measured by the kernel in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

#: Of this length J takes 419 MB.
LENGTH = 512

SCRIPT = """
import json, sys
from pathlib import Path

import numpy as np

sys.path.insert(0, sys.argv[1])
from stubs import PottsModel

from catjac_widgets.analysis.contacts.maps import contacts
from catjac_widgets.engine.api import jacobian


class Cheap(PottsModel):
    '''Logits from a small table of noise, so that rows cost next to nothing.'''

    def prepare(self, residues, mask=None, numerics="exact"):
        self.noise = np.random.default_rng(0).standard_normal((97, len(residues), 20), dtype=np.float32)
        return self

    def wild_type(self):
        return self.noise[0]

    def rows(self, substitutions):
        letters = self.letters
        return self.noise[[1 + (20 * s.position + letters.index(s.letter)) % 96 for s in substitutions]]


def resident(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024


def peak(call):
    '''What a call returns, and the most memory that was held during it beyond what was held before.'''
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    made = call()
    found[call.__name__] = resident("VmHWM") - before
    return made


residues = ("ACDEFGHIKLMNPQRSTVWY" * int(sys.argv[2]))[: int(sys.argv[2])]
found, model = {}, Cheap()
for lazy in (True, False):
    warm = jacobian(residues[:20], model, lazy=lazy, progress=False)
    contacts(warm), contacts(warm, diag="none")


def to_the_store():
    return jacobian(residues, model, lazy=True, progress=False)


def map_of_the_stored():
    return contacts(to_the_store())


def map_of_the_stored_tensor():
    return contacts(lazy, diag="none")


def to_memory():
    return jacobian(residues, model, lazy=False, cache=False, progress=False)


def read_into_memory():
    return jacobian(residues, model, lazy=False, progress=False)


def map_of_the_tensor_in_memory():
    return contacts(J)


def a_copy():
    return J.copy(deep=True)


lazy = peak(to_the_store)
stored = peak(map_of_the_stored)
streamed = peak(map_of_the_stored_tensor)
J = peak(read_into_memory)
del J
J = peak(to_memory)
of_memory = peak(map_of_the_tensor_in_memory)
copied = peak(a_copy)
np.testing.assert_allclose(stored.values, of_memory.values, atol=1e-4)
np.testing.assert_array_equal(J[7].values, lazy[7].values)
print(json.dumps({"tensor": J.nbytes, **found}))
"""


def test_nothing_holds_a_second_jacobian(tmp_path: Path) -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("The kernel's peak of resident memory is read from /proc, which this system has not.")
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tests, str(LENGTH)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    tensor = found["tensor"]
    assert found["a_copy"] > 0.95 * tensor, "the measure does not see a copy"
    # The rows that are held while blocks meet their transposes take 134 MB.
    assert found["to_the_store"] < 0.6 * tensor, found
    assert found["map_of_the_stored_tensor"] < 0.6 * tensor, found
    assert found["map_of_the_stored"] < 0.05 * tensor, found
    assert found["map_of_the_tensor_in_memory"] < 0.1 * tensor, found
    assert 0.95 * tensor < found["to_memory"] < 1.1 * tensor, found
    assert found["read_into_memory"] < 1.1 * tensor, found
