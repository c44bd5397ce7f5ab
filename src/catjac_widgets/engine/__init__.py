"""The engine: what to run (plans), running it (compute), keeping it (cache), in the background (jobs)."""
