"""Files of Jacobians and contact maps: one module a format."""
