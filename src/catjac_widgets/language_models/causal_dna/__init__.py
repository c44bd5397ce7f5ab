"""Models that read DNA from left to right, one nucleotide a token, and the sum of what both strands tell."""
