"""Passes compiled from C where there is a compiler and AVX-512; without, torch does the same, more slowly.

Where to look:

* `build`: compiles and keeps the libraries. `structs`: C's structures for ctypes, checked at loading.
* `exact` with ``exact_pass.c``: passes in float32, and what all kernels have in common.
* ``delta_pass.c``: passes of 8-bit differences from the wild type; `numerics.delta_int8_kernel` calls it.
* ``direct_effects.c``: the first step of a preview; `first_order.direct_effects` calls it.

The C headers build on one another: ``vectors.h`` (numbers by sixteen), ``products.h`` (dense layers in
float32), ``model.h`` (structures), ``attention.h``, ``passes.h`` (whole passes), ``byte_products.h`` (8-bit).
"""
