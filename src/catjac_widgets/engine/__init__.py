"""The engine: what to run (plan), running it (sweep), keeping it (store), in the background (job)."""
