"""Analyses of Jacobians and maps: from labelled arrays to labelled arrays.

What is computed at each residue, pair, step, protein or model is an xarray object with these as its axes (a
Dataset where there are several quantities), so that it can be selected from and drawn. A list of records, one
a row and without axes, made to be sorted, filtered or written as CSV, is a pandas DataFrame: the pairs of
`top_contacts`, the rows of `recovery_table` and `couplings_table`, the ranges of `precision_by_range` and the
counts of `inter_chain_precision`.

Arguments come in the order (data, model). No analysis starts a thread or knows of a widget.
"""
