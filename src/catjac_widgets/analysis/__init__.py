"""Analyses of Jacobians and maps: from labelled arrays to labelled arrays."""
