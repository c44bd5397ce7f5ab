"""The approximate Jacobian of a preview: direct effects to first order, corrected by a few exact letters."""
