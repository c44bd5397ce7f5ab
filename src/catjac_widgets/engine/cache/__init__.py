"""Keeping what was computed: the cache, its interface, entries in memory; those on disk are in `folder`."""
