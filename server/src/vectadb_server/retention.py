"""Retention: what is older than it is to be kept goes, whole days at a time, and does not come back.

The order makes it right with several servers and after a crash anywhere. First the horizon is moved, which every server
goes by within seconds: what is older is answered ``expired`` from then on. When ingests that began before that have had
their time, every day before the horizon is dropped, whoever made it; then what still speaks of these days: traces that
go on are made anew of what is left, and the search index drops its documents. Each pass does all of this again where it
finds something left to do. One server at a time runs it, by the indexer's lease; two at once would do no harm.
"""

from __future__ import annotations

import asyncio
import logging
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import msgspec

from vectadb_server.erasing import Eraser, erase
from vectadb_server.stores import horizon, tombstones
from vectadb_server.stores.base import SearchUnavailable, StoreUnavailable
from vectadb_server.stores.engine import Conflict
from vectadb_server.stores.horizon import Horizon
from vectadb_server.stores.rows import DAY, day_of, start_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from vectadb_server.expiry import Expiry
    from vectadb_server.metrics import Metrics
    from vectadb_server.settings import Settings
    from vectadb_server.stores.base import SearchIndex
    from vectadb_server.stores.surreal import SurrealStore

_log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two passes."""
GRACE = 5.0
"""Seconds between moving the horizon and dropping what is before it: servers go by an older one for two."""
_RECENT, _SETTLED = 600.0, 3600.0
"""Seconds for which a day is taken to hold as many events as it did: of the two newest days, and of the others."""


class Keep(msgspec.Struct, frozen=True):
    """How much is to be kept. ``age``: microseconds; ``None``: any. ``events``: so many; ``None``: any number.

    ``types``: ages of single event types.
    """

    age: int | None = None
    events: int | None = None
    types: Mapping[str, int] = {}

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return what the settings say."""
        return cls(settings.retain, settings.retain_events, dict(settings.retain_types))


class Retention:
    """``async with Retention(…)`` runs it, again and again; it can be entered anew after it was left."""

    def __init__(
        self,
        store: SurrealStore,
        index: SearchIndex | None,
        keep: Keep,
        *,
        expiry: Expiry,
        metrics: Metrics,
        now: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._store, self._segments, self._index, self._keep = store, store.segments, index, keep
        self._expiry, self._metrics, self._now = expiry, metrics, now
        self._eraser = Eraser(store, expiry, metrics)
        self._counts: dict[str, tuple[float, int]] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start; what a pass left undone is done first."""
        self._task = asyncio.create_task(self._run(), name="retention")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop where it stands."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self.once()
            except (StoreUnavailable, SearchUnavailable, Conflict) as error:
                _log.warning("retention waits: %s", error)
            except Exception:  # noqa: BLE001 - logged, tried again
                _log.exception("retention failed; it is tried again")
            await asyncio.sleep(EVERY)

    async def once(self) -> None:
        """Do one pass.

        Raises:
            StoreUnavailable: the record does not answer, or a day is in use; the next pass goes on.
            SearchUnavailable: the record is through, the search index is not there now.
        """
        await self._eraser.finish()
        await self._move()
        at = await horizon.read(self._segments)
        held_from = day_of(at.every)
        await self._drop(held_from)
        await self._forget(held_from)
        await tombstones.forget_before(self._segments, held_from)
        await self._erase_types(at)
        if self._index is not None and any(day < held_from for day in await self._index.days()):
            await self._index.drop_days(held_from)
        for day, freed in (await self._store.give_back()).items():
            self._metrics.gave_back(freed)
            _log.info("wrote a day anew without what was erased", extra={"day": day, "bytes": freed})

    # ---- where the horizon is ----

    async def _move(self) -> None:
        types = {name: self._since(age) for name, age in self._keep.types.items()}
        to = Horizon(max(self._since(self._keep.age), await self._by_count()), types)
        before = await horizon.read(self._segments)
        if await horizon.advance(self._segments, to):
            await self._expiry.refresh()
            _tell(before, to)

    def _since(self, age: int | None) -> int:
        """Return the start of the first day of which a moment is so young."""
        return 0 if age is None else max(0, self._now() - age) // DAY * DAY

    async def _by_count(self) -> int:
        """Return the start of the first day that stays, if the oldest go until few enough events are left."""
        if self._keep.events is None:
            return 0
        newest = day_of(self._now() - DAY)
        days = await self._store.days()
        self._counts = {day: self._counts[day] for day in days if day in self._counts}
        left = {day: await self._count(day, recent=day >= newest) for day in days}
        total = sum(left.values())
        at = 0
        for day, following in pairwise([*days, newest]):
            if total <= self._keep.events or day >= newest:
                break
            total -= left[day]
            at = start_of(min(following, newest))
        return at

    async def _count(self, day: str, *, recent: bool) -> int:
        at, count = self._counts.get(day, (-_SETTLED, 0))
        if time.monotonic() - at > (_RECENT if recent else _SETTLED):
            count = await self._store.number_of_events(day)
            self._counts[day] = time.monotonic(), count
        return count

    # ---- what is before it ----

    async def _drop(self, held_from: str) -> None:
        if not any(day < held_from for day in await self._store.days()):
            return
        await horizon.note_tidy(self._segments, tidy=False)
        await asyncio.sleep(GRACE)
        in_use: StoreUnavailable | None = None
        for day in await self._store.days():
            if day < held_from:
                try:
                    freed = await self._store.drop_day(day)
                except StoreUnavailable as error:
                    in_use = error
                    continue
                self._metrics.dropped(freed)
                _log.info("dropped a day that is over the horizon", extra={"day": day, "bytes": freed})
        if in_use is not None:
            raise in_use

    async def _forget(self, held_from: str) -> None:
        if not await horizon.is_tidy(self._segments):
            await self._store.forget_before(held_from)
            await horizon.note_tidy(self._segments, tidy=True)

    # ---- single types ----

    async def _erase_types(self, at: Horizon) -> None:
        """Erase events of types that are kept for shorter, in each day once: what comes later is erased as it comes."""
        due: dict[str, set[str]] = {}
        for day in await self._store.days():
            types = {name for name in at.types if at.of(name) > start_of(day)}
            if types and (types := types - await self._store.expired_types(day)):
                due[day] = types
        if due:
            await asyncio.sleep(GRACE)
        for day, types in due.items():
            count = 0
            async for ids in self._store.ids_of_types(day, types):
                count += await erase(self._store, await self._store.stored(day, ids))
            await self._store.note_expired_types(day, types)
            self._metrics.erased(count)
            _log.info("erased what is older than its type is kept", extra={"day": day, "events": count})


def _tell(before: Horizon, to: Horizon) -> None:
    """Log what has moved."""
    if to.every > before.every:
        _log.info("what is older is not kept any more", extra={"horizon": day_of(to.every)})
    types = {name: day_of(us) for name, us in to.types.items() if us > before.types.get(name, 0)}
    if types:
        horizons = ",".join(f"{name}={day}" for name, day in types.items())
        _log.info("what is older of these types is not kept any more", extra={"horizons": horizons})
