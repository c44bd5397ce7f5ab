"""Whether the rows of a Jacobian stay on disk, to be read when they are used, or come to memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from catjac_widgets.engine.cache.store import cache
from catjac_widgets.engine.compute import memory as resources
from catjac_widgets.errors import UsageError
from catjac_widgets.language_models.identity import not_kept

if TYPE_CHECKING:
    from catjac_widgets.engine.plans.request import JacobianRequest


def stay_on_disk(
    request: JacobianRequest, answered: Callable[[], bool], there: Callable[[], tuple[int, int]]
) -> bool:
    """Decide it by what was asked for, by size, and by what the cache can do; see `catjac.jacobian`.

    Parameters
    ----------
    request
        What is asked for.
    answered
        Tells whether the cache answers it without the model; called only where it matters.
    there
        Tells how many rows the entry has, and how many of those asked for are missing; called likewise.

    Raises
    ------
    ResourceError
        If the rows fit neither into memory nor on disk.
    UsageError
        If lazy reading is asked for without a cache that offers it.
    """
    plan = request.plan
    store = cache.store if request.uses_cache else None
    can = store is not None and store.reads_lazily
    lazy = True if request.lazy == "dask" else request.lazy
    if lazy is True and not request.uses_cache and request.cache:
        raise UsageError(f"{not_kept(request.identity)} Leave out lazy=True, which reads from the cache.")
    if lazy is True and not can:
        raise UsageError(
            "lazy=True reads the Jacobian from the cache folder, but there is none; "
            "leave out cache=False and set CATJAC_CACHE to a folder or URL that can be written."
        )
    large = lazy in ("auto", "stored") and plan.result_bytes > resources.LAZY_BYTES
    if not can or not (lazy is True or large or (lazy == "stored" and answered())):
        resources.check_memory(plan)
        return False
    assert store is not None
    rows, missing = there()
    if missing:
        resources.check_disk(plan, rows, missing, cache.limit, store.free())
    return True
