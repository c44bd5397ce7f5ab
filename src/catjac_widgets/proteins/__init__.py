"""Proteins as data: sequences, masks, alignments, alphabets, labels of residues; no model, no structure."""
