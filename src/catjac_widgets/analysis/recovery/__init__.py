"""Masked-recovery experiments."""
