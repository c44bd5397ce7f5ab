"""Running a plan: batches of forward passes as plain generators; no thread, no store."""
