"""Linear models of an alignment, and a Jacobian against their couplings."""
