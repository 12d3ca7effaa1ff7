"""The source ``cloudwatch``: which groups are read, by how many at once, and what ends the reading."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar, Self

import anyio

from vectadb_agent import Batch, Figure, LogStream, Source
from vectadb_agent.errors import CheckError
from vectadb_agent_cloudwatch.api import Access, LogsApi
from vectadb_agent_cloudwatch.clock import AwsClock
from vectadb_agent_cloudwatch.config import CloudWatchConfig
from vectadb_agent_cloudwatch.discovery import find_groups
from vectadb_agent_cloudwatch.failures import ApiError
from vectadb_agent_cloudwatch.pages import FilterPages, GetPages, Group, Pages
from vectadb_agent_cloudwatch.quota import TokenBucket, Turns, documented_quota, shared_bucket
from vectadb_agent_cloudwatch.reading import Reading
from vectadb_agent_cloudwatch.remedies import group_error, in_words, startup_error
from vectadb_agent_cloudwatch.reread import Rereading
from vectadb_agent_cloudwatch.slices import FUTURE
from vectadb_agent_cloudwatch.tally import allowed_figures, group_figures

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
    from types import TracebackType

    from anyio.abc import TaskGroup

_CHECKED_PER_PREFIX = 20


class CloudWatchSource(Source):
    """Reads CloudWatch log groups, each as one partition."""

    name = "cloudwatch"
    seekable: ClassVar[bool] = True
    Config = CloudWatchConfig
    config: CloudWatchConfig

    def __init__(self, config: CloudWatchConfig) -> None:
        super().__init__(config)
        self.clock = AwsClock()
        self.api = LogsApi(
            Access(config.region, config.profile, config.role_arn, config.endpoint_url, config.pages_in_flight + 4),
            self.clock,
        )
        self._slots = anyio.Semaphore(config.pages_in_flight)
        self._reread_slot = anyio.Semaphore(1)
        self._gathering = anyio.Semaphore(1)
        self._finding = anyio.Lock()
        self._tasks: TaskGroup | None = None
        self._reading: Reading | None = None
        self._account = config.account or ""
        self._listed_account = ""
        self._buckets: dict[tuple[str, str], TokenBucket] = {}

    async def __aenter__(self) -> Self:
        """Open the task group in which groups are read."""
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End all reading, and close the connections."""
        tasks, self._tasks = self._tasks, None
        if tasks is not None:
            tasks.cancel_scope.cancel()
            await tasks.__aexit__(None, None, None)
        with anyio.CancelScope(shield=True):
            await self.api.close()

    async def check(self) -> list[str]:
        """Try to list and to read each group (of each prefix, the first twenty).

        Raises:
            CheckError: what fails, and the IAM action that lacks.
        """
        try:
            account = await self.find_account(attempts=3)
        except ApiError as error:
            raise startup_error(error) from error
        lines = [f"account {account or 'unknown as long as it has no log group'}, region {self.api.region}"]
        problems: list[str] = []
        if self._listed_account not in ("", account):
            problems.append(
                f"account: {account} is configured, but the log groups here belong to {self._listed_account}; "
                "correct `account`, or use the credentials of the other account"
            )
        names = dict.fromkeys(self.config.names)
        for prefix in self.config.prefixes:
            try:
                found = await find_groups(self.api, prefix, turns=self.turns("DescribeLogGroups"), attempts=3)
            except ApiError as error:
                problems.append(f"prefix {prefix}: {in_words(error, prefix + '*')}")
                continue
            lines.append(f"prefix {prefix}: {len(found) or 'no'} log group{'' if len(found) == 1 else 's'}")
            names |= dict.fromkeys(group.name for group in found[:_CHECKED_PER_PREFIX])
        for name in names:
            try:
                await self._try_reading(name)
            except ApiError as error:
                problems.append(f"{name}: {in_words(error, name)}")
            else:
                lines.append(f"{name}: readable")
        if problems:
            raise CheckError("\n".join(problems), fatal=False)
        return lines

    async def read(self, after: Mapping[str, dict[str, Any]], *, drain: bool = False) -> AsyncGenerator[Batch, None]:
        """Yield the pages of all groups as they come: see :class:`vectadb_agent.Source`.

        Raises:
            CheckError: credentials, region or account are missing at the start, a checkpoint is not ours; with
                ``drain`` also where groups could not be read, after all others have been.
            RuntimeError: the source has not been entered with ``async with``.
        """
        if self._tasks is None:
            raise RuntimeError("read() needs `async with source`")
        send, receive = anyio.create_memory_object_stream[Batch](0)
        self._reading = reading = Reading(self, after, send, drain=drain)
        self._tasks.start_soon(reading.run)
        try:
            async with receive:
                async for batch in receive:
                    yield batch
        finally:
            reading.scope.cancel()
        if reading.error is not None:
            raise reading.error

    @property
    def sweep_ages(self) -> Sequence[float]:
        """The option ``sweeps``, in seconds."""
        return self.config.sweeps

    def now(self) -> int:
        """AWS's now in microseconds; this machine's until AWS has answered once."""
        return self.clock.now() * 1000

    def trouble(self) -> str | None:
        """See :class:`vectadb_agent.Source`: what AWS, or the way to it, has said for a minute."""
        return self.api.trouble()

    def unreadable(self) -> Mapping[str, str]:
        """See :class:`vectadb_agent.Source`; a prefix that no group is found by is among them, with ``*`` behind it."""
        return self._reading.unreadable() if self._reading is not None else {}

    async def partitions(self) -> list[str]:
        """Return the groups given by name, whether they exist or not, and all that have one of the prefixes.

        Raises:
            CheckError: groups cannot be listed.
        """
        names = dict.fromkeys(self.config.names)
        for prefix in self.config.prefixes:
            try:
                await self.api.open()
                found = await find_groups(self.api, prefix, turns=self.turns("DescribeLogGroups"))
            except ApiError as error:
                raise group_error(error, prefix + "*") from error
            names |= dict.fromkeys(group.name for group in found)
        return list(names)

    async def origin(self, partition: str) -> LogStream:
        """Return the account and region that the group is read from.

        Raises:
            CheckError: credentials, region or account are missing.
        """
        try:
            account = await self.find_account()
        except ApiError as error:
            raise startup_error(error) from error
        if not account:
            raise CheckError(
                "the AWS account is unknown as long as it has no log group in this region; set `account` in the "
                "source's configuration, or check `region`",
                fatal=False,
            )
        return Group(partition, account, self.api.region).stream("")

    async def reread(self, partition: str, since: int, until: int) -> AsyncGenerator[Batch, None]:
        """Yield what is visible now of a stretch of a group's past: see :class:`vectadb_agent.Source`.

        All rereadings together hold one page: the place in memory of the batch yielded last is free once the next is
        asked for. So a task must not wait for one rereading while it keeps another open.

        Raises:
            CheckError: the group is missing or must not be read, or nothing can be read at all.
        """
        await self.origin(partition)
        rereading = Rereading(
            partition,
            self.pages_of(partition, again=True),
            max(0, -(-since // 1000)),  # the first millisecond not before since, the last one before until
            -(-until // 1000) - 1,
            gathering=self._gathering,
            tally=self.api.tally,
        )
        try:
            async with aclosing(rereading.batches()) as batches:
                async for batch in batches:
                    yield batch
                    del batch  # or the page would be kept while the next is fetched
        except ApiError as error:
            raise group_error(error, partition) from error

    def figures(self) -> Iterator[Figure]:
        """Tell of requests and pages, of the rates allowed, and of each group that is read how far behind it is."""
        yield from self.api.tally.figures()
        yield from allowed_figures(self._buckets)
        if self._reading is not None:
            yield from group_figures(self._reading.readers)

    async def find_account(self, *, attempts: int | None = None) -> str:
        """The account's id; empty where it has no log group yet that would tell.

        The first call of the process too: it proves the credentials and sets the clock.

        Raises:
            ApiError: credentials or setup are wrong, or groups may not be listed and the account is not configured.
        """
        async with self._finding:
            if self._account and self.clock.answered:
                return self._account
            return await self._ask_for_account(attempts)

    async def _ask_for_account(self, attempts: int | None) -> str:
        await self.api.open()
        turns = self.turns("DescribeLogGroups")
        try:
            found = await find_groups(self.api, None, turns=turns, limit=1, attempts=attempts)
        except ApiError as error:
            if error.kind in ("credentials", "setup") or not self._account:
                raise
            return self._account
        if found:
            self._listed_account = found[0].account
            self._account = self._account or self._listed_account
        return self._account

    async def _try_reading(self, name: str) -> None:
        now = self.clock.now()
        parameters: dict[str, Any] = {"logGroupName": name}
        if self.config.reader == "get":
            await self.api.persist(
                "DescribeLogStreams", parameters, dict, turns=self.turns("DescribeLogStreams"), attempts=3
            )
            return
        parameters |= {"startTime": max(0, now - 1000), "endTime": now + FUTURE, "limit": 1}
        if self.config.filter_pattern is not None:
            parameters["filterPattern"] = self.config.filter_pattern
        await self.api.persist("FilterLogEvents", parameters, dict, turns=self.turns("FilterLogEvents"), attempts=3)

    def pages_of(self, name: str, *, again: bool = False) -> Pages:
        """Where the pages of a group come from; ``again``: for a rereading, which gives way to all others."""
        group = Group(name, self._account, self.api.region)
        streams = self.config.log_stream_names
        slots = self._reread_slot if again else self._slots
        if self.config.reader == "get":
            return GetPages(
                self.api,
                group,
                turns=self.turns("GetLogEvents", again=again),
                slots=slots,
                listing=self.turns("DescribeLogStreams", again=again),
                streams=streams,
            )
        return FilterPages(
            self.api,
            group,
            turns=self.turns("FilterLogEvents", again=again),
            slots=slots,
            limit=self.config.page_records,
            streams=streams,
            pattern=self.config.filter_pattern,
        )

    def turns(self, operation: str, *, again: bool = False) -> Turns:
        """Whom to ask before each call of ``operation``."""
        bucket = self.bucket(operation)
        return bucket.giving_way if again else bucket

    def bucket(self, operation: str) -> TokenBucket:
        """The bucket that all calls of ``operation`` draw from. The region must be known: ``api`` must be open."""
        key = (operation, self._account)
        bucket = self._buckets.get(key)
        if bucket is None:
            limit = self.config.max_requests_per_second
            if limit is None or operation not in ("FilterLogEvents", "GetLogEvents"):
                limit = documented_quota(operation, self.api.region) * self.config.quota_share
            bucket = self._buckets[key] = shared_bucket(*key, self.api.region, self.api.endpoint, limit)
        return bucket
