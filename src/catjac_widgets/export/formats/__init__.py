"""One module a format; each registers itself in `catjac_widgets.export.format_table`."""
