"""What makes passes quick on a GPU, none of which changes what is computed.

Where to look:

* `streams`: all that batches under way (`esm.launched`) ask of CUDA.
* `steps`: what lies between two products, in torch's operations; `triton_steps`: the same, each in one pass
  over memory; `fused_steps`: which of them a device takes.
"""
