"""Trains the embedded protein language model `mini` on natural families: `python -m training --seed 0`."""
