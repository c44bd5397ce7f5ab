"""The approximate Jacobian of a preview: direct effects to first order, corrected by a few exact mutants.

Where to look:

* `approximation`: the method, step by step; `layer_effects`: what it keeps of a layer.
* `direct_effects`: the direct effects of one layer by a compiled kernel.
* `backward`: gradients of the logits along a residue's own stream.
* `bfloat16`: forward passes in bfloat16, for processors that multiply it quickly.
* `kriging`: which mutants to run, and how they correct the others.
"""
