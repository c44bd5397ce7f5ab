"""Floor 2: which substitutions to run, the batched sweep, the store and the background jobs."""
