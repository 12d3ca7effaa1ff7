"""One call of ``read``: which groups are read, since when, and what ends the reading."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import anyio

from vectadb_agent.errors import CheckError
from vectadb_agent_cloudwatch.discovery import find_groups, start_of
from vectadb_agent_cloudwatch.failures import ApiError
from vectadb_agent_cloudwatch.reader import GroupReader, Pace, watermark_of
from vectadb_agent_cloudwatch.remedies import in_words, startup_error
from vectadb_agent_cloudwatch.slices import Position

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectSendStream

    from vectadb_agent import Batch
    from vectadb_agent_cloudwatch.source import CloudWatchSource

log = logging.getLogger("vectadb_agent.cloudwatch")

_LISTING_LAG = 60_000
"""Milliseconds that a group may exist before DescribeLogGroups lists it."""
_NONE_YET = "no such log group in this account and region yet; it is read as soon as it exists"


class Reading:
    """One call of ``read``: the tasks of its groups, and the error that ended it, if one did."""

    def __init__(
        self,
        source: CloudWatchSource,
        after: Mapping[str, dict[str, Any]],
        send: MemoryObjectSendStream[Batch],
        *,
        drain: bool,
    ) -> None:
        self.scope = anyio.CancelScope()
        self.error: Exception | None = None
        self.readers: list[GroupReader] = []
        self._source = source
        self._config = source.config
        self._after = after
        self._send = send
        self._drain = drain
        self._started: set[str] = set()
        self._unfound: dict[str, ApiError | None] = {}
        """What was looked for in vain; ``None``: it is not there."""
        self._alive_since: int | None = None

    async def run(self) -> None:
        """Read until drained, failed or cancelled; then close the stream of batches."""
        with self.scope:
            async with self._send:
                try:
                    await self._read_all()
                except ApiError as error:
                    self.error = startup_error(error)
                except Exception as error:  # noqa: BLE001 - raised by read(), in the consumer's task
                    self.error = error

    async def _read_all(self) -> None:
        marks = self._watermarks()
        account = await self._account()
        if account:
            await self._read_groups(marks)
        if self.error is None and (undrained := self._undrained()):
            raise CheckError("not read to the end:\n" + "\n".join(undrained))

    async def _read_groups(self, marks: Mapping[str, int]) -> None:
        self._alive_since = max(marks.values(), default=self._source.clock.now())
        async with anyio.create_task_group() as groups:
            for name in self._config.names:
                self._start(groups, name, marks, created=None)
            await self._discover(groups, marks)

    def unreadable(self) -> dict[str, str]:
        """The groups that cannot be read now, and the patterns that no group is found by; each with the reason."""
        return {name: in_words(error, name) if error else _NONE_YET for name, error in self._failed().items()}

    def _failed(self) -> dict[str, ApiError | None]:
        return self._unfound | {reader.name: reader.failed for reader in self.readers if reader.failed}

    def _undrained(self) -> list[str]:
        """With ``drain``, once it has ended: what should have been read and was not, in lines.

        A pattern may stand for nothing, and so for a group that is gone since it was found.
        """
        absent = {name for name, error in self._failed().items() if error is None or error.kind == "missing"}
        excused = absent - set(self._config.names)
        return sorted(f"{name}: {why}" for name, why in self.unreadable().items() if name not in excused)

    def _watermarks(self) -> dict[str, int]:
        marks = {}
        for name, checkpoint in self._after.items():
            try:
                marks[name] = watermark_of(checkpoint)
            except ValueError as error:
                raise CheckError(
                    f"the saved checkpoint of log group {name} cannot be used: {error}. Was it written by a newer "
                    "version of vectadb-agent-cloudwatch? Install that one, or start with an empty state directory"
                ) from error
        return marks

    async def _account(self) -> str:
        source, pause = self._source, self._config.poll_interval
        while True:
            account = await source.find_account()
            wanted = [*self._config.names, *(prefix + "*" for prefix in self._config.prefixes)]
            self._unfound = {} if account else dict.fromkeys(wanted)
            if account or self._drain:
                return account
            log.warning(
                "no log group in this account and region yet, so the account's id is unknown; looking again",
                extra={"region": source.api.region, "pause_seconds": pause},
            )
            await anyio.sleep(pause)
            pause = min(pause * 2, 300.0)

    async def _discover(self, groups: TaskGroup, marks: Mapping[str, int]) -> None:
        """Start the groups of the prefixes, and those created later."""
        if not self._config.prefixes:
            return
        source = self._source
        unmentioned = set(self._config.prefixes)
        while True:
            asked_at = source.clock.now()
            complete = True
            for prefix in self._config.prefixes:
                try:
                    found = await find_groups(source.api, prefix, turns=source.turns("DescribeLogGroups"))
                except ApiError as error:
                    complete = False
                    words = in_words(error, prefix + "*")
                    log.warning("prefix cannot be looked up", extra={"prefix": prefix, "error": words})
                    self._unfound[prefix + "*"] = error
                    continue
                self._unfound.pop(prefix + "*", None)
                if not found:
                    self._unfound[prefix + "*"] = None
                if not found and prefix in unmentioned:
                    log.info("no log group has this prefix yet; looking again", extra={"prefix": prefix})
                    unmentioned.discard(prefix)
                for group in found:
                    self._start(groups, group.name, marks, created=group.created)
            if self._drain:
                return
            if complete:
                self._alive_since = asked_at - _LISTING_LAG
            await anyio.sleep(self._config.rediscover)

    def _start(self, groups: TaskGroup, name: str, marks: Mapping[str, int], *, created: int | None) -> None:
        if name in self._started:
            return
        self._started.add(name)
        now = self._source.clock.now()
        if name in marks:
            position = Position.resumed(marks[name])
        else:
            lookback = int(self._config.lookback * 1000)
            position = Position.fresh(
                start_of(now=now, lookback=lookback, created=created, alive_since=self._alive_since)
            )
        reader = GroupReader(
            name,
            position,
            self._source.pages_of(name),
            self._send.send,
            pace=Pace(
                self._config.poll_interval, int(self._config.settle_min * 1000), int(self._config.settle_max * 1000)
            ),
            now=self._source.clock.now,
            sleep=anyio.sleep,
            tally=self._source.api.tally,
        )
        self.readers.append(reader)
        groups.start_soon(self._read_group, reader, name=f"cloudwatch {name}")

    async def _read_group(self, reader: GroupReader) -> None:
        try:
            await reader.run(drain=self._drain)
        except ApiError as error:
            self.error = startup_error(error)
            self.scope.cancel()
        except Exception as error:  # noqa: BLE001 - raised by read(), in the consumer's task
            self.error = error
            self.scope.cancel()
