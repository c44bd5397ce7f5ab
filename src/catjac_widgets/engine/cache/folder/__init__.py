"""Entries in a folder on disk: layout, chunks and digests, who holds and claims them, and their upkeep."""
