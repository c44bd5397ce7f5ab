"""``catjac demo``: real science within a minute, in the terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from catjac_widgets.cli.computing import ranked_pairs

if TYPE_CHECKING:
    import xarray as xr

_SHADES = " ░▒▓█"


@click.command("demo")
@click.argument("example", default="bpti")
@click.option("--model", "-m", default="mini", show_default=True, help="Model name or checkpoint path.")
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="Contacts to list.")
def demo_command(example: str, model: str, top: int) -> None:
    """Compute the Jacobian of an example protein and compare its contacts with the crystal structure."""
    from catjac_widgets.errors import UsageError
    from catjac_widgets.notebook.what import find_protein

    protein = find_protein(f"example:{example}")
    if protein.structure is None:
        raise UsageError(f"The example {example!r} has no structure to compare with; choose another.")
    from catjac_widgets import contacts, examples, jacobian, precision_at_l

    title = getattr(examples()[example.lower()], "title", example)
    length = len(protein.sequence)
    click.echo(f"{title}, {length} residues")
    click.echo(f"What does '{model}' expect at every residue if any residue is mutated to any other?")
    started = time.perf_counter()
    J = jacobian(protein.sequence, model)
    C = contacts(J)
    seconds = time.perf_counter() - started
    native = protein.structure.contacts(protein.sequence)
    precision = float(precision_at_l(C, native))
    click.echo(f"\nThe Jacobian, {' × '.join(map(str, J.shape))}, after {seconds:.1f} s; its contact map:\n")
    click.echo(terminal_map(C))
    pairs = ranked_pairs(C, 6)
    judged = [native.sel(pos_i=pair["pos_i"], pos_j=pair["pos_j"]).item() == 1 for pair in pairs]
    click.echo(
        f"\nOf its best {length} pairs, |i − j| ≥ 6, {precision:.0%} are within 8 Å in the crystal; "
        f"by chance it would be {sum(judged) / len(judged):.0%}."
    )
    click.echo(f"\nThe best {min(top, len(pairs))}:")
    for pair in pairs[:top]:
        found = native.sel(pos_i=pair["pos_i"], pos_j=pair["pos_j"]).item()
        verdict = "contact" if found == 1 else "no contact" if found == 0 else "not resolved"
        click.echo(f"  {pair['residue_i']:>5} – {pair['residue_j']:<5} {pair['score']:7.3f}  {verdict}")


def terminal_map(C: xr.DataArray, columns: int = 64) -> str:
    """Draw a contact map in characters, two a cell, so that it comes out about square."""
    import numpy as np

    scores = np.nan_to_num(np.array(C.values))
    length = len(scores)
    near = np.abs(np.subtract.outer(np.arange(length), np.arange(length))) < 6
    scores[near] = 0.0
    width = max(1, -(-length // (columns // 2)))
    edges = range(0, length, width)
    pooled = np.array([[scores[a : a + width, b : b + width].max() for b in edges] for a in edges])
    # The best L pairs stand out; what lies below them fades.
    high = np.partition(scores[np.triu_indices(length, 6)], -max(1, length // 2))[-max(1, length // 2)]
    shade = np.clip(pooled / max(high, 1e-9) * (len(_SHADES) - 1), 0, len(_SHADES) - 1).astype(int)
    return "\n".join("  " + "".join(_SHADES[value] * 2 for value in row) for row in shade)
