"""fair-esm's ESM-2, ESM-1b, ESM-1v and ESM-1, and the embedded model `mini`."""
