"""The models that an explorer offers, and what each would take for its protein."""

from __future__ import annotations

from typing import Any

from catjac_widgets.language_models.catalogue import duration, in_bytes
from catjac_widgets.language_models.estimates import jacobian_seconds

#: Offered for a protein that the embedded model does not know: the smallest that knows proteins.
SMALLEST = "esm2_t6_8M_UR50D"


def model_menu(length: int) -> list[dict[str, Any]]:
    """List the models of `catjac.models` as a menu for a protein of that length.

    Returns
    -------
    list of dict
        By model: name, group ("embedded", "in cache", "to download", "not here"), note (what it would take:
        download, seconds), enabled.
    """
    from catjac_widgets.language_models.registry import models

    menu = []
    for row in models():
        status = str(row["status"])
        fetched = status.startswith("needs download")
        here = status in ("embedded", "in cache", "registered") or fetched
        enabled = here and row["runs_here"] is not False
        if row["context"] is not None and length > row["context"]:
            enabled, status = False, f"takes {row['context']} residues at most"
        elif row["runs_here"] is False:
            status = "needs more memory than there is"
        elif "<" in row["name"]:
            # A form of names, not one.
            enabled, status = False, "named with a file, see catjac.models(): ex.model = …"
        seconds = jacobian_seconds(row, length)
        notes = [
            in_bytes(row["bytes"]) if fetched and row["bytes"] else "",
            "" if seconds is None else duration(seconds),
        ]
        note = ", ".join(filter(None, notes)) if enabled else status
        group = "to download" if fetched else status if here else "not here"
        menu.append(
            {
                "name": row["name"],
                "group": group if enabled else "not here",
                "note": note,
                "enabled": enabled,
            }
        )
    order = ("embedded", "in cache", "registered", "to download", "not here")
    return sorted(menu, key=lambda entry: order.index(entry["group"]))
