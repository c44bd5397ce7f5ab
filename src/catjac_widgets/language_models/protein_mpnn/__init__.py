"""ProteinMPNN: amino acids given a protein's backbone and the other residues (Dauparas et al. 2022)."""
