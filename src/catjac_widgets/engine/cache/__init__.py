"""Keeping what was computed: cache entries in a folder or in memory."""
