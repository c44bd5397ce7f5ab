"""How much of some contacts comes back as residues are shown; a point of the curve is a mask to set."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from catjac_widgets.errors import Cancelled, CatjacError, UsageError
from catjac_widgets.proteins.masks import Fragment, Mask
from catjac_widgets.proteins.reading import as_sequence
from catjac_widgets.proteins.sequences import Sequence
from catjac_widgets.widgets.base.bokeh_panel import BokehView, bare_figure
from catjac_widgets.widgets.base.state import STATIC, SharedState
from catjac_widgets.widgets.base.traits import Pair

if TYPE_CHECKING:
    import xarray as xr
    from bokeh.plotting import figure

#: What is compared: pattern, name for a person, colour on light and dark ground.
PATTERNS = (
    ("flanking", "flanks", "#e0662b"),
    ("flanking_both", "flanks and gap", "#1a9c8c"),
    ("random", "random", "#3b7dd8"),
    ("random_distant", "random, distant", "#9d69d1"),
)

#: Residues on each side of a selected pair's two that make its fragments: 11 in all, as published.
HALF_WINDOW = 5

#: Steps of a curve, at most.
STEPS = 24

#: Shorter chains have next to nothing 30 residues away from two fragments, the distance as published.
SHORT, NEAR, FAR = 150, 10, 30

HEIGHT = 250

#: Called with fragments, a pattern and an event that stops it; returns what `catjac.recovery` does.
Compute = Callable[[list[Fragment], str, threading.Event], "xr.Dataset"]


class RecoveryCurve(BokehView):
    """R against the residues shown, for one fragment or between two; clicking a point sets its mask.

    Parameters
    ----------
    sequence
        Residues, FASTA text, a path or a `Sequence`; of the `state` otherwise.
    model
        As of `catjac.recovery`.
    recovery
        What `catjac.recovery(…)` returned, to show at once.
    compute
        Computes one pattern's recovery instead of `catjac.recovery`.
    state
        Another widget whose mask, selection and chosen residues to share.
    **traits
        Initial values of any trait below or of `SharedState`.

    Attributes
    ----------
    proposed
        What `compute` would be asked for: the chosen residues where they are one run or two, else eleven
        residues around either side of the selected pair.
    curves
        What is shown: the fragments, and of each pattern the residues shown, R and the mask of each step.
    status
        "idle", "running", "done", "cancelled" or "failed".
    progress
        Patterns done, and how many there are.
    limits
        What the curves leave out, or would: how far flanks go, what counts as distant, what R is of.
    error, notice
        A sentence each, or "".
    """

    _esm = STATIC / "recovery_view.js"

    curves = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    patterns = traitlets.List([list(pattern) for pattern in PATTERNS]).tag(sync=True)
    proposed: Any = traitlets.List().tag(sync=True)
    status = traitlets.Enum(("idle", "running", "done", "cancelled", "failed"), "idle").tag(sync=True)
    progress = traitlets.List([0, 0]).tag(sync=True)
    limits = traitlets.Unicode("").tag(sync=True)
    error = traitlets.Unicode("").tag(sync=True)
    notice = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        sequence: Any = None,
        model: Any = "mini",
        *,
        recovery: xr.Dataset | None = None,
        compute: Compute | None = None,
        state: SharedState | None = None,
        **traits: Any,
    ) -> None:
        if sequence is not None and state is None:
            traits = {"sequence": as_sequence(sequence)} | traits
        elif state is None and recovery is not None:
            traits = {"sequence": as_sequence(recovery)} | traits
        self._compute = compute or self._compute_with(model)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        super().__init__(state=state, **traits)
        self.notice = self.notice or self._unfamiliar(model)
        if recovery is not None:
            self.show(recovery)
        self.on_msg(self._pressed)
        self.observe(lambda change: self._propose(), ["selection", "residues", "sequence"])
        self._propose()

    def use_model(self, model: Any) -> None:
        """Compute with another model from now on; curves of the former one are taken away."""
        self.cancel()
        self._compute = self._compute_with(model)
        with self.hold_sync():
            self.set_trait("curves", None)
            self.status, self.error, self.progress = "idle", "", [0, 0]
            self.notice = self._unfamiliar(model)
        self._propose()

    def show(self, recovery: xr.Dataset) -> None:
        """Show what `catjac.recovery` returned."""
        self.curves = described(recovery)
        self.limits = limits_of(recovery)
        self.status = "done"

    def compute(self, fragments: list[Fragment] | None = None) -> None:
        """Compute the curves in the background, by default for what is `proposed`; what runs is stopped.

        Raises
        ------
        UsageError
            If nothing is proposed and no fragments are given.
        MaskError
            For fragments that are not within the sequence.
        """
        wanted = [(int(first), int(last)) for first, last in (fragments or self.proposed)]
        if not wanted or self.sequence is None:
            raise UsageError("Select a pair, choose residues, or pass fragments=[(12, 22), (80, 90)].")
        Mask.showing(self.sequence, wanted)
        self.cancel()
        self._stop = threading.Event()
        self.error, self.progress, self.status = "", [0, 0], "running"
        # The passes run on the engine's worker, between what is more urgent; this thread only waits for them.
        self._thread = threading.Thread(
            target=self._run, args=(wanted, self._stop), name="catjac-recovery", daemon=True
        )
        self._thread.start()

    def cancel(self) -> None:
        """Stop after the masks in hand."""
        self._stop.set()

    def wait(self, timeout: float | None = None) -> RecoveryCurve:
        """Wait until the curves are there (or the work stopped), and return this view.

        Raises
        ------
        TimeoutError
            If that takes longer than `timeout` seconds; the work goes on.
        """
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                raise TimeoutError(f"The recovery was not ready after {timeout:g} s; it goes on.")
            self.delivery.deliver()
        return self

    def close(self) -> None:
        """Stop the work and close the comm."""
        self.cancel()
        super().close()

    # ---- how it works

    def _propose(self) -> None:
        length = 0 if self.sequence is None else len(self.sequence)
        proposed = proposal(self.selection, self.residues, length)
        self.proposed = [list(run) for run in proposed]
        if self.curves is None:
            lengths = flank_lengths(proposed, length) if proposed else []
            self.limits = limits_text(lengths, distance(length)) if proposed else ""

    def _pressed(self, widget: Any, content: dict[str, Any], buffers: Any) -> None:
        kind = content.get("kind")
        if kind == "compute":
            self.delivery.post(("recovery", id(self)), lambda _: self._start(), urgent=True)
        elif kind == "cancel":
            self.cancel()

    def _start(self) -> None:
        try:
            self.compute()
        except CatjacError as error:
            self.status, self.error = "failed", str(error)

    def _run(self, fragments: list[Fragment], stop: threading.Event) -> None:
        # A single fragment has no gap to grow into: its flanks are those of all ends.
        patterns = [name for name, _, _ in PATTERNS if len(fragments) > 1 or name != "flanking_both"]
        curves: list[dict[str, Any]] = []
        try:
            for done, pattern in enumerate(patterns):
                self._post(stop, "progress", progress=[done, len(patterns)])
                found = self._compute(fragments, pattern, stop)
                shown = described(found)
                curves += shown["patterns"]
                shown |= {"fragments": [list(run) for run in fragments], "patterns": list(curves)}
                self._post(stop, "curves", curves=shown, limits=limits_of(found))
        except Cancelled:
            pass
        except CatjacError as error:
            self._post(stop, "end", status="failed", error=str(error))
        except Exception as error:
            said = f"The recovery could not be computed ({type(error).__name__}: {error})."
            self._post(stop, "end", status="failed", error=said)
        else:
            self._post(stop, "end", status="done")
        if stop.is_set():
            self._post(stop, "end", status="cancelled")

    def _post(self, stop: threading.Event, key: str, **values: Any) -> None:
        def send(_: Any) -> None:
            # A run that was stopped for another must not speak for it.
            if stop is self._stop:
                with self.hold_sync():
                    for name, value in values.items():
                        setattr(self, name, value)

        self.delivery.post((key, id(self)), send)

    def _unfamiliar(self, model: Any) -> str:
        """Say that a protein is one that the embedded model does not know, where that is the model."""
        embedded = isinstance(model, str) and model == "mini"
        return unfamiliar(self.sequence) if embedded and self.sequence is not None else ""

    def _compute_with(self, model: Any) -> Compute:
        def compute(fragments: list[Fragment], pattern: str, stop: threading.Event) -> xr.Dataset:
            from catjac_widgets.analysis.recovery.one_protein import recovery
            from catjac_widgets.language_models.registry import identify

            assert self.sequence is not None
            length = len(self.sequence)
            return recovery(
                self.sequence,
                model,
                fragments=fragments,
                pattern=pattern,
                source="contact_head" if identify(model).has_contact_head else "jacobian",
                steps=flank_lengths(fragments, length),
                avoided=distance(length),
                progress=False,
                stop=stop,
            )

        return compute

    def _figure(self) -> figure:
        from bokeh.models import ColumnDataSource, Range1d

        length = len(self.sequence) if self.sequence is not None else 1
        made = bare_figure(
            HEIGHT,
            x_range=Range1d(start=0, end=1.02 * length + 0.5),
            y_range=Range1d(start=-0.03, end=1.06, name="y range"),
        )
        made.xaxis.axis_label = "residues shown"
        made.yaxis.axis_label = "R"
        half = ColumnDataSource({"y": [0.5]})
        made.hspan(y="y", source=half, line_dash="dashed", line_width=1, name="half line")
        size = ColumnDataSource({"x": []}, name="current size")
        made.vspan(x="x", source=size, line_dash="dotted", line_width=2, name="current size line")
        for name, label, colour in PATTERNS:
            source = ColumnDataSource({"x": [], "y": []}, name=name)
            made.line("x", "y", source=source, color=colour, line_width=2, legend_label=label)
            made.scatter("x", "y", source=source, color=colour, size=5, legend_label=label)
        for name, marker, size_px in (("current", "diamond", 15), ("near", "circle", 13)):
            source = ColumnDataSource({"x": [], "y": []}, name=name)
            fill = 1.0 if name == "current" else 0.0
            made.scatter(
                "x", "y", source=source, marker=marker, size=size_px, fill_alpha=fill, line_width=1.5,
                name=f"{name} mark",
            )  # fmt: skip
        legend = made.legend[0]
        made.add_layout(legend, "above")
        legend.update(orientation="horizontal", border_line_color=None, padding=0, margin=2)
        legend.click_policy = "hide"
        return made


def proposal(selection: Pair | None, residues: tuple[Pair, ...], length: int) -> list[Fragment]:
    """Find the fragments that a selection stands for, ascending and apart; none where it stands for none."""
    runs = sorted(residues)
    if 1 <= len(runs) <= 2 and all(last > first for first, last in runs):
        return runs
    if selection is None or selection[0] == selection[1]:
        return []
    i, j = sorted(selection)
    # Near pairs: windows that would meet are cut in the middle.
    middle = (i + j) // 2
    first = (max(1, i - HALF_WINDOW), min(i + HALF_WINDOW, middle))
    last = (max(j - HALF_WINDOW, middle + 1), min(length, j + HALF_WINDOW))
    return [first, last]


def unfamiliar(sequence: Sequence) -> str:
    """Say, in a sentence, that the embedded model does not know a protein; "" where it does."""
    from catjac_widgets.language_models.esm.mini.familiarity import familiarity

    for chain in sequence.chains:
        known = familiarity(chain.residues)
        if not known.known:
            return known.sentence
    return ""


def flank_lengths(fragments: list[Fragment], length: int) -> list[int]:
    """Choose flank lengths from none to the farther end of the chain, `STEPS` at most, short ones first."""
    ordered = sorted(fragments)
    gaps = [second - first - 1 for (_, first), (second, _) in itertools.pairwise(ordered)]
    most = max(ordered[0][0] - 1, length - ordered[-1][1], *gaps)
    if most < STEPS:
        return list(range(most + 1))
    return sorted({round(step) for step in np.linspace(0, most, STEPS)})


def distance(length: int) -> int:
    """Residues between the fragments and what counts as distant, in a chain of that length."""
    return FAR if length >= SHORT else NEAR


def limits_text(flanks: list[int], avoided: int) -> str:
    """Say how far flanks go and what counts as distant."""
    most = f", {STEPS} lengths of them at most" if len(flanks) >= STEPS else ""
    parts = [f"Flanks of 0 to {flanks[-1]} residues on a side{most}."]
    why = (
        ""
        if avoided == FAR
        else f" ({FAR} as published, which leaves next to nothing in chains under {SHORT})"
    )
    parts.append(f"“Distant” means farther than {avoided} residues from the fragments{why}.")
    return " ".join(parts)


def limits_of(recovery: xr.Dataset) -> str:
    """Say what the curves of a recovery leave out, and what R is of where no contact head gave it."""
    flanks = [int(step) for step in recovery["step"].values]
    parts = [limits_text(flanks, int(recovery.attrs.get("avoided", FAR)))]
    if recovery.attrs.get("source") == "jacobian":
        parts.append(
            f"{recovery.attrs.get('model', 'The model')} has no contact head: R is of block norms of its "
            "Jacobian, on no calibrated scale."
        )
        control = recovery["R_control"].values if "R_control" in recovery else np.array([np.nan])
        if np.isfinite(control).any():
            low, high = np.nanmin(control), np.nanmax(control)
            parts.append(f"A random Potts model, where it must be 1, gives {low:.3f} to {high:.3f}.")
    else:
        parts.append("Dashed: R = 0.5, above which contacts count as recovered.")
    return " ".join(parts)


def described(recovery: xr.Dataset) -> dict[str, Any]:
    """Describe a recovery as the front end reads it: plain numbers, None where R is not defined.

    Returns
    -------
    dict
        fragments, [[first, last], …]; source; patterns, of each its name, label, and by step the residues
        shown, R and the visible runs of the mask.
    """
    labels = {name: label for name, label, _ in PATTERNS}
    curves = []
    for pattern in (str(name) for name in recovery["pattern"].values):
        one = recovery.sel(pattern=pattern).isel(fragment=0)
        steps = [step for step in range(one.sizes["step"]) if int(one["visible"][step]) > 0]
        values = [float(one["R"][step]) for step in steps]
        masks = [Mask.from_array(one["masked"].values[step]) for step in steps]
        curves.append(
            {
                "name": pattern,
                "label": labels.get(pattern, pattern),
                "shown": [int(one["visible"][step]) for step in steps],
                "R": [None if np.isnan(value) else value for value in values],
                "masks": [[list(run) for run in mask.fragments] for mask in masks],
            }
        )
    # Written as "12-22,80-90"; runs that touch are two fragments all the same.
    ends = [part.split("-") for part in str(recovery["fragment"].values[0]).split(",")]
    return {
        "fragments": [[int(run[0]), int(run[-1])] for run in ends],
        "source": str(recovery.attrs.get("source", "contact_head")),
        "patterns": curves,
    }
