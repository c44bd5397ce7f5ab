"""What to run, and the key under which it is kept."""
