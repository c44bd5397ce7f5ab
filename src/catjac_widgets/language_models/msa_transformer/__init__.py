"""The MSA Transformer of fair-esm: one sequence read in the place of an alignment's first row."""
