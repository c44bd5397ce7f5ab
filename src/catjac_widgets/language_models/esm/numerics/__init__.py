"""How the passes of mutants are computed: one module a mode."""
