"""What the cache counted since a moment in a test."""

from __future__ import annotations

from catjac_widgets.engine.cache.store import cache


class Counts:
    """Rows computed and read, and models loaded, since it was made."""

    def __init__(self) -> None:
        self.start = self._now()

    @staticmethod
    def _now() -> tuple[int, int, int]:
        info = cache.info()
        return info.rows_computed, info.rows_read, info.models_loaded

    def __call__(self) -> tuple[int, int, int]:
        computed, read, loaded = (now - then for now, then in zip(self._now(), self.start, strict=True))
        return computed, read, loaded
