"""Where work runs.

A backend is a module with two functions: ``worker_for(device)`` returns the worker of a device, always the same,
and ``worker_of(model)`` that of the device that a model is on, or would be loaded to. What a worker offers, and
what it may ask of a task, is in `catjac_widgets.engine.backends.interface`; nothing else of a backend is used
by `catjac_widgets.engine.jobs`.

`threads` is the one for a single machine: one thread a device. One for a cluster lies beside it: its workers
take the same tasks, whose steps run wherever that backend decides. What a step computes is a plain generator of
`catjac_widgets.engine.compute`, which knows neither threads nor stores, and rows are kept under one key by
whichever process makes them, so that steps may run in several processes at once.
"""
