"""Where work runs: one thread a device."""
