"""Contact maps that come at once and become exact."""
