"""Language models: what the engine asks of them, and one folder a family that offers it.

To add a family:

1. Subclass `families.ModelFamily`: `claims(name)` says which names are its own, `packages` and `needs_gpu`
   what they need, `rows()` what `catjac.models` lists; import large packages inside the methods only.
2. Let its `source(name, loader)` return an object with `identity()` (cheap: remember what files hold) and
   `load(device, dtype)`; the latter makes a subclass of `base.LanguageModel`.
3. List the class in the entry points of your package, and install that::

       [project.entry-points."catjac.models"]
       my_family = "my_package.family:MyFamily"

4. Run the common checks (`tests/models/test_common_checks.py`): add one to `tests/models/shipped_models.py`.
5. For a single model, and no package, `catjac.register_model(name, function)` is enough.
"""
