"""How probable a model finds residues and substitutions."""
