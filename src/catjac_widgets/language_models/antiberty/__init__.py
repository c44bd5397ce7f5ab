"""AntiBERTy, a masked language model of antibodies, with the weights that its own package publishes."""
