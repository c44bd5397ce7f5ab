"""Write the example proteins of the package from the families in CATJAC_DATA.

    CATJAC_DATA=… python -m training.make_examples

For each example: its residues and their numbers in `examples.json`, and the heavy atoms of exactly these
residues in `<name>.pdb.gz`. Running it again writes the same bytes.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path

from catjac_widgets.structures.experimental import Structure, structure
from catjac_widgets.structures.residues import ResolvedChain

FOLDER = Path(__file__).resolve().parents[1] / "src" / "catjac_widgets" / "data" / "examples"

#: Name, family, title and what the example is good for.
EXAMPLES = [
    (
        "bpti",
        "PF00014_1BPI",
        "Bovine pancreatic trypsin inhibitor",
        "a classic: three disulphides, β-hairpin, α-helix",
    ),
    ("ww", "PF00397_1PIN", "WW domain of Pin1", "the shortest: three strands, seconds to compute"),
    ("sh3", "PF00018_2O9S", "SH3 domain of ponsin", "a small β-barrel"),
    ("cold_shock", "PF00313_3I2Z", "Cold-shock protein CspE", "a five-stranded β-barrel"),
    ("ribosomal_l30", "PF00327_1BXY", "Ribosomal protein L30", "two helices packed on a sheet"),
    (
        "lipoyl",
        "PF00364_2EVB",
        "Biotin carboxyl carrier protein",
        "a β-sandwich with a two-fold pseudo-symmetry",
    ),
    ("rrm", "PF00076_2X1B", "RNA recognition motif of Rna15", "βαββαβ; a clear map with long-range pairs"),
    ("fibronectin", "PF00041_1TEN", "Fibronectin type III domain of tenascin", "an all-β sandwich"),
    (
        "thioredoxin",
        "PF00085_1FB0",
        "Thioredoxin m of spinach chloroplasts",
        "a longer α/β fold with a cis-proline",
    ),
    (
        "response_regulator",
        "PF00072_1MVO",
        "Receiver domain of PhoP",
        "the longest: an α/β fold with parallel strands",
    ),
]


def main() -> None:
    """Write all examples."""
    data = os.environ.get("CATJAC_DATA")
    if not data or not (Path(data) / "families" / "families.json").is_file():
        sys.exit("CATJAC_DATA must name a folder that holds families/families.json.")
    families = Path(data) / "families"
    index = {family["id"]: family for family in json.loads((families / "families.json").read_text())}
    FOLDER.mkdir(parents=True, exist_ok=True)
    records = []
    for name, identifier, title, note in EXAMPLES:
        family = index[identifier]
        whole = structure(families / f"{identifier}.pdb.gz", chain=family["chain"])
        part = cut(whole, family["pdb_offset"], family["length"])
        (chain,) = part.chains
        if chain.residues != family["query"]:
            sys.exit(f"{identifier}: the structure does not hold the query where families.json says.")
        records.append(
            {
                "name": name,
                "title": title,
                "residues": chain.residues,
                "numbers": " ".join(chain.numbers),
                "pdb_id": family["pdb_id"],
                "chain": family["chain"],
                "pfam": family["pfam"],
                "note": note,
                "source": f"Protein Data Bank, entry {family['pdb_id']}, chain {family['chain']}, "
                f"residues {chain.numbers[0]}–{chain.numbers[-1]}, heavy atoms",
                "licence": "CC0 1.0",
            }
        )
        # Without a time in the header the bytes depend on the coordinates only.
        (FOLDER / f"{name}.pdb.gz").write_bytes(gzip.compress(part.to_pdb().encode(), mtime=0))
    text = json.dumps(records, indent=1, ensure_ascii=False) + "\n"
    (FOLDER / "examples.json").write_text(text, encoding="utf-8")
    print(f"{len(records)} examples, {sum(path.stat().st_size for path in FOLDER.iterdir()) / 1e3:.0f} kB")


def cut(whole: Structure, first: int, length: int) -> Structure:
    """Take `length` residues of a structure's only chain, from the 0-based index `first` on."""
    (chain,) = whole.chains
    starts = chain.starts[first : first + length + 1]
    part = ResolvedChain(
        name=chain.name,
        residues=chain.residues[first : first + length],
        numbers=chain.numbers[first : first + length],
        missing_before=chain.missing_before[first : first + length],
        atoms=chain.atoms[starts[0] : starts[-1]],
        starts=starts - starts[0],
    )
    return Structure(whole.name, (part,))


if __name__ == "__main__":
    main()
