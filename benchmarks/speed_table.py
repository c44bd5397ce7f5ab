"""The table of `speed.py` as Markdown, and as a picture."""

from __future__ import annotations

import math
import sys
from html import escape
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "src")]

from catjac_widgets.plots.style import GREY, PALETTE  # noqa: E402

MODES = ("exact", "exact-torch", "delta-int8", "delta-bfloat16", "delta-float16", "float16", "preview")
COLOURS = dict(zip(MODES, PALETTE, strict=False))

#: Pixels: of the labels to the left, of the axis, of one mode, and between cells.
LEFT, WIDE, LINE, GAP = 130, 520, 14, 9

SPREAD = ("ratio_lowest", "ratio_highest")

Row = dict[str, Any]


def order(row: Row) -> tuple[int, int, str, int]:
    """Sort by model, length and mode."""
    models, modes = ["mini", "8M", "35M", "150M", "650M", "3B"], list(MODES)
    return models.index(row["model"]), int(row["length"]), row["sequence"], modes.index(row["mode"])


def markdown(rows: list[Row]) -> str:
    """Make the table, and what it was measured on below it."""
    lines = [
        "| model | sequence | mode | plain, s a row | ours | ratio (lowest–highest) | of its type's peak "
        "| of the float32 peak | largest error, logits | relative error | map, Spearman | best L pairs "
        "| memory, MB (plain) |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in sorted(rows, key=order):
        spread = f" ({row['ratio_lowest']}–{row['ratio_highest']})" if row["ratio_lowest"] else ""
        memory = f"{row['memory_mb']} ({row['plain_memory_mb']})" if row["memory_mb"] else ""
        peak = f"{row['of_peak']} ({row['peak_type']})" if row["of_peak"] else ""
        cells = [
            row["model"], row["sequence"], row["mode"], row["plain_seconds_a_row"], row["seconds_a_row"],
            f"**{row['ratio']}**{spread}", peak, row["of_float32_peak"], row["largest_error"],
            row["relative_error"], row["map_spearman"], row["top_L_overlap"], memory,
        ]  # fmt: skip
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n\n" + " ".join(machines(rows)) + "\n"


def machines(rows: list[Row]) -> list[str]:
    """Say, a sentence each, what the rows were measured on."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for row in sorted(rows, key=order):
        key = tuple(row[name] for name in ("device", "cores", "threads", "flags", "torch", "commit"))
        found.setdefault(key, {})[row["peak_type"]] = row["peak_gflops"]
    said = []
    for (device, cores, threads, flags, torch, commit), peak in found.items():
        rates = ", ".join(f"{name} {float(rate):.0f}" for name, rate in sorted(peak.items()) if name and rate)
        said.append(
            f"Measured on {device} ({cores} cores, {threads} threads; {flags}), torch {torch}, commit "
            f"{commit}; its own matrix products, GFLOP/s: {rates}."
        )
    return said


def fill_readme(path: Path, text: str, what: str) -> None:
    """Put a table between two marks of a file: comments that say what it is, and that it ends.

    Raises
    ------
    ValueError
        If the marks are not there.
    """
    whole = path.read_text(encoding="utf-8")
    first, last = f"<!-- {what} -->", f"<!-- end of {what} -->"
    before, start, rest = whole.partition(first)
    _, end, after = rest.partition(last)
    if not start or not end:
        raise ValueError(f"{path} has no {first} … {last} to put the table between.")
    path.write_text(f"{before}{first}\n{text}{last}{after}", encoding="utf-8")


def plot(rows: list[Row]) -> str:
    """Draw the ratios as dots with their lowest and highest, a group for each model and sequence; SVG."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=order):
        groups.setdefault((row["model"], row["sequence"]), []).append(row)
    modes = [mode for mode in MODES if any(row["mode"] == mode for row in rows)]
    ratios = [float(row[key]) for row in rows for key in ("ratio", *SPREAD) if row[key]]
    least, most = min(0.8, *ratios), max(2.0, *ratios)

    def across(ratio: float) -> float:
        # Logarithmic: twice as fast is as far everywhere.
        return LEFT + WIDE * math.log(ratio / least) / math.log(most / least)

    parts, top = [], 40.0
    for (model, sequence), members in groups.items():
        parts.append(_text(LEFT - 10, top + LINE * len(members) / 2 + 4, f"{model}, {sequence}", "end"))
        for k, row in enumerate(members):
            y, ratio, colour = top + (k + 0.5) * LINE, float(row["ratio"]), COLOURS[row["mode"]]
            low, high = (float(row[key] or ratio) for key in SPREAD)
            parts.append(_line(across(low), y, across(high), y, 2, 0.7, colour))
            parts.append(
                f'<circle cx="{across(ratio):.1f}" cy="{y:.1f}" r="4" fill="{colour}">'
                f"<title>{escape(row['mode'])}: {ratio:.2f} times</title></circle>"
            )
            parts.append(_text(max(across(high), across(ratio) + 4) + 4, y + 3, f"{ratio:.1f}", "start", 9))
        top += LINE * len(members) + GAP
    ticks = [tick for tick in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if least <= tick <= most]
    axis = [_line(across(tick), 34, across(tick), top, 1.5 if tick == 1 else 0.5, 0.5) for tick in ticks]
    axis += [_text(across(tick), top + 14, f"{tick}", "middle") for tick in ticks]
    axis.append(_text(LEFT + WIDE / 2, top + 32, "times as fast as the plain loop over fair-esm", "middle"))
    legend, x = [], float(LEFT)
    for mode in modes:
        legend.append(f'<rect x="{x:.0f}" y="12" width="11" height="11" fill="{COLOURS[mode]}"/>')
        legend.append(_text(x + 16, 22, mode, "start"))
        x += 30 + 6.2 * len(mode)
    width, height = LEFT + WIDE + 40, top + 44
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" width="{width}" '
        f'height="{height:.0f}" font-family="system-ui, sans-serif" font-size="11">\n'
        f"<title>Speed of each mode against the plain loop over fair-esm</title>\n"
        + "\n".join([*axis, *parts, *legend])
        + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, anchor: str, size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{GREY}">'
        f"{escape(text)}</text>"
    )


def _line(
    x: float, y: float, to_x: float, to_y: float, width: float, opacity: float, colour: str = GREY
) -> str:
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{colour}" '
        f'stroke-width="{width}" stroke-opacity="{opacity}"/>'
    )
