"""The masked-recovery curve."""
