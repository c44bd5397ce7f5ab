"""The slice view: one 20 × 20 block, or one substitution along the chain."""
