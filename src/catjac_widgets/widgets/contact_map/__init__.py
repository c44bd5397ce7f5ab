"""The contact map."""
