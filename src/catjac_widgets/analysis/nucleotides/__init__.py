"""What a Jacobian of nucleotides says: their dependencies, and contacts of what they code for."""
