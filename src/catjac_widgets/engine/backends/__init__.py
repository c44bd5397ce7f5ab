"""Where work runs.

A backend is a module with two functions: ``worker_for(device)`` returns the worker of a device, always the
same, and ``worker_of(model)`` that of the device that a model is on, or would be loaded to. What a worker
offers, and what it may ask of a task, is in `catjac_widgets.engine.backends.interface`; nothing else of a
backend is used by `catjac_widgets.engine.jobs`.

`threads` is the one for a single machine: one thread a device. One for a cluster lies beside it: its workers
take the same tasks, and the steps of a job wait for what runs elsewhere. What runs there is a plain generator
of `catjac_widgets.engine.compute`, which knows neither threads nor stores, made from a plan, which is plain
data. Rows are kept under one key by whichever process makes them, and several may do so at once.
"""
