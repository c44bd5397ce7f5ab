"""Sensitivity by residue."""
