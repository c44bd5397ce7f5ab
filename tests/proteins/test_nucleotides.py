"""RNA goes where proteins go: a model's alphabet is data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from IPython.core.interactiveshell import InteractiveShell

import catjac
from catjac_widgets.errors import SequenceError

# Transfer RNA of tyrosine, Escherichia coli, to the end of the anticodon's arm.
RNA = "GGUGGGGUUCCCGAGCGGCCAAAGGGAGCAGACUGUAAAUCUGCC"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a Potts model of RNA, fitted to variants drawn at random."""
    random = np.random.default_rng(0)
    rows = [RNA]
    for _ in range(60):
        row = list(RNA)
        for place in random.integers(len(RNA), size=12):
            row[place] = "ACGU"[random.integers(4)]
        rows.append("".join(row))
    path = tmp_path_factory.mktemp("rna") / "rna.a3m"
    path.write_text("".join(f">{number}\n{row}\n" for number, row in enumerate(rows)))
    return f"potts:{path}"


def test_text_of_rna_is_a_sequence(tmp_path: Path) -> None:
    assert catjac.as_sequence(RNA).residues == RNA
    assert catjac.as_sequence(f">trna\n{RNA.lower()}").residues == RNA
    (tmp_path / "rna.fasta").write_text(f">trna\n{RNA}\n")
    assert catjac.as_sequence(tmp_path / "rna.fasta").name == "trna"
    assert catjac.as_sequence(catjac.as_sequence(RNA)).residues == RNA
    with pytest.raises(SequenceError, match="residue 3 is 'U'"):
        catjac.as_sequence(RNA, letters="ACGT")
    with pytest.raises(SequenceError, match="residue 4 is 'U'"):
        catjac.as_sequence("MKTUYIAKQR")


def test_jacobian_and_explorer(model: str) -> None:
    J = catjac.jacobian(RNA, model, progress=False)
    assert J.shape == (len(RNA), 4, len(RNA), 4)
    assert list(J["aa_out"].values) == list("ACGU")
    explorer = catjac.explore(RNA, model, panels=["sequence", "map", "slice"])
    explorer.job.result()
    explorer.selection = (1, 43)
    shown = explorer.slice  # letters in an order of display
    expected = J.sel(pos_in=1, pos_out=43, aa_in=shown.aa_in, aa_out=shown.aa_out)
    xr.testing.assert_equal(shown.drop_attrs(), expected.drop_attrs())
    assert explorer.sequence_mask.sequence.residues == RNA
    explorer.close()


def test_the_magic(model: str, shell: InteractiveShell) -> None:
    J = shell.run_line_magic("catjac", f"jacobian {RNA} --model {model}")
    assert J.attrs["sequence"] == RNA
    shell.user_ns["rna"] = RNA
    explorer = shell.run_line_magic("catjac", f"explore $rna --model {model}")
    assert explorer.sequence.residues == RNA
    explorer.close()
    pasted = shell.run_cell_magic("catjac", f"jacobian --model {model}", f">trna\n{RNA}\n")
    assert pasted.attrs["sequence_name"] == "trna"


def test_views_alone(model: str) -> None:
    J = catjac.jacobian(RNA, model, progress=False)
    for view in (catjac.SequenceMask(RNA), catjac.JacobianSlice(J), catjac.ContactMap(catjac.contacts(J))):
        assert view.sequence.residues == RNA
        view.close()
