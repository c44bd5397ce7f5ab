"""Experimental structures and the example proteins.

Importing this package makes them known wherever a protein is named; nothing is read before it is asked for.
"""

import re

from catjac_widgets.proteins.spec import Collection, register_collection, register_file_reader

_READERS = "catjac_widgets.structures.protein_readers"

register_collection(
    Collection(
        "example",
        "example:bpti",
        reader=f"{_READERS}:read_example",
        noun="an example",
        names=f"{_READERS}:example_names",
    )
)
register_collection(
    Collection(
        "pdb",
        "pdb:1UBQ",
        reader=f"{_READERS}:read_pdb_entry",
        noun="a PDB id",
        pattern=re.compile(r"[1-9][A-Za-z0-9]{3}|pdb_[0-9]{8}"),
    )
)
register_collection(
    Collection(
        "uniprot",
        "uniprot:P00974",
        reader=f"{_READERS}:read_uniprot_entry",
        noun="a UniProt accession",
        pattern=re.compile(
            r"[OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2}", re.IGNORECASE
        ),
    )
)
register_file_reader(
    re.compile(r"\.(pdb|ent|cif|mmcif|bcif)(\.gz)?$", re.IGNORECASE), f"{_READERS}:read_structure_file"
)
