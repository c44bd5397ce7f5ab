"""The engine: what to run (plan), running it (sweep), keeping it (store) and doing so in the background (job)."""
