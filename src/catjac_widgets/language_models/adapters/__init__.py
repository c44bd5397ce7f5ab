"""What adapters of models are made of: encodings of residues, networks, and how these are run."""
