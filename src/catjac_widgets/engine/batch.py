"""Many proteins, one after another, without the device standing still in between.

Batches mix the positions of one protein, not proteins: 19 mutants at each of L residues are 19 · L · (L + 2)
tokens, 49 000 at 50 residues, which is what a large GPU takes at once, and many times what a CPU's caches
hold. A protein's batches, and so its bits, thus stay what they are when it is asked for alone. What short
proteins leave idle is the device while one ends and the next begins; so the next is queued before that.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catjac_widgets.engine.api import make_job, start
from catjac_widgets.engine.backends.threads import Worker
from catjac_widgets.engine.jobs.job import Job
from catjac_widgets.engine.jobs.waiting import INTERRUPT_SECONDS, wait_for
from catjac_widgets.engine.priorities import Priority
from catjac_widgets.errors import Cancelled, CatjacError, SequenceError
from catjac_widgets.progress import ProgressBar, progress_bar
from catjac_widgets.proteins.reading import as_sequence, read_records
from catjac_widgets.proteins.sequences import Sequence

if TYPE_CHECKING:
    import xarray as xr

    from catjac_widgets.language_models.base import LanguageModel

#: Jacobians that are in memory at once, the one in the caller's hands not among them, take no more than this.
_AHEAD_BYTES = 10**9


def jacobians(
    sequences: Iterable[Sequence | str] | Mapping[str, str] | Sequence | str | Path,
    model: str | Path | LanguageModel | tuple[Any, Any] = "mini",
    *,
    variant: str = "full",
    numerics: str = "exact",
    batch_size: int | None = None,
    linker: str = "",
    unknown: Mapping[str, str] | None = None,
    cache: bool = True,
    lazy: bool | str = "auto",
    progress: bool = True,
    stop: threading.Event | None = None,
) -> Iterator[xr.DataArray]:
    """Compute the categorical Jacobians of many proteins, giving each as soon as it is done.

    Everything is checked before the first is begun. Each Jacobian is that of `jacobian`, bit by bit, and is
    kept and found in the cache in the same way; calling again computes what is missing. While a caller uses
    one, the next is computed, so go through them rather than making a list of them::

        for J in catjac.jacobians(Path("proteins.fasta")):
            maps[J.attrs["sequence_name"]] = catjac.contacts(J)

    Parameters
    ----------
    sequences
        The path of a FASTA file, pasted FASTA, names with sequences, or several sequences as text or
        `Sequence`.
    model, variant, numerics, batch_size, linker, unknown, lazy
        See `jacobian`.
    cache
        Whether rows are kept for, and taken from, other calls. Without it nothing is left of a Jacobian that
        the caller lets go.
    progress
        Whether to show one bar over all proteins (on stderr, if it takes longer than half a second).
    stop
        Set it from another thread to cancel.

    Yields
    ------
    xarray.DataArray
        See `jacobian`, in the order of `sequences`.

    Raises
    ------
    SequenceError, UsageError, ModelError, ResourceError
        At the call, if a protein or the request makes no sense; names the protein, and nothing is computed.
    CatjacError
        After the last, if some proteins went wrong on the way; says which, and why.
    Cancelled
        If `stop` was set. An interrupt raises KeyboardInterrupt; rows done are kept in both cases.
    """
    read = _read(sequences, unknown)
    resolved: Any = model
    jobs: deque[tuple[str, Job]] = deque()
    options = {"variant": variant, "numerics": numerics, "linker": linker, "unknown": unknown}
    for place, sequence in enumerate(read, start=1):
        name = _name(place, sequence)
        with _naming(name):
            # Options are changed on the way; the model is looked for once.
            job, resolved = make_job(
                sequence,
                resolved,
                options=dict(options),
                batch_size=batch_size,
                cache=cache,
                lazy=lazy,
                priority=Priority.SCREEN,
            )
        jobs.append((name, job))
    return _Run(jobs, resolved, cache, stop, progress).results()


class _Run:
    """The jobs of one call, a few of which are queued at a time."""

    def __init__(
        self,
        jobs: deque[tuple[str, Job]],
        model: Any,
        cache: bool,
        stop: threading.Event | None,
        progress: bool,
    ) -> None:
        self.waiting, self.begun = jobs, deque[tuple[str, Job, Worker]]()
        self.model, self.cache, self.stop = model, cache, stop
        self.number, self.ended = len(jobs), 0
        self.failed: list[tuple[str, CatjacError]] = []
        # In units of a token passed through the model.
        self.work, self.work_done = sum(_work(job) for _, job in jobs), 0
        self.progress = progress

    def results(self) -> Iterator[xr.DataArray]:
        """Yield the Jacobians in order; what is begun ends with the generator."""
        with progress_bar("Jacobians", self.work, shown=self.progress) as bar:
            try:
                while self.waiting or self.begun:
                    self._begin()
                    made = self._next(bar)
                    if made is not None:
                        self._begin()
                        yield made
                        del made  # Or it would be held until the next is there.
            finally:
                for _, job, _ in self.begun:
                    job.cancel()
        if self.failed:
            raise self._failure()

    def _begin(self) -> None:
        """Queue the next protein, and the one after it where both fit."""
        while self.waiting and len(self.begun) < 2:
            name, job = self.waiting[0]
            ahead = sum(other.plan.result_bytes for _, other, _ in self.begun)
            if self.begun and ahead + job.plan.result_bytes > _AHEAD_BYTES:
                return
            self.waiting.popleft()
            self.begun.append((name, job, start(job, self.model, cache=self.cache)))

    def _next(self, bar: ProgressBar) -> xr.DataArray | None:
        """Wait for the first that was begun; None if it went wrong."""
        name, job, worker = self.begun[0]
        if worker.owns_this_thread():
            while not job.step():
                pass
        self._wait(name, job, bar)
        self.begun.popleft()
        self.ended += 1
        try:
            return job.result()
        except Cancelled:
            raise
        except CatjacError as error:
            self.failed.append((name, error))
            return None
        except Exception as error:
            error.add_note(f"This was {name} of {self.number}.")
            raise

    def _wait(self, name: str, job: Job, bar: ProgressBar) -> None:
        title = f"Jacobian {self.ended + 1} of {self.number}, {_title(job)}"
        try:
            wait_for(
                job,
                lambda: bar.show(self.work_done + _work(job) * job.progress.fraction, description=title),
                stop=self.stop,
            )
        except KeyboardInterrupt:
            self._stop()
            raise KeyboardInterrupt(
                f"stopped at {name} of {self.number}: {job.kept_message('interrupted')}"
            ) from None
        if self.stop is not None and self.stop.is_set() and job.progress.state == "cancelled":
            self._stop()
            raise Cancelled(f"Stopped at {name} of {self.number}. {job.kept_message('cancelled')}")
        self.work_done += _work(job)

    def _stop(self) -> None:
        """Cancel what is begun, and wait for the batch in flight."""
        for _, job, _ in self.begun:
            job.cancel()
        self.begun[0][1].wait(INTERRUPT_SECONDS)

    def _failure(self) -> CatjacError:
        said = "; ".join(f"{name}: {error}" for name, error in self.failed[:3])
        more = f"; and {len(self.failed) - 3} more" if len(self.failed) > 3 else ""
        made = type(self.failed[0][1])
        return made(
            f"{len(self.failed)} of {self.number} proteins went wrong, the others are done. {said}{more}"
        )


def _read(what: Any, unknown: Mapping[str, str] | None) -> list[Sequence]:
    """Read all sequences; letters are checked with the model's later."""
    if isinstance(what, str | Path):
        found = read_records(what)
    elif isinstance(what, Sequence) or hasattr(what, "sequence"):
        found = [as_sequence(what)]
    elif isinstance(what, Mapping):
        found = [_one(place, text, str(name), unknown) for place, (name, text) in enumerate(what.items(), 1)]
    elif isinstance(what, Iterable):
        found = [_one(place, each, "", unknown) for place, each in enumerate(what, 1)]
    else:
        raise SequenceError(
            f"Sequences are the path of a FASTA file, pasted FASTA or several sequences, not a "
            f"{type(what).__name__}; give a list."
        )
    if not found:
        raise SequenceError("There is no sequence; give at least one.")
    return found


def _one(place: int, what: Any, name: str, unknown: Mapping[str, str] | None) -> Sequence:
    if isinstance(what, Sequence):
        return what
    with _naming(f"protein {place}" + (f", {name!r}" if name else "")):
        return as_sequence(what, name=name, unknown=unknown)


def _name(place: int, sequence: Sequence) -> str:
    return f"protein {place}" + (f", {sequence.name!r}" if sequence.name else "")


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Say in an error which protein it is about."""
    try:
        yield
    except CatjacError as error:
        raise type(error)(f"{name[0].upper()}{name[1:]}: {error}") from error


def _title(job: Job) -> str:
    return job.plan.sequence.name or f"{job.plan.length} residues"


def _work(job: Job) -> int:
    """Tokens that pass through the model."""
    plan = job.plan
    return len(plan.wanted) * plan.substitutions_per_row * (len(plan.model_residues) + 2)
