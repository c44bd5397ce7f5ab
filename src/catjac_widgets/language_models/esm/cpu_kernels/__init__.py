"""Kernels in C, compiled where there is a compiler; without one, torch does the same work in more passes."""
