"""Finished figures of analyses: bokeh plots to look at, save and print; the views of `widgets` are live."""
