"""What the routes work with: one value that holds the open engines, and the function that opens them."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from vectadb_server import prices
from vectadb_server.access import Access
from vectadb_server.metrics import Metrics
from vectadb_server.outlines import Outlines
from vectadb_server.settings import Settings, check_reach, secret
from vectadb_server.signins import SignIns
from vectadb_server.spans import LISTED
from vectadb_server.stores.base import SearchUnavailable, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from vectadb_server.backups import Backups
    from vectadb_server.checking import Checker
    from vectadb_server.erasing import Eraser
    from vectadb_server.following import Following
    from vectadb_server.indexer import Lag
    from vectadb_server.ingest import Outcome
    from vectadb_server.model import Event
    from vectadb_server.reindexing import Reindexer
    from vectadb_server.stores.base import RecordReader, SearchIndex
    from vectadb_server.stores.reports import ReportStore
    from vectadb_server.stores.space import Space
    from vectadb_server.stores.surreal import SurrealStore
    from vectadb_server.vitals import Vitals
    from vectadb_server.wire import Among, Options

_log = logging.getLogger(__name__)


class Taker(Protocol):
    """What the routes ask of ``ingest.Ingest``."""

    async def ingest(self, events: Sequence[Event], options: Options, among: Among | None = None) -> list[Outcome]:
        """Store the events; see :meth:`vectadb_server.ingest.Ingest.ingest`."""
        ...


class Follower(Protocol):
    """What the routes ask of ``indexer.Indexer``."""

    @property
    def here(self) -> bool:
        """Whether it is this server that indexes."""
        ...

    async def lag(self) -> Lag:
        """Return how far behind it is."""
        ...

    async def wait_idle(self) -> None:
        """Return when everything that was ingested before the call is visible in traces and search."""
        ...


def present() -> int:
    """Return the present, microseconds since the epoch."""
    return time.time_ns() // 1000


@dataclass(frozen=True, kw_only=True)
class Services:
    """One server's engines and use cases.

    ``horizon()`` is the record time before which events are expired, 0 where nothing expires; ``now()`` the present;
    both in microseconds. ``access``: who may ask; by default there are no keys.
    ``space``: on the data directory's disk, where there is one.
    """

    settings: Settings
    record: RecordReader
    taker: Taker
    index: SearchIndex
    indexer: Follower
    prices: prices.Prices = LISTED
    space: Space | None = None
    reindexer: Reindexer | None = None
    checker: Checker | None = None
    following: Following | None = None
    vitals: Vitals | None = None
    eraser: Eraser | None = None
    backups: Backups | None = None
    reports: ReportStore | None = None
    access: Access = field(default_factory=Access)
    sign_ins: SignIns = field(default_factory=SignIns)
    metrics: Metrics = field(default_factory=Metrics)
    outlines: Outlines = field(default_factory=Outlines)
    now: Callable[[], int] = present
    horizon: Callable[[], int] = lambda: 0


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Services]:
    """Open the engines in ``settings.data_dir`` and run the indexer; on leaving, let it catch up a little and close.

    Raises:
        SettingsError: the prices cannot be used, or other machines would reach a server without keys.
        StoreUnavailable: the record cannot be opened; the text says why and what to do.
    """
    # They load the engines: only now, so that the command line starts at once.
    from vectadb_server.backups import Backups
    from vectadb_server.checking import Checker
    from vectadb_server.erasing import Eraser
    from vectadb_server.expiry import Expiry
    from vectadb_server.following import Following
    from vectadb_server.indexer import Indexer
    from vectadb_server.indexing import Indexing
    from vectadb_server.ingest import Ingest
    from vectadb_server.limits import Limiter
    from vectadb_server.reindexing import Reindexer
    from vectadb_server.retention import Keep, Retention
    from vectadb_server.search_index import search_index
    from vectadb_server.stores.buckets import BucketStore
    from vectadb_server.stores.directories import Directories
    from vectadb_server.stores.keys import KeyStore
    from vectadb_server.stores.reports import ReportStore
    from vectadb_server.stores.signins import SignInStore
    from vectadb_server.stores.space import Space

    known = prices.load(settings.prices)
    outlines = Outlines()
    async with AsyncExitStack() as stack:
        store = await _record(settings)
        stack.push_async_callback(store.close)
        access = Access(KeyStore(store.segments), Limiter(BucketStore(store.segments)))
        stack.push_async_callback(access.close)
        await _admit(access, settings)
        shared = store.segments.shared
        indexing: Indexing | None = None
        index = search_index(settings, elsewhere=lambda: indexing is not None and not indexing.here)
        stack.push_async_callback(index.close)
        metrics = Metrics()
        expiry = await stack.enter_async_context(Expiry(store.segments))
        eraser = Eraser(store, expiry, metrics)
        taker = Ingest(store, expired=expiry.current)
        reindexer = Reindexer(store, store.segments, index)
        retention = Retention(store, index, Keep.of(settings), expiry=expiry, metrics=metrics)

        @asynccontextmanager
        async def work() -> AsyncIterator[Indexer]:
            """What only one server does at a time."""
            async with (
                Indexer(
                    store, index, known, saturated=taker.saturated, erased=metrics.erased, built=outlines.keep
                ) as indexer,
                reindexer,
                retention,
            ):
                starting = asyncio.create_task(_start(index, reindexer), name="start of the search index")
                try:
                    yield indexer
                finally:
                    starting.cancel()

        indexer: Indexer | Indexing
        if shared:
            indexer = indexing = await stack.enter_async_context(Indexing(store, work))
        else:
            indexer = await stack.enter_async_context(work())
        checker = Checker(store, index, indexer)
        stack.push_async_callback(checker.close)
        following = await stack.enter_async_context(
            Following(store.tail, store, most=settings.max_followers, expired=expiry.current)
        )
        space = None if shared else Space(settings.data_dir, settings.min_free)
        vitals = await stack.enter_async_context(_vitals(settings, store, index, space))
        services = Services(
            settings=settings,
            record=store,
            taker=taker,
            index=index,
            indexer=indexer,
            prices=known,
            space=space,
            vitals=vitals,
            reindexer=reindexer,
            checker=checker,
            following=following,
            backups=Backups(store.segments) if isinstance(store.segments, Directories) else None,
            access=access,
            reports=ReportStore(store.segments),
            sign_ins=SignIns(SignInStore(store.segments)),
            metrics=metrics,
            outlines=outlines,
            horizon=expiry.horizon,
            eraser=eraser,
        )
        yield services
        if not shared:  # Else another server goes on at once.
            await _drain(services)


def _vitals(settings: Settings, store: SurrealStore, index: SearchIndex, space: Space | None) -> Vitals:
    from vectadb_server.capacity import Capacity
    from vectadb_server.vitals import Vitals

    folders = {} if space is None else {"record": settings.data_dir / "record"}
    if settings.qdrant_url is None:
        folders["search"] = settings.data_dir / "search"
    free = None if space is None else lambda: space.free() - space.least
    return Vitals(Capacity(settings), store, index, folders=folders, free=free)


async def _record(settings: Settings) -> SurrealStore:
    """Open the record where the settings say that it is."""
    from vectadb_server.stores.remote import Address
    from vectadb_server.stores.surreal import SurrealStore

    if settings.surreal_url is None:
        return await SurrealStore.open(settings.data_dir, min_free=settings.min_free, memory=settings.record_memory)
    password = secret("surreal_password", settings.surreal_password, settings.surreal_password_file)
    return await SurrealStore.remote(
        Address(
            url=settings.surreal_url,
            user=settings.surreal_user,
            password=str(password or ""),
            namespace=settings.surreal_namespace,
            prefix=settings.surreal_database,
        )
    )


async def _admit(access: Access, settings: Settings) -> None:
    """Make the first key where one is given; refuse to be reached by other machines without any."""
    if settings.bootstrap_key is not None:
        if await access.bootstrap(settings.bootstrap_key):
            _log.info("the first API key, for everything, is the one that was given")
        elif not await access.opens(settings.bootstrap_key):
            _log.warning("the given first API key opens nothing: there are others, or it was revoked")
    check_reach(settings, keyed=await access.exists())


async def _start(index: SearchIndex, reindexer: Reindexer) -> None:
    """Start the search index early, though nobody waits for it: the record takes events without it."""
    try:
        await index.start()
        await reindexer.begin_if_lost()
    except (SearchUnavailable, StoreUnavailable) as error:
        _log.error("search does not work, all else does: %s", error)


async def _drain(services: Services) -> None:
    """Give the indexer a moment: what it does not reach now, it does after the next start."""
    try:
        async with asyncio.timeout(services.settings.drain_timeout):
            await services.indexer.wait_idle()
    except TimeoutError:
        _log.info("the indexer is not through; it goes on after the next start")
