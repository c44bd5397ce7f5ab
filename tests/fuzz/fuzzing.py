"""What all fuzzing shares: its budget, damages of valid files, and what may come of reading one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from catjac_widgets.errors import CatjacError

Value = TypeVar("Value")

#: Examples of each test: few in continuous integration, as many as one likes elsewhere.
EXAMPLES = int(os.environ.get("CATJAC_FUZZ_EXAMPLES", "60"))

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    # The same examples every time, unless somebody asks for more.
    derandomize="CATJAC_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)

#: Numbers and marks that parsers stumble over.
ODD = [
    b"nan", b"inf", b"-1", b"0", b"1e400", b"99999999999999999999", b"2147483647", b"\x00",
    b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\n", b"\r", b">", b":", b"#", b"?", b".", b"'", b'"',
    b"loop_", b"\xe2\x80\xa8", "ß".encode(), b" " * 100, b"\x1f\x8b", b"PK\x03\x04",
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, valid: list[bytes]) -> bytes:
    """A valid file with up to five places cut out, doubled, moved or filled with something odd."""
    content = bytearray(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(0, 5))):
        place = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 40))
        piece = bytes(content[place : place + length])
        what = draw(st.sampled_from(["cut", "double", "move", "flip", "odd", "bytes", "end"]))
        if what == "cut":
            del content[place : place + length]
        elif what == "double":
            content[place:place] = piece * draw(st.integers(1, 20))
        elif what == "move":
            del content[place : place + length]
            there = draw(st.integers(0, len(content)))
            content[there:there] = piece
        elif what == "flip" and place < len(content):
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif what == "odd":
            odd = draw(st.sampled_from(ODD))
            content[place : place + draw(st.sampled_from([0, len(odd)]))] = odd
        elif what == "bytes":
            content[place : place + length] = draw(st.binary(max_size=40))
        elif what == "end":
            del content[place:]
    return bytes(content)


def files(valid: list[bytes]) -> st.SearchStrategy[bytes]:
    """Any bytes at all, and damaged files."""
    return st.one_of(st.binary(max_size=400), damaged(valid), damaged(valid))


def read_or_refuse(read: Callable[[], Value]) -> Value | None:
    """Read; None where it was refused by one sentence that fits on a screen. Anything else is a failure."""
    try:
        return read()
    except CatjacError as error:
        said = str(error)
    assert 10 < len(said) < 800, said[:800]
    assert "\n" not in said, said
    return None


def written(folder: Path, name: str, content: bytes) -> Path:
    """Write one example over the one before it."""
    path = folder / name
    path.write_bytes(content)
    return path


#: Values that stand in for any other in a header or an index.
ODD_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([2**31, 10**9, 2**63, -(2**63)]),
    st.floats(), st.text(max_size=8), st.just([]), st.just({}), st.just("../../x"), st.just([[["x"]]]),
)  # fmt: skip


@st.composite
def altered(draw: st.DrawFn, valid: Any) -> Any:
    """A tree of lists and dicts in which up to three values are another, missing or doubled."""
    made = _copied(valid)
    for _ in range(draw(st.integers(0, 3))):
        node, parents = made, []
        while isinstance(node, dict | list) and node and (not parents or draw(st.integers(0, 3))):
            key = draw(st.sampled_from(sorted(node, key=str) if isinstance(node, dict) else range(len(node))))
            parents.append((node, key))
            node = node[key]
        if not parents:
            break
        holder, key = parents[-1]
        what = draw(st.sampled_from(["odd", "gone", "double"]))
        if what == "odd":
            holder[key] = _copied(draw(ODD_VALUES))
        elif what == "gone":
            del holder[key]
        elif isinstance(holder, list):
            holder.append(holder[key])
    return made


def _copied(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _copied(value) for key, value in tree.items()}
    return [_copied(value) for value in tree] if isinstance(tree, list) else tree
