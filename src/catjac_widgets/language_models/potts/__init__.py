"""Potts models: parameter files, fit, pseudo-likelihood, sampling, and the adapter to the engine."""
