"""How the passes of mutants are computed, for each numerics that a person may ask for.

Where to look:

* `table`: which numerics there are, what they are named and asked for by, and where each is quick. To add
  one, write its module with a runner and give it a line there; nothing else has to know.
* `exact`, `float64`, `delta_int8`, `delta_16_bit`: the runner of each.
* `differences`: what those have in common that multiply differences from the wild type. Their products are in
  `delta_int8_layers` (a strategy of the common forward pass), `delta_int8_kernel` (the same, compiled) and
  `delta_16_bit_pass` (a pass of its own).
"""
