"""Floor 4: one class a view, one shared state, the explorer that lays them out."""
