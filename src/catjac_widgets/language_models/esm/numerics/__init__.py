"""How the passes of mutants are computed, for each numerics that a person may ask for.

Open `table` to see which there are, how they are named and where each is quick, or to add one.
"""
