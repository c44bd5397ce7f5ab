"""The views, one folder each, and the explorer that lays them out."""
