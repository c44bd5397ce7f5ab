"""Numerics of (L, A, L, A) blocks in plain numpy, used by engine and analysis."""
