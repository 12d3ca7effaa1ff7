"""What one server takes of its machine and how much it holds, looked at every few seconds beside everything else.

Whoever asks (metrics, health) gets the last look, which costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.space import disk_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from vectadb_server.capacity import Capacity
    from vectadb_server.stores.base import Health, SearchIndex
    from vectadb_server.stores.rowcounts import RowCounts
    from vectadb_server.stores.surreal import SurrealStore

_log = logging.getLogger(__name__)

#: Seconds between two looks; and between two that go through all files.
PERIOD, FILES = 5.0, 60.0
_CGROUP = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


class Memory(NamedTuple):
    """Bytes of a process: in memory, and of these what no file backs."""

    resident: int
    anonymous: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One look. ``rows`` by day, where they are counted; ``counted``: of all days. Sizes are bytes.

    ``stored``: on disk, by store. ``free``: what may still be written on that disk. ``memory`` by process;
    ``memory_limit``: what all processes here may have, 0 where nobody knows.
    """

    rows: Mapping[str, int] = {}
    counted: bool = False
    stored: Mapping[str, int] = {}
    free: int | None = None
    memory: Mapping[str, Memory] = {}
    memory_limit: int = 0


class Vitals:
    """``async with Vitals(…)`` looks again and again; :attr:`figures` are the last ones."""

    def __init__(
        self,
        capacity: Capacity,
        store: SurrealStore,
        index: SearchIndex,
        *,
        folders: Mapping[str, Path],
        free: Callable[[], int] | None,
    ) -> None:
        """Take what is looked at.

        ``folders`` of the stores that are on this disk, by name; ``free()``: bytes that may still be written there.
        """
        self.capacity = capacity
        self.figures = Figures()
        self._segments, self._counts, self._index = store.segments, store.row_counts, index
        self._folders, self._free = folders, free
        self._stored: dict[str, int] = {}
        self._files_at = -math.inf
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def open_days(self) -> int:
        """Days of the record that are open now."""
        return self._segments.open_days

    def search(self) -> Health:
        """Say how the search process is now."""
        return self._index.health()

    async def __aenter__(self) -> Self:
        """Begin to look."""
        self._tasks = [asyncio.create_task(self._look_loop(), name="vitals")]
        if self._counts is not None:
            self._tasks.append(asyncio.create_task(self._count_loop(self._counts), name="counting rows"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look_loop(self) -> None:
        while True:
            try:
                self.figures = await asyncio.to_thread(self._look, self.search()["pid"])
                self.capacity.look(self.figures)
            except Exception:  # noqa: BLE001 - a look that fails must not end all looking
                _log.exception("looking at memory and disk failed; it is tried again")
            await asyncio.sleep(PERIOD)

    async def _count_loop(self, counts: RowCounts) -> None:
        while True:
            try:
                await counts.refresh()
            except StoreUnavailable as error:
                _log.debug("the rows cannot be counted now: %s", error)
            except Exception:  # noqa: BLE001 - the same
                _log.exception("counting the rows failed; it is tried again")
            await asyncio.sleep(PERIOD)

    def _look(self, search: int | None) -> Figures:
        processes = {"server": os.getpid(), **({} if search is None else {"search": search})}
        if time.monotonic() - self._files_at > FILES:
            self._stored = {name: disk_usage(folder) for name, folder in self._folders.items()}
            self._files_at = time.monotonic()
        return Figures(
            rows=dict(self._counts.by_day) if self._counts is not None else {},
            counted=self._counts is not None and self._counts.complete,
            stored=self._stored,
            free=max(0, self._free()) if self._free is not None else None,
            memory={name: found for name, pid in processes.items() if (found := memory_of(pid)) is not None},
            memory_limit=memory_limit(),
        )


def memory_of(pid: int) -> Memory | None:
    """Return what a process has in memory; ``None``: it is gone, or nobody says here."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:]
    except OSError:
        return None
    sizes = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
    return Memory(sizes.get("Rss", 0), sizes.get("Anonymous", 0))


def memory_limit() -> int:
    """Return the bytes that the processes of this machine, or of its container, may have; 0 where nobody knows."""
    limits = []
    with contextlib.suppress(OSError, ValueError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _CGROUP:
        with contextlib.suppress(OSError, ValueError):  # It says "max" where there is none.
            limits.append(int(path.read_text("ascii")))
    return min(limits, default=0)
