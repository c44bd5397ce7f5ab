"""Floor 5: the notebook extension, ``%load_ext catjac``."""
