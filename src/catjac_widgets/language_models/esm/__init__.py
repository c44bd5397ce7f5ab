"""fair-esm's models (ESM-2, ESM-1b, ESM-1v, ESM-1), and every way in which their Jacobians are computed.

Where to look:

* `adapter`: what the engine sees of a model. `masked_ends` and `checkpoints` make such models, `mini` is one.
* `alterations`: what a stock model is, in what a model in memory differs from one, and what a cache may be
  keyed by for it. Only stock models run through the pass of `forward`; others run through the model's own, by
  `passes`.
* `forward`: one pass in torch, as in the papers; `linear_layers` says how its dense layers are multiplied.
* `numerics`: the table of what ``numerics=`` may be, and the runners. `runner` and `prepared` are what these
  have in common. Whoever adds a mode works in that folder alone.
* `cpu_kernels`: whole passes compiled from C. `launched`: batches launched ahead on a GPU;
  `cuda`: its streams, and Triton's kernels.
* `first_order`: the approximate Jacobian of a preview.
"""
