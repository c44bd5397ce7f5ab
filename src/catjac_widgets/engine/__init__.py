"""The engine: what to run (plans), running it (compute), keeping it (cache), in the background (jobs).

Imports go one way: plans ← compute ← cache ← jobs ← api and batch. `labels` needs plans only; `backends`,
where work runs, stand beside jobs and know of them only that they do steps. Nothing here knows what is looked
at in a Jacobian: the arrays kept beside one are made by `catjac_widgets.block_math.summaries`.
"""
