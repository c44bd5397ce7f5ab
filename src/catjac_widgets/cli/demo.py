"""``catjac demo``: real science within a minute, in the terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import xarray as xr

_SHADES = " ░▒▓█"


@click.command("demo")
@click.argument("example", default="bpti")
@click.option("--model", "-m", default="mini", show_default=True, help="Model name or checkpoint path.")
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="Contacts to list.")
def demo_command(example: str, model: str, top: int) -> None:
    """Compute the Jacobian of an example protein and compare its contacts with the crystal structure."""
    from catjac_widgets import contacts, examples, jacobian, precision_at_l
    from catjac_widgets.analysis.benchmark.top_contacts import top_contacts

    protein = examples()[example]
    length = len(protein)
    click.echo(f"{protein.title}, {length} residues (PDB {protein.pdb_id})")
    click.echo(f"What does '{model}' expect at every residue if any residue is replaced by any other?")
    started = time.perf_counter()
    J = jacobian(protein.sequence, model)
    C = contacts(J)
    seconds = time.perf_counter() - started
    click.echo(f"\nThe Jacobian, {' × '.join(map(str, J.shape))}, after {seconds:.1f} s; its contact map:\n")
    click.echo(terminal_map(C))
    far = abs(protein.contacts.pos_i - protein.contacts.pos_j) >= 6
    density = float(protein.contacts.where(far).mean())
    precision = precision_at_l(C, protein.structure)
    click.echo(
        f"\nOf its best {length} pairs, |i − j| ≥ 6, {precision:.0%} are within 8 Å in the crystal; "
        f"of all pairs, {density:.0%} are."
    )
    pairs = top_contacts(C, top, truth=protein.structure)
    click.echo(f"\nThe best {len(pairs)}:")
    for pair in pairs.itertuples():
        verdict = "not resolved" if pair.contact is None else "contact" if pair.contact else "no contact"
        click.echo(f"  {pair.residue_i:>5} – {pair.residue_j:<5} {pair.score:7.3f}  {verdict}")


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
