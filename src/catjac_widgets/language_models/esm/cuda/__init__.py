"""Passes on a GPU: streams, recorded graphs, fused steps."""
