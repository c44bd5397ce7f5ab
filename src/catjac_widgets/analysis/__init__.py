"""Floor 3: pure functions from labelled arrays to labelled arrays."""
