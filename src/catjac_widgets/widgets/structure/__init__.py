"""The structure view."""
