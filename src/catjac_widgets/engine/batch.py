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

from catjac_widgets.engine.jobs.job import Job
from catjac_widgets.engine.jobs.waiting import INTERRUPT_SECONDS, wait_for
from catjac_widgets.engine.plans.request import JacobianRequest, make_request
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
    jobs: deque[tuple[str, Job]] = deque()
    first: JacobianRequest | None = None
    for place, (name, sequence) in enumerate(_read(sequences), start=1):
        with _naming(_said(place, name)):
            request = make_request(
                sequence,
                # The model is looked for once.
                model if first is None else first.model,
                identity=None if first is None else first.identity,
                name=name,
                variant=variant,
                numerics=numerics,
                batch_size=batch_size,
                linker=linker,
                unknown=unknown,
                cache=cache,
                lazy=lazy,
            )
            jobs.append((_said(place, request.sequence.name), Job(request, Priority.SCREEN)))
        first = first or request
    return _Run(jobs, stop, progress).results()


class _Run:
    """The jobs of one call, a few of which are queued at a time."""

    def __init__(
        self,
        jobs: deque[tuple[str, Job]],
        stop: threading.Event | None,
        progress: bool,
    ) -> None:
        self.waiting, self.begun = jobs, deque[tuple[str, Job]]()
        self.stop = stop
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
                for _, job in self.begun:
                    job.cancel()
        if self.failed:
            raise self._failure()

    def _begin(self) -> None:
        """Queue the next protein, and the one after it where both fit."""
        while self.waiting and len(self.begun) < 2:
            name, job = self.waiting[0]
            ahead = sum(other.plan.result_bytes for _, other in self.begun)
            if self.begun and ahead + job.plan.result_bytes > _AHEAD_BYTES:
                return
            self.waiting.popleft()
            job.start()
            self.begun.append((name, job))

    def _next(self, bar: ProgressBar) -> xr.DataArray | None:
        """Wait for the first that was begun; None if it went wrong."""
        name, job = self.begun[0]
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
        for _, job in self.begun:
            job.cancel()
        self.begun[0][1].wait(INTERRUPT_SECONDS)

    def _failure(self) -> CatjacError:
        said = "; ".join(f"{name}: {error}" for name, error in self.failed[:3])
        more = f"; and {len(self.failed) - 3} more" if len(self.failed) > 3 else ""
        made = type(self.failed[0][1])
        return made(
            f"{len(self.failed)} of {self.number} proteins went wrong, the others are done. {said}{more}"
        )


def _read(what: Any) -> list[tuple[str, Any]]:
    """Find all sequences and their names ("" where there is none); letters are checked later."""
    found: list[tuple[str, Any]]
    if isinstance(what, str | Path):
        found = [(each.name, each) for each in read_records(what)]
    elif isinstance(what, Sequence) or hasattr(what, "sequence"):
        made = as_sequence(what)
        found = [(made.name, made)]
    elif isinstance(what, Mapping):
        found = [(str(name), each) for name, each in what.items()]
    elif isinstance(what, Iterable):
        found = [(each.name if isinstance(each, Sequence) else "", each) for each in what]
    else:
        raise SequenceError(
            f"Sequences are the path of a FASTA file, pasted FASTA or several sequences, not a "
            f"{type(what).__name__}; give a list."
        )
    if not found:
        raise SequenceError("There is no sequence; give at least one.")
    return found


def _said(place: int, name: str) -> str:
    return f"protein {place}" + (f", {name!r}" if name else "")


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
