"""Entries made of files (key.json, zarr chunks, digests), in whatever kind of place those files lie."""
